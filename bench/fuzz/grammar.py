"""Make answers that a server might send: mostly right, sometimes odd, now and then wrong.

What is made here need not be right. The oracle says what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

STATUSES = (200, 200, 200, 200, 201, 202, 204, 206, 304, 301, 400, 404, 412, 416, 500, 503)
ODD_STATUSES = (100, 101, 103, 199, 299, 417, 499, 599, 600, 999, 0, 99, 1000)
REASONS = (b" OK", b" OK", b" OK", b"", b" ", b" Not  Found", b" caf\xc3\xa9", b" caf\xe9")
VERSIONS = (*[b"HTTP/1.0"] * 9, b"HTTP/1.2", b"HTTP/2", b"HTTP/0.9", b"http/1.1")
FIELDS = (
    b"Content-Type: text/plain",
    b'ETag: "d41d8cd98f00b204e9800998ecf8427e"',
    b"X-Object-Meta-Name: caf\xc3\xa9",
    b"X-Object-Meta-Name: caf\xe9",
    b"X-Trans-Id:tx0123456789",
    b"Date:   Sat, 21 Nov 2026 07:07:51 GMT \t",
    b"X-Empty:",
    b"x-Empty: \t ",
    b"X-Dup: 1",
    b"x-dup: 2",
    b"X-Timestamp: 1.5:2",
    b"Keep-Alive: timeout=5, max=2",
    b"Connection: keep-alive",
    b"Connection: x-dup",
    b"Accept-Ranges: bytes",
    b"!#$%&'*+-.^_`|~: token",
)
ODD_FIELDS = (
    b"X-Folded: one\r\n two",
    b" X-Leading: blank",
    b"X-Blank : before the colon",
    b"No colon",
    b": no name",
    b"",
    b"X-Lone: a\rb",
    b"X-Lone: a\nX-Other: b",
    b"X-Nul: a\0b",
    b"X-Control: a\x0bb\x0cc\x1cd\x7f",
    b"X-Long: " + b"l" * 300,
    b"X-N\xc3\xa4me: 1",
    b"Connection: close",
    b"connection: Keep-Alive , CLOSE",
    b"Connection: close\x0b",
    b"Connection: close\xc2\xa0",
    b"Connection: \xc2\xa0keep-alive",
    b"Connection: \xe2\x84\xaaeep-alive",
    b"Connection: keep-alive\x1f",
    b"Connection: closed",
    b"Connection: , ,",
    b'Connection: "close"',
    b"Proxy-Connection: close",
    b"Upgrade: h2c",
    b"Trailer: X-Sum",
    b"Content-Encoding: gzip",
)
LENGTHS = (
    b"Content-Length: %d",
    b"content-length:%d",
    b"CONTENT-LENGTH: \t%d\t",
    b"Content-length: 00%d",
)
ODD_LENGTHS = (
    b"Content-Length: +%d",
    b"Content-Length: -%d",
    b"Content-Length: %d, %d",
    b"Content-Length: %d\r\nContent-Length: %d",
    b"Content-Length: %d\r\ncontent-length: 1%d",
    b"Content-Length: %d.0",
    b"Content-Length: 0x%x",
    b"Content-Length: %d ;",
    b"Content-Length: 1_%d",
    b"Content-Length: \xd9\xa3%d",
    b"Content-Length: ",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 9223372036854775808",
    b"Content-Length:\x0b%d",
    b"Content-Length: %d\x0c",
    b"Content-Length : %d",
    b"X-Content-Length: %d",
)
CHUNKED = (
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:Chunked \t",
    b"TRANSFER-ENCODING: CHUNKED",
)
ODD_CODINGS = (
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: chunked\xc2\xa0",
    b"Transfer-Encoding: chun\xe2\x84\xaaed",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"TE: chunked",
)
EXTENSIONS = (
    b"",
    b"",
    b"",
    b"",
    b";a=b",
    b' ; a="x y"',
    b"\t;",
    b" ",
    b";\xff",
    b";a;b;c",
    b";" + b"e" * 40,
)
ODD_EXTENSIONS = (
    b"\n",
    b";a\nb",
    b";a\rb",
    b";\0",
    b"h",
    b" a",
    b",a",
    b"\x0b",
    b";" + b"e" * 1022,
    b";" + b"e" * 1023,
)
TRAILERS = (
    b"",
    b"",
    b"",
    b"X-Sum: 1\r\n",
    b"X-Sum: 1\r\nContent-Length: 3\r\nConnection: close\r\n",
)
ODD_TRAILERS = (
    b"no trailer\r\n",
    b"X-Sum: a\nb\r\n",
    b"X-Sum: a\rb\r\n",
    b" folded\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"X-Nul: \0\r\n",
)
NOISE = bytes(range(256))


def response(rng: Random, method: str) -> bytes:
    """Return what a server might say to one request."""
    return b"".join([interim(rng) for _ in range(_interims(rng))]) + final(rng, method)


def final(rng: Random, method: str) -> bytes:
    """Return an answer, and what may follow it."""
    content = contents(rng)
    lines = [status_line(rng), *fields(rng)]
    framing, body = framed(rng, content)
    lines.insert(rng.randrange(1, len(lines) + 1), framing)
    said = [b"\r\n".join([line for line in lines if line]) + b"\r\n\r\n"]
    if method != "HEAD" or rng.random() < 0.1:
        said.append(body)
    if rng.random() < 0.04:
        said.append(surplus(rng))
    return b"".join(said)


def simple(content: bytes) -> bytes:
    """Return an answer that nobody can misread."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


def _interims(rng: Random) -> int:
    chance = rng.random()
    if chance > 0.1:
        return 0
    return rng.randrange(14, 18) if chance < 0.004 else rng.randrange(1, 4)


def interim(rng: Random) -> bytes:
    """Return an answer before the answer."""
    status = rng.choice((100, 100, 100, 102, 103, 199, 101))
    extra = rng.choice(
        (b"", b"", b"Link: </a>\r\n", b"Content-Length: 5\r\n", b"Connection: close\r\n")
    )
    return b"HTTP/1.1 %d Wait\r\n%s\r\n" % (status, extra)


def status_line(rng: Random) -> bytes:
    chance = rng.random()
    version = rng.choice(VERSIONS) if chance < 0.12 else b"HTTP/1.1"
    status = rng.choice(ODD_STATUSES) if 0.12 < chance < 0.15 else rng.choice(STATUSES)
    return b"%s %d%s" % (version, status, rng.choice(REASONS))


def fields(rng: Random) -> list[bytes]:
    """Return a few headers; rarely so many that they are too long for a head."""
    some = [rng.choice(FIELDS) for _ in range(rng.randrange(4))]
    chance = rng.random()
    if chance < 0.08:
        some.append(rng.choice(ODD_FIELDS))
    elif chance < 0.0805:
        some.append(b"X-Huge: " + b"h" * rng.randrange(65300, 65700))
    return some


def contents(rng: Random) -> bytes:
    """Return content: mostly little, noise, or what looks like an answer itself."""
    chance = rng.random()
    if chance < 0.1:
        return b""
    if chance < 0.2:
        return simple(b"inner")
    if chance < 0.203:
        return rng.randbytes(16) * rng.choice((4095, 4096, 4097, 8200))
    if chance < 0.3:
        start = rng.randrange(256)
        return NOISE[start : start + rng.randrange(200)]
    return rng.randbytes(rng.randrange(1, 40)).hex().encode()


def framed(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    """Return the header that says where the content ends, and what follows the head."""
    (make,) = rng.choices(tuple(_FRAMINGS), tuple(_FRAMINGS.values()))
    return make(rng, content)


def _sized(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    return rng.choice(LENGTHS) % len(content), content


def _chunked(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    return rng.choice(CHUNKED), chunks(rng, content)


def _unframed(_: Random, content: bytes) -> tuple[bytes, bytes]:
    return b"", content


def _oddly_sized(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    return _filled(rng.choice(ODD_LENGTHS), len(content)), content


def _oddly_coded(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    return rng.choice(ODD_CODINGS), chunks(rng, content)


def _both(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    length = b"Content-Length: %d" % len(content)
    return b"%s\r\n%s" % (rng.choice(CHUNKED), length), chunks(rng, content)


def _missized(rng: Random, content: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d" % max(0, len(content) + rng.randrange(-3, 4)), content


_FRAMINGS = {
    _sized: 40,
    _chunked: 30,
    _unframed: 12,
    _oddly_sized: 6,
    _oddly_coded: 6,
    _both: 3,
    _missized: 3,
}


def _filled(pattern: bytes, number: int) -> bytes:
    return pattern % ((number,) * pattern.count(b"%"))


def chunks(rng: Random, content: bytes) -> bytes:
    """Return content in chunks, with trailers."""
    said = []
    at = 0
    while at < len(content):
        size = rng.randrange(1, len(content) - at + 1)
        said += [_chunk_line(rng, size), content[at : at + size], b"\r\n"]
        at += size
    said += [_chunk_line(rng, 0), rng.choice(ODD_TRAILERS if rng.random() < 0.04 else TRAILERS)]
    if rng.random() < 0.001:
        said.append(b"X-Huge: " + b"t" * rng.randrange(65400, 65600) + b"\r\n")
    return b"".join([*said, b"\r\n"])


def _chunk_line(rng: Random, size: int) -> bytes:
    extension = rng.choice(ODD_EXTENSIONS if rng.random() < 0.02 else EXTENSIONS)
    form = rng.choice((b"%x%s\r\n", b"%x%s\r\n", b"%X%s\r\n", b"000%x%s\r\n", b"%016x%s\r\n"))
    return form % (size, extension)


def surplus(rng: Random) -> bytes:
    """Return what must not follow an answer."""
    return rng.choice(
        (b"\r\n", b"x", b"0\r\n\r\n", simple(b"stolen"), b"HTTP/1.1 100 Continue\r\n\r\n")
    )
