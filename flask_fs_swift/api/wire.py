"""The parts of a batch as bytes, both ways: multipart/form-data of any length, without I/O.

A batch is a stream of parts, each a few headers and a body that says nowhere how long it
is: it ends where the boundary comes. The :class:`Decoder` holds back only what may be the
beginning of a boundary, or a head that is not whole. What it hands out of a body are views
of what it was fed.

Nothing is guessed. After a boundary comes CRLF or ``--``, without padding (RFC 2046, section
5.1.1, has senders write none); a line of a head is a header; no header comes twice in a part;
a stream without its closing boundary was cut off. Anything else is a :class:`FramingError`,
after which the decoder is silent. Before the first boundary may be a preamble, after the last
one an epilogue: both are left out. A part needs no ``Content-Disposition``.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, TypeAlias

from flask_fs_swift.errors import FSError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Bytes of one part's headers.
LONGEST_HEAD = 64 * 1024
#: Headers of one part.
MOST_HEADERS = 128

#: What follows the body of a part.
PART_END = b"\r\n"

# RFC 2046, section 5.1.1: 1 to 70 characters, the last one no space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_MEDIA_TYPE = re.compile(r"[ \t]*multipart/form-data[ \t]*", re.IGNORECASE)
# Senders leave boundaries with a slash or an equals sign unquoted, too.
_PARAMETER = re.compile(
    r";[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)="
    r'(?:"((?:[^"\\]|\\.)*)"|([^\s";,]+))[ \t]*)?'
)
_ESCAPED = re.compile(r"\\(.)")

# A token (RFC 9110, section 5.6.2), and what may be a value.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*\r\n")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

# Names that were found to be good. Any thread may add to them; strangers name metadata, so
# they grow no further than so many names of so many characters.
_good: set[str] = set()
_MOST_NAMES = 1024
_LONGEST_NAME = 64


class FramingError(FSError):
    """This is no multipart stream, or it was cut off. Parts that had ended are whole."""


@dataclass(slots=True)
class Head:
    """A part begins."""

    #: By lower-case name. Bytes beyond ASCII are characters of Latin-1, as in WSGI.
    headers: dict[str, str]


@dataclass(slots=True)
class Data:
    """Some of the part's body, never empty: a view of what was fed."""

    data: memoryview


@dataclass(slots=True)
class End:
    """The part ends."""


@dataclass(slots=True)
class Closed:
    """The last part has ended: what follows is none of the stream's."""


Event: TypeAlias = "Head | Data | End | Closed"

_END = End()
_CLOSED = Closed()

_PREAMBLE, _HEAD, _BODY, _SILENT = range(4)


class Decoder:
    """Tell what a multipart stream has, as its bytes come in.

    It lives as long as its stream: one request, or one answer. It holds less than
    ``max_head`` bytes and two boundaries.
    """

    __slots__ = ("_delimiter", "_is_closed", "_max_head", "_max_headers", "_rest", "_state")

    def __init__(
        self, boundary: str, max_head: int = LONGEST_HEAD, max_headers: int = MOST_HEADERS
    ) -> None:
        """Expect a stream.

        :param max_head: bytes of one part's headers.
        :param max_headers: of one part.
        :raises ValueError: this is no boundary.
        """
        self._delimiter = b"\r\n--" + _checked(boundary).encode()
        self._max_head = max_head
        self._max_headers = max_headers
        self._state = _PREAMBLE
        # What could not be told yet. A boundary stands at the beginning of a line, and
        # the stream itself may begin with one.
        self._rest = b"\r\n"
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Tell whether the closing boundary has come."""
        return self._is_closed

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what the next bytes of the stream tell; none after it was closed.

        The iterator is to be exhausted before the next bytes are fed: where it is dropped,
        the decoder is silent from then on, and the stream counts as cut off.

        :raises FramingError: once; what was yielded before is good.
        """
        # Silent, until these bytes were understood to their end.
        state, self._state = self._state, _SILENT
        if state == _SILENT:
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        delimiter = self._delimiter
        view = memoryview(data)
        size = len(data)
        at = 0
        while True:
            if state == _HEAD:
                ends = self._end_of_head(data, at)
                if ends < 0:
                    break
                yield Head(self._headers(data[at + 2 : ends + 4]))
                # An empty body, too, is followed by a line break of its own.
                at = ends + 4
                state = _BODY
            found = data.find(delimiter, at)
            end = found if found >= 0 else self._sure(data, at)
            if end > at and state == _BODY:
                yield Data(view[at:end])
            at = end
            after = found + len(delimiter)
            if found < 0 or after + 2 > size:
                break
            is_last = _is_last(data[after : after + 2])
            if state == _BODY:
                yield _END
            if is_last:
                self._is_closed = True
                yield _CLOSED
                return
            state = _HEAD
            at = after
        self._rest = data[at:]
        self._state = state

    def finish(self) -> None:
        """Say that nothing comes any more.

        :raises FramingError: the closing boundary has not come, and ``feed`` did not say why.
        """
        state, self._state = self._state, _SILENT
        self._rest = b""
        if not self._is_closed:
            began = "has no boundary" if state == _PREAMBLE else "ends before its closing boundary"
            raise FramingError(f"the stream {began}")

    def _end_of_head(self, data: bytes, at: int) -> int:
        """Return where the last header ends, or -1.

        :param at: of the line break of the boundary's line: where there are no headers, it
            is the first half of what ends them.
        """
        most = self._max_head + 4
        ends = data.find(b"\r\n\r\n", at, at + most)
        if ends < 0 and len(data) - at >= most:
            raise FramingError(f"the headers of a part have more than {self._max_head} bytes")
        return ends

    def _sure(self, data: bytes, at: int) -> int:
        """Return where what may be the beginning of a boundary begins, or the end."""
        size = len(data)
        start = data.rfind(b"\r", max(at, size - len(self._delimiter)))
        # A boundary has no other carriage return: none begins before the last one.
        return start if start >= 0 and self._delimiter.startswith(data[start:]) else size

    def _headers(self, head: bytes) -> dict[str, str]:
        if not _LINES.fullmatch(head):
            raise FramingError(f"{head[:60]!r} are not the headers of a part")
        headers = {}
        lines = head.decode("latin-1").split("\r\n")
        del lines[-2:]
        if len(lines) > self._max_headers:
            raise FramingError(f"a part has more than {self._max_headers} headers")
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.translate(_LOWER)] = value.strip(" \t")
        if len(headers) != len(lines):
            raise FramingError("a part has a header twice")
        return headers


def _is_last(follows: bytes) -> bool:
    if follows not in {b"\r\n", b"--"}:
        raise FramingError(f"after a boundary comes {follows!r}, not a line break or '--'")
    return follows == b"--"


def new_boundary() -> str:
    """Return a boundary that no body has: 128 of its bits are random."""
    return f"os-boundary-{secrets.token_hex(16)}"


def content_type_of(boundary: str) -> str:
    """Return the content type of a stream with this boundary.

    :raises ValueError: this is no boundary.
    """
    return f'multipart/form-data; boundary="{_checked(boundary)}"'


def boundary_of(content_type: str) -> str:
    """Return the boundary that a content type names, quoted or not.

    :raises ValueError: it is not multipart/form-data, or names no boundary, or several.
    """
    found = _MEDIA_TYPE.match(content_type)
    if found is None:
        raise ValueError(f"{content_type[:80]!r} is not multipart/form-data")
    boundaries = []
    at = found.end()
    while at < len(content_type):
        parameter = _PARAMETER.match(content_type, at)
        if parameter is None:
            raise ValueError(f"{content_type[at : at + 80]!r} is no parameter of a content type")
        name, quoted, bare = parameter.groups()
        if name is not None and name.translate(_LOWER) == "boundary":
            boundaries.append(_ESCAPED.sub(r"\1", quoted) if bare is None else bare)
        at = parameter.end()
    if len(boundaries) != 1:
        raise ValueError(f"the content type names {len(boundaries)} boundaries, not one")
    return _checked(boundaries[0])


def part_head(boundary: str, headers: Mapping[str, str]) -> bytes:
    """Return how a part begins. Its body follows, then :data:`PART_END`.

    :param boundary: see :func:`new_boundary`.
    :raises ValueError: a header is not one line of printable ASCII, or has blanks around it.
    """
    for name, value in headers.items():
        if name not in _good:
            _learn(name)
        if not _VALUE.fullmatch(value):
            raise ValueError(f"header {name!r} cannot be {value[:80]!r}: it is not printable ASCII")
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"--{boundary}\r\n{lines}\r\n".encode()


def closing(boundary: str) -> bytes:
    """Return how a stream ends, after the last part or without any."""
    return f"--{boundary}--".encode()


def _learn(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    if len(_good) < _MOST_NAMES and len(name) <= _LONGEST_NAME:
        _good.add(name)


def _checked(boundary: str) -> str:
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError(f"{boundary!r} is no boundary: 1 to 70 letters, digits and '()+_,-./:=?")
    return boundary
