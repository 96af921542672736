"""Uploads in parts to the backend that is held in a dict.

What was put is joined when the upload is completed; until then nobody can read it.

State: ``_uploads``, by id, guarded by ``_lock``, and all that is in them. Whoever completes an
upload joins its parts outside the lock, and then looks again what has become of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from .concurrency import new_lock
from .content import Told, whole
from .errors import FileExists, InvalidPart, upload_closed
from .metadata import checked_metadata
from .names import check_name
from .objects import Marker, Part, new_id
from .segments import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from .content import Content
    from .events import Progress
    from .objects import ObjectInfo, Orphan, Properties

    Prepare: TypeAlias = Callable[[str, bytes, Properties], Callable[[bool], ObjectInfo]]


@dataclass
class _Upload:
    """An upload; what is over is remembered for 7 days."""

    marker: Marker
    properties: Properties
    #: The newest last.
    parts: dict[Part, bytes] = field(default_factory=dict)
    #: What it has become.
    info: ObjectInfo | None = None
    #: Unix time, in seconds; None while it is open.
    ended: float | None = None


class MemoryUploads:
    """Makes objects of parts. Lives as long as its backend.

    :param has: tells whether there is an object.
    :param prepare: hashes what is to be one, and returns what stores it, which is told whether it
        may overwrite.
    """

    def __init__(self, has: Callable[[str], bool], prepare: Prepare) -> None:
        self._has = has
        self._prepare = prepare
        self._lock = new_lock()
        self._uploads: dict[str, _Upload] = {}

    def start(
        self,
        name: str,
        properties: Properties,
        *,
        overwrite: bool,
        upload: str | None = None,
        size: int | None = None,
        until: float | None = None,
    ) -> Marker:
        """Begin an upload."""
        check_name(name)
        metadata = checked_metadata(properties.metadata)
        if not overwrite and self._has(name):
            raise FileExists(f"{name!r} exists", filename=name)
        marker = Marker(
            name, "upload", upload or new_id(), overwrite=overwrite, size=size, until=until
        )
        begun = _Upload(marker, replace(properties, metadata=metadata))
        self._forget()
        with self._lock:
            self._uploads[marker.id] = begun
        return marker

    def resume(self, name: str, upload: str) -> Marker:
        """Return what an upload was started with."""
        with self._lock:
            found = self._uploads.get(upload)
            marker = found.marker if found is not None and _is_known(found) else None
        is_usable = marker is not None and (marker.is_open or marker.state == "completed")
        if marker is None or marker.name != name or not is_usable:
            raise upload_closed(name)
        return marker

    def open_uploads(self) -> Iterator[Marker]:
        """Yield the uploads that are open at this moment."""
        with self._lock:
            markers = [one.marker for one in self._uploads.values()]
        return (marker for marker in markers if marker.is_open)

    def put_part(
        self, marker: Marker, number: int, content: Content, progress: Progress | None
    ) -> Part:
        """Keep a part; others of its number stay, for whoever completes with them."""
        data = whole(content if progress is None else Told(content, progress))
        part = Part(number, content.size, content.etag, time.time())
        with self._lock:
            upload = self._uploads.get(marker.id)
            is_open = upload is not None and upload.marker.is_open
            is_put = marker.size is not None and number in _newest(upload)
            if upload is not None and is_open and not is_put:
                upload.parts.pop(part, None)
                upload.parts[part] = data
        if not is_open:
            raise upload_closed(marker.name)
        if is_put:
            raise FileExists(f"{marker.name!r} has a part {number}", filename=marker.name)
        return part

    def parts(self, marker: Marker, after: int = 0) -> Iterator[Part]:
        """Yield the newest part of each number, by number."""
        with self._lock:
            newest = _newest(self._uploads.get(marker.id))
        return (newest[number] for number in sorted(newest) if number > after)

    def find_part(self, _marker: Marker, _number: int, _etag: str) -> Part | None:
        """Return None: there is nothing but what is listed."""
        return None

    def receipts(self, marker: Marker, numbers: Sequence[int]) -> list[Part | None]:
        """Return the parts of these numbers."""
        with self._lock:
            newest = _newest(self._uploads.get(marker.id))
        return [newest.get(number) for number in numbers]

    def complete(self, marker: Marker, parts: Collection[Part]) -> ObjectInfo:
        """Make the object of these parts; again, with the same outcome."""
        name = marker.name
        with self._lock:
            upload = self._uploads.get(marker.id)
            done = upload.info if upload is not None else None
            pieces = [upload.parts.get(part) for part in parts] if upload is not None else []
        if done is not None:
            return done
        if upload is None or not upload.marker.is_open:
            raise upload_closed(name)
        marker.check_size(parts)
        given = [piece for piece in pieces if piece is not None]
        if not given or len(given) < len(pieces):
            raise InvalidPart(f"{name!r}: a part is absent, or another", filename=name)
        left = _left(upload)
        if left is not None and left <= 0:
            raise InvalidPart(f"the parts of {name!r} have expired", filename=name)
        properties = replace(upload.properties, expires_after=left)
        store = self._prepare(name, b"".join(given), properties)
        with self._lock:
            if upload.info is not None:
                return upload.info
            if upload.marker.state == "open":
                upload.info = store(upload.marker.overwrite)
                _end(upload, replace(upload.marker, state="completed"))
                return upload.info
        raise upload_closed(name)

    def abort(self, marker: Marker, _parts: Collection[Part]) -> None:
        """End an upload and drop its parts."""
        with self._lock:
            upload = self._uploads.get(marker.id)
            is_over = upload is None or upload.info is not None or upload.marker.name != marker.name
            if upload is not None and not is_over:
                _end(upload, replace(upload.marker, state="aborted"))
        if is_over:
            raise upload_closed(marker.name)

    def purge(self, name: str) -> None:
        """Forget the uploads of an object that are open."""
        with self._lock:
            self._uploads = {
                key: one
                for key, one in self._uploads.items()
                if one.marker.name != name or one.marker.state != "open"
            }

    def collect(self, _older_than: float, *, dry_run: bool) -> list[Orphan]:
        """Forget the uploads that are over; return nothing, because nothing else is ever left."""
        if not dry_run:
            self._forget()
        return []

    def _forget(self) -> None:
        with self._lock:
            self._uploads = {key: one for key, one in self._uploads.items() if _is_known(one)}

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._uploads.clear()


def _end(upload: _Upload, marker: Marker) -> None:
    """Note how an upload has ended; the caller holds the lock."""
    upload.marker = marker
    upload.parts.clear()
    upload.ended = time.time()


def _is_known(upload: _Upload) -> bool:
    if upload.ended is None:
        return upload.marker.is_open
    return time.time() - upload.ended < REMEMBERED


def _newest(upload: _Upload | None) -> dict[int, Part]:
    """Return the newest part of each number; the caller holds the lock."""
    return {part.number: part for part in upload.parts} if upload is not None else {}


def _left(upload: _Upload) -> int | None:
    """Return the seconds until what was started expires; None: it does not."""
    seconds = upload.properties.expires_after
    return None if seconds is None else round(upload.marker.started + seconds - time.time())
