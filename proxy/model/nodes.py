"""Owns the tree between YAML and the typed configuration: values that know their lines.

Plain scalars get the types of YAML 1.2's core schema (section 10.3), decimal numbers only: ``no``,
``on`` and ``1:30`` stay text, as in editors and in the JSON Schema. Never reads YAML itself.
"""

import math
import re
from typing import Final

import msgspec

Value = str | int | float | bool | None

MERGE = "<<"
"""YAML 1.1's key that pulls another mapping in. Refused."""
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Scalar(msgspec.Struct):
    """One value. ``usable`` is false when its problem has been reported already."""

    line: int
    value: Value
    usable: bool = True
    size: int = 1
    height: int = 0


class Sequence(msgspec.Struct):
    """A list. ``size`` and ``height`` count what stands below it, aliases expanded."""

    line: int
    items: list["Node"] = []
    size: int = 1
    height: int = 1


class Dict(msgspec.Struct):
    """A mapping; the line of an entry is that of its key."""

    line: int
    entries: dict[str, "Node"] = {}
    key_lines: dict[str, int] = {}
    size: int = 1
    height: int = 1


Node = Scalar | Sequence | Dict


def resolve(text: str) -> Value:
    """The value of a plain scalar. Infinite and endless numbers stay text: no setting takes one."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
