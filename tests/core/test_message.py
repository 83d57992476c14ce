from proxy.core.message import HeadView
from tests.support.heads import Head


def test_the_fake_of_the_tests_is_a_head_view() -> None:
    head: HeadView = Head("/a?b=c", ("x-a", "1"), ("x-a", "2"), host="shop", method="PUT")
    assert (head.method, head.target, head.host) == ("PUT", b"/a?b=c", b"shop")
    assert head.header(b"x-a") == b"1"
    assert head.headers(b"x-a") == [b"1", b"2"]
    assert head.header(b"x-b") is None
