"""Damage what a server says, as networks, proxies and attackers do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

TOKENS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"\r\n ",
    b"\xff\xfe",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xef\xbc\x91",
    b"\xe2\x84\xaa",
    b"\x0b",
    b"\x1c",
)
NUMBERS = (
    b"0",
    b"1",
    b"-1",
    b"7",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551616",
    b"ffffffffffffffff",
    b"00000000000000000000",
    b"1e3",
    b"9" * 5000,
)
_NUMBER = re.compile(rb"[0-9a-fA-F]+")


def mutate(rng: Random, data: bytes, other: bytes) -> bytes:
    """Damage an answer once.

    :param other: another one, of which a part may be used.
    """
    return rng.choice(_MUTATIONS)(rng, data, other)


def _flip(rng: Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return (
        data[:at]
        + bytes([byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]])
        + data[at + 1 :]
    )


def _replace(rng: Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _insert(rng: Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _overwrite(rng: Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    token = rng.choice(TOKENS)
    return data[:at] + token + data[at + len(token) :]


def _slice(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randrange(1, 30))


def _delete(rng: Random, data: bytes, _: bytes) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + data[end:]


def _delete_one(rng: Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + 1 :]


def _duplicate(rng: Random, data: bytes, _: bytes) -> bytes:
    start, end = _slice(rng, data)
    return data[:end] + data[start:]


def _move(rng: Random, data: bytes, _: bytes) -> bytes:
    start, end = _slice(rng, data)
    rest = data[:start] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


def _truncate(rng: Random, data: bytes, _: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _append(_: Random, data: bytes, other: bytes) -> bytes:
    return data + other


def _renumber(rng: Random, data: bytes, _: bytes) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    found = rng.choice(numbers)
    return data[: found.start()] + rng.choice(NUMBERS) + data[found.end() :]


def _retype(rng: Random, data: bytes, _: bytes) -> bytes:
    """Change the line ends, all or the first of them."""
    end = rng.choice((b"\n", b"\r", b"\r\r\n", b" \r\n", b"\n\r"))
    return data.replace(b"\r\n", end, rng.choice((-1, 1, 2)))


def _recase(rng: Random, data: bytes, _: bytes) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + data[start:end].swapcase() + data[end:]


_MUTATIONS: tuple[Callable[[Random, bytes, bytes], bytes], ...] = (
    _flip,
    _replace,
    _insert,
    _insert,
    _overwrite,
    _delete,
    _delete_one,
    _duplicate,
    _move,
    _truncate,
    _splice,
    _append,
    _renumber,
    _retype,
    _recase,
)
