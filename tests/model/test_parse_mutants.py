"""Hundreds of generated single mistakes, and anything at all: refused in place, never a crash."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.model.errors import ConfigError, Problem
from proxy.model.parse import parse_config, parse_traffic
from proxy.model.report import field_of, item_of, lineage
from tests.support.configs import EXAMPLE, FULL

Path = tuple[str | int, ...]
Mutant = tuple[str, str, Any]

REQUIRED = {"name", "bind", "versions", "endpoints", "url"}
"""Of these names every field in FULL is required, but for ``admin.bind``."""


def shown(path: Path) -> str:
    field = ""
    for step in path:
        field = item_of(field, step) if isinstance(step, int) else field_of(field, step)
    return field


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield from walk(value[step], (*path, step))


def changed(data: Any, path: Path, value: Any) -> Any:
    """A copy with one place set to ``value``, or taken out where that is ``...``."""
    if not path:
        return value
    data = copy.deepcopy(data)
    place = data
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


def is_of_names(path: Path) -> bool:
    return path == ("services",) or path[-1:] in [("versions",), ("weights",)]


def may_be_empty(path: Path) -> bool:
    """Texts of which the empty one means something."""
    name = path[-1]
    above = path[-2] if len(path) > 1 else ""
    if name == "prefix":
        return above in ("rewrite", "redirect")
    if name == "exact":
        return "path" not in path
    if name in ("host", "zone", "domain", "host_suffix"):
        return name != "host" or above == "health"
    return name in ("salt", "to", "body") or above in ("set", "add")


def wrong_values(path: Path, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        yield "a number", 7
        yield "text", "nonsense"
        yield "the other container", [] if isinstance(value, dict) else {}
        return
    yield "a list", []
    yield "a list of one", [value]
    if not (isinstance(path[-1], int) and path[-2] in ("key", "endpoints")):
        yield "a mapping", {}
        yield "a mapping of one", {"value": value}
    if isinstance(value, str):
        yield "a number", 7
        yield "a bool", True
        if not may_be_empty(path):
            yield "empty", ""
        yield "a control character", f"{value}\x07"
    elif isinstance(value, bool):
        yield "text", "maybe"
        yield "a number", 1
    else:
        yield "text", "much"
        yield "a bool", True
        yield "negative", -1
        yield "huge", 10**12
        yield "a quoted number", str(value)


def mutants() -> Iterator[Mutant]:
    data = yaml.safe_load(FULL)
    for path, value in walk(data):
        for what, wrong in wrong_values(path, value) if path else ():
            yield f"{shown(path)} is {what}", shown(path), changed(data, path, wrong)
        if isinstance(value, dict) and not is_of_names(path):
            here = (*path, "zzzz")
            yield f"{shown(here)} is unknown", shown(here), changed(data, here, 1)
        if path and path[-1] in REQUIRED and path[0] != "admin":
            yield f"{shown(path)} is missing", shown(path), changed(data, path, ...)
    for service in ("shop", "api"):
        here = ("services", service, "weights")
        yield f"{service} has no weight", shown(here), changed(data, here, {"v1": 0, "stable": 0})
        for weight in (0, 5):
            there = (*here, "ghost")
            full = changed(data, here, {"ghost": weight, "v1": 1, "stable": 1})
            yield f"{service} has a ghost at {weight}", shown(there), full
    for index in range(3):
        here = ("routes", index, "service")
        yield f"{shown(here)} is a ghost", shown(here), changed(data, here, "ghost")


MUTANTS = list(mutants())


def line_of(text: str, field: str) -> int:
    """Where PyYAML's own tree has a field, or else what holds it."""
    lines: dict[str, int] = {}

    def note(node: yaml.Node | None, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                lines[field_of(path, key.value)] = key.start_mark.line + 1
                note(child, field_of(path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                lines[item_of(path, index)] = child.start_mark.line + 1
                note(child, item_of(path, index))

    note(yaml.compose(text, Loader=yaml.CSafeLoader), "")
    return next((lines[path] for path in lineage(field) if path in lines), 1)


def test_there_are_many() -> None:
    assert len(MUTANTS) >= 200
    assert len({name for name, _, _ in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(("field", "data"), [pytest.param(f, d, id=n) for n, f, d in MUTANTS])
def test_mutant(field: str, data: Any) -> None:
    text = "# a comment\n" + yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False)
    with pytest.raises(ConfigError) as caught:
        parse_config(text, file="f.yaml")
    found = {problem.field: problem for problem in caught.value.problems}
    assert field in found
    assert found[field].line == line_of(text, field)
    for problem in found.values():
        assert problem.file == "f.yaml"
        assert problem.line > 1
        assert problem.message
        assert str(problem).startswith(f"f.yaml:{problem.line}: {problem.field}: ")


def parse_anything(text: str) -> None:
    for parse in (parse_config, parse_traffic):
        problems: tuple[Problem, ...] = ()
        try:
            parse(text, file="f.yaml", env={"A": text, "B": "5", "C": "\udc80"})
        except ConfigError as error:
            problems = error.problems
            assert problems
        assert all(problem.line >= 1 and str(problem).encode() for problem in problems)


@given(st.text())
@example("\ufeffcontrol: {url: 'http://c:1'}")
@example("\ufeff")
@example("{" * 5000)
@example("[" * 1023)
@example("? " * 3000)
@example("- " * 3000)
@example("a: " * 3000)
@example("&a " * 3000)
@example('"\\ud800"')
@example("%YAML 3.0\n---\na")
@example("!!binary x: 1")
@example("a: !!python/object:os.system {}")
@example("*a : *a")
@example("\x85\u2028\u2029${A}")
@settings(max_examples=200, deadline=None)
def test_any_text(text: str) -> None:
    parse_anything(text)


@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`#$ \n\tab1.~<=A", max_size=60))
@settings(max_examples=400, deadline=None)
def test_text_of_yaml_signs(text: str) -> None:
    parse_anything(text)


WORDS = sorted({str(step) for path, _ in walk(yaml.safe_load(FULL)) for step in path})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", "${B}", "${C}", "${X:-1}", "$${", "http://a:1", "/", *WORDS])
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | SCALARS, inner)
    ),
    max_leaves=25,
)


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_any_tree(tree: Any) -> None:
    parse_anything(yaml.dump(tree, Dumper=yaml.CSafeDumper))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_change_to_a_good_tree(data: st.DataObject) -> None:
    tree = yaml.safe_load(FULL)
    path = data.draw(st.sampled_from([path for path, _ in walk(tree) if path]))
    parse_anything(yaml.dump(changed(tree, path, data.draw(TREES)), Dumper=yaml.CSafeDumper))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_change_to_the_example_text(data: st.DataObject) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 6))
        text = text[:start] + data.draw(st.text(max_size=4)) + text[end:]
    parse_anything(text)
