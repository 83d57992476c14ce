"""docs/settings.md lists every field there is, with its true default, and no field there is not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest

from proxy.model.config import Config
from proxy.model.parse import parse_config
from tests.support.configs import FULL

DOC = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
KEYS = {
    "services": "name",
    "versions": "version",
    "weights": "version",
    "headers": "header",
    "query": "parameter",
    "segments": "dimension",
    "networks": "name",
    "cookies": "cookie",
    "set": "field",
    "add": "field",
}
"""Whose names they are, in the mappings."""
ROWS = {
    found[1]: (found[2], found[3], found[4], found[5])
    for found in re.finditer(
        r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", DOC, re.MULTILINE
    )
}


def fields(kind: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every setting below a type, with its default as the table writes it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            here = f"{path}.{field.name}".removeprefix(".")
            yield here, default_of(field)
            yield from fields(field.type, here)
    elif get_origin(kind) is dict:
        value = get_args(kind)[1]
        here = f"{path}.<{KEYS[path.rpartition('.')[2]]}>"
        if get_args(value)[:1] == (int,):
            yield here, "`0`"
        yield from fields(value, here)
    elif get_origin(kind) is tuple:
        yield from fields(get_args(kind)[0], f"{path}[]")
    else:
        kinds = get_args(kind)
        for inner in kinds[:1] if get_origin(kind) is Annotated else kinds:
            yield from fields(inner, path)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    made = field.default_factory
    value = field.default if made is msgspec.NODEFAULT else made()
    return f"`{json.dumps(msgspec.to_builtins(value))}`"


FIELDS = dict(fields(Config, ""))


def test_every_field_and_no_other() -> None:
    assert set(ROWS) == set(FIELDS)
    assert len(ROWS) == DOC.count("\n| `")


@pytest.mark.parametrize("setting", FIELDS)
def test_default(setting: str) -> None:
    assert ROWS[setting][0] == FIELDS[setting]


def test_the_shared_example_sets_every_field() -> None:
    def paths(value: Any, path: str) -> Iterator[str]:
        yield path.removeprefix(".")
        if isinstance(value, dict):
            for key, child in value.items():
                name = KEYS.get(path.rpartition(".")[2])
                yield from paths(child, f"{path}.{f'<{name}>' if name else key}")
        elif isinstance(value, list):
            for child in value:
                yield from paths(child, f"{path}[]")

    plain = json.loads(msgspec.json.encode(parse_config(FULL)))
    assert set(FIELDS) <= set(paths(plain, ""))
