"""Fields that are ours or end here, sent by a client; Upgrade and Expect.

Classes: spoofed trusted fields with ``_`` for ``-`` (Traefik CVE-2026-39858, Caddy CVE-2026-30851,
Envoy CVE-2024-45806), fields removed by Connection (CVE-2022-31813), early bytes behind an Upgrade
(Pingora CVE-2026-2833, Envoy CVE-2025-64763). The endpoint of these tests never answers 101.
"""

from tests.attacks.vector import NEXT, RequestVector, head, served

_OWN = (
    b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port",
    b"X-Forwarded-Prefix", b"X-Forwarded-Server", b"X-Forwarded", b"X-Forwarded-Tls-Client-Cert",
    b"X-Splitway-Version", b"X-Splitway-Decision", b"X-Splitway", b"Forwarded", b"X-Real-IP",
)  # fmt: skip
_HOP_BY_HOP = (b"Keep-Alive", b"Proxy-Connection", b"TE", b"Upgrade")
_WEBSOCKET = (b"Connection: upgrade", b"Upgrade: websocket")


def _spellings(name: bytes) -> list[bytes]:
    under = name.replace(b"-", b"_")
    first = name.replace(b"-", b"_", 1)
    last = b"_".join(name.rsplit(b"-", 1))
    shapes = (name, under, first, last)
    return list(dict.fromkeys(s for shape in shapes for s in (shape, shape.lower(), shape.upper())))


def _own() -> list[RequestVector]:
    found = []
    for name in _OWN:
        for spelling in _spellings(name):
            label = spelling.decode()
            found.append(served(f"own/{label}", head(spelling + b": evil"), never=(b"evil",)))
        twice = head(name + b": evil", b"X: y", name.replace(b"-", b"_") + b": evil")
        found.append(served(f"own/twice-{name.decode()}", twice, never=(b"evil",)))
        nominated = head(name + b": evil", b"Connection: " + name)
        found.append(served(f"own/nominated-{name.decode()}", nominated, never=(b"evil",)))
    found += [
        served("own/request-id", head(b"X-Request-Id: kept-1")),
        served("own/request-id-long", head(b"X-Request-Id: " + b"evil" * 40), never=(b"evil",)),
        served("own/request-id-blank", head(b"X-Request-Id: ev il"), never=(b"ev il",)),
        served("own/request-id-bytes", head(b"X-Request-Id: evil\xff"), never=(b"evil",)),
        served("own/request-id-empty", head(b"X-Request-Id:")),
        served("own/request-id-misspelt", head(b"X_Request_Id: evil"), never=(b"evil",)),
        served("own/request-id-both", head(b"X-Request-Id: kept-1", b"X_Request-Id: evil"),
               never=(b"evil",)),
        served("own/request-id-nominated", head(b"X-Request-Id: kept-1",
                                                b"Connection: x-request-id")),
        served("own/forwarded-empty", head(b"X-Forwarded-For:")),
        served("own/not-ours", head(b"X-Forward: y", b"X-Real: z", b"Forward: w")),
    ]  # fmt: skip
    return found


def _hop_by_hop() -> list[RequestVector]:
    found = []
    for name in _HOP_BY_HOP:
        for spelling in _spellings(name):
            label = spelling.decode()
            found.append(served(f"hop/{label}", head(spelling + b": evil"), never=(b"evil",)))
    found += [
        served("hop/nominated", head(b"Connection: x-a, X-B", b"X-A: evil", b"x-b: evil"),
               never=(b"evil",)),
        served("hop/nominated-misspelt", head(b"Connection: x-a", b"X_A: evil"), never=(b"evil",)),
        served("hop/nominated-twice", head(b"Connection: x-a", b"X-A: evil", b"Connection: x-b",
                                           b"X-B: evil"), never=(b"evil",)),
        served("hop/nominated-itself", head(b"Connection: connection")),
        served("hop/nominated-nothing", head(b"Connection: ,, ,")),
        served("hop/nominated-junk", head(b'Connection: "a b"; c=d, @')),
        served("hop/nominated-cookie", head(b"Connection: cookie", b"Cookie: kept=1")),
        served("hop/nominated-authorization",
               head(b"Connection: authorization", b"Authorization: kept")),
        served("hop/connection-misspelt", head(b"Connection_: evil")),
        served("hop/many-options", head(b"Connection: " + b", ".join([b"x"] * 500))),
        served("hop/trailers", head(b"TE: trailers", b"Connection: te")),
        served("hop/expect", head(b"Expect: 100-continue", b"Content-Length: 3") + b"abc"),
        served("hop/expect-no-body", head(b"Expect: 100-continue")),
        served("hop/expect-zero", head(b"Expect: 100-continue", b"Content-Length: 0")),
        served("hop/expect-chunked", head(b"Expect: 100-continue", b"Transfer-Encoding: chunked")
               + b"0\r\n\r\n"),
        served("hop/max-forwards", head(b"Max-Forwards: 0")),
        served("hop/proxy-authorization", head(b"Proxy-Authorization: kept")),
    ]  # fmt: skip
    return found


def _upgrades() -> list[RequestVector]:
    """Refused by the endpoint: what came early is dropped with the connection."""
    early = {
        "request": NEXT,
        "junk": b"\x81\x05hello",
        "crlf": b"\r\n",
        "head": b"GET /evil",
    }
    found = [
        RequestVector(f"upgrade/early-{name}", head(*_WEBSOCKET) + data, served=1, closes=True)
        for name, data in early.items()
    ]
    body, chunks = b"abc", b"3\r\nabc\r\n0\r\n\r\n"
    found += [
        RequestVector("upgrade/plain", head(*_WEBSOCKET), served=1),
        served("upgrade/unnamed", head(b"Upgrade: evil"), never=(b"evil",)),
        served("upgrade/no-protocol", head(b"Connection: upgrade")),
        served("upgrade/h2c", head(b"Connection: upgrade, http2-settings", b"Upgrade: h2c",
                                   b"HTTP2-Settings: evil"), never=(b"evil", b"h2c")),
        served("upgrade/h2c-case", head(b"Connection: Upgrade", b"Upgrade: H2C"), never=(b"H2C",)),
        served("upgrade/http2", head(b"Connection: upgrade", b"Upgrade: HTTP/2.0"),
               never=(b"HTTP/2",)),
        served("upgrade/tls", head(b"Connection: upgrade", b"Upgrade: TLS/1.0"), never=(b"TLS",)),
        served("upgrade/length", head(*_WEBSOCKET, b"Content-Length: 3") + body,
               never=(b"websocket",)),
        served("upgrade/length-is-a-request",
               head(*_WEBSOCKET, b"Content-Length: %d" % len(NEXT)) + NEXT, never=(b"websocket",)),
        served("upgrade/chunked", head(*_WEBSOCKET, b"Transfer-Encoding: chunked") + chunks,
               never=(b"websocket",)),
        served("upgrade/misspelt", head(b"Connection: up_grade", b"Upgrade: evil"),
               never=(b"evil",)),
        RequestVector("upgrade/http-1.0", head(*_WEBSOCKET, start=b"GET / HTTP/1.0") + NEXT,
                      served=1, closes=True, never=(b"websocket",)),
        served("upgrade/http-1.0-keep-alive",
               head(b"Connection: upgrade, keep-alive", b"Upgrade: websocket",
                    start=b"GET / HTTP/1.0"), never=(b"websocket",)),
    ]  # fmt: skip
    return found


VECTORS = [*_own(), *_hop_by_hop(), *_upgrades()]
