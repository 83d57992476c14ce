"""Request lines in every wrong way, and bytes that are another protocol's.

Classes: a target read differently by two readers, versions taken as 1.1, lines that end in half a
line end, requests without a version (HTTP/0.9).
"""

from tests.attacks.vector import BAD, NEXT, RequestVector, head, refused, served

BAD_VERSION = frozenset((400, 505))
_UNKNOWN = frozenset((501,))
_UNKNOWN_OR_BAD = frozenset((400, 501))

_METHODS_BAD = {
    "empty": b"", "blank-ahead": b" GET", "tab-behind": b"GET\t", "nul": b"G\x00T",
    "colon": b"GET:", "non-ascii": "GÉT".encode(), "at": b"G@T", "brackets": b"(GET)",
    "quoted": b'"GET"', "comma": b"GET,POST", "slash": b"GET/", "delete-byte": b"GET\x7f",
}  # fmt: skip
_METHODS_UNKNOWN = (b"BREW", b"get", b"Get", b"GETT", b"GE", b"G", b"X" * 200, b"PRI", b"GET!",
                    b"-", b"0", b"SOURCE", b"M-SEARCH")  # fmt: skip
_VERSIONS = (
    b"", b"HTTP", b"HTTP/", b"HTTP/1", b"HTTP/1.", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2",
    b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/10.1", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1",
    b"HTTP/11", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.1x", b"HTTP/1.x", b"http/1.1",
    b"Http/1.1", b"HTTPS/1.1", b"HTTP\\1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"XTTP/1.1",
    b"HTTP/1.1 ", b"HTTP/1.1\t", b" HTTP/1.1", b"HTTP/1.1 x", b"HTTP/1.1\x00", b"HTTP/1.1\x0b",
    "HTTP/1.１".encode(), b"HTTP/1.1;", b"ICAP/1.0", b"RTSP/1.0", b"SIP/2.0", b"HTTP/1.1HTTP/1.1",
)  # fmt: skip
_TARGETS_GOOD = (
    b"/", b"//", b"/a//b", b"/%41", b"/a?b", b"/?", b"/a?b?c", b"/a;b=c", b"/a:b@c", b"/*", b"/~",
    b"/!$&'()*+,;=", b"/a%2Fb", b"/http://other.test/", b"/a|b", b"/{a}", b"/a^b", b"/`a`", b'/"a"',
    b"/<a>", b"/[a]", b"/\\a", b"/%zz", b"/%", b"/a%2", b"/%e2%98%83", b"/?a=/../b",
    b"/" + b"a" * 7_000,
    b"http://a.test", b"http://a.test/", b"http://a.test:80/x", b"HTTP://A.TEST/x",
    b"http://other.test/x", b"http://a.test?x", b"https://a.test/x", b"http://[::1]:80/x",
    b"http://a.test/http://b.test/", b"http://a.test:/x", b"http://%61.test/x",
)  # fmt: skip
_TARGETS_BAD = {
    "empty": b"",
    "relative": b"a",
    "relative-dots": b"../a",
    "dot": b".",
    "query-only": b"?a",
    "asterisk": b"*",
    "asterisk-path": b"*/a",
    "asterisk-twice": b"**",
    "fragment-only": b"#a",
    "host-only": b"a.test",
    "scheme-relative": b"http:/a",
    "scheme-no-slashes": b"http:a.test/x",
    "scheme-empty": b"://a.test/",
    "scheme-digit": b"1http://a.test/",
    "scheme-blank": b"h ttp://a.test/",
    "no-authority": b"http://",
    "no-authority-path": b"http:///x",
    "no-authority-query": b"http://?x",
    "port-only": b"http://:80/x",
    "userinfo": b"http://u@a.test/x",
    "userinfo-password": b"http://u:p@a.test/x",
    "userinfo-empty": b"http://@a.test/x",
    "userinfo-of-host": b"http://a.test@evil.test/x",
    "port-letters": b"http://a.test:x/",
    "port-twice": b"http://a.test:80:80/",
    "port-minus": b"http://a.test:-1/",
    "bracket-open": b"http://[::1/x",
    "bracket-alone": b"http://]/x",
    "bracket-letters": b"http://[zz]/x",
    "bracket-inside": b"http://a[::1]/x",
    "backslash-authority": b"http://a.test\\x",
    "comma-blank": b"http://a.test, b.test/x",
    "quote-authority": b'http://"a"/x',
    "percent-authority": b"http://a%zz/x",
    "backslash": b"\\",
}  # fmt: skip
_TARGET_BYTES = {
    "nul": b"\x00", "tab": b"\t", "blank": b" ", "vertical-tab": b"\x0b", "form-feed": b"\x0c",
    "cr": b"\r", "lf": b"\n", "escape": b"\x1b", "delete": b"\x7f", "latin-1": b"\xe9",
    "utf-8": "é".encode(), "no-break-space": b"\xa0", "high": b"\xff", "unit-separator": b"\x1f",
}  # fmt: skip
_LEADING = {
    "lf": b"\n", "cr": b"\r", "lf-lf": b"\n\n", "cr-cr-lf": b"\r\r\n", "crlf-lf": b"\r\n\n",
    "crlf-cr": b"\r\n\r", "blank": b" ", "tab": b"\t", "nul": b"\x00", "blank-line": b" \r\n",
    "byte-order-mark": b"\xef\xbb\xbf", "vertical-tab": b"\x0b", "chunk-end": b"0\r\n\r\n",
    "text": b"hello\r\n", "field": b"X: y\r\n", "empty-lf-crlf": b"\n\r\n", "delete": b"\x7f",
    "proxy-protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "proxy-protocol-2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
}  # fmt: skip
_OTHER_PROTOCOLS = {
    "tls-hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x5c" * 100,
    "sslv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x11" * 16,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "smtp": b"EHLO a.test\r\nMAIL FROM:<a@b>\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "memcached": b"get a\r\n",
    "socks5": b"\x05\x01\x00",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "fastcgi": b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    "ajp": b"\x12\x34\x00\x01\x02",
    "grpc-web": b"\x00\x00\x00\x00\x05hello",
    "only-lf": b"\n" * 50,
    "only-nul": b"\x00" * 50,
    "http-response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


def _lines() -> list[RequestVector]:
    found = [
        served("line/leading-crlf", b"\r\n" + head()),
        served("line/leading-crlf-many", b"\r\n" * 20 + head()),
        served("line/crlf-between", head() + b"\r\n" + head(), 2),
        served("line/pipelined", head() * 5, 5),
        RequestVector("line/http-1.0", head(start=b"GET / HTTP/1.0") + NEXT, served=1, closes=True),
        RequestVector("line/http-1.0-no-host", head(start=b"GET / HTTP/1.0", host=b"") + NEXT,
                      served=1, closes=True),
        served("line/http-1.0-keep-alive",
               head(b"Connection: keep-alive", start=b"GET / HTTP/1.0")),
        RequestVector("line/close", head(b"Connection: close") + NEXT, served=1, closes=True),
        RequestVector("line/close-in-list", head(b"Connection: x, CLOSE ,y") + NEXT, served=1,
                      closes=True),
        RequestVector("line/close-second", head(b"Connection: x", b"Connection: close") + NEXT,
                      served=1, closes=True),
        RequestVector("line/close-beats-keep-alive",
                      head(b"Connection: keep-alive, close", start=b"GET / HTTP/1.0") + NEXT,
                      served=1, closes=True),
        RequestVector("line/nothing", b""),
        RequestVector("line/only-crlf", b"\r\n\r\n\r\n"),
        RequestVector("line/unfinished-method", b"GE"),
        RequestVector("line/unfinished-target", b"GET /a"),
        RequestVector("line/unfinished-line", b"GET / HTTP/1.1"),
        RequestVector("line/unfinished-cr", b"GET / HTTP/1.1\r"),
        RequestVector("line/unfinished-head", b"GET / HTTP/1.1\r\nHost: a\r\n"),
        RequestVector("line/unfinished-end", b"GET / HTTP/1.1\r\nHost: a\r\n\r"),
        refused("line/0.9", b"GET /\r\n\r\n"),
        refused("line/0.9-bare", b"GET /\r\n"),
        refused("line/0.9-lf", b"GET /\n"),
        refused("line/two-blanks-first", head(start=b"GET  / HTTP/1.1")),
        refused("line/two-blanks-second", head(start=b"GET /  HTTP/1.1")),
        refused("line/tab-first", head(start=b"GET\t/ HTTP/1.1")),
        refused("line/tab-second", head(start=b"GET /\tHTTP/1.1")),
        refused("line/vertical-tab", head(start=b"GET\x0b/ HTTP/1.1")),
        refused("line/lf-end", b"GET / HTTP/1.1\nHost: a.test\r\n\r\n"),
        refused("line/cr-end", b"GET / HTTP/1.1\rHost: a.test\r\n\r\n"),
        refused("line/cr-cr-lf-end", b"GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n"),
        refused("line/cr-before-version", b"GET /\rHTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("line/folded", b"GET /\r\n HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("line/only-method", b"GET\r\n\r\n"),
        refused("line/second-line", head(start=b"GET / HTTP/1.1\r\nGET /evil HTTP/1.1")),
        refused("line/http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), BAD_VERSION),
    ]  # fmt: skip
    found += [refused(f"line/leading-{name}", junk + head()) for name, junk in _LEADING.items()]
    for name, junk in _LEADING.items():
        if name != "crlf-cr":
            raw = head() + junk + head()
            found.append(refused(f"line/between-{name}", raw, served=1))
    for name, junk in _OTHER_PROTOCOLS.items():
        found.append(refused(f"protocol/{name}", junk + b"\r\n\r\n", _UNKNOWN_OR_BAD | BAD_VERSION))
        found.append(RequestVector(f"protocol/{name}-alone", junk,
                                   statuses=_UNKNOWN_OR_BAD | BAD_VERSION, waits=True))  # fmt: skip
    return found


def _methods() -> list[RequestVector]:
    found = [
        refused(f"method/{name}", head(start=method + b" / HTTP/1.1"))
        for name, method in _METHODS_BAD.items()
    ]
    found += [
        refused(f"method/unknown-{method[:20].decode()}", head(start=method + b" / HTTP/1.1"),
                _UNKNOWN, policy="methods outside the registry are 501")
        for method in _METHODS_UNKNOWN
    ]  # fmt: skip
    found += [
        served(f"method/{method.decode().lower()}", head(start=method + b" / HTTP/1.1"))
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE",
                       b"PROPFIND", b"QUERY", b"REPORT")
    ]  # fmt: skip
    tunnel = "CONNECT asks for a tunnel, which is not opened for clients"
    found += [
        refused(f"connect/{name}", raw, _UNKNOWN_OR_BAD, policy=tunnel)
        for name, raw in {
            "authority": head(start=b"CONNECT a.test:443 HTTP/1.1", host=b"Host: a.test:443"),
            "ip": head(start=b"CONNECT 127.0.0.1:22 HTTP/1.1"),
            "early-data": head(start=b"CONNECT a.test:443 HTTP/1.1") + NEXT,
            "early-tls": head(start=b"CONNECT a.test:443 HTTP/1.1") + b"\x16\x03\x01",
            "body": head(b"Content-Length: 3", start=b"CONNECT a.test:443 HTTP/1.1") + b"abc",
            "chunked": head(b"Transfer-Encoding: chunked", start=b"CONNECT a.test:1 HTTP/1.1")
            + b"0\r\n\r\n",
            "origin-form": head(start=b"CONNECT / HTTP/1.1"),
            "absolute-form": head(start=b"CONNECT http://a.test/ HTTP/1.1"),
            "no-port": head(start=b"CONNECT a.test HTTP/1.1"),
            "http-1.0": head(start=b"CONNECT a.test:443 HTTP/1.0"),
            "upgrade": head(
                b"Connection: upgrade", b"Upgrade: websocket", start=b"CONNECT a.test:1 HTTP/1.1"
            ),
        }.items()
    ]
    return found


def _targets() -> list[RequestVector]:
    found = [
        served(f"target/good-{number}", head(start=b"GET " + target + b" HTTP/1.1"))
        for number, target in enumerate(_TARGETS_GOOD)
    ]
    found += [
        served("target/asterisk-options", head(start=b"OPTIONS * HTTP/1.1")),
        served("target/absolute-options", head(start=b"OPTIONS http://a.test HTTP/1.1")),
        served("target/absolute-beats-host",
               head(start=b"GET http://a.test/ HTTP/1.1", host=b"Host: evil.test"), 1, (b"evil",)),
        refused("target/absolute-no-host", head(start=b"GET http://a.test/ HTTP/1.1", host=b"")),
        RequestVector("target/absolute-http-1.0-no-host",
                      head(start=b"GET http://a.test/ HTTP/1.0", host=b"") + NEXT, served=1,
                      closes=True),
        refused("target/absolute-bad-host",
                head(start=b"GET http://a.test/ HTTP/1.1", host=b"Host: a@b")),
        refused("target/percent-nul", head(start=b"GET /a%00b HTTP/1.1"),
                policy="a NUL ends a path for programs in C"),
        refused("target/other-scheme", head(start=b"GET ftp://a.test/x HTTP/1.1"),
                policy="only http is spoken"),
        refused("target/authority", head(start=b"GET a.test:80 HTTP/1.1"),
                policy="only http is spoken; this has the form of a scheme"),
        refused("target/mailto", head(start=b"GET mailto:a@b.test HTTP/1.1"),
                policy="only http is spoken"),
        refused("target/absolute-fragment", head(start=b"GET http://a.test/x#y HTTP/1.1"),
                policy="an absolute URI has no fragment (RFC 3986 §4.3)"),
    ]  # fmt: skip
    found += [
        refused(f"target/{name}", head(start=b"GET " + target + b" HTTP/1.1"))
        for name, target in _TARGETS_BAD.items()
    ]
    for name, byte in _TARGET_BYTES.items():
        for place, target in (("first", byte + b"/a"), ("middle", b"/a" + byte + b"b"),
                              ("last", b"/a" + byte), ("query", b"/?a" + byte),
                              ("authority", b"http://a" + byte + b"b/")):  # fmt: skip
            start = b"GET " + target + b" HTTP/1.1"
            found.append(refused(f"target/{name}-{place}", head(start=start)))
    return found


def _versions() -> list[RequestVector]:
    return [
        refused(f"version/{number}", head(start=b"GET / " + version), BAD | BAD_VERSION)
        for number, version in enumerate(_VERSIONS)
    ]


VECTORS = [*_lines(), *_methods(), *_targets(), *_versions()]
