import pytest

from loadtests.journal import (
    Change,
    JournalError,
    Request,
    Start,
    decode,
    decode_all,
    encode,
    parse_steps,
    parse_weights,
    weights_text,
)

START = Start(at_us=1, service="shop", users=10, series="user0", weights={"a": 1, "b": 0})
CHANGE = Change(
    step=1, weights={"a": 1, "b": 1}, asked_us=5, answered_us=6, settled_us=9, revision=3
)
REQUEST = Request(
    user="user0-000001",
    step=0,
    version="a",
    status=200,
    started_us=2,
    ended_us=4,
    request_id="x-1",
    error='a "quoted"\ttab,\nnew line',
)


@pytest.mark.parametrize("record", [START, CHANGE, REQUEST])
def test_a_record_is_one_line_and_comes_back(record: Start | Change | Request) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == record


def test_a_line_cut_off_by_a_kill_is_left_out() -> None:
    text = encode(START) + encode(REQUEST) + encode(CHANGE)[:-5]
    assert list(decode_all(text)) == [START, REQUEST]


def test_an_empty_journal_has_no_records() -> None:
    assert list(decode_all(b"")) == []


@pytest.mark.parametrize("line", [b"", b"GET / HTTP/1.1", b'["other",1]', b'["request","u",0]'])
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(JournalError, match="not a journal line"):
        decode(line)


def test_weights_are_written_and_read_the_same() -> None:
    assert parse_weights(weights_text({"stable": 80, "canary": 20})) == {"stable": 80, "canary": 20}
    assert parse_steps("a=1; b=2,c=0") == [{"a": 1}, {"b": 2, "c": 0}]


@pytest.mark.parametrize("text", ["", "a", "a=", "=1", "a=-1", "a=1.5", "a=1,,b=2", "a=1;"])
def test_wrong_weights_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(ValueError, match="VERSION=NUMBER"):
        parse_steps(text)


def test_a_version_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a stands twice"):
        parse_weights("a=1,a=2")
