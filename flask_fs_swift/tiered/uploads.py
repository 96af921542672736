"""Uploads in parts to the two tiers.

An upload is an open change, whose lease lasts as long as uploads live. Its revision is made of
its id, and the parts are an upload to that revision in Swift. All of them are large objects,
however few bytes they have.

1. Enter the revision in the change log.
2. Begin an upload of the revision in Swift; store the parts.
3. Join them in Swift: the blob; where an object may not be overwritten, if there is none.
4. In one transaction point the object at it: the **commit point**.

What fails between the last two leaves the parts joined: the upload takes no others, and can be
completed with these, or aborted.

Aborting is one transaction as well: it retires the revision. Whichever comes first of the two
decides; a repetition of either finds it in the rows.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from flask_fs_swift.errors import FileExists, UploadClosed, upload_closed
from flask_fs_swift.metadata import checked_metadata
from flask_fs_swift.names import check_name
from flask_fs_swift.objects import Marker, new_id
from flask_fs_swift.segments import is_id

from .about import about, naming
from .changelog import Change
from .revisions import revision_of, version_in
from .rows import New, Write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from flask_fs_swift.backend import Uploads
    from flask_fs_swift.content import Content
    from flask_fs_swift.events import Progress
    from flask_fs_swift.objects import ObjectInfo, Orphan, Part, Properties

    from .leases import Lease
    from .recovery import Recovery
    from .rows import Rows


class TieredUploads:
    """Makes objects of parts. Lives as long as its backend.

    :param lifetime: seconds for which an upload may be completed.
    """

    def __init__(
        self, rows: Rows, blobs: Uploads, lease: Lease, recovery: Recovery, lifetime: float
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._lease = lease
        self._recovery = recovery
        self._lifetime = lifetime

    def within(self, blobs: Uploads) -> TieredUploads:
        """Return the same, with parts that go another way."""
        view = copy.copy(self)
        view._blobs = blobs  # noqa: SLF001 - a copy of ours
        return view

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
        """Begin an upload. One transaction, and what Swift's takes.

        :raises FileExists: there is an object, and ``overwrite`` is False.
        """
        check_name(name)
        checked_metadata(properties.metadata)
        self._recovery.tend()
        version = upload or new_id()
        revision = revision_of(name, version)
        change = Change(revision, name, "upload", overwrite=overwrite)
        left = math.inf if until is None else max(until - time.time(), 0)
        with naming(name):
            lifetime = min(left, self._lifetime)
            entered = self._rows.log.enter(change, self._lease.owner, lifetime)  # (1)
        if entered is None:
            raise _exists(name)
        try:
            with about(name, revision):
                begun = self._blobs.start(
                    revision, properties, overwrite=True, upload=version, size=size, until=until
                )
        except BaseException:
            self._recovery.give_up(revision)
            raise
        return replace(begun, name=name, overwrite=overwrite)

    def resume(self, name: str, upload: str) -> Marker:
        """Return what an upload was started with."""
        if not is_id(upload):  # It comes from a stranger.
            raise upload_closed(name)
        revision = revision_of(name, upload)
        with naming(name):
            change = self._rows.log.change(revision)
            if change is None and self._rows.log.standing(revision) not in {"current", "replaced"}:
                raise upload_closed(name)
        with about(name, revision):
            marker = self._blobs.resume(revision, upload)
        overwrite = change.overwrite if change is not None else True
        return replace(marker, name=name, overwrite=overwrite)

    def open_uploads(self) -> Iterator[Marker]:
        """Yield the uploads that are open. One query per page."""
        after = ""
        while page := self._rows.log.uploads(after):
            for change in page:
                after = change.revision
                upload = version_in(change.revision)
                yield Marker(change.name, "upload", upload, started=change.started)

    def put_part(
        self, marker: Marker, number: int, content: Content, progress: Progress | None
    ) -> Part:
        """Store a part."""
        inner = _inner(marker)
        with about(marker.name, inner.name, maybe_applied=None):
            return self._blobs.put_part(inner, number, content, progress)

    def parts(self, marker: Marker, after: int = 0) -> Iterator[Part]:
        """Yield what a listing shows of the parts, by number."""
        inner = _inner(marker)
        with about(marker.name, inner.name):
            yield from self._blobs.parts(inner, after)

    def find_part(self, marker: Marker, number: int, etag: str) -> Part | None:
        """Return a part that a listing may not show yet."""
        inner = _inner(marker)
        with about(marker.name, inner.name):
            return self._blobs.find_part(inner, number, etag)

    def receipts(self, marker: Marker, numbers: Sequence[int]) -> list[Part | None]:
        """Return the parts that were put once under these numbers."""
        inner = _inner(marker)
        with about(marker.name, inner.name):
            return self._blobs.receipts(inner, numbers)

    def complete(self, marker: Marker, parts: Collection[Part]) -> ObjectInfo:
        """Make the object of these parts; again, with the same outcome.

        One transaction, and what Swift's takes.

        :raises FileExists: there is an object, and the upload may not overwrite it. Unless that
            has come at this very moment, the upload is as it was.
        """
        name = marker.name
        inner = _inner(marker)
        if not marker.overwrite:
            self._check_free(marker, inner.name)
        with about(name, inner.name):
            info = replace(self._blobs.complete(inner, parts), name=name)  # (3)
        new = New(info, revision=inner.name)
        write = Write(name, new, overwrite=marker.overwrite, version=marker.id)
        with naming(name):
            [written] = self._rows.compare_and_write(write)  # (4), the commit point
        self._recovery.clean(written.retired)
        if written.result == "exists":
            raise _exists(name)
        if written.result == "fenced":
            raise upload_closed(name)
        return info

    def _check_free(self, marker: Marker, revision: str) -> None:
        """Refuse what the commit would, before parts are joined that never come apart again.

        :raises FileExists: there is an object of another.
        """
        with naming(marker.name):
            stored = self._rows.find(marker.name)
            if stored is None or stored.version == marker.id:
                return
            # Asked after it: if this has been completed and replaced, it is repeated.
            is_open = self._rows.log.change(revision) is not None
        if is_open:
            raise _exists(marker.name)

    def abort(self, marker: Marker, parts: Collection[Part]) -> None:
        """End an upload and remove its parts. One transaction decides, Swift's abort follows."""
        if not is_id(marker.id):  # It comes from a stranger.
            raise upload_closed(marker.name)
        inner = _inner(marker)
        with naming(marker.name):
            is_abandoned = self._rows.log.abandon(inner.name)
        if not is_abandoned:
            raise upload_closed(marker.name)
        try:
            with about(marker.name, inner.name, maybe_applied=True):
                self._blobs.abort(inner, parts)
        except UploadClosed:
            pass  # Its parts had been joined: the blob goes with the revision.
        self._recovery.clean([inner.name])

    def collect(self, older_than: float, *, dry_run: bool) -> list[Orphan]:
        """Remove, or only find, what nothing in Swift refers to; return it."""
        if not dry_run:
            self._recovery.run()
        return self._blobs.collect(older_than, dry_run=dry_run)


def _exists(name: str) -> FileExists:
    return FileExists(f"{name!r} exists", filename=name)


def _inner(marker: Marker) -> Marker:
    """Return what Swift knows of an upload."""
    return replace(marker, name=revision_of(marker.name, marker.id), overwrite=True)
