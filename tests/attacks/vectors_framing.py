"""Transfer-Encoding and Content-Length in every wrong way: what ends a request must be certain.

Classes: CL.TE and TE.CL (Gunicorn CVE-2024-1135, CVE-2024-6827; aiohttp CVE-2023-47627; llhttp
CVE-2021-22959), an empty Content-Length (HAProxy CVE-2023-40225), undrained bodies (Pingora
CVE-2025-4366).
"""

from tests.attacks.vector import NEXT, RequestVector, head, refused, served

POST = b"POST / HTTP/1.1"
NOT_DONE = frozenset((400, 501))
"""A transfer coding that is not understood may be answered 501 (RFC 9112 §6.1)."""

_CHUNKED_BODY = b"3\r\nabc\r\n0\r\n\r\n"

_CODINGS = {
    "empty": b"",
    "identity": b"identity",
    "gzip": b"gzip",
    "x-chunked": b"x-chunked",
    "chunkedx": b"chunkedx",
    "chunke": b"chunke",
    "list-twice": b"chunked, chunked",
    "list-identity": b"identity, chunked",
    "list-identity-last": b"chunked, identity",
    "list-gzip": b"gzip, chunked",
    "list-no-blank": b"gzip,chunked",
    "leading-comma": b",chunked",
    "trailing-comma": b"chunked,",
    "only-comma": b",",
    "parameter": b"chunked;x",
    "parameter-value": b"chunked;q=1",
    "semicolon": b"chunked;",
    "quoted": b'"chunked"',
    "single-quoted": b"'chunked'",
    "half-quoted": b'chunked"',
    "blank-inside": b"chun ked",
    "two-words": b"x chunked",
    "two-words-last": b"chunked x",
    "slash": b"chunked/1",
    "brackets": b"[chunked]",
    "non-ascii": b"chunked\xff",
    "non-ascii-space": b"\xa0chunked",
    "latin-k": "chun\u212aed".encode(),
    "percent": b"%63hunked",
    "number": b"1",
}
_CONTROL = {
    "vertical-tab": b"\x0b", "form-feed": b"\x0c", "null": b"\x00", "backspace": b"\x08",
    "escape": b"\x1b", "delete": b"\x7f", "bare-cr": b"\r", "unit-separator": b"\x1f",
}  # fmt: skip


def _coded(*lines: bytes, start: bytes = POST) -> bytes:
    return head(*lines, start=start) + _CHUNKED_BODY


def _transfer_encoding() -> list[RequestVector]:
    te = b"Transfer-Encoding: "
    found = [
        served("te/plain", _coded(te + b"chunked")),
        served("te/upper-case", _coded(b"TRANSFER-ENCODING: CHUNKED")),
        served("te/mixed-case", _coded(b"tRANSFER-eNCODING: cHuNkEd")),
        served("te/tabs-around", _coded(b"Transfer-Encoding:\t chunked \t")),
        served("te/no-blank", _coded(b"Transfer-Encoding:chunked")),
        served("te/on-get", head(te + b"chunked") + _CHUNKED_BODY),
        served("te/empty-body", head(te + b"chunked", start=POST) + b"0\r\n\r\n"),
        refused("te/http-1.0", _coded(te + b"chunked", start=b"POST / HTTP/1.0")),
        refused(
            "te/http-1.0-keep-alive",
            _coded(te + b"chunked", b"Connection: keep-alive", start=b"POST / HTTP/1.0"),
        ),
        refused("te/repeated", _coded(te + b"chunked", te + b"chunked")),
        refused("te/repeated-identity", _coded(te + b"identity", te + b"chunked")),
        refused("te/repeated-empty", _coded(te, te + b"chunked")),
        refused("te/repeated-other-case", _coded(te + b"chunked", b"transfer-encoding: x")),
        refused("te/repeated-apart", _coded(te + b"chunked", b"X: y", te + b"identity")),
        refused("te/fold-inside", _coded(te + b"\r\n chunked")),
        refused("te/fold-behind", _coded(te + b"chunked\r\n , identity")),
        refused("te/fold-of-another", _coded(b"X: y\r\n Transfer-Encoding: chunked")),
        refused("te/blank-before-colon", _coded(b"Transfer-Encoding : chunked")),
        refused("te/tab-before-colon", _coded(b"Transfer-Encoding\t: chunked")),
        refused("te/leading-blank", _coded(b" Transfer-Encoding: chunked")),
        refused("te/no-colon", _coded(b"Transfer-Encoding chunked")),
        refused("te/bare-lf-before", _coded(b"X: y\nTransfer-Encoding: chunked")),
        refused("te/bare-cr-before", _coded(b"X: y\rTransfer-Encoding: chunked")),
        refused("te/nul-in-name", _coded(b"Transfer-\x00Encoding: chunked")),
        refused("te/bytes-in-name", _coded(b"Transfer-Encoding\xff: chunked")),
        # In another spelling it is a field like any other: the body's bytes are the next request.
        refused("te/underscore", _coded(b"Transfer_Encoding: chunked"), served=1),
        served("te/underscore-no-body", head(b"Transfer_Encoding: chunked", start=POST)),
        served("te/prefix-x", head(b"X-Transfer-Encoding: chunked", start=POST)),
        served("te/nominated", _coded(te + b"chunked", b"Connection: transfer-encoding")),
    ]
    for name, value in _CODINGS.items():
        found.append(refused(f"te/value-{name}", _coded(te + value), NOT_DONE))
    for name, byte in _CONTROL.items():
        found.append(refused(f"te/{name}-ahead", _coded(te + byte + b"chunked")))
        found.append(refused(f"te/{name}-behind", _coded(te + b"chunked" + byte)))
        found.append(
            refused(f"te/{name}-in-name", _coded(b"Transfer-Encoding" + byte + b": chunked"))
        )
    return found


_LENGTHS = {
    "empty": b"",
    "plus": b"+3",
    "minus": b"-3",
    "minus-zero": b"-0",
    "hexadecimal": b"0x3",
    "letters": b"3a",
    "decimal-point": b"3.0",
    "exponent": b"3e0",
    "underscore": b"3_0",
    "comma": b"3,",
    "list-same": b"3, 3",
    "list-same-no-blank": b"3,3",
    "list-other": b"3, 4",
    "blank-inside": b"3 3",
    "tab-inside": b"3\t3",
    "quoted": b'"3"',
    "semicolon": b"3;",
    "parameter": b"3;x=1",
    "arabic-digits": "٣".encode(),
    "full-width": "\uff13".encode(),
    "superscript": b"\xb3",
    "word": b"three",
    "nul": b"3\x00",
    "vertical-tab": b"\x0b3",
    "form-feed": b"3\x0c",
    "bare-cr": b"\r3",
    "no-break-space": b"\xa03",
    "brackets": b"(3)",
}  # fmt: skip
_HUGE = {
    "nineteen-digits": b"9" * 19,
    "two-to-the-64": b"18446744073709551616",
    "two-to-the-64-and-3": b"18446744073709551619",
    "two-to-the-128": b"340282366920938463463374607431768211456",
    "five-thousand-digits": b"1" * 5_000,
}


def _content_length() -> list[RequestVector]:
    cl = b"Content-Length: "
    found = [
        served("cl/plain", head(cl + b"3", start=POST) + b"abc"),
        served("cl/zero", head(cl + b"0", start=POST)),
        served("cl/leading-zeros", head(cl + b"0003", start=POST) + b"abc"),
        served("cl/tabs-around", head(b"Content-Length:\t3 \t", start=POST) + b"abc"),
        served("cl/upper-case", head(b"CONTENT-LENGTH: 3", start=POST) + b"abc"),
        served("cl/on-get", head(cl + b"3") + b"abc"),
        served("cl/on-delete", head(cl + b"3", start=b"DELETE / HTTP/1.1") + b"abc"),
        served("cl/body-is-a-request", head(cl + b"%d" % len(NEXT), start=POST) + NEXT),
        served("cl/body-of-crlf", head(cl + b"4", start=POST) + b"\r\n\r\n"),
        RequestVector(
            "cl/http-1.0", head(cl + b"3", start=b"POST / HTTP/1.0") + b"abc" + NEXT,
            served=1, closes=True,
        ),
        RequestVector("cl/short", head(cl + b"9", start=POST) + b"abc"),
        RequestVector("cl/nothing", head(cl + b"9", start=POST)),
        RequestVector("cl/near-two-to-the-60", head(cl + b"9" * 18, start=POST) + b"abc"),
        refused("cl/repeated-same", head(cl + b"3", cl + b"3", start=POST) + b"abc"),
        refused("cl/repeated-other", head(cl + b"3", cl + b"4", start=POST) + b"abc"),
        refused("cl/repeated-zero", head(cl + b"0", cl + b"3", start=POST) + b"abc"),
        refused("cl/repeated-apart", head(cl + b"3", b"X: y", b"content-length: 3") + b"abc"),
        refused("cl/fold-inside", head(cl + b"\r\n 3", start=POST) + b"abc"),
        refused("cl/fold-behind", head(cl + b"3\r\n 3", start=POST) + b"abc"),
        refused("cl/blank-before-colon", head(b"Content-Length : 3", start=POST) + b"abc"),
        refused("cl/two-colons", head(b"Content-Length:: 3", start=POST) + b"abc"),
        refused("cl/bare-lf-before", head(b"X: y\nContent-Length: 3", start=POST) + b"abc"),
        refused("cl/bare-cr-before", head(b"X: y\rContent-Length: 3", start=POST) + b"abc"),
        refused("cl/long-zeros", head(cl + b"0" * 19 + b"3", start=POST) + b"abc",
                policy="more digits than any length has"),
        # In another spelling it is a field like any other: the body's bytes are the next request.
        refused("cl/underscore", head(b"Content_Length: 3", start=POST) + b"a b\r\n\r\n", served=1),
        served("cl/underscore-no-body", head(b"Content_Length: 3", start=POST)),
        served("cl/underscore-beside", head(b"Content_Length: 9", cl + b"3") + b"abc",
               never=(b"_Length",)),
        served("cl/nominated", head(cl + b"3", b"Connection: content-length") + b"abc"),
    ]  # fmt: skip
    for name, value in _LENGTHS.items():
        found.append(refused(f"cl/value-{name}", head(cl + value, start=POST) + b"abc"))
    for name, value in _HUGE.items():
        raw = head(cl + value, start=POST) + b"abc"
        found.append(refused(f"cl/value-{name}", raw, policy="above 2 to the 63"))
    return found


def _both() -> list[RequestVector]:
    te, cl = b"Transfer-Encoding: chunked", b"Content-Length: 3"
    other = [
        b"Transfer-Encoding: identity", b"Transfer-Encoding: ", b"Transfer-Encoding: x",
        b"transfer-encoding:chunked",
    ]  # fmt: skip
    found = [
        refused("both/te-first", _coded(te, cl)),
        refused("both/cl-first", _coded(cl, te)),
        refused("both/zero", _coded(te, b"Content-Length: 0")),
        refused("both/empty-cl", _coded(te, b"Content-Length:")),
        refused("both/bad-cl", _coded(te, b"Content-Length: x")),
        refused("both/http-1.0", _coded(te, cl, start=b"POST / HTTP/1.0")),
        refused("both/cl-nominated", _coded(te, cl, b"Connection: content-length")),
        refused("both/te-nominated", _coded(te, cl, b"Connection: transfer-encoding")),
        served("both/cl-misspelt", _coded(te, b"Content_Length: 3"), never=(b"_Length",)),
        served("both/te-misspelt", head(cl, b"Transfer_Encoding: chunked") + b"abc",
               never=(b"_Encoding",)),
    ]  # fmt: skip
    found += [
        refused(f"both/odd-te-{number}", _coded(line, cl), NOT_DONE)
        for number, line in enumerate(other)
    ]
    return found


VECTORS = [*_transfer_encoding(), *_content_length(), *_both()]
