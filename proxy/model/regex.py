"""Owns regular expressions of configurations: RE2, as their texts come from users, and so does the
time that a match takes. Never another engine.

google-re2 is loaded when the first expression is met: most configurations have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

_ESCAPES = re.compile(r"\\(.?)", re.DOTALL)

MAX_MEM = 8 << 20
"""Of one expression, in bytes, compiled and while it matches."""
MAX_MATCHES = 32
"""Of one expression in one text, where each is replaced: every one costs a search of the rest."""
MAX_TEXT = 4_096
"""Bytes of a text: the longest cookie that browsers keep, and longer than any honest path."""
MAX_SET_STEPS = 100_000
"""Expressions times bytes of a text. Beyond them it is compared with one expression after another:
texts can be made for which a set builds a state at every byte, as large as there are expressions,
which takes 50 ns for each."""
MAX_PROGRAM = 1_000
"""Instructions: a few times what the longest sensible expression needs. Matching may cost so many
steps for each byte."""


def compile_regex(pattern: str, *, ignore_case: bool = False) -> Callable[[bytes], bool]:
    """text → whether the whole of it matches; it raises ``BeyondRegex``. Bytes above 127 count as
    single characters.

    Raises:
        ValueError: it is no expression in RE2's syntax, or too large a one.
    """
    return _compiled(pattern, ignore_case)


def check_regex(pattern: str) -> None:
    """As ``compile_regex``, for its errors alone."""
    _compiled(pattern, ignore_case=False)


def check_substitution(pattern: str, to: str) -> None:
    """As ``compile_substitution``, for its errors alone."""
    compile_substitution(pattern, to)


class BeyondRegex(Exception):
    """A text on which expressions are not tried, or not to the end; its text says why."""


def compile_substitution(pattern: str, to: str) -> Callable[[bytes], bytes]:
    r"""text → text with every match of an expression replaced; it raises ``BeyondRegex``.

    Args:
        to: ``\1`` to ``\9`` stand for the expression's groups, empty where they took no part;
            ``\0`` for the whole match, ``\\`` for a backslash.

    Raises:
        ValueError: either is malformed, or ``to`` names a group that there is not.
    """
    compiled = _expression(pattern, ignore_case=False, captures=True)
    pieces = _pieces(to, compiled.groups)

    def replaced(text: bytes) -> bytes:
        _check_length(text)
        done: list[bytes] = []
        at = 0
        count = 0
        for match in compiled.finditer(text):
            if count and match.start() == match.end() == at:
                continue  # nothing, right behind a match: RE2's own replacing has none there either
            if count == MAX_MATCHES:
                raise BeyondRegex("This path would be rewritten in too many places.")
            count += 1
            done.append(text[at : match.start()])
            done += [p if isinstance(p, bytes) else match[p] or b"" for p in pieces]
            at = match.end()
        done.append(text[at:])
        return b"".join(done)

    return replaced


def _pieces(to: str, groups: int) -> list[bytes | int]:
    """Texts, and the numbers of groups between them."""
    pieces: list[bytes | int] = []
    texts = _ESCAPES.split(to)
    for text, escape in zip(texts[::2], (*texts[1::2], None), strict=True):
        pieces.append(_encoded(text))
        if escape is None:
            continue
        if escape == "\\":
            pieces.append(b"\\")
        elif not escape.isdigit():
            raise ValueError(f"`\\{escape}` means nothing here; write `\\\\` for a backslash")
        elif int(escape) > groups:
            raise ValueError(f"there is no group {escape}; the expression has {groups}")
        else:
            pieces.append(int(escape))
    return pieces


@lru_cache(maxsize=4_096)
def _compiled(pattern: str, ignore_case: bool) -> Callable[[bytes], bool]:
    fullmatch = _expression(pattern, ignore_case=ignore_case).fullmatch

    def matches(text: bytes) -> bool:
        _check_length(text)
        return fullmatch(text) is not None

    return matches


def _check_length(text: bytes) -> None:
    if len(text) > MAX_TEXT:  # refused rather than missed: a rule could be walked around
        raise BeyondRegex("This is too long for the regular expressions it is compared with.")


def _expression(pattern: str, *, ignore_case: bool, captures: bool = False) -> Any:
    re2 = _re2()
    try:
        options = _options(re2, ignore_case=ignore_case)
        options.never_capture = not captures  # else RE2 takes its slowest way
        compiled = re2.compile(_encoded(pattern), options)
    except re2.error as error:
        raise ValueError(f"not a regular expression (RE2): {_said(error)}") from None
    if compiled.programsize > MAX_PROGRAM:
        raise ValueError("too large a regular expression; a repetition of a repetition multiplies")
    return compiled


def compile_set(patterns: Sequence[tuple[str, bool]]) -> Callable[[bytes], Sequence[int]]:
    """Many expressions at once, in about the time of one.

    Args:
        patterns: each with whether the case of ASCII letters is ignored.

    Returns:
        text → the indices of those that match the whole of it, in any order.
    """
    re2 = _re2()
    one_by_one = [compile_regex(text, ignore_case=ignore) for text, ignore in patterns]

    def tried(text: bytes) -> Sequence[int]:
        return [index for index, matches in enumerate(one_by_one) if matches(text)]

    if len(patterns) < 2:
        return tried
    options = _options(re2, ignore_case=False)
    options.max_mem = MAX_MEM + len(patterns) * MAX_MEM // 512
    found = re2.Set.FullMatchSet(options)
    for text, ignore in patterns:
        found.Add(_encoded(f"(?i){text}" if ignore else text))
    # It matches always: where nothing is found, memory ran out, and that must not look like a miss.
    always = found.Add(rb"(?s:.*)")
    try:
        found.Compile()
    except re2.error:  # too large together
        return tried
    match = found.Match
    longest = MAX_SET_STEPS // len(patterns)

    def matching(text: bytes) -> Sequence[int]:
        _check_length(text)
        if len(text) > longest:
            return tried(text)
        indices: list[int] | None = match(text)
        if not indices:
            return tried(text)
        return [index for index in indices if index != always]

    return matching


def _re2() -> ModuleType:
    import re2

    module: ModuleType = re2
    return module


def _options(re2: ModuleType, *, ignore_case: bool) -> Any:
    options = re2.Options()
    options.max_mem = MAX_MEM
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.dot_nl = True
    options.case_sensitive = not ignore_case
    return options


def _encoded(pattern: str) -> bytes:
    """As UTF-8: what is sent so is matched byte by byte."""
    return pattern.encode(errors="surrogateescape")


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
