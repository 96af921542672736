"""Bytes to be stored as one object: measured, sent, and sent again.

Every content knows its size and its MD5 before anything is sent, and can be sent any number of
times:

- **held** in memory;
- a **file of the system**, or part of one: hashed in a real thread where there is a hub, and read
  in one, a block ahead, while it is sent, so that a slow disk stops no hub;
- **re-read**: anything else that can seek, from its position each time it is sent.

What the caller's source raises while it is sent comes as :class:`SourceFailed`, so that
no library takes it for a failure of the network; whoever called for the sending unwraps it.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .blocks import BLOCK, Block, Readable, blocks_of
from .concurrency import Beside
from .errors import StreamBroken
from .hashing import MD5, FileMD5, md5_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .events import Progress


class Seekable(Readable, Protocol):
    """What can be read again."""

    def seek(self, position: int, /) -> int:
        """Go to a position."""

    def tell(self) -> int:
        """Return the position."""


class SystemFile(Seekable, Protocol):
    """An open file of the operating system, or part of one. Any thread can read it."""

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room``; return how many bytes, fewer only at the end."""


class Content(Protocol):
    """Bytes to be stored under one name. Belongs to one thread or greenlet at a time."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def etag(self) -> str:
        """MD5 in hexadecimal digits."""

    def body(self) -> bytes | _FileBody:
        """Return all the bytes from the beginning, in the form in which they are sent.

        :raises SourceFailed: here, or while they are taken.
        """

    def release(self) -> None:
        """Leave the caller's source alone: nobody reads it until ``body`` is called again."""

    def close(self) -> None:
        """Give up what is on the disk. It is not used after that."""


class SourceFailed(Exception):
    """Carries what the caller's source raised, past everything that handles errors of a network."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Told:
    """Another content, of which somebody is told how much was taken.

    From the beginning again when it is sent again.
    """

    def __init__(self, content: Content, progress: Progress) -> None:
        self._content = content
        self._progress = progress

    @property
    def size(self) -> int:
        """Bytes."""
        return self._content.size

    @property
    def etag(self) -> str:
        """MD5 in hexadecimal digits."""
        return self._content.etag

    def body(self) -> _FileBody:
        """Return all the bytes from the beginning, told as they are taken."""
        body = self._content.body()
        file = io.BytesIO(body) if isinstance(body, bytes) else body
        size, taken = self.size, 0

        def read(wanted: int) -> Block:
            nonlocal taken
            block = file.read(min(wanted, BLOCK))
            taken += len(block)
            self._progress(taken, size)
            return block

        return _FileBody(read, size)

    def release(self) -> None:
        """Leave the caller's source alone."""
        self._content.release()

    def close(self) -> None:
        """Give up what is on the disk."""
        self._content.close()


def whole(content: Content) -> bytes:
    """Return all the bytes at once, or raise what the caller's source raised."""
    try:
        body = content.body()
        return body if isinstance(body, bytes) else b"".join(map(bytes, blocks_of(body)))
    except SourceFailed as failed:
        raise failed.error from failed.error.__cause__
    finally:
        content.release()


class _NotReadAhead:
    """Content whose source nobody reads but who sends it."""

    def release(self) -> None:
        """Do nothing: nobody reads it now."""

    def close(self) -> None:
        """Do nothing: what it has is its caller's."""


class Held(_NotReadAhead):
    """Content in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.etag = md5_of(data)

    def body(self) -> bytes:
        """Return the bytes themselves."""
        return self._data


class Slice(_NotReadAhead):
    """Some of what is in memory. It is not copied."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)
        self.etag = md5_of(data)

    def body(self) -> _FileBody:
        """Return what reads the bytes."""
        position = 0

        def read(size: int) -> Block:
            nonlocal position
            block = self._data[position : position + min(size, BLOCK)]
            position += len(block)
            return block

        return _FileBody(read, self.size)


class Reread(_NotReadAhead):
    """A seekable file, hashed from its position, that stays its caller's to close.

    :param start: the position of the content.
    :param blocks: the content, read from there.
    """

    def __init__(self, file: Seekable, start: int, blocks: Iterable[Block]) -> None:
        digest = MD5(overlapping=True)
        self.size = 0
        for block in blocks:
            digest.update(block)
            self.size += len(block)
        self.etag = digest.hexdigest()
        self._file = file
        self._start = start

    def body(self) -> _FileBody:
        """Go back to the position where the content began."""
        with carrying():
            self._file.seek(self._start)
        return _FileBody(lambda size: checked(self._file.read(size)), self.size)


class OnDisk:
    """A file of the system, hashed from its position, and read anew each time it is sent.

    :param size: bytes, if it must not have fewer; more are left alone.
    :param check: called with the bytes hashed so far; what it raises ends the hashing.
    :raises StreamBroken: it has fewer.
    """

    def __init__(
        self,
        file: SystemFile,
        *,
        size: int | None = None,
        check: Callable[[int], None] = lambda _: None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = file
        self._start = file.tell()
        self._close = close
        self._ahead: _Ahead | None = None
        digest = FileMD5(file.readinto)
        while digest.more():
            check(digest.size)
        if size is not None and digest.size < size:
            raise _shorter(digest.size, size)
        self.size = digest.size
        self.etag = digest.hexdigest()

    def body(self) -> _FileBody:
        """Go back to the position where the content began."""
        with carrying():
            self._file.seek(self._start)
        self._ahead = _Ahead(self._file, self.size)
        return _FileBody(self._ahead.read, self.size)

    def release(self) -> None:
        """Wait until nobody reads ahead."""
        if self._ahead is not None:
            self._ahead.join()

    def close(self) -> None:
        """Give up the file, if it is ours."""
        self._close()


class Window:
    """Some bytes of a file of the system, with a position of their own.

    :param start: in the file.
    """

    def __init__(self, fileno: int, start: int, size: int) -> None:
        self._fileno = fileno
        self._start = start
        self._size = size
        self._position = 0

    def tell(self) -> int:
        """Return the position, from the first of the bytes."""
        return self._position

    def seek(self, position: int, /) -> int:
        """Go to a position, from the first of the bytes."""
        self._position = position
        return position

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        left = self._size - self._position
        wanted = left if size < 0 else min(size, left)
        block = os.pread(self._fileno, wanted, self._start + self._position)
        self._position += len(block)
        return block

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room``; return how many bytes, fewer only at the end."""
        filled = 0
        room = room[: self._size - self._position]
        while filled < len(room):
            position = self._start + self._position
            count = os.preadv(self._fileno, [room[filled:]], position)
            if not count:
                break
            filled += count
            self._position += count
        return filled


class _Ahead:
    """Reads a file of the system one block ahead, in a real thread.

    What it returns is good until the next is asked for.

    :param size: bytes that it may take from the file.
    """

    def __init__(self, file: SystemFile, size: int) -> None:
        self._file = file
        self._left = size
        self._rooms = [memoryview(bytearray(min(BLOCK, size))) for _ in range(2)]
        # What was read and not asked for yet; and the room that is being filled, by whom.
        self._rest = memoryview(b"")
        self._next: tuple[memoryview, Beside[int]] | None = None

    def read(self, size: int) -> Block:
        """Return at most ``size`` of the next bytes, and begin to read more.

        As long as few are asked for, nobody reads ahead.
        """
        if not self._rest and self._next is None and size < BLOCK:
            block = self._file.read(min(size, self._left))
            self._left -= len(block)
            return block
        if not self._rest:
            self._rest = self._finish()
            if self._rest:
                self._begin()
        wanted, self._rest = self._rest[:size], self._rest[size:]
        return wanted

    def join(self) -> None:
        """Wait until the file is left alone."""
        if self._next is not None:
            self._next[1].join()

    def _begin(self) -> None:
        self._rooms.reverse()
        room = self._rooms[0][: self._left]
        if room:
            self._left -= len(room)
            self._next = room, Beside(self._file.readinto, room)

    def _finish(self) -> memoryview:
        if self._next is None:
            self._begin()
        if self._next is None:
            return memoryview(b"")
        room, reading = self._next
        count = reading.result()
        self._next = None  # Not before: if the wait was interrupted, it is still being read.
        return room[:count]


class _FileBody:
    """Exactly ``size`` bytes of a file, for one request."""

    def __init__(self, read: Callable[[int], Block], size: int) -> None:
        self._read = read
        self._size = self._left = size

    def read(self, size: int = -1, /) -> Block:
        """Return the next bytes; never fewer in all than were promised to Swift."""
        wanted = self._left if size < 0 else min(size, self._left)
        with carrying():
            # No more than asked for, whatever the file thinks: it would follow the request.
            block = self._read(wanted)[:wanted] if wanted else b""
            self._left -= len(block)
            if wanted and not block:
                raise _shorter(self._size - self._left, self._size)
        return block


def _shorter(received: int, expected: int) -> StreamBroken:
    return StreamBroken(
        "the file became shorter while it was sent", received=received, expected=expected
    )


@contextmanager
def carrying() -> Iterator[None]:
    """Say of what is raised here that it is the caller's source that failed."""
    try:
        yield
    except SourceFailed:  # Of another body inside.
        raise
    except Exception as error:
        raise SourceFailed(error) from error


def checked(block: object) -> bytes:
    """Return what a source gave, if that is bytes.

    :raises BlockingIOError: it has none right now.
    :raises TypeError: it is something else.
    """
    if isinstance(block, bytes):
        return block
    if isinstance(block, (bytearray, memoryview)):
        return bytes(block)  # Their owner may fill them anew while they are still hashed.
    if block is None:
        raise BlockingIOError("a non-blocking file has no bytes right now; open it blocking")
    raise TypeError(f"content must give bytes, not {type(block)}: open files with 'rb'")
