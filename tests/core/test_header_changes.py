"""Fields of a head, changed as bytes."""

from proxy.core.header_changes import compile_edit
from proxy.model.config import HeaderChanges

HEAD = b"GET /x-a: HTTP/1.1\r\nHost: shop\r\nX-A: 1\r\nx-a: 2\r\nX-Ab: 3\r\nX-B:\r\nX-A:4\r\n\r\n"


def edited(*changes: HeaderChanges, head: bytes = HEAD) -> list[str]:
    edit = compile_edit(changes)
    assert edit is not None
    done = edit.apply(head)
    assert done.endswith(b"\r\n\r\n")
    return done.decode()[:-4].split("\r\n")


def test_every_line_of_a_removed_field_goes() -> None:
    assert edited(HeaderChanges(remove=("x-A", "X-B"))) == [
        "GET /x-a: HTTP/1.1",
        "Host: shop",
        "X-Ab: 3",
    ]


def test_set_takes_the_place_of_all_and_add_of_none() -> None:
    change = HeaderChanges(set={"x-a": "new"}, add={"X-B": "too"})
    assert edited(change) == [
        "GET /x-a: HTTP/1.1", "Host: shop", "X-Ab: 3", "X-B:", "x-a: new", "X-B: too",
    ]  # fmt: skip


def test_later_changes_see_what_earlier_ones_left() -> None:
    first = HeaderChanges(set={"X-A": "route"}, add={"X-C": "route", "X-D": "route"})
    second = HeaderChanges(set={"x-a": "version"}, add={"X-D": "version"}, remove=("x-c",))
    assert edited(first, second) == [
        "GET /x-a: HTTP/1.1", "Host: shop", "X-Ab: 3", "X-B:",
        "X-D: route", "x-a: version", "X-D: version",
    ]  # fmt: skip


def test_names_are_not_expressions() -> None:
    change = HeaderChanges(remove=("X.A", "X-*"))
    assert edited(change, head=b"GET / HTTP/1.1\r\nX-A: 1\r\nx.a: 2\r\nX-*: 3\r\n\r\n") == [
        "GET / HTTP/1.1",
        "X-A: 1",
    ]


def test_the_other_spelling_of_a_name_goes_too() -> None:
    head = b"GET / HTTP/1.1\r\nX_A: 1\r\nx-a: 2\r\nX_B-C: 3\r\nXA: 4\r\n\r\n"
    change = HeaderChanges(set={"X-A": "new"}, remove=("x_b_c",))
    assert edited(change, head=head) == ["GET / HTTP/1.1", "XA: 4", "X-A: new"]


def test_a_head_without_fields() -> None:
    assert edited(HeaderChanges(set={"A": "1"}), head=b"HTTP/1.1 200 OK\r\n\r\n") == [
        "HTTP/1.1 200 OK",
        "A: 1",
    ]
    assert edited(HeaderChanges(remove=("A",)), head=b"HTTP/1.1 200 OK\r\n\r\n") == [
        "HTTP/1.1 200 OK"
    ]


def test_nothing_is_nothing() -> None:
    assert compile_edit([HeaderChanges(), HeaderChanges()]) is None
