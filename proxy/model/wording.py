"""Owns how values and near misses are put into words for people. Never decides what is wrong."""

import re
from collections.abc import Iterable
from itertools import islice

_SHOWN = 60
_COMPARED = 100
"""Comparing words is slow; nobody is helped by a guess among more names than these."""
_LAYOUT = dict.fromkeys(map(ord, "\n\r\t"))
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def shown(value: object) -> str:
    """A YAML value as its author knows it, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = ascii(value) if isinstance(value, str) and has_control(value) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``", did you mean `weights`?"`` or nothing; at most the first 100 names are compared."""
    if len(word) > _SHOWN:
        return ""
    from difflib import get_close_matches

    close = get_close_matches(word, islice(known, _COMPARED), n=1)
    return f", did you mean `{close[0]}`?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names in a row, the first ten of them."""
    row = sorted(names)
    return ", ".join(row[:10]) + (", …" if len(row) > 10 else "")


def has_control(text: str, *, of_lines: bool = False) -> bool:
    """Whether a control character or half a surrogate pair is in it: no setting needs one, but for
    the ends of lines and tabs where a text is ``of_lines``."""
    if of_lines:
        text = text.translate(_LAYOUT)
    return _UNPRINTABLE.search(text) is not None
