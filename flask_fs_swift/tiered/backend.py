"""A backend that keeps small objects in rows, large ones in Swift, and commits by one row.

A small write is one transaction. A large write has four steps:

1. Enter a new revision in the change log.
2. Put the blob: a Swift object that is called as the revision.
3. In one transaction take the revision out of the change log, point the object at it, and retire
   the revision that it replaces: the **commit point**. Before it readers see the old object,
   after it the new one.
4. Delete the blobs of retired revisions, off the caller's path.

What fails before the commit point retires its own revision. After a crash, recovery does that
(:mod:`.recovery`), once the lease of the change has ended. The commit finds out: a write whose
revision was given up is written anew under another one, or fails and says so.

A delete is one transaction, with step 4. A copy of a large object is a large write whose second
step copies the blob inside Swift.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from flask_fs_swift.conditions import NO_CONDITIONS
from flask_fs_swift.content import Told, whole
from flask_fs_swift.errors import FileExists, FileNotFound, LeaseLost, ObjectChanged
from flask_fs_swift.intake import Parts
from flask_fs_swift.metadata import checked_metadata
from flask_fs_swift.names import check_name, check_prefix, is_name
from flask_fs_swift.objects import ObjectInfo, new_id
from flask_fs_swift.ranges import WHOLE
from flask_fs_swift.streams import check_chunk_size, stream_of

from .about import about, naming
from .changelog import Change
from .checking import Checking
from .listing import infos
from .moving import MovingIn, MovingOut
from .revisions import revision_of
from .rows import New, Write
from .uploads import TieredUploads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from flask_fs_swift.backend import Blobs
    from flask_fs_swift.conditions import Conditions
    from flask_fs_swift.content import Content
    from flask_fs_swift.events import Progress
    from flask_fs_swift.objects import Properties
    from flask_fs_swift.pool import Lender, Pool
    from flask_fs_swift.ranges import ByteRange
    from flask_fs_swift.streams import ObjectStream

    from .leases import Lease
    from .recovery import Recovery
    from .rows import Rows, Stored

#: How often a read looks again, and a write is written anew.
TRIES = 3


class TieredBackend:
    """The objects of one name space in two tiers. Lives as long as its application.

    :param blobs: where the large ones are.
    :param threshold: bytes; what has more is large.
    :param lifetime: seconds for which an upload in parts may be completed.
    """

    def __init__(
        self,
        rows: Rows,
        blobs: Blobs,
        lease: Lease,
        recovery: Recovery,
        *,
        threshold: int,
        lifetime: float,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._lease = lease
        #: What keeps Swift to what objects point at.
        self.recovery = recovery
        self._threshold = threshold
        #: What takes over the objects of a Swift container, and what gives them back.
        self.moving_in = MovingIn(rows, blobs, lease, recovery, threshold)
        self.moving_out = MovingOut(rows, blobs, lease, recovery)
        #: What compares the two tiers.
        self.checking = Checking(rows, blobs)
        #: The uploads in parts.
        self.multipart = TieredUploads(rows, blobs.multipart, lease, recovery, lifetime)

    @property
    def pool(self) -> Pool:
        """The connections to Swift."""
        return self._blobs.pool

    def within(self, lender: Lender) -> TieredBackend:
        """Return the same objects, whose blobs come over connections from elsewhere."""
        view = copy.copy(self)
        view._blobs = self._blobs.within(lender)  # noqa: SLF001 - a copy of ours
        view.multipart = self.multipart.within(view._blobs.multipart)  # noqa: SLF001
        return view

    def head(self, name: str) -> ObjectInfo:
        """Describe an object. One query."""
        return self._found(name).info

    def get(
        self,
        name: str,
        chunk_size: int,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
    ) -> ObjectStream:
        """Open an object for reading. One query; for a large one, one request to Swift.

        Where its revision is gone, it was replaced a moment ago: then it looks again.
        """
        check_chunk_size(chunk_size)
        for _ in range(TRIES):
            stored = self._found(name, content=True)
            conditions.check(stored.info)
            if stored.revision is None:
                return stream_of(stored.info, stored.content or b"", wanted, chunk_size)
            errors = partial(about, name, stored.revision)
            try:
                with errors():
                    stream = self._blobs.get(stored.revision, chunk_size, wanted)
            except FileNotFound:
                continue
            stream.present(stored.info, errors)
            return stream
        raise _absent(name)

    def put(
        self,
        name: str,
        content: Content | Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store an object. One transaction; two, and what Swift's backend does, for a large one."""
        check_name(name)
        self.recovery.tend()
        described = _described(name, properties)
        if not isinstance(content, Parts) and content.size <= self._threshold:
            data = whole(content if progress is None else Told(content, progress))
            info = replace(described, size=content.size, etag=content.etag)
            return self._put_small(info, data, overwrite, properties.expires_after)

        def put(revision: str, given_up: str | None) -> ObjectInfo:
            if given_up is None or not isinstance(content, Parts):
                return self._blobs.put(
                    revision, content, properties, overwrite=False, progress=progress
                )
            try:
                return self._copied((name, given_up), None, revision, None)
            except FileNotFound as error:  # Whoever has taken it over has deleted it by now.
                raise _lost(name) from error

        return self._put_large(described, put, overwrite, properties.expires_after)

    def _put_small(
        self, info: ObjectInfo, data: bytes, overwrite: bool, expires_after: float | None
    ) -> ObjectInfo:
        new = New(info, content=data, expires_after=expires_after)
        return self._committed(info, Write(info.name, new, overwrite=overwrite))

    def _put_large(
        self,
        described: ObjectInfo,
        put: Callable[[str, str | None], ObjectInfo],
        overwrite: bool,
        expires_after: float | None,
    ) -> ObjectInfo:
        """Write a blob, and point an object at it.

        :param put: stores the blob at a revision; is told the one that was given up before, where
            there was one.
        """
        name = described.name
        given_up = None
        for _ in range(TRIES):
            version = new_id()
            revision = revision_of(name, version)
            change = Change(revision, name, "write", overwrite=overwrite)
            with naming(name):
                entered = self._rows.log.enter(
                    change, self._lease.owner, self._lease.seconds
                )  # (1)
            if entered is None:
                raise _exists(name)
            process = os.getpid()
            try:
                with self._lease.kept(revision), about(name, revision):
                    blob = put(revision, given_up)  # (2)
            except BaseException:
                if os.getpid() == process:  # Not a copy of the greenlet, in a forked child.
                    self.recovery.give_up(revision)
                raise
            info = replace(described, size=blob.size, etag=blob.etag, is_manifest=blob.is_manifest)
            if expires_after is not None:
                expires = datetime.fromtimestamp(entered + expires_after, timezone.utc)
                info = replace(info, expires=expires)
            new = New(info, revision=revision)
            try:
                # (3), the commit point, and (4)
                return self._committed(info, Write(name, new, overwrite=overwrite, version=version))
            except LeaseLost:
                given_up = revision
        raise _lost(name)

    def _committed(self, info: ObjectInfo, write: Write) -> ObjectInfo:
        """Commit a write; return what the object is.

        :raises LeaseLost: its revision was given up.
        """
        with naming(write.name):
            [written] = self._rows.compare_and_write(write)
        self.recovery.clean(written.retired)
        if written.result == "exists":
            raise _exists(write.name)
        if written.result == "fenced":
            raise LeaseLost(f"{write.name!r} was given up", filename=write.name)
        return replace(info, modified=written.modified, expires=written.expires or info.expires)

    def delete(self, name: str) -> None:
        """Remove exactly this object. One transaction."""
        check_name(name)
        self.recovery.tend()
        with naming(name):
            [written] = self._rows.compare_and_write(Write(name, None))
        self.recovery.clean(written.retired)

    def delete_many(self, names: Collection[str]) -> set[str]:
        """Remove objects; return those that are to be removed one by one. One transaction."""
        self.recovery.tend()
        # In one order, so that two of these do not wait for each other.
        possible = sorted(filter(is_name, set(names)))
        written = self._rows.compare_and_write(*(Write(name, None) for name in possible))
        self.recovery.clean(revision for one in written for revision in one.retired)
        return set(names).difference(possible)

    def copy(
        self, source: str, target: str, *, overwrite: bool, progress: Progress | None = None
    ) -> None:
        """Copy an object; strict about the target, unlike Swift.

        One query and one transaction; for a large one two, and two requests to Swift.
        """
        check_name(target)
        self.recovery.tend()
        for _ in range(TRIES):
            stored = self._found(source, content=True)
            info = replace(stored.info, name=target, modified=None)
            if stored.revision is None:
                data = stored.content or b""
                self._put_small(info, data, overwrite, None)
                if progress is not None:
                    progress(len(data), len(data))
                return
            put = partial(self._copied, (source, stored.revision), progress)
            try:
                self._put_large(info, put, overwrite, None)
            except FileNotFound:
                continue  # It was replaced meanwhile.
            return
        raise _absent(source)

    def _copied(
        self, held: tuple[str, str], progress: Progress | None, revision: str, _given_up: str | None
    ) -> ObjectInfo:
        """Copy a blob.

        :param held: the object that it is of, and where it is.
        """
        with about(*held):
            self._blobs.copy(held[1], revision, overwrite=True, progress=progress)
        return self._blobs.head(revision)

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata, and keep the rest. One transaction."""
        checked = checked_metadata(metadata)
        check_name(name)
        with naming(name):
            [written] = self._rows.compare_and_write(Write(name, checked))
        if written.result == "absent":
            raise _absent(name)

    def list(self, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
        """Yield what there is, page by page, one query each; nothing is held in between."""
        check_prefix(prefix)
        check_prefix(delimiter, "delimiter")
        check_prefix(after, "name to list after")
        return infos(self._rows, prefix, delimiter, after)

    def names(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Yield the names of what ``list`` describes."""
        return (info.name for info in self.list(prefix, delimiter, after))

    def checksums(self, info: ObjectInfo) -> Sequence[tuple[int, str]]:
        """Return the size and the MD5 of each segment of a large object."""
        stored = self._found(info.name)
        if stored.info.etag != info.etag or stored.revision is None:
            raise ObjectChanged(f"{info.name!r} is another version now", filename=info.name)
        with about(info.name, stored.revision):
            return self._blobs.checksums(replace(info, name=stored.revision))

    def create_tables(self) -> None:
        """Create those of the tables that do not exist.

        :raises DatabaseError: they could not be.
        """
        self._rows.create_tables()

    def close(self) -> None:
        """Give back what the backend holds."""
        self.recovery.close()
        self._blobs.close()

    def _found(self, name: str, *, content: bool = False) -> Stored:
        check_name(name)
        self.recovery.tend()
        with naming(name):
            stored = self._rows.find(name, content=content)
        if stored is None:
            raise _absent(name)
        return stored


def _described(name: str, properties: Properties) -> ObjectInfo:
    """Return what is known of an object before its bytes are stored."""
    return ObjectInfo(
        name=name,
        size=None,
        etag=None,
        content_type=properties.content_type,
        modified=None,
        metadata=checked_metadata(properties.metadata),
        cache_control=properties.cache_control,
        content_disposition=properties.content_disposition,
    )


def _absent(name: str) -> FileNotFound:
    return FileNotFound(f"{name!r} does not exist", filename=name)


def _exists(name: str) -> FileExists:
    return FileExists(f"{name!r} exists", filename=name)


def _lost(name: str) -> LeaseLost:
    return LeaseLost(
        f"{name!r} was not stored: writing it took long, and the database could not be told that "
        "it was alive",
        filename=name,
    )
