"""What revisions are called, and where one is on its way.

A revision is the name of a Swift object. It is in one table at a time, and goes one way:

- in *changes* while it is being written,
- in *objects* while an object points at it,
- in *retired* from then on. Nothing ever points at it again, and its blob may be deleted.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import and_, select

from .tables import changes, objects, retired

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

Reason: TypeAlias = Literal["replaced", "abandoned"]
#: What is known of a revision: no object points at it yet, one does, one did, none ever will;
#: or nothing at all is.
Standing: TypeAlias = Literal["open", "current", "replaced", "abandoned", "unknown"]

_REVISION = re.compile("revisions/[0-9a-f]{64}/[0-9a-f]{32}")


def revision_of(name: str, version: str) -> str:
    """Return the revision that one write of an object makes."""
    return f"revisions/{hashlib.sha256(name.encode()).hexdigest()}/{version}"


def is_ours(revision: str) -> bool:
    """Tell whether a Swift object has a name that we give."""
    return _REVISION.fullmatch(revision) is not None


def version_in(revision: str) -> str:
    """Return what the write is called that made a revision of ours."""
    return revision.rpartition("/")[2]


def standing_of(connection: Connection, container: str, revision: str) -> Standing:
    """Tell what is known of a revision."""
    key = (container, revision)
    # In the order in which it goes, so that it is not missed on its way.
    if connection.execute(select(changes.c.name).where(is_at(changes, key))).first() is not None:
        return "open"
    if connection.execute(select(objects.c.name).where(is_at(objects, key))).first() is not None:
        return "current"
    reason: Reason | None = connection.execute(
        select(retired.c.reason).where(is_at(retired, key))
    ).scalar_one_or_none()
    return "unknown" if reason is None else reason


def known_of(connection: Connection, container: str, revisions: Collection[str]) -> set[str]:
    """Return those of some revisions of which anything is known."""
    # In the order in which they go.
    return {
        revision
        for table in (changes, objects, retired)
        for revision in connection.execute(
            select(table.c.revision).where(
                table.c.container == container, table.c.revision.in_(revisions)
            )
        ).scalars()
    }


def is_at(table: Any, key: tuple[str, str]) -> ColumnElement[bool]:
    """Return what finds a revision in one of the tables.

    :param key: the container and the revision.
    """
    return and_(table.c.container == key[0], table.c.revision == key[1])
