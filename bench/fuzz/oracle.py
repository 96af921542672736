"""Say what one answer in HTTP/1.1 is, from all the bytes that a server sent.

It reads a whole string at once and knows nothing of sockets, pieces or time-outs, and
imports nothing of the package. What RFC 9112 and RFC 9110 leave to the recipient is
decided here as the package means it:

- Lines end with CR LF. A lone LF or CR in a head or around a chunk is refused
  (RFC 9112, section 2.2, would allow more), and so are folded lines (section 5.2).
- Names of headers may have bytes above 127, beside a token's: Swift's metadata has them.
- The versions are 1.0 and 1.1. A status has three digits, the first no 0.
- A length is one number of at most 19 digits; the same one twice is refused.
- The only transfer coding is ``chunked``, spelled as the only one, and never with a length,
  not even where there is no content.
- HTTP/1.0 knows no chunks: such an answer may be read, but is the connection's last
  (RFC 9112, section 6.1).
- Reasons and values may have any bytes but CR, LF and NUL. Chunk extensions, too.
- Trailers have the form of headers and are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Bytes of a head, and of all the trailers without their ends.
MOST_HEAD = 65536
#: Bytes of the line before a chunk.
MOST_CHUNK_LINE = 1024
#: Interim answers before the answer.
MOST_INTERIM = 15

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00\r\n]*))?")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~\x80-\xff-]+")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\x00\r\n]*)?")
_ODD_OPTIONS = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z, \t-]")
_BROKEN = re.compile(rb"[\x00\r\n]")


class Wrong(Exception):
    """The bytes are no answer that may be believed; says why in a few words."""


@dataclass
class Reading:
    """One answer, as far as its bytes can be believed."""

    #: Why a borrower must not come to its end; empty where it must.
    wrong: str = ""
    status: int = 0
    reason: bytes = b""
    #: By lower-case name; those that came more than once joined by a comma and a space.
    headers: dict[bytes, bytes] = field(default_factory=dict)
    #: What delimits the content: nothing, sized, chunked, or close; empty without a head.
    framing: str = ""
    #: All of it, or what came before it went wrong.
    content: bytes = b""
    #: Where in the stream the answer ends.
    end: int = 0
    #: Why the connection ends with this answer; empty where the server keeps it open.
    last: str = ""
    #: Whether it said so, or the opposite, in words that are not well formed.
    mumbles: bool = False

    @property
    def has_head(self) -> bool:
        """Tell whether the head may be believed, whatever follows."""
        return bool(self.framing)

    def holds(self, stream: bytes, *, gone: bool) -> str:
        """Say why the connection may not be lent again after the stream; empty if it may.

        :param gone: the server has ended the connection, in whatever order.
        """
        if self.wrong:
            return self.wrong
        if gone or self.framing == "close":
            return "the connection is gone"
        if self.end < len(stream):
            return "something follows"
        return self.last


def read(stream: bytes, method: str, *, ended: bool) -> Reading:
    """Read the answer to a request.

    :param ended: the server closed the connection in good order after the stream.
    """
    reading = Reading()
    try:
        _read_head(reading, stream)
        _read_content(reading, stream, method, ended=ended)
    except Wrong as why:
        reading.wrong = str(why)
    return reading


# Heads.


def _read_head(reading: Reading, stream: bytes) -> None:
    for _ in range(MOST_INTERIM + 1):
        version = _read_one_head(reading, stream)
        if reading.status == 101:
            raise Wrong("switches the protocol")
        if reading.status >= 200:
            reading.last = _why_last(version, reading.headers)
            reading.mumbles = bool(_ODD_OPTIONS.search(reading.headers.get(b"connection", b"")))
            return
    raise Wrong("too many interim answers")


def _read_one_head(reading: Reading, stream: bytes) -> bytes:
    """Read the head that begins at ``end``; return its minor version."""
    found = stream.find(b"\r\n\r\n", reading.end)
    if found < 0 or found - reading.end > MOST_HEAD:
        raise Wrong("head too long" if len(stream) - reading.end > MOST_HEAD else "head cut off")
    lines = stream[reading.end : found].split(b"\r\n")
    match = _STATUS.fullmatch(lines[0])
    if match is None:
        raise Wrong("no status line")
    headers = _fields(lines[1:])
    reading.status, reading.reason = int(match[2]), match[3] or b""
    reading.headers, reading.end = headers, found + 4
    return match[1]


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    values: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise Wrong("no header")
        if _BROKEN.search(value):
            raise Wrong("broken value")
        values.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return {name: b", ".join(several) for name, several in values.items()}


def _why_last(version: bytes, headers: dict[bytes, bytes]) -> str:
    """Follow RFC 9112, sections 9.3 and 6.1."""
    said = headers.get(b"connection", b"").lower().split(b",")
    options = {option.strip(b" \t") for option in said}
    if b"close" in options:
        return "the server closes"
    if version == b"1":
        return ""
    if b"keep-alive" not in options:
        return "HTTP/1.0"
    return "chunks in HTTP/1.0" if b"transfer-encoding" in headers else ""


# Contents: RFC 9112, section 6.3.


def _read_content(reading: Reading, stream: bytes, method: str, *, ended: bool) -> None:
    length = _length(reading.headers)
    chunked = _is_chunked(reading.headers)
    if chunked and length is not None:
        raise Wrong("length and chunks")
    if method == "HEAD" or reading.status in {204, 304}:
        reading.framing = "nothing"
    elif chunked:
        reading.framing = "chunked"
        _read_chunks(reading, stream)
    elif length is not None:
        reading.framing = "sized"
        _take(reading, stream, length)
    else:
        reading.framing = "close"
        _take(reading, stream, len(stream) - reading.end)
        if not ended:
            raise Wrong("content cut off")


def _length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(b"content-length")
    if value is None:
        return None
    if not _LENGTH.fullmatch(value):
        raise Wrong("no length")
    return int(value)


def _is_chunked(headers: dict[bytes, bytes]) -> bool:
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise Wrong("unknown coding")
    return coding is not None


def _take(reading: Reading, stream: bytes, size: int) -> None:
    """Add so many bytes to the content."""
    content = stream[reading.end : reading.end + size]
    reading.content += content
    reading.end += len(content)
    if len(content) < size:
        raise Wrong("content cut off")


def _read_chunks(reading: Reading, stream: bytes) -> None:
    while True:
        line = _line(reading, stream, MOST_CHUNK_LINE)
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Wrong("no chunk size")
        size = int(match[1], 16)
        if not size:
            return _drop_trailers(reading, stream)
        _take(reading, stream, size)
        if _line(reading, stream, 0):
            raise Wrong("chunk too long")


def _drop_trailers(reading: Reading, stream: bytes) -> None:
    lines = []
    left = MOST_HEAD
    while line := _line(reading, stream, left):
        left -= len(line)
        lines.append(line)
    try:
        _fields(lines)
    except Wrong:
        raise Wrong("no trailer") from None


def _line(reading: Reading, stream: bytes, limit: int) -> bytes:
    """Take the line that begins at ``end``, without the CR LF that ends it."""
    found = stream.find(b"\r\n", reading.end, reading.end + limit + 2)
    if found < 0:
        missing = len(stream) - reading.end < limit + 2
        raise Wrong("chunks cut off" if missing else "line too long")
    line = stream[reading.end : found]
    reading.end = found + 2
    return line
