"""Owns the request that somebody wants explained: how it is described, and what it looks like then.

Never decides about it (``router.explain`` does).
"""

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110's token, a word of the grammar
_FORMS = {
    "method": (re.compile(_TOKEN), "a method such as GET"),
    "host": (re.compile(r"[0-9A-Za-z.\-_~%:\[\]]*"), "a host name, with or without a port"),
    "path": (re.compile(r"/[\x21-\x7e]*"), "a path that begins with / and is percent-encoded"),
    "header": (re.compile(_TOKEN + r":[\t\x20-\x7e\x80-\xff]*"), "Name:Value"),
}
_DEFAULTS = {"method": "GET", "host": "localhost", "path": "/", "client": "127.0.0.1"}


class ParameterError(Exception):
    """A parameter of the description that is refused."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class Question:
    """A request as it was described (``proxy.core.message.HeadView``)."""

    def __init__(self, method: str, host: str, target: str, client: str) -> None:
        self.method = method
        self.target = target.encode("ascii")
        """Path and query, as it would stand in the request line."""
        self.authority = host.encode("ascii")
        self.host = name_of_host(host).encode("ascii")
        self.client = client
        """The address that the connection would come from."""
        self._headers: dict[bytes, list[bytes]] = {}

    def add_header(self, name: str, value: str) -> None:
        """Adds a field line."""
        lines = self._headers.setdefault(name.lower().encode("ascii"), [])
        lines.append(value.strip(" \t").encode("latin-1"))

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field, by its lower-case name."""
        return next(iter(self.headers(name)), None)

    def headers(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return self._headers.get(name, [])


def question_of(items: Iterable[tuple[str, str]]) -> Question:
    """The question in a description's (parameter, value) pairs: ``method``, ``host``, ``path``,
    ``client``, each once at most, and any number of ``header``.

    Raises:
        ParameterError: for the first that is unknown, repeated or malformed.
    """
    given: dict[str, str] = {}
    headers: list[str] = []
    for name, value in items:
        _check(name, value)
        if name == "header":
            headers.append(value)
        elif name in given:
            raise ParameterError(name, "is given twice")
        else:
            given[name] = value
    asked = _DEFAULTS | given
    question = Question(asked["method"], asked["host"], asked["path"], asked["client"])
    for header in headers:
        field, _, text = header.partition(":")
        question.add_header(field, text)
    return question


def name_of_host(host: str) -> str:
    """A Host without its port, in lower case; empty for what is none."""
    match = _HOST.fullmatch(host.lower())
    return match[1] if match else ""


def _check(name: str, value: str) -> None:
    if name == "client":
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise ParameterError(name, "must be an IP address") from None
        return
    if name not in _FORMS:
        known = ", ".join(sorted([*_FORMS, "client"]))
        raise ParameterError(name[:64], f"is unknown; known are {known}")
    form, meaning = _FORMS[name]
    if not form.fullmatch(value):
        raise ParameterError(name, f"must be {meaning}")
