"""Owns what is raised for bytes that are not HTTP/1.1 as we accept it. Never answers anyone."""


class ProtocolError(Exception):
    """Bytes that break the grammar or the framing of HTTP/1.1."""


class BadRequest(ProtocolError):
    """A client's message is refused; the connection is closed after the answer.

    Args:
        status: what the client is told, 400–505.
        detail: a sentence for the client; holds nothing the client sent.
        retry_after_s: when it may try again; 0 says nothing of it.
        method: of the request, where it was understood: an answer to HEAD has no body.
    """

    def __init__(
        self, status: int, detail: str, *, retry_after_s: int = 0, method: str = ""
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.method = method


class BadResponse(ProtocolError):
    """An endpoint's message is refused; its connection is dropped."""


class BadChunk(ProtocolError):
    """A chunked body breaks its framing, in either direction."""
