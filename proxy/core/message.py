"""Owns what the core needs to see of a request's head. Never parses one (see ``proxy.http1``)."""

from typing import Protocol


class HeadView(Protocol):
    """A request's head, read only. Decisions read as little of it as they can."""

    @property
    def method(self) -> str:
        """As received, e.g. ``GET``."""

    @property
    def target(self) -> bytes:
        """Origin form as received: path, and ``?query`` where there is one; or ``*``."""

    @property
    def host(self) -> bytes:
        """The host asked for, lower case, without port; empty when there is none."""

    @property
    def authority(self) -> bytes:
        """The host asked for as it was sent, with its port; empty when there is none."""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, blanks around it trimmed; None when it is absent.

        Args:
            name: the field's name in lower case.
        """

    def headers(self, name: bytes) -> list[bytes]:
        """Every line's value of a field, in order; as ``header`` otherwise.

        For fields whose last line counts: a client could hide what a proxy appended to
        ``x-forwarded-for`` behind a line of its own, if only the first line were read.
        """
