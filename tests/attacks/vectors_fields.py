"""Host and field lines in every wrong way, and every byte where it may not stand.

Classes: an empty field name (HAProxy CVE-2023-25725), folded lines, blanks before the colon, bare
CR and LF, NUL and other control bytes, a Host that two readers read differently.
"""

from tests.attacks.vector import RequestVector, head, refused, served

_HOSTS_GOOD = (
    b"a", b"a.test", b"A.TEST", b"a.test:80", b"a.test:", b"a.test:65535", b"127.0.0.1",
    b"127.0.0.1:8080", b"[::1]", b"[::1]:80", b"[2001:DB8::1]", b"", b"a_b.test", b"a-b",
    b"%61.test",
    b"xn--bcher-kva.test", b"a.test.", b"a~b", b"a,b", b"!$&'()*+;=",
)  # fmt: skip
_HOSTS_BAD = {
    "userinfo": b"u@a.test", "userinfo-password": b"u:p@a.test", "userinfo-behind": b"a.test@evil",
    "path": b"a.test/x", "path-only": b"/", "query": b"a.test?x", "fragment": b"a.test#x",
    "scheme": b"http://a.test", "blank-inside": b"a b", "tab-inside": b"a\tb",
    "comma-list": b"a.test, b.test", "port-letters": b"a.test:x", "port-minus": b"a.test:-1",
    "port-plus": b"a.test:+1", "port-twice": b"a.test:80:80", "port-blank": b"a.test: 80",
    "blank-port": b"a.test :80", "port-hex": b"a.test:0x50", "port-dot": b"a.test:80.",
    "colons": b"::1", "bracket-open": b"[::1", "bracket-close": b"::1]", "bracket-empty": b"[]",
    "bracket-letters": b"[g::1]", "bracket-junk": b"[::1]x", "bracket-port-junk": b"[::1]:x",
    "bracket-twice": b"[::1][::1]", "bracket-zone": b"[fe80::1%25eth0]",
    "bracket-inside": b"a[::1]",
    "backslash": b"a\\b", "quote": b'"a"', "angle": b"<a>", "brace": b"{a}", "pipe": b"a|b",
    "caret": b"a^b", "backtick": b"a`b", "percent-alone": b"a%", "percent-short": b"a%2",
    "percent-bad": b"a%zz", "non-ascii": b"a\xff", "utf-8": "bücher.test".encode(),
    "nul": b"a\x00b", "delete": b"a\x7f", "cr": b"a\rb", "lf": b"a\nb", "control": b"a\x01",
    "vertical-tab": b"a\x0b", "full-stop-ideographic": "a。test".encode(),
    "crlf-escaped-twice": b"a\r\n b", "template": b"${jndi:x}",
}  # fmt: skip
_NAMES_BAD = {
    "empty": b"", "blank": b" ", "blank-behind": b"X ", "tab-behind": b"X\t",
    "blank-inside": b"X Y",
    "colon-only": b":", "nul": b"X\x00", "cr": b"X\rY", "lf": b"X\nY", "delete": b"X\x7f",
    "control": b"X\x01", "vertical-tab": b"X\x0b", "non-ascii": b"X\xe9", "utf-8": "É".encode(),
    "brackets": b"X(", "slash": b"X/Y", "quote": b'X"', "comma": b"X,Y", "semicolon": b"X;Y",
    "equals": b"X=Y", "at": b"X@Y", "question": b"X?", "square": b"X[0]", "brace": b"X{0}",
    "backslash": b"X\\Y", "angle": b"<X>", "escape": b"X\x1b", "form-feed": b"\x0cX",
    "byte-order-mark": b"\xef\xbb\xbfX",
}  # fmt: skip
_VALUE_CONTROLS = [byte for byte in (*range(0x20), 0x7F) if byte != 9]


def _hosts() -> list[RequestVector]:
    found = [
        served(f"host/good-{number}", head(host=b"Host: " + host))
        for number, host in enumerate(_HOSTS_GOOD)
    ]
    found += [
        served("host/no-blank", head(host=b"Host:a.test")),
        served("host/blanks-around", head(host=b"Host: \t a.test \t")),
        served("host/upper-case", head(host=b"HOST: a.test")),
        served("host/last", head(b"X: y", b"Host: a.test", host=b"")),
        served("host/prefix-x", head(b"X-Host: b.test")),
        refused("host/missing", head(host=b"")),
        refused("host/missing-with-others", head(b"X: y", host=b"")),
        refused("host/missing-post", head(b"Content-Length: 0", host=b"",
                                          start=b"POST / HTTP/1.1")),
        refused("host/repeated-same", head(b"Host: a.test")),
        refused("host/repeated-other", head(b"Host: evil.test")),
        refused("host/repeated-case", head(b"hOST: evil.test")),
        refused("host/repeated-empty", head(b"Host:")),
        refused("host/repeated-apart", head(b"X: y", b"Y: z", b"Host: a.test")),
        refused("host/repeated-1.0", head(b"Host: b.test", start=b"GET / HTTP/1.0")),
        refused("host/repeated-absolute", head(b"Host: b", start=b"GET http://a.test/ HTTP/1.1")),
        refused("host/three", head(b"Host: a.test", b"Host: a.test")),
        refused("host/blank-before-colon", head(host=b"Host : a.test")),
        refused("host/blank-before-colon-too", head(b"Host : evil.test")),
        refused("host/leading-blank", head(b" Host: evil.test")),
        refused("host/folded", head(host=b"Host:\r\n a.test")),
        refused("host/folded-behind", head(host=b"Host: a\r\n .test")),
        refused("host/no-colon", head(host=b"Host a.test")),
        refused("host/only-misspelt", head(host=b"H_ost: a.test")),
        refused("host/value-is-name", head(b"X: Host: a.test", host=b"")),
        refused("host/nominated-missing", head(b"Connection: host", host=b"")),
        served("host/nominated", head(b"Connection: host")),
        refused("host/long-port", head(host=b"Host: a.test:" + b"0" * 40 + b"80"),
                policy="a port has five digits"),
        refused("host/future", head(host=b"Host: [v1.a]"), policy="nobody uses IPvFuture"),
    ]  # fmt: skip
    found += [
        refused(f"host/{name}", head(host=b"Host: " + host)) for name, host in _HOSTS_BAD.items()
    ]
    found += [
        refused(f"host/1.0-{name}", head(host=b"Host: " + host, start=b"GET / HTTP/1.0"))
        for name, host in list(_HOSTS_BAD.items())[:8]
    ]
    return found


def _names() -> list[RequestVector]:
    found = [
        served("field/odd-name", head(b"!#$%&'*+-.^_`|~09AZaz: y")),
        served("field/digit-name", head(b"1: y")),
        served("field/empty-value", head(b"X:")),
        served("field/blank-value", head(b"X: \t ")),
        served("field/tabs-inside", head(b"X: a\tb")),
        served("field/colons", head(b"X: a:b::c")),
        served("field/high-bytes", head(b"X: \x80\xff")),
        served("field/utf-8", head("X: ünïcödé".encode())),
        served("field/quotes", head(b'X: "a\\"b",  c')),
        served("field/repeated", head(b"X: a", b"x: b", b"X: c")),
        served("field/long-value", head(b"X: " + b"y" * 8_000)),
        served("field/no-blank", head(b"X:y")),
        served("field/looks-like-a-head", head(b"X: GET /evil HTTP/1.1")),
    ]
    for name, field in _NAMES_BAD.items():
        if name != "blank":  # as the first line; a folded line otherwise
            first = head(host=field + b": y\r\nHost: a.test")
            found.append(refused(f"field/name-{name}-first", first))
        found.append(refused(f"field/name-{name}-middle", head(field + b": y", b"Z: z")))
        found.append(refused(f"field/name-{name}-last", head(field + b": y")))
    return found


def _values() -> list[RequestVector]:
    found = []
    for byte in _VALUE_CONTROLS:
        raw = bytes((byte,))
        found += [
            refused(f"field/value-{byte:02x}-first", head(b"X: " + raw + b"y")),
            refused(f"field/value-{byte:02x}-inside", head(b"X: a" + raw + b"b")),
            refused(f"field/value-{byte:02x}-last", head(b"X: a" + raw)),
        ]
    return found


def _lines() -> list[RequestVector]:
    found = [
        refused("fold/first", b"GET / HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n"),
        refused("fold/first-tab", b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a.test\r\n\r\n"),
        refused("fold/first-blank-line", b"GET / HTTP/1.1\r\n \r\nHost: a.test\r\n\r\n"),
        refused("fold/middle", head(b"X: y\r\n z", b"Y: z")),
        refused("fold/middle-tab", head(b"X: y\r\n\tz", b"Y: z")),
        refused("fold/middle-blank-line", head(b"X: y\r\n ", b"Y: z")),
        refused("fold/last", head(b"X: y\r\n z")),
        refused("fold/last-tab", head(b"X: y\r\n\tz")),
        refused("fold/last-blank-line", head(b"X: y\r\n \t")),
        refused("fold/twice", head(b"X: y\r\n z\r\n z")),
        refused("fold/hides-a-field", head(b"X: y\r\n Content-Length: 3")),
        refused("fold/of-nothing", head(b"X:\r\n y")),
        refused("line/colon-missing-first", head(host=b"X\r\nHost: a.test")),
        refused("line/colon-missing-middle", head(b"X", b"Y: z")),
        refused("line/colon-missing-last", head(b"X")),
        refused("line/only-blanks", head(b"  ")),
        refused("line/only-colon", head(b":")),
        refused("line/lf-behind-field", head(b"X: y\nY: z")),
        refused("line/lf-behind-last", b"GET / HTTP/1.1\r\nHost: a.test\n\r\n"),
        refused("line/lf-as-end", b"GET / HTTP/1.1\r\nHost: a.test\r\n\n"),
        refused("line/lf-everywhere", b"GET / HTTP/1.1\nHost: a.test\n\n"),
        refused("line/cr-behind-last", b"GET / HTTP/1.1\r\nHost: a.test\r\r\n"),
        refused("line/cr-as-end", b"GET / HTTP/1.1\r\nHost: a.test\r\n\rx"),
        refused("line/cr-everywhere", b"GET / HTTP/1.1\rHost: a.test\r\r"),
        refused("line/cr-lf-swapped", b"GET / HTTP/1.1\n\rHost: a.test\n\r\n\r"),
        refused("line/crcrlf", b"GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n"),
        refused("line/nul-as-end", b"GET / HTTP/1.1\r\nHost: a.test\x00\r\n"),
        refused("line/lf-crlf-end", head(b"X: y\n")),
        refused("line/hidden-head", head(b"X: y\n\nGET /evil HTTP/1.1")),
        refused("line/hidden-head-cr", head(b"X: y\r\rGET /evil HTTP/1.1")),
    ]
    # Each line end of a head, one after another, as half a line end.
    lines = [b"GET / HTTP/1.1", b"Host: a.test", b"X: y", b"Y: z", b""]
    for at in range(len(lines)):
        for name, half in (
            ("lf", b"\n"),
            ("cr", b"\r"),
            ("crcrlf", b"\r\r\n"),
            ("vt", b"\x0b\r\n"),
        ):
            ends = [half if number == at else b"\r\n" for number in range(len(lines))]
            raw = b"".join(line + end for line, end in zip(lines, ends, strict=True))
            found.append(refused(f"line/end-{at}-{name}", raw))
    return found


VECTORS = [*_hosts(), *_names(), *_values(), *_lines()]
