import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from controlplane.stream.frames import close_frame, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_another_library_reads_the_text(size: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(text_frame(b"x" * size))
    said = ""
    for event in client.events():
        assert isinstance(event, TextMessage)
        said += event.data
    assert said == "x" * size


def test_another_library_reads_the_goodbye() -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(close_frame(1001, "stopping" + "x" * 200))
    (event,) = client.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (1001, "stopping" + "x" * 115)
