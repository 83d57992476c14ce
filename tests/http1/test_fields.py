"""Look-ups over raw field lines."""

from proxy.http1.fields import Fields, hop_by_hop

RAW = b"A: 1\r\nB:\t two \t\r\na:3\r\nList: X, ,y\r\nlist: Z\r\nE:\r\nA_B: u\r\nab: 4\r\n"


def test_look_ups() -> None:
    fields = Fields(RAW)
    assert fields.header(b"a") == b"1"
    assert fields.header(b"b") == b"two"
    assert fields.header(b"e") == b""
    assert fields.header(b"c") is None
    assert fields.header(b"1") is None
    assert fields.headers(b"a") == [b"1", b"3"]
    assert fields.headers(b"c") == []
    assert fields.options(b"list") == [b"x", b"y", b"z"]
    assert fields.options(b"c") == []


def test_values_are_never_taken_for_names() -> None:
    assert Fields(b"X: host: evil\r\n").header(b"host") is None


def test_without() -> None:
    fields = Fields(RAW)
    assert fields.without({b"a", b"list"}) == b"B:\t two \t\r\nE:\r\nA_B: u\r\nab: 4\r\n"
    assert b"A_B" not in fields.without({b"a-b"})
    assert fields.without(set(), (b"a",)) == b"B:\t two \t\r\nList: X, ,y\r\nlist: Z\r\nE:\r\n"


def test_cut_connection() -> None:
    assert (
        Fields(b"A: 1\r\nConnection: Keep-Alive\r\nB: 2\r\n").cut_connection()
        == b"A: 1\r\nB: 2\r\n"
    )
    assert Fields(b"Connection: keep-alive\r\n").cut_connection() == b""
    assert Fields(b"A: 1\r\nConnection: close\r\nB: 2\r\n").cut_connection() == b"A: 1\r\nB: 2\r\n"
    assert Fields(b"Connection:keep-alive\r\n").cut_connection() is None
    assert Fields(b"XConnection: keep-alive\r\n").cut_connection() is None
    assert Fields(b"Connection: keep-alive, x\r\n").cut_connection() is None


def test_hop_by_hop() -> None:
    names = hop_by_hop(
        [b"close", b"x_mine", b"host", b"content-length", b"cookie", b"authorization"]
    )
    assert {b"connection", b"te", b"transfer-encoding", b"upgrade", b"close", b"x-mine"} <= names
    assert not names & {b"host", b"content-length", b"cookie", b"authorization"}
