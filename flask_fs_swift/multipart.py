"""Large objects: parts become segments, a manifest joins them.

A large write has five steps:

1. Store a *marker* that says that it is under way.
2. Store the segments, several at a time, each verified.
3. Store the manifest, with the ETag and the size of each segment, which Swift compares again:
   the **commit point**. Before it readers see the old object, after it the new one.
4. Remove the marker.
5. Sweep: remove the segments of what was replaced (:mod:`.sweeping`).

What fails before the commit point removes its segments and its marker. Where it is not known
whether the manifest was stored, they stay: a collection finds out later. So it does after a
crash. What fails after the commit point is logged: the object is stored, and what was to be
removed is left for a collection.

An upload takes the same steps one by one: its marker says ``open`` until the manifest is stored,
and then ``completed`` for 7 days, so that a completion that is repeated knows it. What an upload
was given and did not use is left for a collection. Where each part is put once, a receipt is
created after its segment: until then the part was not put.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from email.utils import format_datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from .answers import object_info
from .container import COPIED, put_headers
from .content import Told
from .errors import FileExists, FSError, InvalidPart, ObjectChanged, SwiftError, upload_closed
from .etag import unquoted
from .events import Moved
from .metadata import checked_metadata
from .objects import Marker, ObjectInfo, Orphan, Part
from .parallel import at_once
from .segments import (
    PUT_MANIFEST,
    Manifest,
    Segment,
    Segments,
    is_id,
    read_manifest,
    receipt_name,
)
from .sweeping import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from .call import Caller
    from .capabilities import Inquiry
    from .config import SwiftSettings
    from .container import Container
    from .content import Content
    from .events import Progress
    from .intake import OpenPart, Parts
    from .objects import Properties

logger = logging.getLogger(__name__)

#: Segments that a manifest lists, where Swift does not say.
MANIFEST_LIMIT = 1000

_IN_SEGMENTS = re.compile("(?:uploads/)?[0-9a-f]{64}/[0-9a-f]{32}")

_REPLACED_LEFT = "%r is stored; of what it replaced, segments may be left for a collection"
_OPEN_LEFT = "an upload of %r was not begun, and may be left open all the same"
_OWN_LEFT = "%r was not stored; some of its segments may be left for a collection"


class Multipart:
    """The large objects of one container. Lives as long as that."""

    def __init__(
        self, settings: SwiftSettings, caller: Caller, container: Container, inquiry: Inquiry
    ) -> None:
        self._caller = caller
        self._container = container
        self._inquiry = inquiry
        self._segments = Segments(settings, caller, inquiry)
        self._width = min(settings.segment_concurrency, settings.login.pool_size)
        self.sweeper = Sweeper(container, self._segments, self._width)

    def within(self, caller: Caller, container: Container, width: int) -> Multipart:
        """Return the same, asked by another caller.

        :param width: the connections that it has.
        """
        view = copy.copy(self)
        view._caller = caller  # noqa: SLF001 - a copy of ours
        view._container = container  # noqa: SLF001
        view._segments = self._segments.within(caller)  # noqa: SLF001
        view._width = min(self._width, width)  # noqa: SLF001
        view.sweeper = Sweeper(container, view._segments, view._width)  # noqa: SLF001
        return view

    def limit(self) -> int:
        """Return how many segments one manifest lists.

        :raises OperationNotSupported: Swift has no static large objects.
        """
        capabilities = self._inquiry.ask(self._caller)
        capabilities.check("slo", "files longer than FS_SWIFT_SEGMENT_SIZE")
        return max(capabilities.number("slo", "max_manifest_segments", MANIFEST_LIMIT), 2)

    def exist(self) -> bool:
        """Tell whether there may be large objects of ours. One request, now and then."""
        return self._segments.exist()

    def write(
        self,
        name: str,
        parts: Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None,
    ) -> ObjectInfo:
        """Store all the parts as one object, or nothing.

        :raises FileExists: there is an object, and ``overwrite`` is False.
        :raises OperationNotSupported: Swift has no static large objects.
        :raises InvalidPart: a segment was lost before the manifest was stored.
        :raises FSError: as ``Container.put``.
        """
        limit = self.limit()
        marker = self._begun(name, properties, overwrite=overwrite)
        moved = Moved(parts.size, progress)

        def store(number: int, open_part: OpenPart) -> Segment:
            with closing(open_part()) as content, _about(name):
                return self._segments.put(marker, number, _counted(content, moved, number))

        tasks = (partial(store, number, part) for number, part in enumerate(parts, 1))
        return self._commit(marker, tasks, limit, moved)

    def _begun(self, name: str, properties: Properties, *, overwrite: bool) -> Marker:
        """Return the marker of a write, unless it would be refused: that is to cost no content."""
        fields = put_headers(properties, checked_metadata(properties.metadata))
        seconds = fields.pop("x-delete-after", None)
        if seconds is not None:
            # The segments expire at the same moment.
            fields["x-delete-at"] = str(int(time.time()) + int(seconds))
        if self._container.headers(name) and not overwrite:
            raise FileExists(f"{name!r} exists", filename=name)
        return Marker(name, "write", fields=fields, overwrite=overwrite)

    def copy(self, source: str, target: str, progress: Progress | None = None) -> bool:
        """Copy a large object and its segments inside Swift; False: Swift has to do it.

        That is where it is no large object, or one whose list names parts of objects.

        :raises ObjectChanged: it was replaced meanwhile; nothing was stored.
        """
        headers = self._container.headers(source, newest=True)
        listed = self._container.manifest(source, headers)
        if listed is None:
            return False
        top = read_manifest(listed)
        segments = list(self.sweeper.leaves(top))
        if any(segment.range or not (segment.etag and segment.path) for segment in segments):
            return False
        if Manifest(top).etag != unquoted(headers.get("etag")):
            raise ObjectChanged(f"{source!r} changed while it was copied", filename=source)
        fields = {key: value for key, value in headers.items() if key.startswith(COPIED)}
        marker = Marker(target, "write", fields=fields)

        moved = Moved(sum(segment.size for segment in segments), progress)

        def store(number: int, segment: Segment) -> Segment:
            with _about(source):
                copied = self._segments.copy(segment, marker, number)
            moved.count(number, segment.size)
            return copied

        tasks = (partial(store, number, segment) for number, segment in enumerate(segments, 1))
        self._commit(marker, tasks, self.limit(), moved)
        return True

    def _commit(
        self,
        marker: Marker,
        tasks: Iterator[Callable[[], Segment]],
        limit: int,
        moved: Moved,
    ) -> ObjectInfo:
        stored: dict[int, Segment] = {}
        process = os.getpid()
        try:
            with _about(marker.name):
                self._segments.mark(marker)  # (1)
            with at_once(tasks, self._width) as results:  # (2)
                moved.tell_until(results.wait)
                for index, segment in results:
                    stored[index] = segment
                    moved.tell()
                    moved.tell_until(results.wait)
            moved.tell()
            segments = [stored[index] for index in sorted(stored)]
            listed = self._nested(marker, segments, limit)
        except BaseException:
            self._undo(marker, stored.values(), process)
            raise
        try:
            info = self._join(marker, listed)  # (3), the commit point
        except FSError as error:
            if not error.maybe_applied:
                self._undo(marker, stored.values(), process)
            raise
        try:
            self._segments.unmark(marker)  # (4)
            if marker.overwrite:
                self.sweeper.sweep(marker.name)  # (5)
        except FSError:
            logger.warning(_REPLACED_LEFT, marker.name, exc_info=True)
        return info

    def _undo(self, marker: Marker, stored: Collection[Segment], process: int) -> None:
        """Remove what a failed write has stored: what it knows of, and what is listed.

        :param process: that began it. In a forked child a copy of its greenlet fails.
        """
        if os.getpid() != process:
            return
        try:
            self.sweeper.delete(segment.name for segment in stored)
            self.sweeper.delete(found.name for found in self._segments.of_upload(marker))
            self._segments.unmark(marker)
        except FSError:
            logger.warning(_OWN_LEFT, marker.name, exc_info=True)

    # The commit point.

    def _join(self, marker: Marker, segments: list[Segment]) -> ObjectInfo:
        """Store the manifest; return what the object is.

        Who is interrupted here does not know whether it was stored.

        :raises InvalidPart: Swift refuses it: a segment is not what it should be.
        """
        name = marker.name
        manifest = Manifest(segments)
        try:
            answer = self._container.store(
                name,
                manifest,
                dict(marker.fields),
                overwrite=marker.overwrite,
                nonce=marker.id,
                query=PUT_MANIFEST,
            )
        except FSError as error:
            # An answer was lost: this one's, or that of a completion that is repeated.
            lost = error.maybe_applied or isinstance(error, FileExists)
            if lost and self._may_be_stored(marker):
                return self._described(name)
            if _is_refusal(error):
                raise _refused(error, name) from error
            error.filename = name
            raise
        described = {**answer, **marker.fields, "content-length": str(manifest.length)}
        return replace(object_info(name, described), is_manifest=True)

    def _nested(self, marker: Marker, segments: list[Segment], limit: int) -> list[Segment]:
        """Return no more than one manifest lists, each of them a manifest where need be.

        :raises InvalidPart: as :meth:`_join`.
        """
        level = 0
        while len(segments) > limit:
            level += 1
            groups = [segments[at : at + limit] for at in range(0, len(segments), limit)]
            tasks = (
                partial(self._segments.put_manifest, marker, f"{level}-{number:06}", group)
                for number, group in enumerate(groups)
            )
            with _about(marker.name):
                try:
                    joined = dict(at_once(tasks, self._width))
                except SwiftError as error:
                    if _is_refusal(error):
                        raise _refused(error, marker.name) from error
                    raise
            segments = [joined[index] for index in range(len(groups))]
        return segments

    def _may_be_stored(self, marker: Marker) -> bool:
        """Tell whether the object is that of the marker; False where nobody says."""
        try:
            return self._is_stored(marker)
        except FSError:
            return False

    def _is_stored(self, marker: Marker) -> bool:
        return marker.id in self.sweeper.referred(marker.name)

    def _described(self, name: str) -> ObjectInfo:
        return object_info(name, self._container.headers(name, newest=True))

    def checksums(self, info: ObjectInfo) -> list[tuple[int, str]]:
        """Return the size and the MD5 of each segment of a large object, in order.

        None at all where its list does not say: it names parts of objects, or only a prefix.

        :raises ObjectChanged: it was replaced meanwhile.
        """
        listed = self._container.manifest(info.name)
        if listed is None and "x-object-manifest" in self._container.headers(info.name):
            return []
        segments = read_manifest(listed) if listed is not None else []
        if any(segment.range for segment in segments):
            return []  # Its ETag is made in another way.
        if Manifest(segments).etag != info.etag:
            raise ObjectChanged(f"{info.name!r} is another version now", filename=info.name)
        leaves = list(self.sweeper.leaves(segments))
        if any(leaf.range or not leaf.etag for leaf in leaves):
            return []
        return [(leaf.size, leaf.etag) for leaf in leaves]

    # Uploads, step by step.

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
        """Begin an upload. Two requests.

        :raises FileExists: there is an object, and ``overwrite`` is False.
        :raises FSError: with ``maybe_applied`` where an upload may be left that nobody knows of.
        """
        self.limit()
        begun = self._begun(name, properties, overwrite=overwrite)
        marker = replace(begun, kind="upload", id=upload or begun.id, size=size, until=until)
        with _about(name, maybe_applied=None):
            try:
                self._segments.mark(marker)  # (1)
            except BaseException as error:
                if self._is_unbegun(marker) and isinstance(error, FSError):
                    error.maybe_applied = False
                raise
        return marker

    def _is_unbegun(self, marker: Marker) -> bool:
        """Remove the marker of an upload whose id nobody was told; tell whether it is gone."""
        try:
            self._segments.unmark(marker)
        except FSError:
            logger.warning(_OPEN_LEFT, marker.name, exc_info=True)
            return False
        return True

    def resume(self, name: str, upload: str) -> Marker:
        """Return what an upload was started with. One request.

        :raises UploadClosed: there is none, or it was aborted, or completed over 7 days ago.
        """
        marker = self._current(name, upload)
        if marker is None or not (marker.is_open or marker.state == "completed"):
            raise upload_closed(name)
        return marker

    def _current(self, name: str, upload: str) -> Marker | None:
        if not is_id(upload):  # It comes from a stranger.
            return None
        with _about(name):
            marker = self._segments.marker(name, upload)
        return marker if marker is not None and marker.kind == "upload" else None

    def open_uploads(self) -> Iterator[Marker]:
        """Yield the uploads that are open. One request for each, and for each page."""
        for marker in self._segments.markers():
            if marker.kind == "upload" and marker.is_open:
                yield marker

    def put_part(
        self, marker: Marker, number: int, content: Content, progress: Progress | None
    ) -> Part:
        """Store a part. Two requests: the part, and a look whether it came in time.

        One more where each part is put once.

        :raises FileExists: it is put once, and was.
        :raises UploadClosed: it did not come in time.
        :raises FSError: as ``Container.put``; with ``maybe_applied`` where it may be put.
        """
        told = content if progress is None else Told(content, progress)
        # Where there are receipts, a segment alone is no part.
        with _about(marker.name, maybe_applied=None if marker.size is None else False):
            segment = self._segments.put(marker, number, told)  # (2)
        part = Part(number, segment.size, segment.etag)
        if marker.size is not None:
            with _about(marker.name, maybe_applied=None):
                self._segments.put_receipt(marker, part)
        with _about(marker.name, maybe_applied=True):
            current = self._current(marker.name, marker.id)
        if current is not None and current.state == "aborted":
            with _about(marker.name):
                self.sweeper.delete([segment.name, receipt_name(marker, number)])
        # One that is no longer remembered may have become an object that has this very part.
        if current is None or not current.is_open:
            raise upload_closed(marker.name)
        return part

    def parts(self, marker: Marker, after: int = 0) -> Iterator[Part]:
        """Yield what a listing shows of an upload's parts, the newest of each number."""
        with _about(marker.name):
            listed = (stored.part for stored in self._segments.of_upload(marker, after))
            parts = (part for part in listed if part is not None)
            for _, same in groupby(parts, key=lambda part: part.number):
                yield max(same, key=lambda part: part.stored or 0)

    def find_part(self, marker: Marker, number: int, etag: str) -> Part | None:
        """Return a part that a listing may not show yet. One request."""
        with _about(marker.name):
            return self._segments.find(marker, number, etag)

    def receipts(self, marker: Marker, numbers: Sequence[int]) -> list[Part | None]:
        """Return the parts that were put once under these numbers. One request for each."""
        tasks = (partial(self._segments.receipt, marker, number) for number in numbers)
        with _about(marker.name), at_once(tasks, self._width) as results:
            found = dict(results)
        return [found[index] for index in range(len(numbers))]

    def complete(self, marker: Marker, parts: Collection[Part]) -> ObjectInfo:
        """Make the object of these parts, in their order; again, with the same outcome.

        :raises InvalidPart: one is absent, or is another; the upload can still be used.
        :raises UploadClosed: it was aborted.
        :raises FileExists: there is another object; the upload can still be used.
        """
        current = self.resume(marker.name, marker.id)
        if current.state == "completed":
            return _completed(current)
        if not parts:
            raise InvalidPart(f"{marker.name!r} would have no parts", filename=marker.name)
        current.check_size(parts)
        segments = [self._segments.part(current, part) for part in parts]
        try:
            listed = self._nested(current, segments, self.limit())
            info = self._join(current, listed)  # (3), the commit point
        except InvalidPart:
            # Another completion may have ended, and what it made may have been deleted again.
            current = self.resume(marker.name, marker.id)
            if current.state == "completed":
                return _completed(current)
            raise
        self._check_not_aborted(current, parts)
        with _about(current.name, maybe_applied=True):
            self._segments.mark(_ended(current, info))  # (4)
        try:
            if current.size is not None:
                self.sweeper.delete(receipt_name(current, part.number) for part in parts)
            if current.overwrite:
                self.sweeper.sweep(current.name)  # (5)
        except FSError:
            logger.warning(_REPLACED_LEFT, current.name, exc_info=True)
        return info

    def _check_not_aborted(self, marker: Marker, parts: Collection[Part]) -> None:
        """Take back an object whose segments an abort may be removing.

        :raises UploadClosed: it was.
        """
        with _about(marker.name, maybe_applied=True):
            current = self._segments.marker(marker.name, marker.id)
            if current is not None and current.state != "aborted":
                return
            if self._is_stored(marker):
                self._container.delete(marker.name)
            # Once more: the abort may have found the object, and given way to it.
            self._segments.mark(replace(marker, state="aborted"))
            self._remove(marker, parts)
        raise upload_closed(marker.name)

    def abort(self, marker: Marker, parts: Collection[Part]) -> None:
        """End an upload, and remove its segments.

        :param parts: those that are known; a listing may not show them yet.
        :raises UploadClosed: it was completed.
        :raises FSError: with ``maybe_applied`` where it may have ended, and segments may be left.
        """
        current = self._current(marker.name, marker.id)
        if current is None or current.state == "completed":
            raise upload_closed(marker.name)
        with _about(marker.name, maybe_applied=None):
            self._segments.mark(replace(current, state="aborted"))
        with _about(marker.name, maybe_applied=True):
            has_given_way = self._has_given_way(current)
            if not has_given_way:
                self._remove(current, parts)
        if has_given_way:
            raise upload_closed(marker.name)

    def _has_given_way(self, marker: Marker) -> bool:
        """Tell whether a completion was first, and its object stays."""
        if not self._is_stored(marker):
            return False
        self._segments.mark(_ended(marker, self._described(marker.name)))
        if self._is_stored(marker):
            return True
        # It has seen us, and taken back its object.
        self._segments.mark(replace(marker, state="aborted"))
        return False

    def _remove(self, marker: Marker, parts: Collection[Part]) -> None:
        known = (self._segments.part(marker, part).name for part in parts)
        listed = (stored.name for stored in self._segments.of_upload(marker))
        self.sweeper.delete({*known, *listed})

    def purge(self, name: str) -> None:
        """Remove all segments of an object that never comes back, also of what is under way."""
        with _about(name):
            self.sweeper.purge(name)

    def collect(self, older_than: float, *, dry_run: bool) -> list[Orphan]:
        """Remove, or only find, what nothing refers to; return it."""
        return self.sweeper.collect(older_than, dry_run=dry_run)


def _counted(content: Content, moved: Moved, number: int) -> Content:
    """Return the content of a part, which is counted as it is taken."""
    if not moved.is_told:
        return content
    return Told(content, lambda taken, _size: moved.count(number, taken))


@contextmanager
def _about(name: str, *, maybe_applied: bool | None = False) -> Iterator[None]:
    """Let errors of segments and markers tell of the object: it is what their caller knows.

    :param maybe_applied: whether what the caller asked for may have been done; None: the error
        says it.
    """
    try:
        yield
    except FSError as error:
        error.filename = name
        if maybe_applied is not None:
            error.maybe_applied = maybe_applied
        # Whoever knows the id of an upload may go on with it.
        error.args = (_IN_SEGMENTS.sub("<segments>", str(error)),)
        raise


def _ended(marker: Marker, info: ObjectInfo) -> Marker:
    """Return what is remembered of an upload that has become this object."""
    modified = None if info.modified is None else format_datetime(info.modified, usegmt=True)
    return replace(marker, state="completed", etag=info.etag, size=info.size, modified=modified)


def _completed(marker: Marker) -> ObjectInfo:
    headers = {**marker.fields, "content-length": str(marker.size), "etag": marker.etag or ""}
    if marker.modified is not None:
        headers["last-modified"] = marker.modified
    return replace(object_info(marker.name, headers), is_manifest=True)


def _refused(error: FSError, name: str) -> InvalidPart:
    return InvalidPart(
        f"Swift refuses to join {name!r}: a part is absent, or another",
        filename=name,
        maybe_applied=error.maybe_applied,
    )


def _is_refusal(error: FSError) -> bool:
    # It has looked at the segments.
    return isinstance(error, SwiftError) and error.http_status in {400, 409}
