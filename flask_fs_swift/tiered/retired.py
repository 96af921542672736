"""Revisions that nothing may ever point at again, until their blobs are gone for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from .revisions import is_at, is_ours
from .tables import now, retired

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from .database import Database
    from .revisions import Reason

#: Revisions that are asked for at a time.
PAGE = 1000
#: Seconds.
DAY = 24 * 3600.0
#: Seconds for which a retired revision is remembered: an upload may be completed again.
REMEMBERED = 7 * DAY
#: The longest pause between two attempts to delete a blob, in seconds.
LONGEST_PAUSE = 3600.0
#: Seconds that whoever deletes a blob has for it.
CLAIM = 3600.0


@dataclass(frozen=True)
class Retired:
    """A revision whose blob is to be deleted, or has been."""

    revision: str
    #: How often it was.
    deletions: int = 0
    #: How often it could not be, since it last was.
    failures: int = 0


class RetiredRevisions:
    """The retired revisions of one container. Lives as long as its backend.

    Every method raises ``DatabaseError``.
    """

    def __init__(self, database: Database, container: str) -> None:
        self._database = database
        self._container = container

    def due(self) -> list[Retired]:
        """Return what is to be deleted now, up to ``PAGE``, the longest due first."""
        query = (
            select(retired.c.revision, retired.c.deletions, retired.c.failures)
            .where(retired.c.container == self._container, retired.c.due <= now())
            .order_by(retired.c.due)
            .limit(PAGE)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [Retired(*row) for row in rows]

    def claim(self, revision: str) -> bool:
        """Tell whether a retired revision is due, and nobody else deletes it now.

        Who claims it has an hour: longer than any request to Swift is waited for.
        """
        query = (
            update(retired)
            .where(is_at(retired, (self._container, revision)), retired.c.due <= now())
            .values(due=now() + CLAIM)
        )
        return self._database.transact(
            lambda connection, _lost: connection.execute(query).rowcount == 1
        )

    def deleted(self, revision: str) -> None:
        """Note that the blob of a retired revision was deleted.

        It is deleted again after a day, because a slow PUT may have landed late; and then
        remembered. A name that is not ours is forgotten, and may come back: whoever puts an object
        of that name has looked that it is not retired.
        """
        key = (self._container, revision)
        again = update(retired).where(is_at(retired, key), retired.c.deletions == 0)
        last = update(retired).where(is_at(retired, key), retired.c.deletions > 0)

        def work(connection: Connection, _lost: bool) -> None:
            if not is_ours(revision):
                connection.execute(delete(retired).where(is_at(retired, key)))
                return
            once = {"deletions": retired.c.deletions + 1, "failures": 0}
            # The second first, which does not see what the first does.
            connection.execute(last.values(**once, due=retired.c.since + REMEMBERED))
            connection.execute(again.values(**once, due=now() + DAY))

        self._database.transact(work)

    def not_deleted(self, revision: str, failures: int) -> float:
        """Note that a blob could not be deleted; return the seconds until it is due again."""
        pause = min(5.0 * 2.0 ** min(failures, 10), LONGEST_PAUSE)
        query = (
            update(retired)
            .where(is_at(retired, (self._container, revision)))
            .values(failures=failures + 1, due=now() + pause)
        )
        self._database.transact(lambda connection, _lost: connection.execute(query))
        return pause

    def forget(self, revision: str) -> None:
        """Forget a retired revision, whose blob is gone for good."""
        query = delete(retired).where(is_at(retired, (self._container, revision)))
        self._database.transact(lambda connection, _lost: connection.execute(query))


def retire(connection: Connection, container: str, revision: str, reason: Reason) -> None:
    """Retire a revision, which was taken out of another table in the same transaction."""
    connection.execute(
        insert(retired).values(
            container=container,
            revision=revision,
            reason=reason,
            since=now(),
            due=now(),
            deletions=0,
            failures=0,
        )
    )
