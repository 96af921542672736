"""The change log: which revisions are being written, for what, and until when others wait.

Whoever takes over a change that was given up moves it from *changes* to *retired*, in one
transaction. Its owner, if it was only slow, finds it gone when it commits.

An *adoption* has no revision of its own making: its revision is the name of an object that is in
Swift already. So two may adopt the same one. The later entry counts, and the owner says whose it
is: each adoption has an owner of its own. If it fails, it is struck, and its blob stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import and_, delete, insert, select, update

from flask_fs_swift.errors import LeaseLost

from .retired import retire
from .revisions import is_at, standing_of
from .tables import changes, is_alive, now, objects, retired

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection

    from .database import Database
    from .revisions import Standing

#: What a change is for. An ``adoption`` is of a blob that is not ours to delete if it fails.
ChangeKind: TypeAlias = Literal["write", "upload", "adoption"]

#: Changes that are asked for at a time.
PAGE = 1000
#: The change that says who recovers; it is no revision of ours.
_RECOVERY = "recovery"


@dataclass(frozen=True)
class Change:
    """A revision that is being written."""

    revision: str
    name: str
    kind: ChangeKind
    #: Whether there may be an object, when it is committed.
    overwrite: bool = True
    #: When it began, in seconds since 1970; nothing is, that was not entered.
    started: float = 0.0


class ChangeLog:
    """The changes of one container. Lives as long as its backend.

    Every method raises ``DatabaseError``.
    """

    def __init__(self, database: Database, container: str) -> None:
        self._database = database
        self._container = container

    def enter(self, change: Change, owner: str, seconds: float) -> float | None:
        """Note that a revision is being written; return the time. It may be entered again.

        None where it must not be: an object has the name and may not be overwritten; or,
        for an adoption, the revision is another object's, is being written, or is waiting to be
        deleted.

        :param seconds: how long nobody else may take it over.
        :raises LeaseLost: it was taken over before it was known that it had been entered.
        """

        def work(connection: Connection, lost: bool) -> float | None:
            if lost and standing_of(connection, self._container, change.revision) == "abandoned":
                raise LeaseLost(f"{change.name!r} was given up", filename=change.name)
            return self._enter(connection, change, owner, seconds)

        return self._database.transact(work)

    def adopt(
        self, names: Iterable[str], owner: str, seconds: float, *, overwrite: bool
    ) -> set[str]:
        """Enter adoptions of objects for rows of their own names; return those that were.

        One transaction for all.
        """
        entering = [Change(name, name, "adoption", overwrite=overwrite) for name in names]

        def work(connection: Connection, _lost: bool) -> set[str]:
            return {
                change.name
                for change in entering
                if self._enter(connection, change, owner, seconds) is not None
            }

        return self._database.transact(work)

    def turn_into(self, kind: ChangeKind, revision: str, owner: str) -> bool:
        """Make a write of an adoption, or an adoption again: a write's blob is deleted if it fails.

        False where it is no longer the owner's, or the revision has become an object's. After
        this nobody else can enter or commit the revision of a write.
        """
        ours = (self._is_change(revision), changes.c.owner == owner)

        def work(connection: Connection, _lost: bool) -> bool:
            if self._is_held(connection, revision):
                return False
            return connection.execute(update(changes).where(*ours).values(kind=kind)).rowcount == 1

        return self._database.transact(work)

    def _enter(
        self, connection: Connection, change: Change, owner: str, seconds: float
    ) -> float | None:
        if not self._may_enter(connection, change):
            return None
        key = {"container": self._container, "revision": change.revision}
        row = {"kind": change.kind, "name": change.name, "overwrite": change.overwrite}
        connection.execute(delete(changes).where(self._is_change(change.revision)))
        entered = connection.execute(
            insert(changes)
            .values(**key, **row, owner=owner, started=now(), lease=now() + seconds)
            .returning(changes.c.started)
        )
        return float(entered.scalar_one())

    def _may_enter(self, connection: Connection, change: Change) -> bool:
        if change.kind == "adoption":
            # Locked: whoever makes a write of it now does so before this, or not at all.
            others = select(changes.c.kind).where(self._is_change(change.revision))
            if connection.scalar(others.with_for_update()) not in {None, "adoption"}:
                return False
            if self._is_held(connection, change.revision):
                return False
        if change.overwrite:
            return True
        query = select(objects.c.version).where(
            objects.c.container == self._container, objects.c.name == change.name, is_alive()
        )
        return connection.execute(query).first() is None

    def _is_held(self, connection: Connection, revision: str) -> bool:
        """Tell whether a revision is an object's, or is waiting to be deleted."""
        held = (
            select(table.c.revision).where(is_at(table, (self._container, revision)))
            for table in (objects, retired)
        )
        return any(connection.execute(query).first() is not None for query in held)

    def renew(self, revision: str, seconds: float) -> bool:
        """Say that a revision is still being written; tell whether it is."""
        query = update(changes).where(self._is_change(revision)).values(lease=now() + seconds)
        return self._database.transact(
            lambda connection, _lost: connection.execute(query).rowcount == 1
        )

    def abandon(self, revision: str, *, expired: bool = False, owner: str | None = None) -> bool:
        """Give up a revision; tell whether it is, now or before: none will ever point at it.

        :param expired: only if its owner's lease has ended.
        :param owner: only if it is this one's.
        """
        wanted = [self._is_change(revision)]
        if owner is not None:
            wanted.append(changes.c.owner == owner)
        if expired:
            wanted.append(changes.c.lease < now())

        def work(connection: Connection, _lost: bool) -> bool:
            given_up = connection.execute(
                delete(changes).where(*wanted).returning(changes.c.kind)
            ).scalar_one_or_none()
            if given_up in {"write", "upload"}:
                retire(connection, self._container, revision, "abandoned")
            return given_up is not None or (
                standing_of(connection, self._container, revision) == "abandoned"
            )

        return self._database.transact(work)

    def expired(self) -> list[Change]:
        """Return changes whose owners have not been heard of, up to ``PAGE``."""
        return self._changes(changes.c.lease < now())

    def uploads(self, after: str = "") -> list[Change]:
        """Return the uploads that are open, by revision, up to ``PAGE``."""
        return self._changes(changes.c.kind == "upload", changes.c.revision > after)

    def _changes(self, *wanted: ColumnElement[bool]) -> list[Change]:
        query = (
            select(changes)
            .where(changes.c.container == self._container, changes.c.kind != _RECOVERY, *wanted)
            .order_by(changes.c.revision)
            .limit(PAGE)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [
            Change(row.revision, row.name, row.kind, row.overwrite, row.started) for row in rows
        ]

    def standing(self, revision: str) -> Standing:
        """Tell what is known of a revision."""
        return self._database.read(
            lambda connection: standing_of(connection, self._container, revision)
        )

    def change(self, revision: str) -> Change | None:
        """Return what is known of a revision that is being written; None where it is not."""
        found = self._changes(changes.c.revision == revision)
        return found[0] if found else None

    def _is_change(self, revision: str) -> ColumnElement[bool]:
        return and_(changes.c.container == self._container, changes.c.revision == revision)

    def claim_recovery(self, owner: str, seconds: float) -> bool:
        """Tell whether nobody else recovers; and then nobody else may, for so long."""
        values = {"owner": owner, "started": now(), "lease": now() + seconds}

        def work(connection: Connection, _lost: bool) -> bool:
            mine = self._is_change(_RECOVERY)
            held = select((changes.c.lease > now()).label("held")).where(mine).with_for_update()
            row = connection.execute(held).first()
            if row is None:
                fixed = {"container": self._container, "revision": _RECOVERY, "name": _RECOVERY}
                connection.execute(
                    insert(changes).values(**fixed, **values, kind=_RECOVERY, overwrite=False)
                )
            elif not row.held:
                connection.execute(update(changes).where(mine).values(**values))
            return row is None or not row.held

        return self._database.transact(work)
