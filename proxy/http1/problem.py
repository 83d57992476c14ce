"""Owns the answers that the proxy makes by itself: problem+json bodies (RFC 9457), and those that
the configuration gives."""

from http import HTTPStatus

import msgspec


def problem_response(
    status: int,
    detail: str,
    *,
    ident: bytes = b"",
    keep_alive: bool,
    body: bool = True,
    retry_after_s: int = 0,
) -> bytes:
    """A whole response.

    Args:
        status: 400–599.
        detail: a sentence; must hold nothing a client or endpoint sent.
        ident: the request's id, named in the body and in ``X-Request-Id``.
        keep_alive: False adds ``Connection: close``.
        body: False for an answer to HEAD.
        retry_after_s: named in ``Retry-After`` unless 0.
    """
    title = _phrase(status)
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if ident:
        document["request_id"] = ident.decode("latin-1")
    content = msgspec.json.encode(document)
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\nContent-Type: application/problem+json\r\n"
            % (status, title.encode()),
            b"Content-Length: %d\r\nCache-Control: no-store\r\n" % len(content),
            b"X-Request-Id: " + ident + b"\r\n" if ident else b"",
            b"Retry-After: %d\r\n" % retry_after_s if retry_after_s else b"",
            b"" if keep_alive else b"Connection: close\r\n",
            b"\r\n",
            content if body else b"",
        )
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one that nobody registered
        return ""


def own_head(status: int, lines: bytes, size: int, *, ident: bytes, keep_alive: bool) -> bytes:
    """The head of a response in the configuration's words.

    Args:
        status: 200–599.
        lines: field lines, each with its CRLF; none of the framing.
        size: of the content, in bytes.
        ident: the request's id.
        keep_alive: False adds ``Connection: close``.
    """
    title = _phrase(status)
    bodiless = status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)  # RFC 9110 section 8.6
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (status, title.encode()),
            lines,
            b"" if bodiless else b"Content-Length: %d\r\n" % size,
            b"X-Request-Id: " + ident + b"\r\n",
            b"" if keep_alive else b"Connection: close\r\n",
            b"\r\n",
        )
    )
