"""What a caller hands to ``write``, as bytes that can be measured, sent, and sent again.

Everything is read from its present position to its end. What is not known to be longer
is read up to 4 MiB before anything is sent; most content ends there, and is then held
in memory:

- **held**: up to 4 MiB, or bytes to begin with. Size and MD5 are known, it can be
  sent any number of times.
- **re-read**: longer, and can seek. It is hashed first, then read again from its
  position each time it is sent.
- **passing**: longer, and can be read only once. Size and MD5 are known when it has
  passed; it can be sent again only until more than the first 4 MiB were taken from it.

Files of the system are hashed in a real thread where there is a hub, and read in one, a
block ahead, while they are sent: so a slow disk stops no hub.

What the caller's source raises while it is sent comes as :class:`SourceFailed`, so that
no library takes it for a failure of the network; whoever called for the sending unwraps it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, cast

from .blocks import BLOCK, Block, Readable, blocks_of, is_readable
from .concurrency import Beside
from .errors import FileTooLarge, StreamBroken
from .hashing import MD5, FileMD5, md5_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Progress

#: Bytes read before sending; more can no longer be held in memory.
HELD = 4 * 1024 * 1024


class Seekable(Readable, Protocol):
    """What can be read again."""

    def seek(self, position: int, /) -> int:
        """Go to a position."""

    def tell(self) -> int:
        """Return the position."""


class BufferedFile(Seekable, Protocol):
    """An open file of the operating system."""

    def seek(self, position: int, whence: int = ..., /) -> int:
        """Go to a position, or to the end."""

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room``; return how many bytes, fewer only at the end."""


#: What ``write`` takes.
RawContent: TypeAlias = "str | bytes | bytearray | memoryview | Readable | Iterable[bytes]"


class Content(Protocol):
    """Bytes to be stored under one name."""

    @property
    def size(self) -> int | None:
        """Bytes; None until all of a passing content has been sent."""

    @property
    def etag(self) -> str | None:
        """MD5 in hexadecimal digits; None like the size."""

    def body(self) -> bytes | _FileBody | Iterator[Block]:
        """Return all the bytes from the beginning, in the form in which they are sent.

        :raises SourceFailed: here, or while they are taken.
        """

    def is_whole(self) -> bool:
        """Tell whether ``body`` can still be called (again)."""

    def release(self) -> None:
        """Leave the caller's source alone: nobody reads it after this."""


class SourceFailed(Exception):
    """Carries what the caller's source raised, past everything that handles errors of a network."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def take(raw: RawContent, *, filename: str, limit: int | None = None) -> Content:
    """Read the beginning of what a caller wants to store, and say how it can be sent.

    :param limit: bytes; None: no limit.
    :raises FileTooLarge: there are more bytes than that. Content that passes raises it
        only while it is sent.
    :raises TypeError: this is nothing that can be stored.
    """
    if isinstance(raw, str):
        raw = raw.encode()
    if isinstance(raw, (bytes, bytearray, memoryview)):
        data = bytes(raw)
        if limit is not None:
            _Meter(filename, limit).check(len(data))
        return Held(data)
    meter = _Meter(filename, limit)
    file = _system_file(raw)
    size = _size_ahead(file) if file is not None else 0
    if file is not None and size > HELD:
        meter.check(size)
        return _File(file, meter)
    source = _Source(_reader(raw), meter)
    head = source.read_up_to(HELD + 1)
    if len(head) <= HELD:
        return Held(head)
    if _is_seekable(raw):
        return _Reread(raw, raw.tell() - len(head), head, source)
    return _Passing(head, source)


def _system_file(raw: object) -> BufferedFile | None:
    """Return the file of the system that this is, if any thread can read it as well as ours."""
    file = getattr(raw, "_file", None) if type(raw) is SpooledTemporaryFile else raw
    if type(file) not in {io.BufferedReader, io.BufferedRandom} or not _is_seekable(file):
        return None
    return cast("BufferedFile", file) if type(getattr(file, "raw", None)) is io.FileIO else None


def _size_ahead(file: BufferedFile) -> int:
    """Return the bytes from a file's position to its present end."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END) - position
    file.seek(position)
    return size


class Told:
    """Another content, of which somebody is told how much was taken.

    From the beginning again when it is sent again.
    """

    def __init__(self, content: Content, progress: Progress) -> None:
        self._content = content
        self._progress = progress

    @property
    def size(self) -> int | None:
        """Bytes; None until all of a passing content has been sent."""
        return self._content.size

    @property
    def etag(self) -> str | None:
        """MD5 in hexadecimal digits; None like the size."""
        return self._content.etag

    def body(self) -> _FileBody | Iterator[Block]:
        """Return all the bytes from the beginning, told as they are taken."""
        body = self._content.body()
        if isinstance(body, Iterator):
            return self._telling(body)
        file = io.BytesIO(body) if isinstance(body, bytes) else body
        size, taken = self.size or 0, 0

        def read(wanted: int) -> Block:
            nonlocal taken
            block = file.read(min(wanted, BLOCK))
            taken += len(block)
            self._progress(taken, size)
            return block

        return _FileBody(read, size)

    def is_whole(self) -> bool:
        """Tell whether ``body`` can still be called (again)."""
        return self._content.is_whole()

    def release(self) -> None:
        """Leave the caller's source alone."""
        self._content.release()

    def _telling(self, blocks: Iterator[Block]) -> Iterator[Block]:
        taken = 0
        for block in blocks:
            taken += len(block)
            with _carrying():
                self._progress(taken, None)
            yield block


def whole(content: Content) -> bytes:
    """Return all the bytes at once, or raise what the caller's source raised."""
    try:
        body = content.body()
        if isinstance(body, bytes):
            return body
        blocks = body if isinstance(body, Iterator) else blocks_of(body)
        return b"".join(map(bytes, blocks))
    except SourceFailed as failed:
        raise failed.error from failed.error.__cause__
    finally:
        content.release()


class _NotReadAhead:
    """Content whose source nobody reads but who sends it."""

    def release(self) -> None:
        """Do nothing: nobody reads it now."""


class Held(_NotReadAhead):
    """Content in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size: int | None = len(data)
        self.etag: str | None = md5_of(data)

    def body(self) -> bytes:
        """Return the bytes themselves."""
        return self._data

    def is_whole(self) -> bool:
        """Return True: memory does not run out."""
        return True


class _Reread(_NotReadAhead):
    """A seekable file, hashed from its position, that stays its caller's to close."""

    def __init__(self, file: Seekable, start: int, head: bytes, source: _Source) -> None:
        digest = MD5(overlapping=True)
        digest.update(head)
        for block in source:
            digest.update(block)
        self._file = file
        self._start = start
        self.size: int | None = source.counted
        self.etag: str | None = digest.hexdigest()

    def body(self) -> _FileBody:
        """Go back to the position where the content began."""
        with _carrying():
            self._file.seek(self._start)
        return _FileBody(lambda size: _checked(self._file.read(size)), self.size or 0)

    def is_whole(self) -> bool:
        """Return True: the file can be read again."""
        return True


class _File:
    """A file of the system, hashed from its position, and read anew each time it is sent."""

    def __init__(self, file: BufferedFile, meter: _Meter) -> None:
        self._file = file
        self._start = file.tell()
        self._ahead: _Ahead | None = None
        digest = FileMD5(file.readinto)
        while digest.more():
            meter.check(digest.size)
        self.size: int | None = digest.size
        self.etag: str | None = digest.hexdigest()

    def body(self) -> _FileBody:
        """Go back to the position where the content began."""
        size = self.size or 0
        with _carrying():
            self._file.seek(self._start)
        self._ahead = _Ahead(self._file, size)
        return _FileBody(self._ahead.read, size)

    def is_whole(self) -> bool:
        """Return True: the file can be read again."""
        return True

    def release(self) -> None:
        """Wait until nobody reads ahead."""
        if self._ahead is not None:
            self._ahead.join()


class _Ahead:
    """Reads a file of the system one block ahead, in a real thread.

    What it returns is good until the next is asked for.

    :param size: bytes that it may take from the file.
    """

    def __init__(self, file: BufferedFile, size: int) -> None:
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
        with _carrying():
            # No more than asked for, whatever the file thinks: it would follow the request.
            block = self._read(wanted)[:wanted] if wanted else b""
            self._left -= len(block)
            if wanted and not block:
                raise StreamBroken(
                    "the file became shorter while it was sent",
                    received=self._size - self._left,
                    expected=self._size,
                )
        return block


class _Passing(_NotReadAhead):
    """A stream or an iterable that can be read only once."""

    def __init__(self, head: bytes, source: _Source) -> None:
        self._head: bytes | None = head
        self._source = source
        self.size: int | None = None
        self.etag: str | None = None

    def is_whole(self) -> bool:
        """Tell whether nothing but the held beginning has been taken."""
        return self._head is not None

    def body(self) -> Iterator[Block]:
        """Yield what is held, then what the source still has; the size and MD5 are known after."""
        if self._head is None:
            raise RuntimeError("this content has passed and cannot be sent again")
        digest = MD5(overlapping=True)
        digest.update(self._head)
        yield from _cut(self._head)
        self._head = None
        with _carrying():
            for block in self._source:
                digest.update(block)
                yield from _cut(block)
        self.size = self._source.counted
        self.etag = digest.hexdigest()


def _cut(block: Block) -> Iterator[Block]:
    """Yield a block in pieces: a socket's time-out covers each piece that is sent."""
    if len(block) <= BLOCK:
        yield block
        return
    for start in range(0, len(block), BLOCK):
        yield block[start : start + BLOCK]


@contextmanager
def _carrying() -> Iterator[None]:
    try:
        yield
    except SourceFailed:  # Of another body inside.
        raise
    except Exception as error:
        raise SourceFailed(error) from error


class _Meter:
    """Counts bytes and refuses the one too many."""

    def __init__(self, filename: str, limit: int | None) -> None:
        self._filename = filename
        self._limit = limit
        self.counted = 0

    def count(self, size: int) -> None:
        self.counted += size
        self.check(self.counted)

    def check(self, counted: int) -> None:
        if self._limit is not None and counted > self._limit:
            raise FileTooLarge(
                f"{self._filename!r} has more than the {self._limit} bytes that are allowed",
                filename=self._filename,
                limit=self._limit,
            )


class _Source:
    """Blocks of at least one byte from a file or an iterable, metered."""

    def __init__(self, next_block: Callable[[], Block], meter: _Meter) -> None:
        self._meter = meter
        self._next = next_block

    @property
    def counted(self) -> int:
        return self._meter.counted

    def __iter__(self) -> Iterator[Block]:
        while block := self._next():
            self._meter.count(len(block))
            yield block

    def read_up_to(self, size: int) -> bytes:
        """Return at least ``size`` bytes, or all there are."""
        gathered = io.BytesIO()  # Unlike a list to be joined, it holds them only once.
        for block in self:
            if gathered.write(block) and gathered.tell() >= size:
                break
        return gathered.getvalue()


def _reader(raw: object) -> Callable[[], bytes]:
    if is_readable(raw):
        return lambda: _checked(raw.read(BLOCK))
    if isinstance(raw, Iterable):
        blocks = iter(raw)
        return lambda: next(filter(None, map(_checked, blocks)), b"")
    raise TypeError(
        f"content must be str, bytes, a binary file or an iterable of bytes, not {type(raw)}"
    )


def _checked(block: object) -> bytes:
    if isinstance(block, bytes):
        return block
    if isinstance(block, (bytearray, memoryview)):
        return bytes(block)  # Their owner may fill them anew while they are still hashed.
    if block is None:
        raise BlockingIOError("a non-blocking file has no bytes right now; open it blocking")
    raise TypeError(f"content must give bytes, not {type(block)}: open files with 'rb'")


def _is_seekable(raw: object) -> TypeGuard[Seekable]:
    """Tell whether a file can return to where it stands."""
    try:
        raw.seek(raw.tell())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False  # Pipes, sockets and streams say in these ways that they cannot.
    return is_readable(raw)
