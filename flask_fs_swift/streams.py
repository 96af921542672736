"""Bytes on their way out of a storage: counted, hashed, resumed where they break.

An :class:`ObjectStream` holds the connection over which its bytes come, and gives it
back with the last byte, on ``close()``, on an error, or when it is dropped. It never
ends short in silence: it hands over every byte of one version of the object, or raises.
"""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from .blocks import BLOCK
from .concurrency import breathe
from .errors import ETagMismatchError, RangeNotSatisfiable, StreamBroken
from .hashing import MD5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from .objects import ObjectInfo
    from .ranges import ByteRange, Span

#: Bytes.
CHUNK_SIZE = 1024 * 1024
#: Bytes that are read in one piece, without room of their own, if they come at once.
PIECE = 64 * 1024


def check_chunk_size(size: int) -> int:
    """Return the size of a chunk.

    :raises ValueError: it is not a whole number of bytes, 1 or more.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"chunk_size must be at least 1 byte, not {size}")
    return size


class Download(Protocol):
    """The rest of one answer, and the connection it comes over."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end of the answer.

        :raises ConnectionError: the network failed.
        """

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room``; return how many bytes, 0 at the end of the answer.

        :raises ConnectionError: the network failed.
        """

    def finish(self) -> None:
        """Give back the connection: everything was read."""

    def abort(self) -> None:
        """Give up the connection: part of the answer may still be on it.

        May run in a finaliser: it waits for nothing.
        """


class Resume(Protocol):
    """Asks for the rest of an object, after a download has broken."""

    def __call__(self, received: int, cause: Exception | None, /) -> Download:
        """Return the bytes after the first ``received``, of the same version.

        :raises ObjectChanged: there is another version now.
        :raises StreamBroken: enough is enough.
        """


class ObjectStream:
    """The content of one object: iterable, readable, a context manager.

    Lives until its last byte was read or it was closed; closing it again does nothing.
    Iterating yields chunks of ``chunk_size`` bytes, the last one shorter. It is read by one
    thread or greenlet at a time, and closed by any: who is reading then gets an error.

    :param span: the bytes that it hands over; None: what comes until the end.
    """

    def __init__(
        self,
        name: str,
        download: Download,
        *,
        describe: Callable[[], ObjectInfo],
        resume: Resume,
        md5_of_object: str | None,
        span: Span | None,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        #: Bytes handed over so far.
        self.received = 0
        #: Which bytes it hands over; None: all, and Swift does not say how many.
        self.span = span
        #: The MD5 of the whole object; None where Swift does not say it.
        self.md5_of_object = md5_of_object
        #: Called once, when the stream is closed other than by being dropped, with the
        #: bytes handed over and the error that ended it, if one did. It must not refer
        #: to the stream: one in a cycle is not dropped before the next collection.
        self.on_end: Callable[[int, BaseException | None], None] | None = None
        self._chunk_size = chunk_size
        self._name = name
        self._describe = describe
        self._size = None if span is None else span.end - span.start
        is_whole = span is None or self._size == span.size
        self._expected = md5_of_object if is_whole else None
        self._digest = MD5() if self._expected else None
        self._resume = resume
        self._download: Download | None = download
        self._closed = False
        if self._size == 0:
            self._complete()

    @cached_property
    def info(self) -> ObjectInfo:
        """What is being read."""
        return self._describe()

    def present(
        self, info: ObjectInfo, errors: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Pass for the content of another object, as which others know it.

        :param errors: a block in which what resuming raises is made to tell of that.
        """
        resume = self._resume

        def resumed(received: int, cause: Exception | None, /) -> Download:
            with errors():
                return resume(received, cause)

        self._name = info.name
        self._describe = lambda: info
        self._resume = resumed

    def read(self, size: int | None = -1) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end; all that are left by default.

        :raises ETagMismatchError: these were the last bytes, and the whole is not what
            was stored. They are not returned.
        :raises StreamBroken: the transfer broke, and could not be resumed.
        :raises ObjectChanged: it broke, and the object is another one now.
        :raises ValueError: it is closed, maybe since this began.
        """
        self._check_open()
        try:
            return self._read(-1 if size is None else size)
        except BaseException as error:
            self._end(error)
            raise

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer with the next bytes; return how many, fewer only at the end.

        :raises FSError: as :meth:`read`; what is in the buffer then is not to be used.
        """
        room = memoryview(buffer).cast("B")
        if self._closed or self._size is None:
            block = self.read(len(room))
            room[: len(block)] = block
            return len(block)
        try:
            return self._fill(room[: self._size - self.received])
        except BaseException as error:
            self._end(error)
            raise

    def _read(self, size: int) -> bytes:
        if self._size is None:
            return self._read_unmeasured(size)
        left = self._size - self.received
        wanted = left if size < 0 else min(size, left)
        block = b""
        if wanted <= PIECE:
            block = self._next(wanted) if wanted else b""
            if len(block) == wanted:
                return block
        # A buffer that is filled in place and handed out as it is: nothing is copied.
        room = io.BytesIO(bytes(wanted))
        with room.getbuffer() as view:
            view[: len(block)] = block
            self._fill(view[len(block) :])
        return room.getvalue()

    def _read_unmeasured(self, size: int) -> bytes:
        gathered = io.BytesIO()
        missing = size
        while missing and (block := self._next(PIECE if missing < 0 else min(missing, PIECE))):
            gathered.write(block)
            missing -= len(block) if size > 0 else 0
        return gathered.getvalue()

    def _next(self, wanted: int) -> bytes:
        """Return at least one of the next bytes; none at an end that was not measured."""
        while (download := self._download) is not None:
            cause = None
            try:
                block = download.read(wanted)
            except ConnectionError as error:
                block, cause = b"", error
            if block:
                self.received += len(block)
                self._hash(block)
                return block
            if cause is None and self._size is None and not self._closed:
                self._complete()
                return b""
            self._reopen(cause)
        self._check_open()
        return b""

    def _fill(self, room: memoryview) -> int:
        """Fill all of ``room``, which is no more than what is left; return its size."""
        filled = hashed = 0
        try:
            while filled < len(room):
                filled += self._receive_into(room[filled:])
                if filled - hashed >= BLOCK or filled == len(room):
                    self._hash(room[hashed:filled])
                    hashed = filled
                    breathe()  # Sockets that are never empty never let other greenlets run.
        finally:
            if self._digest is not None:
                self._digest.join()  # The room is its owner's again, who may free it.
        return filled

    def _receive_into(self, room: memoryview) -> int:
        while (download := self._download) is not None:
            cause = None
            try:
                count = download.readinto(room)
            except ConnectionError as error:
                count, cause = 0, error
            if count:
                self.received += count
                return count
            self._reopen(cause)
        self._check_open()
        raise AssertionError("more was asked of a stream than it has")

    def _hash(self, block: bytes | memoryview) -> None:
        if self._digest is not None:
            self._digest.update(block)
        if self.received == self._size:
            self._complete()

    def _reopen(self, cause: Exception | None) -> None:
        broken, self._download = self._download, None
        if broken is not None:
            broken.abort()
        self._check_open(cause)
        if self._size is None:
            raise StreamBroken(
                f"{self._name!r} broke after {self.received} bytes, of unknown size",
                filename=self._name,
                received=self.received,
            ) from cause
        self._download = self._resume(self.received, cause)
        # Who closes it says so before taking the download: one of us sees the other.
        self._check_open(cause)

    def _check_open(self, cause: Exception | None = None) -> None:
        if self._closed:
            raise ValueError("read of a closed stream") from cause

    def _complete(self) -> None:
        actual = self._digest.hexdigest() if self._digest is not None else None
        if actual != self._expected:
            raise ETagMismatchError(
                f"{self._name!r} was read with MD5 {actual}, stored with {self._expected}",
                filename=self._name,
                expected=self._expected,
                actual=actual,
            )
        download, self._download = self._download, None
        if download is not None:
            download.finish()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = b"" if self._closed else self.read(self._chunk_size)
        if not chunk:
            self.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Give back the connection. What was not read stays unread."""
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._let_go()
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self.received, error)

    def _let_go(self) -> None:
        self._closed = True
        download, self._download = self._download, None
        if download is not None:
            download.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._end(error)

    def drop(self) -> None:
        """Close, and tell nobody: a finaliser must not wait, and a hook may."""
        self.on_end = None
        self._let_go()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.drop()


def stream_of(info: ObjectInfo, data: bytes, wanted: ByteRange, chunk_size: int) -> ObjectStream:
    """Return a stream of content that is in memory.

    :raises RangeNotSatisfiable: it has none of the bytes that are wanted.
    """
    found = wanted.of(len(data))
    if found is None:
        raise RangeNotSatisfiable(
            f"{info.name!r} has {len(data)} bytes, and none of those",
            filename=info.name,
            size=len(data),
        )
    return ObjectStream(
        info.name,
        _InMemory(data if found.is_whole else data[found.start : found.end]),
        describe=lambda: info,
        resume=_never_breaks,
        md5_of_object=info.etag,
        span=found,
        chunk_size=chunk_size,
    )


class _InMemory:
    """A download from memory: it never breaks and holds nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        block = self._data[self._at : self._at + size]
        self._at += len(block)
        return block

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room`` with the next bytes."""
        block = self.read(len(room))
        room[: len(block)] = block
        return len(block)

    def finish(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


def _never_breaks(_received: int, _cause: Exception | None, /) -> Download:
    raise AssertionError("memory does not break")
