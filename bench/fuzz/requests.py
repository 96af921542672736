"""Read what a client sent as one request in HTTP/1.1, as strictly as RFC 9112 is written.

With one exception: Swift's metadata has names with bytes above 127.

Nothing of the package is imported. Whatever a lenient server might read as a second
request, a second header or another target is refused here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.1")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z\x80-\xff-]+")
_DIGITS = re.compile(rb"[0-9]+")
_SIZE = re.compile(rb"[0-9a-f]+")


class BadRequest(Exception):
    """The bytes are not exactly one request."""

    def __init__(self, why: str, what: bytes = b"") -> None:
        super().__init__(f"{why}: {what[:80]!r}")
        #: In a few words that do not depend on the bytes.
        self.why = why


@dataclass
class Request:
    """One request, and whether all of its content has been sent."""

    method: bytes
    target: bytes
    #: By lower-case name. No name comes twice.
    headers: dict[bytes, bytes]
    content: bytes
    is_whole: bool


def read_request(sent: bytes) -> Request:
    """Read one request, of which the end of the content may be missing.

    :raises BadRequest: it is none, or more than one.
    """
    head, end, rest = sent.partition(b"\r\n\r\n")
    if not end:
        raise BadRequest("the head has no end")
    first, *lines = head.split(b"\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise BadRequest("no request line", first)
    headers = _fields(lines)
    content, is_whole = _content(headers, rest)
    return Request(match[1], match[2], headers, content, is_whole)


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise BadRequest("no header", line)
        if re.search(rb"[\x00\r\n]", value):
            raise BadRequest("a broken value", line)
        if name.lower() in headers:
            raise BadRequest("twice the same header", name)
        headers[name.lower()] = value.strip(b" \t")
    if b"host" not in headers:
        raise BadRequest("no host")
    return headers


def _content(headers: dict[bytes, bytes], rest: bytes) -> tuple[bytes, bool]:
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if coding != b"chunked" or length is not None:
            raise BadRequest("unknown framing", coding)
        return _chunks(rest)
    if length is not None and not _DIGITS.fullmatch(length):
        raise BadRequest("no length", length)
    size = int(length or 0)
    if len(rest) > size:
        raise BadRequest("something follows", rest[size:])
    return rest, len(rest) == size


def _chunks(rest: bytes) -> tuple[bytes, bool]:
    content = b""
    while rest:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            break
        if not _SIZE.fullmatch(line):
            raise BadRequest("no chunk size", line)
        size = int(line, 16)
        content += rest[:size]
        after = rest[size : size + 2]
        rest = rest[size + 2 :]
        if after != b"\r\n"[: len(after)]:
            raise BadRequest("a chunk is longer than it says", after)
        if not size:
            if rest:
                raise BadRequest("something follows", rest)
            return content, after == b"\r\n"
    return content, False
