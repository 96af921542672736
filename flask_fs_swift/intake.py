"""Take what a caller wants to store: say how it can be sent, as one object or in parts.

Everything is read from its present position to its end. What is not known to be longer is read
up to 4 MiB before anything is sent; most content ends there, and is then held in memory. What is
longer and can be read only once goes to a temporary file.

What is longer than a part comes as :class:`Parts`, each opened and hashed by who sends it. Bytes
and files of the system are cut where they are. What only one reader can read is spooled part by
part, each into a temporary file of its own.

A part is as long as the caller says, and every 10,000 parts twice as long as before: so what
the largest object can have needs no more than 100,000 parts.
"""

from __future__ import annotations

import io
import itertools
import os
import tempfile
from collections.abc import Iterable
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, cast, overload

from .blocks import BLOCK, Block, Readable, is_readable
from .concurrency import below_hub, off_hub
from .content import Content, Held, OnDisk, Reread, Seekable, Slice, SystemFile, Window, checked
from .errors import FileTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Bytes read before sending; more can no longer be held in memory.
HELD = 4 * 1024 * 1024
#: Parts after which the next are twice as long.
GROWTH = 10_000
#: Bytes that no part exceeds by growing: what Swift takes as one object, unless told otherwise.
LARGEST_PART = 5 * 1024**3

#: What ``write`` takes.
RawContent: TypeAlias = "str | bytes | bytearray | memoryview | Readable | Iterable[bytes]"
#: Opens a part: hashes it, in the thread or greenlet that will send it and close it.
OpenPart: TypeAlias = "Callable[[], Content]"


class Parts:
    """Content that is stored part by part. Lives until it is closed."""

    #: Bytes; None where only the last part will tell.
    size: int | None = None

    def __iter__(self) -> Iterator[OpenPart]:
        """Yield the parts in order, once; only one thread or greenlet may ask for them."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up what is on the disk."""


@overload
def take(raw: RawContent, *, filename: str, limit: int | None = ...) -> Content: ...


@overload
def take(
    raw: RawContent, *, filename: str, limit: int | None, part_size: int | None
) -> Content | Parts: ...


def take(
    raw: RawContent, *, filename: str, limit: int | None = None, part_size: int | None = None
) -> Content | Parts:
    """Read the beginning of what a caller wants to store, and say how it can be sent.

    :param limit: bytes; None: no limit.
    :param part_size: bytes; what is longer comes in parts. None: nothing does.
    :raises FileTooLarge: there are more bytes than that. Content of unknown size that comes in
        parts raises it when the part is asked for.
    :raises TypeError: this is nothing that can be stored.
    :raises OSError: the disk for temporary files is full.
    """
    if isinstance(raw, str):
        raw = raw.encode()
    if isinstance(raw, (bytes, bytearray, memoryview)):
        data = bytes(raw)
        if limit is not None:
            _Meter(filename, limit).check(len(data))
        return _in_memory(data, part_size)
    meter = _Meter(filename, limit)
    file = _system_file(raw)
    size = _size_ahead(file) if file is not None else 0
    if file is not None and size > HELD:
        meter.check(size)
        if part_size is None or size <= part_size:
            return OnDisk(file, check=meter.check)
        return _FileParts(file, size, part_size)
    return _read(raw, _Source(_reader(raw), meter), part_size)


def _in_memory(data: bytes, part_size: int | None) -> Content | Parts:
    if part_size is None or len(data) <= part_size:
        return Held(data)
    return _SlicedParts(memoryview(data), part_size)


def _read(raw: object, source: _Source, part_size: int | None) -> Content | Parts:
    """Say how to send what can only be read, by its caller's thread."""
    head = source.read_up_to(HELD + 1)
    if len(head) <= HELD:
        return _in_memory(head, part_size)
    if _is_seekable(raw):
        start = raw.tell() - len(head)
        if part_size is None or _length_from(raw, start) <= part_size:
            return Reread(raw, start, itertools.chain([head], source))
    return _spooled(_Blocks(head, source), part_size)


def _spooled(blocks: _Blocks, part_size: int | None) -> Content | Parts:
    if part_size is None:
        return _spool(blocks, None).open()
    parts = _SpooledParts(blocks, part_size)
    if not parts.are_one():
        return parts
    [open_one] = parts
    return open_one()


class _SlicedParts(Parts):
    """What is in memory, cut where it is."""

    def __init__(self, data: memoryview, part_size: int) -> None:
        self._data = data
        self._part_size = part_size
        self.size = len(data)

    def __iter__(self) -> Iterator[OpenPart]:
        for start, size in _cuts(len(self._data), self._part_size):
            yield partial(Slice, self._data[start : start + size])


class _FileParts(Parts):
    """A file of the system, cut where it is. Its position is at its end, as if it had been read."""

    def __init__(self, file: _BufferedFile, size: int, part_size: int) -> None:
        self._fileno = file.fileno()
        self._start = file.tell()
        self._part_size = part_size
        self.size = size
        file.seek(self._start + size)

    def __iter__(self) -> Iterator[OpenPart]:
        for start, size in _cuts(self.size or 0, self._part_size):
            window = Window(self._fileno, self._start + start, size)
            yield partial(OnDisk, window, size=size)


class _SpooledParts(Parts):
    """What one reader can read, part by part in temporary files; the next is filled when asked for.

    ``_spools`` has those that may still be open.
    """

    def __init__(self, blocks: _Blocks, part_size: int) -> None:
        self._blocks = blocks
        self._lengths = _lengths(part_size)
        self._spools = [_spool(blocks, next(self._lengths))]

    def are_one(self) -> bool:
        """Tell, before the first was asked for, whether there is no other."""
        return self._blocks.are_over()

    def __iter__(self) -> Iterator[OpenPart]:
        yield self._spools[0].open
        while not self._blocks.are_over():
            spool = _spool(self._blocks, next(self._lengths))
            self._spools = [spool, *(other for other in self._spools if other.is_open())]
            yield spool.open

    def close(self) -> None:
        """Remove the temporary files."""
        for spool in self._spools:
            spool.close()


class _Spool:
    """A temporary file with a part. Who opened the part closes it; or else we do."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def open(self) -> Content:
        """Hash the part; the file is removed when that is closed."""
        file = cast("SystemFile", self._file)
        return OnDisk(file, close=self._file.close)

    def is_open(self) -> bool:
        return not self._file.closed

    def close(self) -> None:
        self._file.close()


def _spool(blocks: _Blocks, size: int | None) -> _Spool:
    """Fill a temporary file with the next bytes.

    :param size: how many, at most; None: all that there are.
    """
    file = tempfile.TemporaryFile(buffering=BLOCK)  # noqa: SIM115
    try:
        while block := blocks.next(size):
            # Disks are slow, and memory may be full of what they have still to take.
            (off_hub(file.write, block) if below_hub() else file.write(block))
            size = None if size is None else size - len(block)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return _Spool(file)


class _Blocks:
    """What a source gives, cut as its reader wants it."""

    def __init__(self, head: bytes, source: _Source) -> None:
        self._rest = memoryview(head)
        self._source = iter(source)

    def next(self, size: int | None) -> memoryview:
        """Return the next bytes, at most so many and no more than a block; none at the end."""
        if size == 0 or self.are_over():
            return memoryview(b"")
        size = BLOCK if size is None else min(size, BLOCK)
        block, self._rest = self._rest[:size], self._rest[size:]
        return block

    def are_over(self) -> bool:
        """Tell whether there are no more, asking the source."""
        if not self._rest:
            self._rest = memoryview(next(self._source, b""))
        return not self._rest


def _cuts(size: int, part_size: int) -> Iterator[tuple[int, int]]:
    """Yield where each part begins, and its length, in bytes."""
    start = 0
    for length in _lengths(part_size):
        if start >= size:
            return
        yield start, min(length, size - start)
        start += length


def _lengths(part_size: int) -> Iterator[int]:
    """Yield how many bytes each part may have."""
    largest = max(part_size, LARGEST_PART)
    return (min(part_size << (number // GROWTH), largest) for number in itertools.count())


class _BufferedFile(SystemFile, Protocol):
    """An open file of the operating system."""

    def seek(self, position: int, whence: int = ..., /) -> int: ...

    def fileno(self) -> int: ...


def _system_file(raw: object) -> _BufferedFile | None:
    """Return the file of the system that this is, if any thread can read it as well as ours."""
    file = getattr(raw, "_file", None) if type(raw) is SpooledTemporaryFile else raw
    if type(file) not in {io.BufferedReader, io.BufferedRandom} or not _is_seekable(file):
        return None
    return cast("_BufferedFile", file) if type(getattr(file, "raw", None)) is io.FileIO else None


def _size_ahead(file: _BufferedFile) -> int:
    """Return the bytes from a file's position to its present end."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END) - position
    file.seek(position)
    return size


def _length_from(file: Seekable, start: int) -> float:
    """Return the bytes of a file from a position; it comes back to where it is."""
    position = file.tell()
    try:
        end = cast("io.IOBase", file).seek(0, os.SEEK_END)
    except (OSError, ValueError, TypeError):
        return float("inf")  # Some know no end.
    finally:
        file.seek(position)
    return end - start


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
        return lambda: checked(raw.read(BLOCK))
    if isinstance(raw, Iterable):
        blocks = iter(raw)
        return lambda: next(filter(None, map(checked, blocks)), b"")
    raise TypeError(
        f"content must be str, bytes, a binary file or an iterable of bytes, not {type(raw)}"
    )


def _is_seekable(raw: object) -> TypeGuard[Seekable]:
    """Tell whether a file can return to where it stands."""
    try:
        raw.seek(raw.tell())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False  # Pipes, sockets and streams say in these ways that they cannot.
    return is_readable(raw)
