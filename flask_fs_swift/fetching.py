"""Fetch an object into a file of this machine: its ranges at once, verified as a whole.

The first request is for the first 16 MiB, and says what there is: most objects are no longer.
What is left is asked for in ranges of that length, each with the ETag of the first, so
that the file is one version of its object. Each range is resumed by itself where it breaks.

A plain object that comes by one request is verified by its stream. The others are hashed in
order, beside the transfer, as far as their ranges have come: read back from the file, so that
what is verified is what was written. Of large objects each segment is, against the manifest.

State: ``_stopped`` is only ever set; ranges that see it end early. Which ranges have come is known
to the caller's thread or greenlet alone. ``_moved`` has a lock of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from .blocks import BLOCK
from .conditions import NO_CONDITIONS, of_version
from .errors import ETagMismatchError, FileNotFound, ObjectChanged
from .events import Moved
from .hashing import GrowingMD5
from .parallel import at_once
from .ranges import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from .conditions import Conditions
    from .events import Progress
    from .newfile import NewFile
    from .objects import ObjectInfo
    from .streams import ObjectStream

    #: Returns the size and the MD5 of each segment of a large object; none where there are no MD5s.
    Checksums: TypeAlias = "Callable[[ObjectInfo], Sequence[tuple[int, str]]]"

#: Bytes of a range.
RANGE = 16 * 1024 * 1024


class OpenRange(Protocol):
    """Opens part of the object for reading."""

    def __call__(self, wanted: ByteRange, conditions: Conditions, /) -> ObjectStream:
        """Return the bytes, of a version of which the conditions hold."""


def fetch_into(
    file: NewFile,
    open_range: OpenRange,
    checksums: Checksums,
    *,
    width: int,
    progress: Progress | None,
) -> ObjectInfo:
    """Write all of one version of an object into a file; return what it is.

    :param checksums: of the segments, asked for if it is a large object.
    :param width: requests at a time.
    :raises ObjectChanged: the object was replaced or deleted meanwhile.
    :raises ETagMismatchError: what was written is not what was stored.
    :raises FSError: as ``ObjectStream.read``.
    :raises OSError: the file could not be written.
    """
    with open_range(ByteRange(0, RANGE), NO_CONDITIONS) as first:
        info = first.info
        fetch = _Fetch(file, open_range, first, progress)
        if not info.is_manifest:
            # With one request the stream has all of it, and verifies it; or there is no MD5.
            in_ranges = first.md5_of_object is not None and (info.size or 0) > RANGE
            fetch.run(width, [(info.size or 0, first.md5_of_object or "")] if in_ranges else [])
            return info
        fetch.begin()
    # The list of segments is asked for when nothing is lent: there may be but one connection.
    fetch.run(width, checksums(info))
    return info


class _Fetch:
    """One transfer; lives as long as that."""

    def __init__(
        self,
        file: NewFile,
        open_range: OpenRange,
        first: ObjectStream,
        progress: Progress | None,
    ) -> None:
        self._file = file
        self._open_range = open_range
        self._first = first
        self._size = first.info.size
        self._same_version = of_version(first.info.etag)
        self._moved = Moved(first.info.size, progress)
        self._starts = range(RANGE, self._size or 0, RANGE)
        self._stopped = False
        # Ranges that came before the others were asked for: the first, or none.
        self._come = 0

    def begin(self) -> None:
        """Fetch the first range."""
        self._write(self._first, 0, alone=True)
        self._come = 1

    def run(self, width: int, sums: Sequence[tuple[int, str]]) -> None:
        """Fetch everything, or the rest.

        :param sums: sizes and MD5s of what the object is made of; none: it is not verified here.
        """
        width = max(1, min(width, 1 + len(self._starts) - self._come))
        digest = GrowingMD5(self._file.fileno, [size for size, _ in sums])
        try:
            self._run(width, digest, follow=bool(sums))
            for (_, expected), actual in zip(sums, digest.hexdigests(), strict=True):
                self._verify(expected, actual)
        except BaseException:
            self._stopped = True
            raise
        finally:
            digest.leave()

    def _run(self, width: int, digest: GrowingMD5, *, follow: bool) -> None:
        come: set[int] = set()
        complete = self._come
        if follow and complete:
            digest.follow(min(complete * RANGE, self._size or 0))
        with at_once(self._tasks(alone=width == 1), width) as results:
            try:
                self._moved.tell_until(results.wait)
                for index, _ in results:
                    come.add(self._come + index)
                    while complete in come:
                        complete += 1
                    if follow:
                        digest.follow(min(complete * RANGE, self._size or 0))
                    self._moved.tell()
                    self._moved.tell_until(results.wait)
            except BaseException:
                self._stopped = True  # Before what runs is waited for.
                raise
        self._moved.tell()

    def _tasks(self, *, alone: bool) -> Iterator[Callable[[], None]]:
        """Yield what fetches each range.

        :param alone: whether that is done in the caller's thread or greenlet.
        """
        if not self._come:
            yield partial(self._ending_all, partial(self._write, self._first, 0, alone=alone))
        for start in self._starts:
            yield partial(self._ending_all, partial(self._fetch, start, alone=alone))

    def _ending_all(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException:
            self._stopped = True
            raise

    def _fetch(self, start: int, *, alone: bool) -> None:
        end = min(start + RANGE, self._size or 0)
        try:
            stream = self._open_range(ByteRange(start, end), self._same_version)
        except FileNotFound as error:
            name = self._first.info.name
            raise ObjectChanged(f"{name!r} was deleted while it was read", filename=name) from error
        with stream:
            self._write(stream, start, alone=alone)

    def _write(self, stream: ObjectStream, start: int, *, alone: bool) -> None:
        room = memoryview(bytearray(BLOCK))
        position = start
        while not self._stopped and (count := stream.readinto(room)):
            self._file.write_at(position, room[:count])
            position += count
            self._moved.count(start, position - start)
            if alone:
                self._moved.tell()

    def _verify(self, expected: str, actual: str) -> None:
        if actual != expected:
            name = self._first.info.name
            raise ETagMismatchError(
                f"{name!r} was written with MD5 {actual}, stored with {expected}",
                filename=name,
                expected=expected,
                actual=actual,
            )
