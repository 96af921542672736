"""Compare the two tiers: a blob for every row that needs one, a row for every blob.

Rows by revision and Swift's listing are both in byte order, so they are walked beside each
other, a page of each at a time. A listing lags, and files are written meanwhile: what disagrees
is only a suspicion. It is confirmed by the newest that Swift has, between two looks at the row
that find the same version. A revision is in the change log before there is a blob, and is
retired before that is deleted; so what is still so then was never right.

Nothing is changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from flask_fs_swift.hashing import md5_of
from flask_fs_swift.parallel import at_once

from .revisions import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.backend import Blobs
    from flask_fs_swift.objects import ObjectInfo

    from .rows import Rows, Stored

#: A file's blob is absent; it is another one; a blob belongs to no file; a row's content is not
#: what the row says; a file has expired and is still there.
Kind: TypeAlias = Literal["missing", "different", "orphan", "content", "expired"]

#: Requests at a time, at the most.
WIDTH = 10
#: Bytes of content that are held at a time, or one row.
HELD = 4 * 1024 * 1024
#: Seconds by which clocks may differ: what expires so soon may be absent already.
SOON = 60.0
#: Seconds after which an expired file should have been removed by a recovery.
OVERDUE = 3600.0
#: How often a file is looked at that changes again and again.
TRIES = 5


@dataclass(frozen=True)
class Finding:
    """Something that the tiers disagree about."""

    kind: Kind
    #: The file's; that of the blob where there is none.
    name: str
    #: What was found, in words.
    detail: str


class Checking:
    """Compares the tiers of one container. Lives as long as its backend."""

    def __init__(self, rows: Rows, blobs: Blobs) -> None:
        self._rows = rows
        self._blobs = blobs

    def run(self, *, content: bool = True, overdue: float = OVERDUE) -> Iterator[Finding]:
        """Yield what disagrees, in no order. Memory does not grow with the number of files.

        :param content: read the content of small files, too.
        :param overdue: seconds after which a file that has expired should have been removed.
        :raises FSError: Swift or the database fail.
        """
        width = min(WIDTH, self._blobs.pool.ceiling)
        with at_once(self._suspicions(), width) as results:
            for _, finding in results:
                if finding is not None:
                    yield finding
        if content:
            yield from self._contents()
        yield from self._expired(overdue)

    # Rows beside blobs.

    def _suspicions(self) -> Iterator[Callable[[], Finding | None]]:
        """Yield what tells whether a suspicion is true."""
        rows, blobs = self._redirects(), self._blobs.list("", "", "")
        row, blob = next(rows, None), next(blobs, None)
        while row is not None or blob is not None:
            place = _order(row, blob)
            if row is not None and (place < 0 or (blob is not None and _differs(row, blob, place))):
                yield partial(self._of_row, row)
            if blob is not None and place > 0 and is_ours(blob.name):
                yield partial(self._of_blob, blob.name)
            if place <= 0:
                row = next(rows, None)
            if place >= 0:
                blob = next(blobs, None)

    def _redirects(self) -> Iterator[Stored]:
        after = ""
        while page := self._rows.by_revision(after):
            yield from page
            after = page[-1].revision or ""

    def _of_row(self, seen: Stored) -> Finding | None:
        """Tell what is wrong with the blob of a row; None: nothing is, or it is another row now."""
        for _ in range(TRIES):
            if seen.revision is None or _expires_soon(seen.info):
                return None
            blob = self._blobs.newest(seen.revision)
            now = self._rows.find(seen.info.name)
            if now is None:
                return None
            if now.version == seen.version:
                return _difference(now, blob)
            seen = now
        return None

    def _of_blob(self, revision: str) -> Finding | None:
        """Tell whether a blob of ours belongs to nobody."""
        blob = self._blobs.newest(revision)
        if blob is None or self._rows.known([revision]):
            return None
        return Finding("orphan", revision, f"no file has this blob of {blob.size} bytes")

    # Rows by themselves.

    def _contents(self) -> Iterator[Finding]:
        for names in self._groups():
            for stored in self._rows.contents(names):
                data, info = stored.content or b"", stored.info
                etag = md5_of(data)
                if (len(data), etag) != (info.size, info.etag):
                    said = f"{info.size} bytes with MD5 {info.etag}"
                    yield Finding(
                        "content",
                        info.name,
                        f"it has {len(data)} bytes with MD5 {etag}, not {said}",
                    )

    def _groups(self) -> Iterator[list[str]]:
        """Yield names of small files, whose content may be held at a time."""
        after, group, held = "", list[str](), 0
        while page := self._rows.small(after):
            for name, size in page:
                if group and held + size > HELD:
                    yield group
                    group, held = [], 0
                group.append(name)
                held += size
            yield group
            after, group, held = page[-1][0], [], 0

    def _expired(self, overdue: float) -> Iterator[Finding]:
        after = ""
        while page := self._rows.expired(overdue, after):
            for stored in page:
                after = stored.info.name
                yield Finding("expired", after, f"since {stored.info.expires}: no recovery runs")


def _order(row: Stored | None, blob: ObjectInfo | None) -> int:
    """Return which of the two comes first: below 0 the row, above 0 the blob."""
    if row is None or blob is None:
        return 1 if row is None else -1
    one, other = (row.revision or "").encode(), blob.name.encode()
    return (one > other) - (one < other)


def _differs(row: Stored, blob: ObjectInfo, place: int) -> bool:
    return place == 0 and _difference(row, blob) is not None


def _difference(row: Stored, blob: ObjectInfo | None) -> Finding | None:
    info = row.info
    if blob is None:
        return Finding("missing", info.name, f"{row.revision!r} is not in Swift")
    if (blob.size, blob.etag) == (info.size, info.etag):
        return None
    found = f"{blob.size} bytes with ETag {blob.etag}"
    said = f"{info.size} with {info.etag}"
    return Finding("different", info.name, f"{row.revision!r} has {found}, not {said}")


def _expires_soon(info: ObjectInfo) -> bool:
    return info.expires is not None and info.expires.timestamp() < time.time() + SOON
