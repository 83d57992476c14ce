"""The tree of protocol errors."""

from proxy.http1.errors import BadChunk, BadRequest, BadResponse, ProtocolError


def test_one_tree() -> None:
    refused = BadRequest(431, "Too long.")
    assert (refused.status, refused.detail, str(refused)) == (431, "Too long.", "Too long.")
    for error in (refused, BadResponse("x"), BadChunk("x")):
        assert isinstance(error, ProtocolError)
