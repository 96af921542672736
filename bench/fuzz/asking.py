"""Make requests: ordinary ones, and what strangers put into names and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .case import Question, Reader, Value

if TYPE_CHECKING:
    from random import Random

METHODS = ("GET", "GET", "GET", "GET", "HEAD", "HEAD", "PUT", "PUT", "DELETE", "POST")
READERS = ("read", "read", "read", "blocks", "blocks", "readinto", "readinto", "begin")
SIZES = (1, 2, 3, 5, 16, 61, 4096, 70000)
NAMES = ("X-Auth-Token", "x-object-meta-a", "X-Object-Meta-B", "If-None-Match", "ETag", "Range")
VALUES: tuple[Value, ...] = (
    "v",
    "",
    "a b",
    " padded\t",
    "café",
    b"bytes",
    "caf\xe9".encode(),
    7,
    None,
)
#: What must end neither a line nor a word.
EVIL = (
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x7f",
    "\x85",
    "\u2028",
    "é",
    "\udcff",
    ":",
    "#",
    "\r\nX-Injected: 1",
    "\nX-Injected: 1",
    "\r\n\r\nGET /stolen HTTP/1.1\r\nhost: h",
    " HTTP/1.1\r\nX-Injected: 1\r\nX-Rest:",
)
FRAMING: tuple[tuple[str, Value], ...] = (
    ("Content-Length", "0"),
    ("Content-Length", 3),
    ("content-length", "+0"),
    ("Content-Length", "1_0"),
    ("Content-Length", "five"),
    ("Content-Length", "5\r\n"),
    ("Transfer-Encoding", "chunked"),
    ("Host", "other"),
    ("Accept-Encoding", "gzip"),
    ("User-Agent", "somebody"),
    ("Expect", "100-continue"),
    ("Connection", "close"),
)


def ordinary(rng: Random) -> Question:
    """Return a request with nothing odd in it."""
    method = rng.choice(METHODS)
    content = rng.randbytes(rng.randrange(50)) if method in {"PUT", "POST"} else b""
    return Question(
        method=method,
        headers={rng.choice(NAMES): "v"} if rng.random() < 0.3 else {},
        content=content,
        reader=cast("Reader", rng.choice(READERS)),
        size=rng.choice(SIZES),
    )


def uploading(rng: Random) -> Question:
    """Return a request with content that is not sent together with its head."""
    chance = rng.random()
    if chance < 0.3:
        return Question(method="PUT", content=rng.randbytes(70000))
    content = rng.randbytes(rng.randrange(2, 300))
    headers: dict[str, Value] = {}
    if chance > 0.8:
        headers["Content-Length"] = len(content) + rng.choice((0, 0, 0, 1, -1))
    return Question(method="PUT", headers=headers, content=content, is_streamed=True)


def odd(rng: Random) -> Question:
    """Return a request with something in it that somebody hopes to slip in."""
    names = [rng.choice(NAMES) for _ in range(rng.randrange(3))]
    headers = {name: rng.choice(VALUES) for name in names}
    target = "/v1/AUTH_test/c/o"
    chance = rng.random()
    if chance < 0.3:
        target = rng.choice(
            (_spoilt(rng, target), _spoilt(rng, target), "", "*", "/%00?a=b&c", "o")
        )
    elif chance < 0.5:
        headers[_spoilt(rng, rng.choice(NAMES))] = "v"
    elif chance < 0.8:
        value = _spoilt(rng, "value")
        headers[rng.choice(NAMES)] = rng.choice((value, value.encode(errors="surrogateescape")))
    else:
        headers.update([rng.choice(FRAMING)])
    method = rng.choice(("GET", "PUT", "HEAD"))
    content = b"abc" if method == "PUT" else b""
    return Question(method=method, target=target, headers=headers, content=content)


def _spoilt(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(EVIL) + text[at:]
