"""Remove segments that nothing refers to, and never another.

A segment belongs to an upload, and that to an object: its name says so. It may go when

- the marker of the upload does not say that it is under way,
- and then, asked after that, the newest manifest of the object does not list it.

In this order: a write stores its manifest before it removes its marker, so whoever finds no marker
finds the manifest, or what has replaced it. Both are asked for by name, of all that may have
them. A listing only says where to look: one that lags leaves an orphan to the next time. It is
read until a page is empty, as any other: some servers return short ones. So a sweep that finds
nothing costs one request, and one that finds something a listing more.

What is not seen: a completion that is repeated while its object is being replaced, and a
manifest of another name, made by another program, that lists our segments.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from .objects import Orphan
from .parallel import at_once
from .segments import Segment, Unreadable, read_manifest, uploads_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .container import Container
    from .objects import Marker
    from .segments import Segments, Stored

logger = logging.getLogger(__name__)

#: Segments that are not worth a bulk delete, where so many requests run at a time.
FEW = 4


class Sweeper:
    """Keeps the segments of one container to what is needed. Lives as long as that.

    :param width: requests at a time.
    """

    def __init__(self, container: Container, segments: Segments, width: int) -> None:
        self._container = container
        self._segments = segments
        self._width = width
        # They take one round trip, as a bulk delete of them would, which Swift does two by two;
        # and nobody has to ask first whether it can.
        self._few = min(width, FEW)

    def sweep(self, name: str) -> None:
        """Remove what is left of an object's former versions.

        One request where there is nothing: a listing. None where there were no large objects.
        """
        if not self._segments.may_exist():
            return
        closed = [
            (upload, stored)
            for upload, stored in self._segments.of(name)
            if not _is_open(self._segments.marker(name, upload))
        ]
        if not closed:
            return
        referred = self.referred(name)
        unused = [stored for upload, stored in closed if upload not in referred]
        self.delete(segment.name for segment in chain.from_iterable(unused))

    def purge(self, name: str) -> None:
        """Remove all segments of an object that never comes back, also of what is under way.

        Two requests where there is nothing: listings. None where there were no large objects.
        """
        if not self._segments.may_exist():
            return
        for marker in map(self._segments.read_marker, self._segments.marker_names(name)):
            if marker is not None and _is_open(marker):
                self._segments.unmark(marker)
        self.delete(stored.name for _, uploads in self._segments.of(name) for stored in uploads)

    def collect(self, older_than: float, *, dry_run: bool) -> list[Orphan]:
        """Remove, or only find, all segments that nothing refers to; return them.

        :param older_than: seconds for which nothing was stored for an upload whose caller may
            have died.
        """
        orphans = []
        aged = (
            stored
            for _, stored in self._segments.all()
            if min(segment.age() for segment in stored) >= older_than
        )
        while some := list(islice(aged, self._width)):
            orphans += self._collect(some, older_than, dry_run=dry_run)
        if not dry_run:
            # Also those whose segments are gone.
            names = self._segments.marker_names()
            self._do(partial(self._forget_dead, name, older_than) for name in names)
        return orphans

    def _collect(
        self, uploads: list[list[Stored]], older_than: float, *, dry_run: bool
    ) -> list[Orphan]:
        """Do this to uploads that are looked at together: to so few, because each may be long."""
        tasks = (partial(self._look_at, stored, older_than) for stored in uploads)
        with at_once(tasks, self._width) as results:
            found = sorted(results)
        unused = [segment for _, (_, unused) in found for segment in unused]
        if not dry_run:
            self.delete(segment.name for segment in unused)
            dead = (marker for _, (marker, _) in found if marker is not None)
            self._do(partial(self._segments.unmark, marker) for marker in dead)
        return [Orphan(s.name, s.owner, s.info.size or 0) for s in unused]

    def _look_at(
        self, stored: list[Stored], older_than: float
    ) -> tuple[Marker | None, list[Stored]]:
        """Return those of an upload's segments that may go, and the marker if its write is dead."""
        owner, upload = stored[0].owner, stored[0].upload
        try:
            marker = self._segments.marker(owner, upload)
            if _is_open(marker) and not _is_dead(marker, older_than):
                return None, []
            listed = self._container.manifest(owner)
            referred = set(self._paths(read_manifest(listed))) if listed is not None else set()
        except Unreadable as error:  # It refers to nobody knows what.
            logger.warning("segments of %r are left alone: %s", owner, error)
            return None, []
        unused = [s for s in stored if self._segments.path_of(s.name) not in referred]
        return (marker if _is_open(marker) else None), unused

    def _forget_dead(self, name: str, older_than: float) -> None:
        marker = self._segments.read_marker(name)
        if marker is None or not _is_dead(marker, older_than):
            return
        if not any(self._segments.of_upload(marker)):
            self._segments.unmark(marker)

    def delete(self, names: Iterable[str]) -> None:
        """Remove segments; what is absent counts as removed.

        In bulk where they are more than a few and Swift does that. What is left of them is
        removed one by one, several at a time.

        :raises FSError: as soon as one could not be removed; others may be left, too.
        """
        unique = list(dict.fromkeys(names))
        left = self._segments.delete_many(unique) if len(unique) > self._few else unique
        self._do(partial(self._segments.delete, name) for name in left)

    def _do(self, tasks: Iterable[Callable[[], None]]) -> None:
        with at_once(tasks, self._width) as results:
            for _ in results:
                pass

    def referred(self, name: str) -> set[str]:
        """Return the uploads that the newest manifest of an object refers to."""
        listed = self._container.manifest(name)
        if listed is None:
            return set()
        return uploads_in(read_manifest(listed), self._segments.name, name)

    def leaves(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield what has bytes: the segments of a manifest, and of those that it lists.

        A manifest of which only a range is listed comes as it is.
        """
        for segment in segments:
            if segment.is_manifest and not segment.range:
                yield from self.leaves(self._segments.inner(segment))
            else:
                yield segment

    def _paths(self, segments: Iterable[Segment]) -> Iterator[str]:
        for segment in segments:
            yield segment.path
            if segment.is_manifest:
                yield from self._paths(self._segments.inner(segment))


def _is_open(marker: Marker | None) -> bool:
    return marker is not None and marker.state == "open"


def _is_dead(marker: Marker | None, older_than: float) -> bool:
    """Tell whether it is of a write that cannot still be running, or of an upload that is over.

    Uploads wait for ever, unless it was said how long; those of them that end just then are
    given time, too.
    """
    if marker is None or marker.state != "open":
        return False
    end = marker.started if marker.kind == "write" else marker.until
    return end is not None and time.time() - end >= older_than
