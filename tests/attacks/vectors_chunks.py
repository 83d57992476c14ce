"""Chunked bodies in every wrong way: sizes, extensions, ends, trailers.

Classes: chunk sizes read leniently (h11 CVE-2025-43859; llhttp CVE-2023-30589; aiohttp
CVE-2024-52304), extensions without an end, framing and routing fields among the trailers.
"""

from tests.attacks.vector import BAD, NEXT, RequestVector, head, refused, served

HEAD = head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1")
LAST = b"0\r\n\r\n"

_SIZES = {
    "empty": b"",
    "minus": b"-3",
    "minus-zero": b"-0",
    "plus": b"+3",
    "hex-prefix": b"0x3",
    "hex-prefix-upper": b"0X3",
    "h-suffix": b"3h",
    "underscore": b"0_3",
    "decimal-point": b"3.0",
    "comma": b"3,",
    "quoted": b'"3"',
    "leading-blank": b" 3",
    "leading-tab": b"\t3",
    "trailing-blank": b"3 ",
    "trailing-tab": b"3\t",
    "trailing-vertical-tab": b"3\x0b",
    "blank-inside": b"0 3",
    "nul": b"3\x00",
    "letter-g": b"g",
    "arabic-digit": "٣".encode(),
    "full-width": "\uff13".encode(),
    "no-break-space": b"\xa03",
    "overflow-32": b"100000003" + b"0" * 8,
    "overflow-64": b"10000000000000003",
    "overflow-64-minus": b"ffffffffffffffffd",
    "overflow-128": b"1" + b"0" * 31 + b"3",
    "thousand-digits": b"3" * 1_000,
    "equals": b"3=x",
    "colon": b"3:x",
    "leading-crlf": b"\r\n3",
    "leading-lf": b"\n3",
    "leading-cr": b"\r3",
    "size-is-a-header": b"X: y\r\n3",
}
_LINE_ENDS = {"lf": b"\n", "cr": b"\r", "cr-x": b"\rx", "cr-cr-lf": b"\r\r\n", "lf-cr": b"\n\r",
              "nothing": b"", "nul": b"\x00\r\n"}  # fmt: skip
_EXTENSIONS_GOOD = {
    "name": b";x",
    "value": b";x=y",
    "quoted": b';x="a b"',
    "several": b";a;b=c;d",
    "blank-before": b" ;x",
    "blanks-about": b" ; x = y",
    "escape": b';x="\\""',
    "tab-before": b"\t;x",
}
_EXTENSIONS_BAD = {
    "lf": b";x\n",
    "lf-then-more": b";\n0",
    "cr": b";x\ry",
    "nul": b";x\x00",
    "delete": b";x\x7f",
    "control": b";x\x01",
    "vertical-tab": b";\x0bx",
    "quoted-lf": b';x="\n"',
    "quoted-cr": b';x="\r"',
}
_TRAILERS_BAD = {
    "host": b"Host: evil.test",
    "content-length": b"Content-Length: 3",
    "transfer-encoding": b"Transfer-Encoding: chunked",
    "transfer-encoding-case": b"tRANSFER-eNCODING: x",
    "folded": b"X: y\r\n z",
    "folded-first": b" X: y",
    "blank-before-colon": b"X : y",
    "no-colon": b"X",
    "empty-name": b": y",
    "nul": b"X: \x00",
    "control": b"X: \x01",
    "bare-cr": b"X: a\rb",
    "bare-lf": b"X: a\nY: b",
    "bad-name": b"X(: y",
    "request-line": b"GET /behind HTTP/1.1",
}
_TRAILERS_DROPPED = (
    b"Authorization: evil", b"Cookie: evil", b"Content-Type: text/evil", b"Expect: evil",
    b"X-Forwarded-For: evil", b"X_Forwarded_For: evil", b"X-Splitway-Version: evil",
    b"X-Request-Id: evil", b"Forwarded: for=evil", b"X-Real-IP: evil", b"Connection: evil",
    b"Upgrade: evil", b"TE: evil", b"Trailer: evil", b"Cache-Control: evil", b"Content_Type: evil",
    b"Keep-Alive: evil", b"Max-Forwards: 0evil", b"Content-Encoding: evil",
    b"Content-Range: evil", b"Set-Cookie: evil", b"Proxy-Authorization: evil",
    b"Transfer_Encoding: evil", b"Content_Length: 7evil",
)  # fmt: skip


def _sizes() -> list[RequestVector]:
    found = [
        served("chunk/plain", HEAD + b"3\r\nabc\r\n" + LAST),
        served("chunk/upper-case", HEAD + b"A\r\n0123456789\r\n" + LAST),
        served("chunk/lower-case", HEAD + b"a\r\n0123456789\r\n" + LAST),
        served("chunk/leading-zeros", HEAD + b"0003\r\nabc\r\n000\r\n\r\n"),
        served("chunk/data-of-crlf", HEAD + b"4\r\n\r\n\r\n\r\n" + LAST),
        served("chunk/data-is-an-end", HEAD + b"5\r\n0\r\n\r\n\r\n" + LAST),
        served("chunk/many", HEAD + b"1\r\nx\r\n" * 40 + LAST),
        served("chunk/data-is-a-request", HEAD + b"%x\r\n%b\r\n" % (len(NEXT), NEXT) + LAST),
    ]
    for name, size in _SIZES.items():
        found.append(refused(f"chunk/size-{name}", HEAD + size + b"\r\nabc\r\n" + LAST))
        raw = HEAD + b"3\r\nabc\r\n" + size + b"\r\nabc\r\n" + LAST
        found.append(refused(f"chunk/second-size-{name}", raw))
    return found


def _line_ends() -> list[RequestVector]:
    found = []
    for name, end in _LINE_ENDS.items():
        found += [
            refused(f"chunk/{name}-behind-size", HEAD + b"3" + end + b"abc\r\n" + LAST),
            refused(f"chunk/{name}-behind-data", HEAD + b"3\r\nabc" + end + LAST),
            refused(f"chunk/{name}-behind-last-size", HEAD + b"3\r\nabc\r\n0" + end + b"\r\n"),
            refused(f"chunk/{name}-at-the-end", HEAD + b"3\r\nabc\r\n0\r\n" + end + b"x"),
            refused(f"chunk/{name}-behind-trailer", HEAD + b"0\r\nX: y" + end + b"\r\n"),
        ]
    # "3abc" is a size by chance: a chunk of 15,036 bytes, which is unfinished.
    found = [vector for vector in found if vector.name != "chunk/nothing-behind-size"]
    found += [
        refused("chunk/data-too-long", HEAD + b"3\r\nabcd\r\n" + LAST),
        refused("chunk/data-too-long-by-two", HEAD + b"3\r\nabcde\r\n" + LAST),
        refused("chunk/data-too-short", HEAD + b"4\r\nabc\r\n" + LAST),
        refused("chunk/two-crlf-behind-data", HEAD + b"3\r\nabc\r\n\r\n" + LAST),
        refused("chunk/crlf-ahead", HEAD + b"\r\n3\r\nabc\r\n" + LAST),
        refused("chunk/no-chunk", HEAD + b"hello"),
        RequestVector("chunk/unfinished-size", HEAD + b"3"),
        RequestVector("chunk/unfinished-size-cr", HEAD + b"3\r"),
        RequestVector("chunk/unfinished-data", HEAD + b"3\r\nab"),
        RequestVector("chunk/unfinished-data-cr", HEAD + b"3\r\nabc\r"),
        RequestVector("chunk/no-last", HEAD + b"3\r\nabc\r\n"),
        RequestVector("chunk/no-empty-line", HEAD + b"3\r\nabc\r\n0\r\n"),
        RequestVector("chunk/unfinished-trailer", HEAD + b"0\r\nX: y\r\n"),
        RequestVector("chunk/unfinished-end", HEAD + b"0\r\nX: y\r\n\r"),
        RequestVector("chunk/nothing", HEAD),
    ]
    return found


def _extensions() -> list[RequestVector]:
    found = [
        refused("chunk/extension-1-mb", HEAD + b"3;" + b"x" * 1_000_000 + b"\r\nabc\r\n" + LAST,
                policy="an extension longer than any client sends"),
        RequestVector("chunk/extension-1-mb-open", HEAD + b"3;" + b"x" * 1_000_000,
                      statuses=BAD, policy="an extension longer than any client sends"),
        refused("chunk/extension-on-last-1-mb", HEAD + b"0;" + b"x" * 1_000_000 + b"\r\n\r\n",
                policy="an extension longer than any client sends"),
        refused("chunk/trailers-1-mb", HEAD + b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyy\r\n" * 50_000,
                policy="trailers longer than any client sends"),
        refused("chunk/trailer-1-mb", HEAD + b"0\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
                policy="trailers longer than any client sends"),
    ]  # fmt: skip
    for name, extension in _EXTENSIONS_GOOD.items():
        raw = HEAD + b"3" + extension + b"\r\nabc\r\n0" + extension + b"\r\n\r\n"
        found.append(served(f"chunk/extension-{name}", raw))
    for name, extension in _EXTENSIONS_BAD.items():
        raw = HEAD + b"3" + extension + b"\r\nabc\r\n" + LAST
        found.append(refused(f"chunk/extension-{name}", raw))
        raw = HEAD + b"3\r\nabc\r\n0" + extension + b"\r\n\r\n"
        found.append(refused(f"chunk/last-extension-{name}", raw))
    return found


def _trailers() -> list[RequestVector]:
    body = HEAD + b"3\r\nabc\r\n0\r\n"
    found = [
        served("trailer/plain", body + b"X-Sum: 1\r\n\r\n"),
        served("trailer/several", body + b"A: 1\r\nB:\r\nA: 2\r\n\r\n"),
    ]
    for name, line in _TRAILERS_BAD.items():
        found.append(refused(f"trailer/{name}", body + line + b"\r\n\r\n"))
        found.append(refused(f"trailer/second-{name}", body + b"A: b\r\n" + line + b"\r\n\r\n"))
    found += [
        served("trailer/dropped-" + line.partition(b":")[0].decode().lower(),
               body + line + b"\r\nX-Sum: 1\r\n\r\n", never=(b"evil",))
        for line in _TRAILERS_DROPPED
    ]  # fmt: skip
    return found


VECTORS = [*_sizes(), *_line_ends(), *_extensions(), *_trailers()]
