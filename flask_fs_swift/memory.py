"""A backend held in a dict: for the unit tests of applications, and for trying things out.

It keeps the same promises as the others, the strict one for creates included. What it
holds is gone with the process, and belongs to one process.

State: ``_objects``, by name, guarded by ``_lock``; what is in it is never changed, only
replaced, so that a reader keeps the version that it opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING, cast

from .concurrency import new_lock
from .conditions import NO_CONDITIONS
from .content import Told, whole
from .errors import FileExists, FileNotFound
from .hashing import md5_of
from .memory_uploads import MemoryUploads
from .metadata import checked_metadata
from .names import check_name, check_prefix
from .objects import ObjectInfo
from .ranges import WHOLE
from .streams import check_chunk_size, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .conditions import Conditions
    from .content import Content
    from .events import Progress
    from .intake import Parts
    from .objects import Properties
    from .ranges import ByteRange
    from .streams import ObjectStream


@dataclass(frozen=True)
class _Stored:
    info: ObjectInfo
    data: bytes


class MemoryBackend:
    """Objects in a dict. Lives as long as its application."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._objects: dict[str, _Stored] = {}
        #: The uploads in parts. Nothing that is written whole is too large for one object.
        self.multipart = MemoryUploads(self._has, self._prepared)

    def head(self, name: str) -> ObjectInfo:
        """Describe an object."""
        return self._find(name).info

    def get(
        self,
        name: str,
        chunk_size: int,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
    ) -> ObjectStream:
        """Open an object for reading."""
        check_chunk_size(chunk_size)
        stored = self._find(name)
        conditions.check(stored.info)
        return stream_of(stored.info, stored.data, wanted, chunk_size)

    def put(
        self,
        name: str,
        content: Content | Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store an object. Of any number of creates at once, exactly one succeeds."""
        check_name(name)
        metadata = checked_metadata(properties.metadata)
        one = cast("Content", content)  # We never say how long a part may be.
        data = whole(one if progress is None else Told(one, progress))
        return self._prepared(name, data, replace(properties, metadata=metadata))(overwrite)

    def _has(self, name: str) -> bool:
        with self._lock:
            return self._alive(name) is not None

    def _prepared(
        self, name: str, data: bytes, properties: Properties
    ) -> Callable[[bool], ObjectInfo]:
        """Hash what is to be an object; return what stores it, told whether it may overwrite."""
        stored = _Stored(_describe(name, data, properties), data)

        def store(overwrite: bool) -> ObjectInfo:
            self._store(name, stored, overwrite=overwrite)
            return stored.info

        return store

    def delete(self, name: str) -> None:
        """Remove exactly this object."""
        check_name(name)
        with self._lock:
            self._objects.pop(name, None)

    def purge(self, name: str) -> None:
        """Remove an object and all parts that were put for it."""
        self.delete(name)
        self.multipart.purge(name)

    def copy(
        self, source: str, target: str, *, overwrite: bool, progress: Progress | None = None
    ) -> None:
        """Copy an object; strict about the target, unlike Swift."""
        check_name(target)
        stored = self._find(source)
        copied = replace(stored, info=replace(stored.info, name=target, modified=_now()))
        self._store(target, copied, overwrite=overwrite)
        if progress is not None:
            progress(copied.info.size or 0, copied.info.size)

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata, and keep the rest."""
        checked = checked_metadata(metadata)
        check_name(name)
        with self._lock:
            stored = self._alive(name)
            if stored is not None:
                merged = {**stored.info.metadata, **checked}
                kept = {key: value for key, value in merged.items() if value is not None}
                info = replace(stored.info, metadata=kept, modified=_now())
                self._objects[name] = replace(stored, info=info)
        if stored is None:
            raise FileNotFound(f"{name!r} does not exist", filename=name)

    def list(self, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
        """Yield what there is at this moment."""
        check_prefix(prefix)
        check_prefix(delimiter, "delimiter")
        check_prefix(after, "name to list after")
        with self._lock:
            names = [name for name in self._objects if self._alive(name) is not None]
            infos = {name: self._objects[name].info for name in names}
        chosen = sorted((name for name in infos if name.startswith(prefix)), key=str.encode)
        rolled_up = _rolled_up([infos[name] for name in chosen], prefix, delimiter)
        return (info for info in rolled_up if info.name.encode() > after.encode())

    def checksums(self, _info: ObjectInfo) -> Sequence[tuple[int, str]]:
        """Return none: there are no large objects."""
        return ()

    def names(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Yield the names of what there is at this moment."""
        return (info.name for info in self.list(prefix, delimiter, after))

    def close(self) -> None:
        """Forget everything."""
        self.multipart.close()
        with self._lock:
            self._objects.clear()

    def _store(self, name: str, stored: _Stored, *, overwrite: bool) -> None:
        with self._lock:
            taken = not overwrite and self._alive(name) is not None
            if not taken:
                self._objects[name] = stored
        if taken:
            raise FileExists(f"{name!r} exists", filename=name)

    def _find(self, name: str) -> _Stored:
        check_name(name)
        with self._lock:
            stored = self._alive(name)
        if stored is None:
            raise FileNotFound(f"{name!r} does not exist", filename=name)
        return stored

    def _alive(self, name: str) -> _Stored | None:
        """Return what has not expired; the caller holds the lock."""
        stored = self._objects.get(name)
        if stored is None or (stored.info.expires is not None and stored.info.expires <= _now()):
            return None
        return stored


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _describe(name: str, data: bytes, properties: Properties) -> ObjectInfo:
    now = _now()
    seconds = properties.expires_after
    return ObjectInfo(
        name=name,
        size=len(data),
        etag=md5_of(data),
        content_type=properties.content_type,
        modified=now,
        metadata=properties.metadata,
        cache_control=properties.cache_control,
        content_disposition=properties.content_disposition,
        expires=None if seconds is None else now + timedelta(seconds=seconds),
    )


def _rolled_up(infos: list[ObjectInfo], prefix: str, delimiter: str) -> Iterator[ObjectInfo]:
    """Yield infos, one for all whose names are the same up to the delimiter."""

    def folder(info: ObjectInfo) -> str:
        head, found, _ = info.name[len(prefix) :].partition(delimiter)
        return prefix + head + found if found else ""

    for name, group in groupby(infos, key=folder if delimiter else lambda _: ""):
        if name:
            yield ObjectInfo(name, 0, None, "application/directory", None, is_prefix=True)
        else:
            yield from map(_as_listed, group)


def _as_listed(info: ObjectInfo) -> ObjectInfo:
    return replace(info, metadata={}, expires=None, cache_control=None, content_disposition=None)
