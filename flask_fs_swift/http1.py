"""HTTP/1.1 messages as bytes: nothing is slipped into requests, nothing is guessed of answers.

What a stranger put into a name or a header must not end its line: everything after it
would be another header, or another request. And of an answer nothing is guessed: one
that leaves open where it ends would let its rest pass for the next answer (RFC 9112,
section 11). Such an answer is :class:`Malformed`, and its connection is not used again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, TypeAlias

from .blocks import BLOCK, Block, Readable, blocks_of, is_readable
from .errors import FSError, StreamBroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: What swiftclient's verbs send.
SentContent: TypeAlias = "bytes | Readable | Iterable[Block] | None"

#: Bytes of a status line and headers. Swift sends up to 90 metadata of 4,096 bytes in all.
LONGEST_HEAD = 64 * 1024
#: Bytes of the line before a chunk, extensions included.
LONGEST_CHUNK_LINE = 1024

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\0]*))?")
# A token (RFC 9110, section 5.6.2), or with letters beyond ASCII: Swift's metadata may have
# names in UTF-8.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z\x80-\U0010ffff]+")
# Of these letters alone: there are others that become ASCII when they are made small.
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?")
_TARGET = re.compile(r"[!-~]+")
_DIGITS = re.compile(r"[0-9]{1,19}")

_BLANKS = " \t"

# Names that were found to be good, and their lower-case forms: of requests; and of answers,
# with their colons. Any thread may add to them; strangers name headers, so neither grows
# beyond a bound, of so many names of so many characters.
_sent: dict[str, str] = {}
_received: dict[str, str] = {}
_MOST_NAMES = 1024
_LONGEST_NAME = 64


class Malformed(ConnectionError):
    """This is no answer in HTTP/1.1, or one that contradicts itself."""


class Head:
    """The status line and the headers of one answer."""

    __slots__ = ("headers", "may_persist", "reason", "status")

    def __init__(
        self, status: int, reason: str, headers: dict[str, str], *, may_persist: bool
    ) -> None:
        self.status = status
        self.reason = reason
        #: By lower-case name; those that came more than once joined by commas.
        self.headers = headers
        #: Whether the server keeps the connection open after this answer.
        self.may_persist = may_persist


def request_head(method: str, target: str, fixed: str, headers: Mapping[str, object]) -> bytes:
    """Return a request up to its content.

    :param fixed: headers of every request, whole lines.
    :param headers: see :func:`request_headers`.
    :raises FSError: something would break its line.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"{method} {target} HTTP/1.1\r\n{fixed}{lines}"
    ends = 1 + fixed.count("\n") + len(headers)
    whole = head.count("\r\n") == head.count("\n") == head.count("\r") == ends
    if not whole or "\0" in head or not _TARGET.fullmatch(target) or not method.isalpha():
        raise FSError("a name or a header would break its line; Swift was sent nothing")
    return f"{head}\r\n".encode()


def request_headers(headers: Mapping[str, object]) -> dict[str, object]:
    """Return headers by lower-case name, as text.

    :param headers: values as swiftclient gives them: text, bytes or numbers. None leaves
        one out.
    :raises FSError: a name would break its line.
    """
    return {
        _sent.get(name) or _learn(name): value.decode() if type(value) is bytes else value
        for name, value in headers.items()
        if value is not None
    }


def _learn(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise FSError(f"{name!r} is no name of a header; Swift was sent nothing")
    lower = name.translate(_LOWER)
    if len(_sent) < _MOST_NAMES and len(name) <= _LONGEST_NAME:
        _sent[name] = lower
    return lower


def parse_head(data: bytes) -> Head:
    """Read an answer's head, without the empty line that ends it.

    :raises Malformed: it is none.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # As HTTP/1.1 once said; every byte is a character there.
    first, *lines = text.split("\r\n")
    minor, status, reason = _status(first)
    ends = len(lines)
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise Malformed("the answer's headers have line breaks that end no line")
    headers = _fields(lines)
    persists = minor == "1"
    if "connection" in headers:
        said = headers["connection"].translate(_LOWER).split(",")
        options = [option.strip(_BLANKS) for option in said]
        persists = "close" not in options and (persists or "keep-alive" in options)
    if minor == "0" and "transfer-encoding" in headers:
        persists = False  # RFC 9112, section 6.1.
    return Head(status, reason, headers, may_persist=persists)


@lru_cache(maxsize=64)
def _status(line: str) -> tuple[str, int, str]:
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise Malformed(f"the answer begins with {line[:40]!r}, which is no status line")
    return found[1], int(found[2]), found[3] or ""


def _fields(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        value = line.find(":") + 1
        name = _received.get(line[:value]) or _lower(line, value)
        if name in headers:
            headers[name] = f"{headers[name]}, {line[value:].strip(_BLANKS)}"
        else:
            headers[name] = line[value:].strip(_BLANKS)
    return headers


def _lower(line: str, value: int) -> str:
    """Return the name of a header in lower case, from a line and where its value begins."""
    if not value or not _NAME.fullmatch(line, 0, value - 1):
        raise Malformed(f"the answer has {line[:40]!r} for a header")
    name = line[: value - 1].translate(_LOWER)
    if len(_received) < _MOST_NAMES and value <= _LONGEST_NAME:
        _received[line[:value]] = name
    return name


def content_length(head: Head, method: str) -> int | None:
    """Return the bytes of an answer's content (RFC 9112, section 6.3).

    None where its head does not say: chunks do, or the end of the connection.

    :raises Malformed: its length is no number, or it has several.
    """
    length: int | None = None
    text = head.headers.get("content-length")
    if text is not None:
        if not _DIGITS.fullmatch(text):
            raise Malformed(f"the answer has {text[:40]!r} for a length")
        length = int(text)
    if method == "HEAD" or head.status in {204, 304}:
        return 0
    return length


def is_chunked(head: Head, length: int | None) -> bool:
    """Tell whether an answer's content comes in chunks.

    :param length: see :func:`content_length`.
    :raises Malformed: it comes in a way that we did not ask for, or in two at once.
    """
    coding = head.headers.get("transfer-encoding")
    if coding is None:
        return False
    if coding.translate(_LOWER) != "chunked":
        raise Malformed(f"the answer has the transfer encoding {coding[:40]!r}")
    if "content-length" in head.headers:
        raise Malformed("the answer has both a length and chunks")
    return length is None


def chunk_size(line: bytes) -> int:
    """Read the line before a chunk: how many bytes it has; 0 after the last one.

    :raises Malformed: it is none.
    """
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise Malformed(f"the answer has {line[:40]!r} for the size of a chunk")
    return int(found[1], 16)


def check_trailer(line: bytes) -> None:
    """Make sure that a line after the last chunk has the form of a header.

    :raises Malformed: it has not; it may be the beginning of another answer.
    """
    name, colon, value = line.decode("latin-1").partition(":")
    if not colon or not _NAME.fullmatch(name) or re.search("[\r\n\0]", value):
        raise Malformed(f"the answer has {line[:40]!r} for a header after its chunks")


def frame(method: str, content: SentContent, fields: dict[str, object]) -> int | None:
    """Say in the headers where the content ends; return its bytes, None if it is not known.

    :raises FSError: the headers say something else, or a length that is no number.
    """
    said = fields.get("content-length")
    if said is not None and not _DIGITS.fullmatch(str(said)):
        raise FSError(f"{said!r} is no length; Swift was sent nothing")
    size = None if said is None else int(str(said))
    if not content:
        actual: int | None = 0
    elif isinstance(content, bytes):
        actual = len(content)
    else:
        actual = size
    if actual is None:
        fields["transfer-encoding"] = "chunked"
    elif size not in {None, actual} or "transfer-encoding" in fields:
        raise FSError(f"the headers promise {size} bytes of {actual}; Swift was sent nothing")
    elif actual or method not in {"GET", "HEAD"}:
        fields["content-length"] = actual
    return actual


def blocks_to_send(content: SentContent, size: int | None) -> Iterator[Block]:
    """Yield content of a known size in blocks, or of an unknown one in chunks.

    :raises FSError: it has more than ``size`` bytes, or fewer (:class:`StreamBroken`).
    """
    if isinstance(content, bytes):
        view = memoryview(content)
        return (view[start : start + BLOCK] for start in range(0, len(view), BLOCK))
    blocks = (
        blocks_of(content) if is_readable(content) else (block for block in content or () if block)
    )
    return _chunked(blocks) if size is None else _measured(blocks, size)


def _chunked(blocks: Iterable[Block]) -> Iterator[Block]:
    end = b""
    for block in blocks:
        yield b"%s%x\r\n" % (end, len(block))
        yield block
        end = b"\r\n"
    yield end + b"0\r\n\r\n"


def _measured(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """Yield exactly ``size`` bytes: what is too much would be the next request."""
    sent = 0
    for block in blocks:
        sent += len(block)
        if sent > size:
            # If so much was sent already, Swift has all that it waits for.
            raise FSError(
                f"the content is longer than the {size} bytes that were promised",
                maybe_applied=True,
            )
        yield block
    if sent < size:
        raise StreamBroken(
            f"the content ended after {sent} of {size} bytes", received=sent, expected=size
        )
