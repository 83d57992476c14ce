import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from controlplane.stream.frames import close_frame, text_frame
from loadtests.fleet.frames import CLOSE, TEXT, Reader, frame, snapshot_of
from proxy.model.config import Traffic
from proxy.model.wire import Snapshot


@pytest.mark.parametrize("size", [0, 125, 126, 60_000])
def test_another_library_reads_what_is_sent(size: int) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame(TEXT, b"x" * size))
    (event,) = server.events()
    assert isinstance(event, TextMessage)
    assert event.data == "x" * size


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 125, 126, 700]), max_size=4), st.integers(1, 999))
def test_frames_come_in_any_pieces(sizes: list[int], piece: int) -> None:
    sent = b"".join(text_frame(b"x" * size) for size in sizes) + close_frame(1001, "bye")
    reader = Reader()
    read = [
        each for at in range(0, len(sent), piece) for each in reader.feed(sent[at : at + piece])
    ]
    assert read == [*((TEXT, b"x" * size) for size in sizes), (CLOSE, b"\x03\xe9bye")]


def test_the_ends_of_a_snapshot_say_enough() -> None:
    assert snapshot_of(msgspec.json.encode(Snapshot(7, Traffic(), store="s-1"))) == (7, "s-1")
    with pytest.raises(ValueError, match="no snapshot"):
        snapshot_of(b'{"type":"other"}')
