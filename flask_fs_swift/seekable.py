"""An object as a file that seeks: what is asked for is fetched, and a little more.

Each piece is fetched with a range and the ETag of the first one, so that a file is one
version of its object: if that is replaced, reading goes no further. While reads follow each
other the pieces grow, from 64 KiB to 64 MiB; what is read from its first byte to its
last, however it was cut, is verified at the end.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Protocol

from .conditions import NO_CONDITIONS, of_version
from .errors import ETagMismatchError
from .hashing import MD5
from .ranges import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from .conditions import Conditions
    from .streams import ObjectStream

#: Bytes of the first piece, with which most files are read by one request.
FIRST = 256 * 1024
#: Bytes of the first piece after a seek, and of the buffer.
PIECE = 64 * 1024
#: Times the piece before, while reads follow each other.
GROWTH = 4
#: Bytes.
LONGEST_PIECE = 64 * 1024 * 1024
#: Bytes that are rather read and dropped than a connection.
WORTH_A_CONNECTION = 256 * 1024


class OpenRange(Protocol):
    """Opens part of the object for reading."""

    def __call__(self, wanted: ByteRange, conditions: Conditions, /) -> ObjectStream:
        """Return the bytes, of a version of which the conditions hold."""


class ObjectFile(io.RawIOBase):
    """One version of an object as a raw file. Belongs to one thread or greenlet at a time.

    It holds a connection while part of a piece is unread. Lives until it is closed.

    :param on_end: called when it is closed, other than by being dropped, with the bytes that
        were read and the error that ended it, if one did.
    """

    def __init__(
        self, open_range: OpenRange, on_end: Callable[[int, BaseException | None], None]
    ) -> None:
        self._open_range = open_range
        self._on_end: Callable[[int, BaseException | None], None] | None = on_end
        self._failure: BaseException | None = None
        stream = open_range(ByteRange(0, FIRST), NO_CONDITIONS)
        self.info = stream.info
        # None: of no known size, so it can only be read from its beginning.
        self._size = self.info.size
        #: Bytes handed over so far.
        self.received = 0
        self._position = 0
        # The piece that is being read, where its next byte is, and where it ends.
        self._stream: ObjectStream | None = stream
        self._at = 0
        self._end = min(FIRST, self._size or 0)
        self._piece = FIRST
        # The MD5 of what was read, as long as it was all from the beginning. What comes in
        # one piece is verified by its stream.
        self._expected = stream.md5_of_object if self._end != self._size else None
        self._digest = MD5()
        self._hashed = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True, but for an object of no known size."""
        return self._size is not None

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position and return it; nothing is fetched.

        :raises ValueError: it is before the beginning.
        :raises io.UnsupportedOperation: the object has no known size.
        """
        self._check_open()
        if self._size is None:
            raise io.UnsupportedOperation(f"the size of {self.info.name!r} is not known")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"no position is before the beginning: {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the beginning of a buffer with the next bytes; return how many, 0 at the end.

        :raises ObjectChanged: the object was replaced or deleted since the file was opened.
        :raises FSError: as ``ObjectStream.read``.
        """
        self._check_open()
        room = memoryview(buffer).cast("B")
        try:
            if self._size is None:
                return self._read_on(room)
            left = self._size - self._position
            return self._read_some(room, self._next_piece()) if room and left > 0 else 0
        except BaseException as error:
            self._failure = error
            self.close()
            raise

    def readall(self) -> bytes:
        """Return all that is left; what of it was not fetched yet with one request.

        :raises FSError: as :meth:`readinto`.
        """
        if self._size is None:
            return super().readall()
        self._check_open()
        gathered = io.BytesIO(bytes(max(self._size - self._position, 0)))
        try:
            with gathered.getbuffer() as room:
                filled = 0
                while filled < len(room):
                    filled += self._read_some(room[filled:], self._size)
        except BaseException as error:
            self._failure = error
            self.close()
            raise
        return gathered.getvalue()

    def _read_on(self, room: memoryview) -> int:
        """Read what comes, to an end that nobody knows."""
        count = self._stream.readinto(room) if self._stream is not None else 0
        self._position += count
        self.received += count
        return count

    def _read_some(self, room: memoryview, piece: int) -> int:
        stream = self._reach(piece)
        count = stream.readinto(room[: self._end - self._at])
        self._hash(room[:count])
        self._position = self._at = self._at + count
        self.received += count
        return count

    def _next_piece(self) -> int:
        follows = self._position == self._at
        return min(self._piece * GROWTH, LONGEST_PIECE) if follows else PIECE

    def _reach(self, piece: int) -> ObjectStream:
        """Return a stream that goes on at the position; a new one has so many bytes."""
        ahead = self._position - self._at
        if self._stream is not None and 0 < ahead < min(PIECE, self._end - self._at):
            self._at += len(self._stream.read(ahead))
        if self._stream is not None and self._position == self._at < self._end:
            return self._stream
        self._let_go()
        self._piece = piece
        size = self._size or 0
        self._at, self._end = self._position, min(self._position + piece, size)
        end = None if self._end == size else self._end
        self._stream = self._open_range(ByteRange(self._at, end), of_version(self.info.etag))
        return self._stream

    def _let_go(self) -> None:
        """End the piece that is being read; its connection is kept where that costs little."""
        stream, self._stream = self._stream, None
        if stream is not None:
            if self._end - self._at <= WORTH_A_CONNECTION and self._failure is None:
                stream.read()
            stream.close()

    def _hash(self, block: memoryview) -> None:
        if self._expected is None or self._position != self._hashed:
            return
        self._digest.update(block)
        self._hashed += len(block)
        if self._hashed == self._size:
            self._verify(self._expected)
        self._digest.join()  # The buffer is its owner's again.

    def _verify(self, expected: str) -> None:
        actual = self._digest.hexdigest()
        if actual != expected:
            raise ETagMismatchError(
                f"{self.info.name!r} was read with MD5 {actual}, stored with {expected}",
                filename=self.info.name,
                expected=expected,
                actual=actual,
            )

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def close(self) -> None:
        """Give back the connection. Closing again does nothing."""
        if self.closed:
            return
        super().close()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self.received, self._failure)

    def drop(self) -> None:
        """Close, and tell nobody: a finaliser must not wait, and a hook may."""
        self._on_end = None
        if self._stream is not None:
            self._stream.drop()
        super().close()


class BinaryReader(io.BufferedReader):
    """An object as a binary file. Dropped without being closed, it tells no hook."""

    def __init__(self, file: ObjectFile) -> None:
        super().__init__(file, PIECE)
        self._file = file

    def __del__(self) -> None:
        self._file.drop()


class TextReader(io.TextIOWrapper):
    """An object as a text file in UTF-8. Dropped without being closed, it tells no hook."""

    def __init__(self, file: ObjectFile) -> None:
        super().__init__(BinaryReader(file), encoding="utf-8")
        self._file = file

    def __del__(self) -> None:
        self._file.drop()
