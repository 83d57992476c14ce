"""Owns making a path anew, for a rewrite or a redirect. A query stays as it was.

Sources: Gateway API ReplacePrefixMatch and ReplaceFullPath; Envoy's regex_rewrite, which replaces
every match.
"""

from collections.abc import Callable

from proxy.model.config import PathChange, PathMatch
from proxy.model.regex import compile_substitution

Change = Callable[[bytes], bytes]
"""target → target."""


def compile_change(change: PathChange, matched: PathMatch | None) -> Change | None:
    """Makes ready what happens to a target's path; None when nothing does.

    Args:
        matched: how the path was compared; its prefix is what ``change.prefix`` replaces, ``/``
            when nothing was said of the path.

    The result begins with ``/`` whatever the change says. ``*`` (of OPTIONS) is nobody's path and
    stays. Raises ``proxy.model.regex.BeyondRegex`` when it is called with a path in which the
    expression matches too often.
    """
    on_path = _on_path(change, matched)
    if on_path is None:
        return None

    def changed(target: bytes) -> bytes:
        if target == b"*":
            return target
        path, mark, query = target.partition(b"?")
        path = on_path(path)
        if path[:1] != b"/":
            path = b"/" + path
        return path + mark + query

    return changed


def _on_path(change: PathChange, matched: PathMatch | None) -> Change | None:
    if change.path is not None:
        whole = change.path.encode()
        return lambda _path: whole
    if change.regex is not None:
        return compile_substitution(change.regex.pattern, change.regex.to)
    if change.prefix is None:
        return None
    instead = change.prefix.encode()
    if matched is not None and matched.prefix is not None:
        prefix = matched.prefix.encode()
        if prefix.endswith(b"/"):  # it ends with a segment: what is behind it stays one
            return _after(len(prefix) - 1, instead.rstrip(b"/"))
        return _after(len(prefix), instead)
    segments = (matched.segment_prefix if matched is not None else None) or "/"
    return _after(len(segments.rstrip("/").encode()), instead.rstrip(b"/"))


def _after(cut: int, instead: bytes) -> Change:
    """``instead`` in place of the first ``cut`` bytes, and one slash where both would have one."""

    def changed(path: bytes) -> bytes:
        rest = path[cut:]
        if instead[-1:] == b"/" and rest[:1] == b"/":
            rest = rest[1:]
        return instead + rest

    return changed
