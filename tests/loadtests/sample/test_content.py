import hashlib

import pytest

from loadtests.sample.content import BLOCK_BYTES, BodyReader, blocks, sha256_of

SIZES = [0, 1, 7, 8, 9, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_has_its_length_and_its_digest(size: int) -> None:
    body = b"".join(blocks(size))
    assert len(body) == size
    assert hashlib.sha256(body).hexdigest() == sha256_of(size)


def test_no_block_is_like_another_so_that_a_swap_shows() -> None:
    assert len(set(blocks(50 * BLOCK_BYTES))) == 50


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1000, BLOCK_BYTES, 200_000, -1])
def test_a_reader_gives_the_same_body_in_any_pieces(size: int, piece: int) -> None:
    reader = BodyReader(size)
    assert len(reader) == size
    pieces = []
    while data := reader.read(piece):
        assert piece < 0 or len(data) <= piece
        pieces.append(data)
    assert b"".join(pieces) == b"".join(blocks(size))
    assert reader.read(piece) == b""
