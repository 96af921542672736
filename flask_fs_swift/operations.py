"""The operations of a batch: each knows what it does, and to which names.

They are values. What an operation was given, such as content that passes only once, belongs to
the batch that it is given to.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .events import Progress
    from .intake import RawContent
    from .objects import ObjectInfo
    from .streams import ObjectStream

    #: A name, and whether what it names is changed.
    Claim: TypeAlias = tuple[str, bool]


class Writable(Protocol):
    """What content can be streamed into: a binary file, a response, a compressor."""

    def write(self, block: bytes, /) -> object:
        """Take all of a block."""


class Files(Protocol):
    """What operations are done on: the verbs of a storage."""

    def write(
        self,
        filename: str,
        content: RawContent,
        overwrite: bool | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store content under a name."""

    def read(self, filename: str) -> bytes:
        """Return all of a file."""

    def read_chunks(self, filename: str) -> ObjectStream:
        """Open a file for reading."""

    def download(
        self,
        filename: str,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        progress: Progress | None,
        concurrency: int,
    ) -> ObjectInfo:
        """Put a file of the storage into one of this machine."""

    def info(self, filename: str) -> ObjectInfo:
        """Describe a file."""

    def delete(self, filename: str) -> None:
        """Remove a file."""

    def copy(self, filename: str, target: str, overwrite: bool | None = None) -> None:
        """Copy a file inside the storage."""


class Operation:
    """One thing to do to a file."""

    __slots__ = ()

    def claims(self) -> tuple[Claim, ...]:
        """Return the names that it is about, each once.

        Of two operations on one name of which one changes it, the later one waits for the earlier.
        """
        raise NotImplementedError

    def perform(self, files: Files, /) -> Any:
        """Do it; return its value, which is never None.

        :raises BaseException: whatever came in its way.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Put(Operation):
    """Write a file. The arguments are those of :meth:`.Storage.write`; the value is what it is."""

    filename: str
    content: RawContent = field(repr=False)
    overwrite: bool | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    #: Seconds.
    expires_after: float | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    #: Called in the thread or greenlet of the operation.
    progress: Progress | None = None

    def __post_init__(self) -> None:
        _check(self, self.filename)

    def claims(self) -> tuple[Claim, ...]:
        """Return the file's name."""
        return ((self.filename, True),)

    def perform(self, files: Files, /) -> ObjectInfo:
        """Write it."""
        return files.write(
            self.filename,
            self.content,
            self.overwrite,
            content_type=self.content_type,
            metadata=self.metadata,
            expires_after=self.expires_after,
            cache_control=self.cache_control,
            content_disposition=self.content_disposition,
            progress=self.progress,
        )


@dataclass(frozen=True, slots=True)
class Get(Operation):
    """Read a file. The value is its bytes, or what it is where they went somewhere.

    :param into: a path of this machine, which gets all of the file or nothing, as with
        :meth:`.Storage.download`; or something to ``write`` to, which may have got a part of it
        where the error says that reading failed. It is written to in the thread or greenlet of
        the operation: what waits for a disk there keeps all greenlets of its hub waiting, where
        a path does not.
    :param overwrite: whether what is at that path may be replaced.
    :param progress: as for :meth:`.Storage.download`, but called in the thread or greenlet of the
        operation.
    """

    filename: str
    into: str | os.PathLike[str] | Writable | None = None
    overwrite: bool = False
    progress: Progress | None = None

    def __post_init__(self) -> None:
        _check(self, self.filename)

    def claims(self) -> tuple[Claim, ...]:
        """Return the file's name."""
        return ((self.filename, False),)

    def perform(self, files: Files, /) -> bytes | ObjectInfo:
        """Read it."""
        if isinstance(self.into, (str, os.PathLike)):
            # One connection is all that it has.
            return files.download(
                self.filename,
                self.into,
                overwrite=self.overwrite,
                progress=self.progress,
                concurrency=1,
            )
        if self.into is not None:
            return self._read_into(self.into, files)
        if self.progress is None:
            return files.read(self.filename)
        content = BytesIO()
        self._read_into(content, files)
        return content.getvalue()

    def _read_into(self, into: Writable, files: Files) -> ObjectInfo:
        done = 0
        with files.read_chunks(self.filename) as stream:
            for chunk in stream:
                _write_all(into, chunk)
                done += len(chunk)
                if self.progress is not None:
                    self.progress(done, stream.info.size)
            return stream.info


def _write_all(into: Writable, chunk: bytes) -> None:
    """Write a chunk: what is not buffered may take only part of it at a time."""
    while chunk:
        taken: object = into.write(chunk)
        if type(taken) is not int or taken >= len(chunk):
            return  # Some say nothing, and take everything.
        if not taken:
            raise BlockingIOError("what was to be read into took no bytes")
        chunk = chunk[taken:]


@dataclass(frozen=True, slots=True)
class Head(Operation):
    """Describe a file. The value is the description."""

    filename: str

    def __post_init__(self) -> None:
        _check(self, self.filename)

    def claims(self) -> tuple[Claim, ...]:
        """Return the file's name."""
        return ((self.filename, False),)

    def perform(self, files: Files, /) -> ObjectInfo:
        """Describe it."""
        return files.info(self.filename)


@dataclass(frozen=True, slots=True)
class Delete(Operation):
    """Remove a file; one that is absent counts as removed. The value is its name."""

    filename: str

    def __post_init__(self) -> None:
        _check(self, self.filename)

    def claims(self) -> tuple[Claim, ...]:
        """Return the file's name."""
        return ((self.filename, True),)

    def perform(self, files: Files, /) -> str:
        """Remove it."""
        files.delete(self.filename)
        return self.filename


@dataclass(frozen=True, slots=True)
class Copy(Operation):
    """Copy a file inside the storage. The value is the name of the copy."""

    source: str
    target: str
    overwrite: bool | None = None

    def __post_init__(self) -> None:
        _check(self, self.source)
        _check(self, self.target)

    def claims(self) -> tuple[Claim, ...]:
        """Return the source, which is read, and the target."""
        if self.source == self.target:
            return ((self.target, True),)
        return ((self.source, False), (self.target, True))

    def perform(self, files: Files, /) -> str:
        """Copy it."""
        files.copy(self.source, self.target, self.overwrite)
        return self.target


def _check(operation: Operation, name: object) -> None:
    if not isinstance(name, str):
        kind = type(operation).__name__
        raise TypeError(f"{kind} is given the name of a file, not a {type(name).__name__}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one operation ended: one of ``value`` and ``error`` is None, and the other is not."""

    #: Where the operation stood in what the batch was given, from 0.
    index: int
    operation: Operation
    value: Any = None
    error: BaseException | None = None
