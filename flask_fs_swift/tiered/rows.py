"""The objects of one storage, and the one transaction that commits.

``compare_and_write`` alone writes to *objects*. It takes the new revision out of *changes*, and
does nothing if it is no longer there. So whoever takes over a change that was given up is sure
that its owner, if it was only slow, can never point at a blob that is being deleted.

Of rows that are locked together, those of *changes* come first, then *objects*, then *retired*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import and_, delete, func, select

from flask_fs_swift.errors import DatabaseError
from flask_fs_swift.objects import ObjectInfo, new_id

from .changelog import ChangeLog
from .retired import RetiredRevisions, retire
from .revisions import is_at, known_of, standing_of
from .statements import DESCRIBED, FIND, FIND_WITH_CONTENT, INSERT, LOCK, RELABEL, REMOVE, REPLACE
from .tables import changes, is_alive, now, objects

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection, Executable, Row, Select

    from .changelog import ChangeKind
    from .database import Database
    from .revisions import Reason

#: What became of a write: it is what readers see, or saw for a moment; there was an object, or not
#: the one there had to be; its revision had been given up.
Result: TypeAlias = Literal["done", "exists", "absent", "fenced"]

#: Objects that one page of a listing tells of.
PAGE = 1000


@dataclass(frozen=True)
class New:
    """What an object is to be: one of ``content`` and ``revision`` is given."""

    #: Its name is not looked at. Without a date, it is stored now.
    info: ObjectInfo
    content: bytes | None = None
    revision: str | None = None
    #: Seconds from now until it expires, where ``info`` does not say when.
    expires_after: float | None = None


@dataclass(frozen=True)
class Write:
    """What is to become of one name."""

    name: str
    #: None: the object is removed. A mapping: its user metadata is changed, and nothing else.
    new: New | Mapping[str, str | None] | None
    #: Whether there may be an object, if a new one comes.
    overwrite: bool = True
    #: The version that there must be; None: any, or none.
    only: str | None = None
    #: What the object's version is called after it.
    version: str = field(default_factory=new_id)
    #: Whose the new revision has to be in the change log; None: it is nobody else's.
    owner: str | None = None


@dataclass(frozen=True)
class Written:
    """What became of a write."""

    result: Result
    #: When the object was stored.
    modified: datetime | None = None
    #: When it expires.
    expires: datetime | None = None
    #: What is retired now.
    retired: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """An object, as its row says."""

    info: ObjectInfo
    version: str
    #: Where the bytes are; None: in ``content``.
    revision: str | None
    #: None where nobody asked for it, too.
    content: bytes | None = None


class Rows:
    """The objects of one container. Lives as long as its backend.

    Every method raises ``DatabaseError``.
    """

    def __init__(self, database: Database, container: str) -> None:
        self._database = database
        self._container = container
        #: What is being written.
        self.log = ChangeLog(database, container)
        #: What is to be deleted.
        self.retired = RetiredRevisions(database, container)

    def create_tables(self) -> None:
        """Create those of the tables that do not exist."""
        self._database.create_tables()

    def compare_and_write(self, *writes: Write) -> list[Written]:
        """Do all of these in one transaction, or nothing; say what became of each.

        For each: a precondition that does not hold retires the new revision in place of the
        old one. What a former run has committed, whose answer was lost, is recognised.
        """
        seen: dict[str, str | None] = {}

        def work(connection: Connection, lost: bool) -> list[Written]:
            before = dict(seen) if lost else None
            return [_Writing(self._container, connection, seen, before).do(one) for one in writes]

        return self._database.transact(work)

    def find(self, name: str, *, content: bool = False) -> Stored | None:
        """Return what there is of this name; None where there is nothing."""
        query = FIND_WITH_CONTENT if content else FIND
        at = {"at_container": self._container, "at_name": name}
        row = self._database.read(lambda connection: connection.execute(query, at).first())
        return None if row is None else _stored(row)

    def page(self, prefix: str, after: str, *, inclusive: bool = False) -> list[Stored]:
        """Return the next objects in byte order of their names, up to ``PAGE``.

        :param inclusive: whether ``after`` may be the first of them.
        """
        name = objects.c.name
        wanted = [objects.c.container == self._container, is_alive()]
        if after:
            wanted.append(name >= after if inclusive else name > after)
        if prefix:
            wanted.append(name >= prefix)
            end = first_after(prefix)
            if end is not None:
                wanted.append(name < end)
        query = select(*DESCRIBED).where(*wanted).order_by(name).limit(PAGE)
        return self._stored(query)

    def by_revision(self, after: str) -> list[Stored]:
        """Return the next large objects in byte order of their revisions, up to ``PAGE``."""
        revision = objects.c.revision
        wanted = (objects.c.container == self._container, revision.is_not(None), revision > after)
        return self._stored(select(*DESCRIBED).where(*wanted).order_by(revision).limit(PAGE))

    def named(self, names: Collection[str]) -> dict[str, Stored]:
        """Return what there is of these names, by name; what has expired, too."""
        wanted = (self._is_of_container(), objects.c.name.in_(names))
        return {one.info.name: one for one in self._stored(select(*DESCRIBED).where(*wanted))}

    def known(self, revisions: Collection[str]) -> set[str]:
        """Return those of some revisions of which anything is known."""
        return self._database.read(
            lambda connection: known_of(connection, self._container, revisions)
        )

    def small(self, after: str) -> list[tuple[str, int]]:
        """Return the names of the next small objects in byte order, up to ``PAGE``.

        With each, how many bytes it really has.
        """
        query = (
            select(objects.c.name, func.length(objects.c.content))
            .where(self._is_of_container(), objects.c.revision.is_(None), objects.c.name > after)
            .order_by(objects.c.name)
            .limit(PAGE)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [(name, size) for name, size in rows]

    def contents(self, names: Collection[str]) -> list[Stored]:
        """Return those of some objects that are small, with their content."""
        wanted = (self._is_of_container(), objects.c.name.in_(names), objects.c.revision.is_(None))
        return self._stored(select(*DESCRIBED, objects.c.content).where(*wanted))

    def expired(self, seconds: float = 0.0, after: str | None = None) -> list[Stored]:
        """Return objects that have expired and are still there, up to ``PAGE``.

        :param seconds: for how long they have.
        """
        wanted = [self._is_of_container(), objects.c.expires <= now() - seconds]
        query = select(*DESCRIBED).limit(PAGE)
        if after is not None:
            wanted.append(objects.c.name > after)
            query = query.order_by(objects.c.name)
        return self._stored(query.where(*wanted))

    def _stored(self, query: Select[Any]) -> list[Stored]:
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [_stored(row) for row in rows]

    def _is_of_container(self) -> ColumnElement[bool]:
        return objects.c.container == self._container

    def _is_object(self, name: str) -> ColumnElement[bool]:
        return and_(objects.c.container == self._container, objects.c.name == name)


class _Writing:
    """One run of the transaction that commits.

    :param seen: filled with the version that each name had, None for none.
    :param before: what a run that may have been committed has seen; None where there was none.
    """

    def __init__(
        self,
        container: str,
        connection: Connection,
        seen: dict[str, str | None],
        before: Mapping[str, str | None] | None,
    ) -> None:
        self._container = container
        self._connection = connection
        self._seen = seen
        self._before = before

    def do(self, write: Write) -> Written:
        """Write one object."""
        new = write.new if isinstance(write.new, New) else None
        kind = None
        if new is not None and new.revision is not None:
            kind = self._kind_of(new.revision, write.owner)
            if kind is None:
                return self._settled(new.revision)
        row = self._locked(write.name)
        version = row.version if row is not None else None
        if row is not None and version == write.version:
            return Written("done", _date(row.modified), _date(row.expires))
        if self._was_overtaken(write, version):
            return Written("done")
        self._seen[write.name] = version
        refusal = _refusal(write, row)
        if refusal is not None:
            return Written(refusal, retired=self._refused(new, kind))
        if new is not None and new.revision is not None:
            self._strike(new.revision)
        modified, expires = self._put(write, row)
        keeps = write.new is not None and new is None
        gone = [row.revision] if row is not None and row.revision is not None and not keeps else []
        return Written("done", modified, expires, self._retire(gone, "replaced"))

    def _kind_of(self, revision: str, owner: str | None) -> ChangeKind | None:
        """Say what a revision is written for; None: it is not. Nobody can take it over now.

        :param owner: whose it has to be; None: it is nobody else's.
        """
        at = is_at(changes, (self._container, revision))
        row = self._connection.execute(
            select(changes.c.kind, changes.c.owner).where(at).with_for_update()
        ).first()
        if row is None or owner not in {None, row.owner}:
            return None
        kind: ChangeKind = row.kind
        return kind

    def _strike(self, revision: str) -> None:
        """Take a revision out of the change log."""
        query = delete(changes).where(is_at(changes, (self._container, revision)))
        self._connection.execute(query)

    def _refused(self, new: New | None, kind: ChangeKind | None) -> tuple[str, ...]:
        """Give up the revision of a write whose precondition does not hold.

        An upload stays open: it may be completed later.
        """
        if new is None or new.revision is None or kind in {None, "upload"}:
            return ()
        self._strike(new.revision)
        return self._retire([new.revision], "abandoned") if kind == "write" else ()

    def _settled(self, revision: str) -> Written:
        """Say what became of a revision that is no longer being written."""
        standing = standing_of(self._connection, self._container, revision)
        return Written("done" if standing in {"current", "replaced"} else "fenced")

    def _locked(self, name: str) -> Row[Any] | None:
        return self._connection.execute(LOCK, self._at(name)).first()

    def _at(self, name: str) -> dict[str, Any]:
        return {"at_container": self._container, "at_name": name}

    def _was_overtaken(self, write: Write, version: str | None) -> bool:
        """Tell whether a write that may have been committed has since been replaced.

        If it was not, what replaced the object came after it began: it counts as the earlier one.

        :raises DatabaseError: it had to be the first, and so may the other one.
        """
        if self._before is None or (isinstance(write.new, New) and write.new.revision is not None):
            return False  # Of a revision it is written down.
        before = self._before.get(write.name)
        if version == before:
            return False
        was_removed = write.new is None and version is None
        replaces_all = not isinstance(write.new, Mapping) and write.overwrite and not write.only
        if was_removed or replaces_all:
            return True
        raise DatabaseError(
            f"{write.name!r}: the answer to a commit was lost, and another has written since",
            filename=write.name,
            maybe_applied=True,
        )

    def _put(self, write: Write, row: Row[Any] | None) -> tuple[datetime | None, datetime | None]:
        """Write to the objects; return when the new one was stored, and when it expires."""
        at = self._at(write.name)
        if write.new is None:
            if row is not None:
                self._connection.execute(REMOVE, at)
            return None, None
        if isinstance(write.new, New):
            statement: Executable = INSERT if row is None else REPLACE
            values = {**_columns(write.new), "version": write.version}
        else:
            statement = RELABEL
            merged = {**json.loads(row.user_metadata if row is not None else "{}"), **write.new}
            kept = {key: value for key, value in merged.items() if value is not None}
            values = {"metadata": json.dumps(kept), "new_version": write.version}
        modified, expires = self._connection.execute(statement, {**at, **values}).one()
        return _date(modified), _date(expires)

    def _retire(self, revisions: Sequence[str], reason: Reason) -> tuple[str, ...]:
        for revision in revisions:
            retire(self._connection, self._container, revision, reason)
        return tuple(revisions)


def _refusal(write: Write, row: Row[Any] | None) -> Result | None:
    """Say which precondition of a write does not hold; None: all do."""
    is_alive = row is not None and row.is_alive
    if write.only is not None and (row is None or row.version != write.only):
        return "absent"
    if isinstance(write.new, New):
        return "exists" if is_alive and not write.overwrite else None
    return "absent" if write.new is not None and not is_alive else None


def _columns(new: New) -> dict[str, Any]:
    info = new.info
    return {
        "revision": new.revision,
        "content": new.content,
        "size": info.size,
        "etag": info.etag,
        "is_manifest": info.is_manifest,
        "content_type": info.content_type,
        "modified": _seconds(info.modified),
        "expires": _seconds(info.expires),
        "expires_after": new.expires_after,
        "cache_control": info.cache_control,
        "content_disposition": info.content_disposition,
        "content_encoding": info.content_encoding,
        "user_metadata": json.dumps(dict(info.metadata)),
    }


def _stored(row: Row[Any]) -> Stored:
    info = ObjectInfo(
        name=row.name,
        size=row.size,
        etag=row.etag,
        content_type=row.content_type,
        modified=_date(row.modified),
        metadata=json.loads(row.user_metadata),
        expires=_date(row.expires),
        cache_control=row.cache_control,
        content_disposition=row.content_disposition,
        content_encoding=row.content_encoding,
        is_manifest=row.is_manifest,
    )
    return Stored(info, row.version, row.revision, getattr(row, "content", None))


def _seconds(date: datetime | None) -> float | None:
    return None if date is None else date.timestamp()


def _date(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def first_after(prefix: str) -> str | None:
    """Return the first name, in byte order, after all that begin with a prefix; None: none is."""
    start = prefix.rstrip("\U0010ffff")
    if not start:
        return None
    following = ord(start[-1]) + 1
    if following == 0xD800:  # The first of those that are no characters.
        following = 0xE000
    return start[:-1] + chr(following)
