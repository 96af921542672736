"""The three tables of the two tiers.

All times are seconds since 1970 on the clock of the database. Names are compared byte by byte,
as Swift does it. Databases that are shared by several storages keep them apart by ``container``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    or_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler

#: SQLite and CockroachDB compare bytes by themselves.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")

#: For Alembic, and for whoever creates the tables in another way than ``flask fs tiered init``.
metadata = MetaData()

#: One row for each object: its bytes, or a redirect tombstone that says at which revision they are.
objects = Table(
    "fs_objects",
    metadata,
    Column("container", _NAME, primary_key=True),
    Column("name", _NAME, primary_key=True),
    # Of the write that made the row: random, so that a write knows its own.
    Column("version", String(32), nullable=False),
    # The name of a Swift object, for a large one.
    Column("revision", _NAME),
    # Bytes.
    Column("size", BigInteger),
    Column("etag", Text),
    Column("is_manifest", Boolean, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("modified", Double, nullable=False),
    Column("expires", Double),
    Column("cache_control", Text),
    Column("content_disposition", Text),
    Column("content_encoding", Text),
    # JSON: a mapping of strings.
    Column("user_metadata", Text, nullable=False),
    # The last column, so that SQLite finds the others without reading it.
    Column("content", LargeBinary),
    CheckConstraint("(content IS NULL) <> (revision IS NULL)", name="fs_objects_in_one_tier"),
    # No two objects ever share a revision.
    Index("fs_objects_by_revision", "container", "revision", unique=True),
    Index("fs_objects_by_expiry", "container", "expires"),
)

#: The change log: revisions that are being written, and no object points at yet.
changes = Table(
    "fs_changes",
    metadata,
    Column("container", _NAME, primary_key=True),
    Column("revision", _NAME, primary_key=True),
    # The object that it is written for.
    Column("name", _NAME, nullable=False),
    Column("kind", String(16), nullable=False),
    # Who writes it: a host and a process, for people to read.
    Column("owner", Text, nullable=False),
    Column("started", Double, nullable=False),
    # Until when nobody else may take it over.
    Column("lease", Double, nullable=False),
    Column("overwrite", Boolean, nullable=False),
    Index("fs_changes_by_lease", "container", "lease"),
)

#: Revisions that nothing may ever point at again.
retired = Table(
    "fs_retired",
    metadata,
    Column("container", _NAME, primary_key=True),
    Column("revision", _NAME, primary_key=True),
    # ``replaced``: an object pointed at it. ``abandoned``: none ever did.
    Column("reason", String(16), nullable=False),
    Column("since", Double, nullable=False),
    # When the blob is deleted next; and after that the row.
    Column("due", Double, nullable=False),
    Column("deletions", Integer, nullable=False),
    # Deletions in a row that Swift refused.
    Column("failures", Integer, nullable=False),
    Index("fs_retired_by_due", "container", "due"),
)


class now(FunctionElement[float]):  # noqa: N801 - a function of SQL
    """The clock of the database, in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(now)
def _seconds(_element: now, _compiler: SQLCompiler, **_options: Any) -> str:
    # Of the moment, not of the beginning of the transaction, which may have waited for a lock.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(now, "sqlite")
def _seconds_in_sqlite(_element: now, _compiler: SQLCompiler, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def is_alive() -> ColumnElement[bool]:
    """Return what finds the objects that have not expired."""
    return or_(objects.c.expires.is_(None), objects.c.expires > now())
