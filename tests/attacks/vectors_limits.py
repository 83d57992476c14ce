"""Requests that are only too big: refused before any endpoint hears of them."""

from tests.attacks.vector import RequestVector, head, refused, served

TOO_LONG = frozenset((414,))
TOO_MUCH = frozenset((431,))
_POLICY = "a limit of ours"

VECTORS: list[RequestVector] = [
    refused("limit/head-64-kb", head(b"X: " + b"y" * 66_000), TOO_MUCH, policy=_POLICY),
    refused("limit/head-in-lines", head(*[b"X: " + b"y" * 1_000] * 70), TOO_MUCH, policy=_POLICY),
    refused("limit/name-64-kb", head(b"X" * 66_000 + b": y"), TOO_MUCH, policy=_POLICY),
    refused("limit/fields-129", head(*[b"X: y"] * 128), TOO_MUCH, policy=_POLICY),
    refused("limit/fields-10000", head(*[b"X: y"] * 10_000), TOO_MUCH, policy=_POLICY),
    refused("limit/fields-short", head(*[b"X:"] * 1_000), TOO_MUCH, policy=_POLICY),
    served("limit/fields-128", head(*[b"X: y"] * 127)),
    refused("limit/target-100-kb", head(start=b"GET /" + b"x" * 100_000 + b" HTTP/1.1"), TOO_LONG,
            policy=_POLICY),
    refused("limit/target-9-kb", head(start=b"GET /" + b"x" * 9_000 + b" HTTP/1.1"), TOO_LONG,
            policy=_POLICY),
    refused("limit/query-9-kb", head(start=b"GET /?" + b"x" * 9_000 + b" HTTP/1.1"), TOO_LONG,
            policy=_POLICY),
    served("limit/target-8-kb", head(start=b"GET /" + b"x" * 8_000 + b" HTTP/1.1")),
    served("limit/head-60-kb", head(*[b"X: " + b"y" * 1_000] * 60)),
    RequestVector("limit/method-100-kb", b"X" * 100_000, statuses=frozenset((400, 414, 431)),
                  policy=_POLICY),
    RequestVector("limit/no-line-end", b"GET /" + b"x" * 100_000, statuses=TOO_LONG,
                  policy=_POLICY),
    RequestVector("limit/open-value", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000,
                  statuses=TOO_MUCH, policy=_POLICY),
    RequestVector("limit/open-lines", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000,
                  statuses=TOO_MUCH, policy=_POLICY),
    refused("limit/host-20-kb", head(host=b"Host: " + b"a" * 66_000), TOO_MUCH, policy=_POLICY),
]  # fmt: skip
