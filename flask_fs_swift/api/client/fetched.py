"""What was read: an object's description, and its bytes as a file."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from flask_fs_swift.api.description import Description
from flask_fs_swift.ranges import WHOLE, Span

from .compression import Expansion
from .failures import AnswerBroken, RangeNotSatisfiable, RequestError, StoredCompressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from flask_fs_swift.ranges import ByteRange

    from .calls import Answer

_NUMBER = "([0-9]{1,19})"
_RANGE = re.compile(f"bytes {_NUMBER}-{_NUMBER}/{_NUMBER}")
_SIZE = re.compile(rf"bytes \*/{_NUMBER}")

#: Bytes that are read at a time where a reader wants everything.
_BLOCK = 128 * 1024


class Fetched(io.RawIOBase):
    """An object that is being read: a binary file, and a context manager.

    It holds a connection until it was read to its end or closed; where it comes from
    ``many``, it holds nothing but its bytes. It never ends short in silence.

    :param read: returns at most so many bytes as they are stored, none at the end.
    :param end: gives back what it holds, once.
    :param limit: bytes after decompression; None: 256 MiB, or 1,000 times what was sent.
    :param span: which of the stored bytes these are; None: all.
    """

    def __init__(
        self,
        key: str,
        description: Description,
        read: Callable[[int], bytes],
        end: Callable[[], None] = lambda: None,
        *,
        decompress: bool = True,
        limit: int | None = None,
        span: Span | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        #: Which of the stored bytes these are; None: all.
        self.span = span
        self._read = read
        self._end = end
        if decompress and description.compression == "zstd":
            self._read = Expansion(read, limit).read
            description = replace(description, compression=None)
        #: Of the bytes as they come out; but ``size`` is that of the stored ones.
        self.description = description

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most so many bytes; none only at the end. By default, all that are left.

        :raises AnswerLost: the answer ended too early.
        :raises AnswerBroken: the content is not compressed as it says, or was cut off.
        :raises TooMuchContent: more came out of it than the limit.
        """
        if size is None or size < 0:
            return self.readall()
        if self.closed:
            raise ValueError("it was closed")
        if not size:
            return b""
        try:
            block = self._read(size)
        except RequestError as error:
            error.filename = self.key
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        return block

    def readall(self) -> bytes:
        """Return all bytes that are left."""
        blocks = []
        while block := self.read(_BLOCK):
            blocks.append(block)
        return b"".join(blocks)

    def readinto(self, room: Buffer, /) -> int:
        """Fill the beginning of some room; return how many bytes, 0 at the end."""
        view = memoryview(room).cast("B")
        block = self.read(len(view))
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give back what it holds; it may be called twice."""
        if not self.closed:
            super().close()
            self._end()


def fetched(
    answer: Answer, key: str, wanted: ByteRange, *, decompress: bool, limit: int | None
) -> Fetched:
    """Return what a server answers to who wants some bytes of an object.

    :raises RequestError: it says no, or answers something else; the answer has ended.
    """
    if answer.status == 416:
        said = _SIZE.fullmatch(answer.header("content-range"))
        failure = answer.failure()
        if isinstance(failure, RangeNotSatisfiable) and said is not None:
            failure.size = int(said[1])
        raise failure
    try:
        description = described(answer.checked(), key)
        span = _span(answer, wanted)
        if span is not None and decompress and description.compression is not None:
            raise StoredCompressed(
                "the object is compressed, and ranges are of stored bytes: give decompress=False",
                status=answer.status,
                key=key,
            )
        read = answer.read if span is None else _Exactly(answer, span.end - span.start).read
        return Fetched(
            key, description, read, answer.close, decompress=decompress, limit=limit, span=span
        )
    except BaseException:
        answer.close()
        raise


def described(answer: Answer, key: str) -> Description:
    """Return what an answer says of an object.

    :raises AnswerBroken: it says nothing that makes sense.
    """
    try:
        return Description.of_response(answer.headers)
    except ValueError as error:
        raise AnswerBroken(f"the description is none: {error}", key=key) from error


def _span(answer: Answer, wanted: ByteRange) -> Span | None:
    """Return which bytes come; None: all.

    :raises AnswerBroken: they are not those that are wanted.
    """
    if wanted == WHOLE and answer.status != 206:
        return None
    said = _RANGE.fullmatch(answer.header("content-range")) if answer.status == 206 else None
    span = Span(int(said[1]), int(said[2]) + 1, int(said[3])) if said is not None else None
    if span is None or span != wanted.of(span.size):
        raise answer.broken(f"it has not the bytes that were asked for, {wanted.header()}")
    return span


class _Exactly:
    """So many bytes of an answer, no more and no fewer."""

    def __init__(self, answer: Answer, size: int) -> None:
        self._answer = answer
        self._left = size

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end.

        :raises AnswerBroken: there are more or fewer.
        """
        block = self._answer.read(size)
        self._left -= len(block)
        if self._left < 0 or (self._left and not block):
            raise self._answer.broken("it has more bytes than it says, or fewer")
        return block
