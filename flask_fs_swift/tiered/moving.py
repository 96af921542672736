"""Take over the objects of a Swift container, and give them back, under their own names.

Moving in makes rows for what is in Swift already. No bytes move: the row of an object says that
its revision is called as the object is. For some names together:

1. Enter their revisions in the change log as adoptions.
2. Ask Swift for each of them: a deletion in between is seen, as the newest copy is asked for.
3. In one transaction make the rows, where there are none: the **commit point**.

A small one may then move into its row: its content is read, verified and committed as any small
write is, which retires the revision. Its object is deleted after that.

Moving out makes the container what it would be if there had never been two tiers. For each row
that does not point at its own name:

1. Enter its name as an adoption of the object that may be there.
2. Have an object of that name: the one that is there if it has the same content; otherwise make
   the adoption a write, and put the content or copy it inside Swift. Have it be described as the
   row says.
3. In one transaction point the row at it, if the row is still what it was: the **commit point**.
   This retires the revision that the row pointed at.

What dies as an adoption is struck from the change log, and nothing else; what dies as a write is
deleted. Either way it can be begun again, and finds what is left to do by one query for each page.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from flask_fs_swift.content import Held
from flask_fs_swift.errors import ETagMismatchError, FileExists, FSError, ObjectChanged
from flask_fs_swift.hashing import md5_of
from flask_fs_swift.names import is_name
from flask_fs_swift.objects import ObjectInfo, new_id
from flask_fs_swift.parallel import at_once
from flask_fs_swift.streams import CHUNK_SIZE

from .revisions import is_ours
from .rows import New, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from flask_fs_swift.backend import Blobs

    from .leases import Lease
    from .recovery import Recovery
    from .rows import Rows, Stored

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: What became of an object: its row points at it now, or has its content; did so before; is of
#: another content than what is in Swift; no file may have such a name; it is called as our
#: revisions are, and we do not know it; its name is being written or deleted; it is no more;
#: something came in the way.
Outcome: TypeAlias = Literal[
    "moved", "there", "exists", "refused", "unknown", "held", "gone", "failed"
]

#: Objects that are looked at together.
PAGE = 1000
#: Adoptions that are entered and committed together.
BATCH = 100
#: Requests at a time, at the most.
WIDTH = 10
#: Failures in a row after which it is Swift that fails, or the database.
PATIENCE = 20
#: Seconds that a batch has to be looked for. Nobody waits for an adoption that has died.
LEASE = 3600.0
#: How often it is tried to move out what is replaced again and again.
TRIES = 3


@dataclass(frozen=True)
class Moved:
    """What became of one object."""

    name: str
    outcome: Outcome
    #: Why it ``failed``.
    error: FSError | None = None

    @property
    def is_left(self) -> bool:
        """Whether it is not moved, and should be looked at."""
        return self.outcome not in {"moved", "there", "gone"}


class MovingIn:
    """Takes over the objects of a container. Lives as long as its backend.

    :param threshold: bytes; what has more stays in Swift.
    """

    def __init__(
        self, rows: Rows, blobs: Blobs, lease: Lease, recovery: Recovery, threshold: int
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._lease = lease
        self._recovery = recovery
        self._threshold = threshold

    def run(self, *, inline: bool = False) -> Iterator[Moved]:
        """Take over what there is; yield what became of each. It may be run again at any time.

        One request and one query for a thousand objects that are there already. For others
        a request each, and two transactions for a hundred.

        :param inline: move small ones into their rows: three transactions and two requests each.
        :raises FSError: Swift or the database fail. What was yielded is done.
        """
        return _patient(self._run(inline))

    def _run(self, inline: bool) -> Generator[Moved, None, None]:
        listing = self._blobs.list("", "", "")
        while page := list(islice(listing, PAGE)):
            absent: list[str] = []
            redirects: list[Stored] = []
            yield from self._sorted_out(page, absent, redirects)
            for at in range(0, len(absent), BATCH):
                moved = list(self._adopt(absent[at : at + BATCH]))
                if inline:
                    adopted = {one.name for one in moved if one.outcome == "moved"}
                    small = self._small(self._rows.named(adopted).values())
                    moved = [one for one in moved if one.name not in {s.info.name for s in small}]
                    yield from self._inline(small)
                yield from moved
            small = self._small(redirects) if inline else []
            yield from self._inline(small)
            there = {one.info.name for one in redirects} - {one.info.name for one in small}
            yield from (Moved(name, "there") for name in there)

    def _sorted_out(
        self, page: list[ObjectInfo], absent: list[str], redirects: list[Stored]
    ) -> Iterator[Moved]:
        """Yield what is known of a page without asking; put the others where they belong."""
        names = [info.name for info in page if is_name(info.name)]
        rows = self._rows.named(names)
        known = self._rows.known([name for name in names if is_ours(name)])
        for info in page:
            name = info.name
            row = rows.get(name)
            if not is_name(name):
                yield Moved(name, "refused")
            elif is_ours(name):
                if name not in known and self._blobs.newest(name) is not None:
                    yield Moved(name, "unknown")
            elif row is None:
                absent.append(name)
            elif row.revision == name:
                redirects.append(row)
            elif _is_same(row.info, info):
                yield Moved(name, "there")
            else:
                yield Moved(name, "exists" if self._is_another(name) else "gone")

    def _is_another(self, name: str) -> bool:
        """Tell whether there is an object of a name whose row has other content.

        One that we have replaced is no more, or is about to be: the listing lags.
        """
        return name not in self._rows.known([name]) and self._blobs.newest(name) is not None

    def _small(self, stored: Iterable[Stored]) -> list[Stored]:
        return [
            one
            for one in stored
            if one.info.size is not None
            and one.info.size <= self._threshold
            and not one.info.is_manifest
        ]

    def _adopt(self, names: Sequence[str]) -> Iterator[Moved]:
        owner = _owner(self._lease)
        entered = self._rows.log.adopt(names, owner, LEASE, overwrite=False)  # (1)
        lost = [name for name in names if name not in entered]
        writes = []
        looks = (partial(_settled, name, partial(self._look, name)) for name in sorted(entered))
        with at_once(looks, _width(self._blobs)) as results:  # (2)
            for _, found in results:
                if isinstance(found, ObjectInfo):
                    new = New(found, revision=found.name)
                    writes.append(Write(found.name, new, overwrite=False, owner=owner))
                else:
                    self._rows.log.abandon(found.name, owner=owner)
                    yield found
        # In one order, so that two of these do not wait for each other.
        writes.sort(key=lambda write: write.name)
        written = self._rows.compare_and_write(*writes)  # (3), the commit point
        for write, one in zip(writes, written, strict=True):
            if one.result == "done":
                yield Moved(write.name, "moved")
            else:
                lost.append(write.name)
        yield from self._overtaken(lost)

    def _look(self, name: str) -> ObjectInfo | Moved:
        found = self._blobs.newest(name)
        return Moved(name, "gone") if found is None else found

    def _overtaken(self, names: list[str]) -> Iterator[Moved]:
        """Yield what became of objects whose names another has meanwhile."""
        rows = self._rows.named(names) if names else {}
        for name in names:
            row = rows.get(name)
            if row is None:
                yield Moved(name, "held")
            else:
                is_other = row.revision != name and self._is_another(name)
                yield Moved(name, "exists" if is_other else "there")

    def _inline(self, small: Iterable[Stored]) -> Iterator[Moved]:
        tasks = (partial(_settled, one.info.name, partial(self._into_row, one)) for one in small)
        with at_once(tasks, _width(self._blobs)) as results:
            for _, moved in results:
                yield moved

    def _into_row(self, stored: Stored) -> Moved:
        """Move the content of a redirect into its row; one that was changed meanwhile stays."""
        info = stored.info
        try:
            data = self._content(info)
        except FSError:
            if self._version(info.name) != stored.version:
                return Moved(info.name, "there")
            raise
        inlined = Write(info.name, New(info, content=data), only=stored.version)
        [written] = self._rows.compare_and_write(inlined)  # The commit point.
        self._recovery.delete(written.retired)
        return Moved(info.name, "moved" if written.result == "done" else "there")

    def _content(self, info: ObjectInfo) -> bytes:
        with closing(self._blobs.get(info.name, CHUNK_SIZE)) as stream:
            if not _is_same(stream.info, info):
                raise ObjectChanged(
                    f"{info.name!r} is not the object that was taken over", filename=info.name
                )
            data = stream.read()
        actual = md5_of(data)
        if actual != info.etag:
            raise ETagMismatchError(
                f"{info.name!r} was read with MD5 {actual}, its ETag is {info.etag}",
                filename=info.name,
                expected=info.etag,
                actual=actual,
            )
        return data

    def _version(self, name: str) -> str | None:
        found = self._rows.find(name)
        return None if found is None else found.version


class MovingOut:
    """Gives the objects back to their container. Lives as long as its backend."""

    def __init__(self, rows: Rows, blobs: Blobs, lease: Lease, recovery: Recovery) -> None:
        self._rows = rows
        self._blobs = blobs
        self._lease = lease
        self._recovery = recovery

    def run(self, *, overwrite: bool = False) -> Iterator[Moved]:
        """Give back what there is; yield what became of each. It may be run again at any time.

        One query for a thousand objects that are there already. For others four transactions
        and three requests, or more for large ones.

        :param overwrite: whether what others have stored under the name of a file is replaced.
        :raises FSError: Swift or the database fail. What was yielded is done.
        """
        return _patient(self._run(overwrite))

    def _run(self, overwrite: bool) -> Generator[Moved, None, None]:
        self._recovery.run()  # Names that are to be deleted come free.
        after = ""
        while page := self._rows.page("", after):
            after = page[-1].info.name
            within = [one for one in page if one.revision != one.info.name]
            outside = {one.info.name for one in page} - {one.info.name for one in within}
            yield from (Moved(name, "there") for name in outside)
            names = (one.info.name for one in within)
            tasks = (
                partial(_settled, name, partial(self._move, name, overwrite)) for name in names
            )
            with at_once(tasks, _width(self._blobs)) as results:
                for _, moved in results:
                    yield moved

    def _move(self, name: str, overwrite: bool) -> Moved:
        for _ in range(TRIES):
            stored = self._rows.find(name, content=True)
            if stored is None:
                return Moved(name, "gone")
            if stored.revision == name:
                return Moved(name, "there")
            try:
                outcome = self._try(stored, overwrite)
            except FSError:
                now = self._rows.find(name)
                if now is not None and now.version == stored.version:
                    raise
                outcome = None  # It was replaced or deleted meanwhile, or has expired.
            if outcome is not None:
                return Moved(name, outcome)
        return Moved(name, "held")

    def _try(self, stored: Stored, overwrite: bool) -> Outcome | None:
        """Move one out; None: it was changed meanwhile."""
        name, owner = stored.info.name, _owner(self._lease)
        if not self._rows.log.adopt([name], owner, self._lease.seconds, overwrite=True):  # (1)
            return "held"
        try:
            with self._lease.kept(name):
                blob = self._placed(stored, owner, overwrite)  # (2)
        except BaseException:
            self._give_up(name, owner)
            raise
        if blob is None:
            self._give_up(name, owner)
            return None
        info = replace(stored.info, size=blob.size, etag=blob.etag, is_manifest=blob.is_manifest)
        pointing = Write(name, New(info, revision=name), only=stored.version, owner=owner)
        [written] = self._rows.compare_and_write(pointing)  # (3), the commit point
        self._recovery.delete(written.retired)
        return "moved" if written.result == "done" else None

    def _placed(self, stored: Stored, owner: str, overwrite: bool) -> ObjectInfo | None:
        """Have the content in Swift under its name; None: another does it."""
        info = stored.info
        there = self._blobs.newest(info.name)
        if there is None or not _is_same(there, info):
            if there is not None and not overwrite:
                raise FileExists(f"{info.name!r} is another object in Swift", filename=info.name)
            if not self._rows.log.turn_into("write", info.name, owner):
                return None
            try:
                self._put(stored, overwrite)
            except FileExists:  # It came just now, and is not ours to delete.
                self._rows.log.turn_into("adoption", info.name, owner)
                raise
        blob = self._blobs.restate(info)
        both_say = not (blob.is_manifest or info.is_manifest)
        if blob.size != info.size or (both_say and blob.etag != info.etag):
            raise ETagMismatchError(
                f"{info.name!r} is in Swift with {blob.size} bytes and ETag {blob.etag}, "
                f"and should have {info.size} and {info.etag}",
                filename=info.name,
                expected=info.etag,
                actual=blob.etag,
            )
        return blob

    def _put(self, stored: Stored, overwrite: bool) -> None:
        info = stored.info
        if stored.revision is None:
            self._blobs.place(info, Held(stored.content or b""), overwrite=overwrite)
        else:
            self._blobs.copy(stored.revision, info.name, overwrite=overwrite)

    def _give_up(self, name: str, owner: str) -> None:
        """Strike our adoption, or delete what we have written. Failing that, a recovery does."""
        try:
            self._rows.log.abandon(name, owner=owner)
            self._recovery.delete([name])
        except FSError:
            logger.warning("%r is left to a recovery", name, exc_info=True)


def _settled(name: str, task: Callable[[], T | Moved]) -> T | Moved:
    """Do something about an object; what fails of it is an outcome."""
    try:
        return task()
    except FileExists:
        return Moved(name, "exists")
    except FSError as error:
        return Moved(name, "failed", error)


def _patient(results: Generator[Moved, None, None]) -> Iterator[Moved]:
    """Pass on what became of objects, until nothing but failures come.

    :raises FSError: the last of them.
    """
    failures = 0
    with closing(results):
        for moved in results:
            yield moved
            failures = failures + 1 if moved.error is not None else 0
            if moved.error is not None and failures == PATIENCE:
                raise moved.error


def _owner(lease: Lease) -> str:
    """Return what one adoption is known by."""
    return f"{lease.owner}:{new_id()}"


def _width(blobs: Blobs) -> int:
    return min(WIDTH, blobs.pool.ceiling)


def _is_same(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Tell whether two descriptions are of the same content, as far as they say."""
    return (one.size, one.etag) == (other.size, other.etag)
