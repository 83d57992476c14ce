"""Owns nodes → a typed value, with every problem on the way. Never compares fields (``validate``).

It walks the types of ``config``; what a single value may be is declared there alone, and judged
by msgspec.
"""

from functools import cache
from operator import gt, le, lt
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from proxy.model.config import Content, Secret
from proxy.model.nodes import MERGE, Dict, Node, Scalar, Sequence, resolve
from proxy.model.report import Report, field_of, item_of
from proxy.model.wording import did_you_mean, has_control, listed, shown

_EXPECTED = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def convert(kind: Any, node: Node, report: Report, path: str = "") -> Any:
    """The value of ``node`` as type ``kind``. Where it is wrong the report says so, and a blank
    stands in its place, so that the rest can still be checked."""
    report.lines.setdefault(path, node.line)
    if isinstance(node, Scalar) and not node.usable:
        return _blank(kind)
    base, metas = _unwrap(kind)
    origin = get_origin(base)
    if origin is Literal:
        return _convert_union((base,), node, report, path)
    if origin in (Union, UnionType):
        return _convert_union(get_args(base), node, report, path)
    if _is_struct(base):
        return _convert_struct(base, node, report, path)
    if origin is dict:
        return _convert_dict(base, metas, node, report, path)
    if origin is tuple:
        return _convert_tuple(base, metas, node, report, path)
    return _convert_leaf(kind, node, report, path)


def _convert_struct(kind: Any, node: Node, report: Report, path: str) -> Any:
    if not isinstance(node, Dict):
        report.add(path, f"expected a mapping of fields, got {_got(node)}")
        return _blank(kind)
    fields = {field.name: field for field in _fields(kind)}
    for key in node.entries:
        if key in fields or key == MERGE:
            continue
        hint = did_you_mean(key, fields) or f"; known here: {listed(fields)}"
        report.add(field_of(path, key), f"unknown field{hint}", node.key_lines[key])
    values = {}
    for name, field in fields.items():
        where = field_of(path, name)
        if name in node.entries:
            report.lines[where] = node.key_lines[name]
            values[name] = convert(field.type, node.entries[name], report, where)
        elif field.required:
            report.add(where, "required, but missing")
            values[name] = _blank(field.type)
    return kind(**values)


def _convert_dict(
    kind: Any, metas: tuple[Meta, ...], node: Node, report: Report, path: str
) -> dict[str, Any]:
    if not isinstance(node, Dict):
        report.add(path, f"expected a mapping of names, got {_got(node)}")
        return {}
    key_kind, value_kind = get_args(kind)
    values = {}
    for key, value in node.entries.items():
        where = field_of(path, key)
        report.lines[where] = node.key_lines[key]
        if key != MERGE and (message := _leaf_problem(key_kind, key)):
            report.add(where, f"not a name: {message}")
        values[key] = convert(value_kind, value, report, where)
    _check_length(metas, len(values), report, path)
    return values


def _convert_tuple(
    kind: Any, metas: tuple[Meta, ...], node: Node, report: Report, path: str
) -> tuple[Any, ...]:
    if not isinstance(node, Sequence):
        report.add(path, f"expected a list, got {_got(node)}")
        return ()
    item_kind = get_args(kind)[0]
    _check_length(metas, len(node.items), report, path)
    return tuple(
        convert(item_kind, item, report, item_of(path, index))
        for index, item in enumerate(node.items)
    )


def _convert_union(kinds: tuple[Any, ...], node: Node, report: Report, path: str) -> Any:
    """``X | None``, words, words and one struct, or a text and one struct: the only ones that the
    configuration has."""
    if type(None) in kinds and isinstance(node, Scalar) and node.value is None:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    struct = next((kind for kind in kinds if _is_struct(kind)), None)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if (len(kinds) == 1 and not words) or (struct and isinstance(node, Dict)):
        return convert(struct or kinds[0], node, report, path)
    text = next((kind for kind in kinds if _unwrap(kind)[0] is str), None)
    if text is not None:
        return convert(text, node, report, path)
    if isinstance(node, Scalar) and node.value in words:
        return node.value
    word = node.value if isinstance(node, Scalar) else None
    names = [str(word) for word in words]
    hint = did_you_mean(word, names) if isinstance(word, str) else ""
    expected = f"expected {' or '.join(names)},"
    if struct:
        expected += f" or a mapping of {listed(field.name for field in _fields(struct))};"
    report.add(path, f"{expected} got {_got(node)}{hint}")
    return _blank(struct or kinds[0])


def _convert_leaf(kind: Any, node: Node, report: Report, path: str) -> Any:
    if isinstance(node, Scalar):
        message = _leaf_problem(kind, node.value)
        if not message:
            return msgspec.convert(node.value, kind, strict=True)
    else:
        message = f"expected {_EXPECTED[_unwrap(kind)[0]]}, got {_got(node)}"
    report.add(path, message)
    return _blank(kind)


def _leaf_problem(kind: Any, value: Any) -> str:
    """Why a value is not of this type, in words; nothing when it is."""
    if kind != Secret and isinstance(value, str) and has_control(value, of_lines=kind == Content):
        return f"control characters are not allowed, got {shown(value)}"
    if kind == Secret and not _is_secret(value):
        return "expected a text of 16 to 256 characters"  # which are nobody's business
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        base, metas = _unwrap(kind)
        if not _is_of(base, value):
            return _type_problem(base, value)
        return _limit_problem(metas[0], base, value)
    return ""


def _type_problem(base: Any, value: Any) -> str:
    message = f"expected {_EXPECTED[base]}, got {shown(value)}"
    if base is str and isinstance(value, int | float):
        return f"{message}; write it in quotes"
    if isinstance(value, str) and _is_of(base, resolve(value)):
        return f"{message}; leave out the quotes"
    return message


def _limit_problem(meta: Meta, base: Any, value: Any) -> str:
    if isinstance(value, str):
        if meta.min_length is not None and len(value) < meta.min_length:
            return "must not be empty"
        if meta.max_length is not None and len(value) > meta.max_length:
            return f"expected at most {meta.max_length} characters, got {len(value)}"
        return f"expected {meta.description or meta.pattern}, got {shown(value)}"
    limits = ((meta.ge, "≥", lt), (meta.gt, ">", le), (meta.le, "≤", gt))
    return next(
        f"expected {_EXPECTED[base]} {sign} {limit}, got {shown(value)}"
        for limit, sign, is_broken in limits
        if limit is not None and is_broken(value, limit)
    )


def _check_length(metas: tuple[Meta, ...], length: int, report: Report, path: str) -> None:
    for meta in metas:
        if meta.min_length is not None and length < meta.min_length:
            report.add(path, "must not be empty")
        if meta.max_length is not None and length > meta.max_length:
            report.add(path, f"expected at most {meta.max_length} entries, got {length}")


def _is_of(base: Any, value: Any) -> bool:
    return type(value) is base or (base is float and type(value) is int)


def _got(node: Node) -> str:
    if isinstance(node, Scalar):
        return shown(node.value)
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


@cache
def _fields(kind: Any) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and 16 <= len(value) <= 256 and not has_control(value)


def _unwrap(kind: Any) -> tuple[Any, tuple[Meta, ...]]:
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *metas = get_args(kind)
    return base, tuple(metas)


def _blank(kind: Any) -> Any:
    """What stands for a wrong value; whatever a check says about it is an echo."""
    base, _ = _unwrap(kind)
    if get_origin(base) in (Union, UnionType):
        return None if type(None) in get_args(base) else _blank(get_args(base)[0])
    if _is_struct(base):
        return base(**{field.name: _blank(field.type) for field in _fields(base) if field.required})
    if get_origin(base) is Literal:
        return get_args(base)[0]
    empty = get_origin(base) or base
    return empty() if empty in (dict, tuple, int, float, bool) else ""
