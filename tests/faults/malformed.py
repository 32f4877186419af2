"""Requests that are none: a fixed corpus of what has broken servers, and good requests with some bytes changed."""

import random
from typing import Final

import pytest

POST: Final = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\n"
GET: Final = b"GET /v1/lookup/8.8.8.8 HTTP/1.1\r\nHost: x\r\n"
BODY: Final = b'{"ips": ["8.8.8.8", "10.0.0.1"], "mode": "cached"}'
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"

GOOD: Final = (
    GET + b"\r\n",
    b"GET /v1/status HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    POST + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    b"POST /v1/jobs/session_cleanup/run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
)

# A TLS 1.2 client hello, and the preface of HTTP/2 with its empty settings (RFC 9113, 3.4).
TLS_HELLO: Final = bytes.fromhex("16030100c8010000c40303") + bytes(range(192))
HTTP_2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")

# What comes of each: the status of the one answer, or that the connection is closed without any.
CLOSED: Final = 0

_CORPUS: Final[dict[int, dict[str, bytes]]] = {
    CLOSED: {  # empty lines before a request, and then none
        "only line ends": b"\r\n" * 5_000,
        "only line feeds": b"\n" * 5_000,
    },
    400: {
        "HTTP/0.9": b"GET /v1/status\r\n\r\n",
        "HTTP/2": HTTP_2,
        "HTTP/3.0": b"GET /v1/status HTTP/3.0\r\n\r\n",
        "no version number": b"GET /v1/status HTTP/x.y\r\n\r\n",
        "TLS hello": TLS_HELLO,
        "TLS hello and an end": TLS_HELLO + b"\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "NULs": bytes(4_096),
        "NULs and an end": bytes(4_096) + b"\r\n\r\n",
        "every byte": bytes(range(256)) + b"\r\n\r\n",
        "spaces": b" " * 5_000 + b"\r\n\r\n",
        "no path": b"GET  HTTP/1.1\r\n\r\n",
        "a method of its own": b"G\xc9T /v1/status HTTP/1.1\r\n\r\n",
        "a long method": b"A" * 20_000 + b" / HTTP/1.1\r\n\r\n",
        "a long path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        "a NUL in the path": b"GET /v1/\x00status HTTP/1.1\r\nHost: x\r\n\r\n",
        "a NUL in a header": GET + b"X: a\x00b\r\n\r\n",
        "a NUL in a header's name": GET + b"X\x00: a\r\n\r\n",
        "a header without a colon": GET + b"nonsense\r\n\r\n",
        "a header without a name": GET + b": x\r\n\r\n",
        "a space before the colon": GET + b"Content-Length : 5\r\n\r\n",
        "a folded header": GET + b"X: a\r\n b\r\n\r\n",
        "a bare CR": GET + b"X: a\rb\r\n\r\n",
        "a huge header": GET + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
        "a header that does not end": GET + b"X: " + b"a" * 1_000_000,
        "ten thousand headers": GET + b"X: y\r\n" * 10_000 + b"\r\n",
        "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
        "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
        "a negative length": POST + b"Content-Length: -1\r\n\r\n",
        "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
        "a length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
        "a length that is none": POST + b"Content-Length: two\r\n\r\n{}",
        "a length of a thousand digits": POST + b"Content-Length: " + b"9" * 1_000 + b"\r\n\r\n{}",
        "a length beyond 64 bits": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}",
        "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "an unknown encoding": POST + b"Transfer-Encoding: snail\r\n\r\n{}",
        "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "a chunk of no size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
        "a chunk of a strange size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        "a chunk of a negative size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        "a chunk of a size with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        "a chunk beyond 64 bits": CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
        "a chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
        "huge trailers": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        "no UTF-8 in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        "a huge number in half a document": POST
        + b"Content-Length: 500010\r\n\r\n"
        + b'{"ips": ['
        + b"9" * 500_000
        + b"]",
    },
    404: {
        "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        "a proxy's request": b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "a path beside the root": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    },
    405: {
        "an upgrade": b"PUT /v1/status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "a percent sign alone": b"GET /v1/jobs/%/run HTTP/1.1\r\nHost: x\r\n\r\n",
    },
    415: {
        "a compressed body that is none": POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    },
    422: {
        "a size of a million digits": CHUNKED + b"0" * 1_000_000 + b"2\r\n{}\r\n0\r\n\r\n",
        "a chunk with a huge extension": CHUNKED + b"2;" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n",
        "deep JSON": POST + b"Content-Length: 500000\r\n\r\n" + b"[" * 500_000,
    },
}

CORPUS: Final = [
    pytest.param(octets, status, id=name) for status, some in _CORPUS.items() for name, octets in some.items()
]


def mutated(chance: random.Random) -> bytes:
    """Return one or several good requests, one after the other on a connection, with some bytes not as they were."""
    octets = bytearray(b"".join(chance.choices(GOOD, k=chance.randrange(1, 4))))
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(octets))
        match chance.randrange(5):
            case 0:
                octets[place] = chance.randrange(256)
            case 1:
                del octets[place : place + chance.randrange(1, 20)]
            case 2:
                octets[place:place] = chance.randbytes(chance.randrange(1, 20))
            case 3:
                octets[place:place] = octets[place : place + chance.randrange(1, 60)]
            case _:
                octets[place:place] = chance.choice((b"\r\n", b"\x00", b"\r\n\r\n", b":", b" ", b"9" * 30, b"\n"))
        if not octets:
            break
    return bytes(octets)
