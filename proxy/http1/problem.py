"""Owns the answers that the proxy makes by itself: small problem+json bodies (RFC 9457)."""

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
    title = HTTPStatus(status).phrase
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
