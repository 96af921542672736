"""What can be seen of a storage in two tiers from inside: its rows and its blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from flask_fs_swift.tiered.backend import TieredBackend

if TYPE_CHECKING:
    from flask_fs_swift import Storage
    from flask_fs_swift.tiered.database import Database
    from flask_fs_swift.tiered.recovery import Recovery


def backend_of(files: Storage) -> TieredBackend:
    """Return the backend of a storage."""
    backend = files._mount().backend
    assert isinstance(backend, TieredBackend)
    return backend


def database_of(files: Storage) -> Database:
    """Return where the small files are."""
    return backend_of(files)._rows._database


def recovery_of(files: Storage) -> Recovery:
    """Return what keeps Swift to what is pointed at."""
    return backend_of(files).recovery


def blobs(files: Storage) -> set[str]:
    """Return what there is in Swift."""
    return set(backend_of(files)._blobs.names("", "", ""))


def column(files: Storage, query: str) -> list[Any]:
    """Return what a query finds, whose ``:container`` is the storage's.

    In one column, in no order.
    """
    statement = text(query)
    container = {"container": backend_of(files)._rows._container}
    return list(database_of(files).read(lambda c: c.execute(statement, container).scalars().all()))


def change(files: Storage, statement: str) -> None:
    """Change rows behind the storage's back, as above."""
    container = {"container": backend_of(files)._rows._container}
    database_of(files).transact(lambda c, _lost: c.execute(text(statement), container))


def pointed_at(files: Storage) -> set[str]:
    """Return the revisions that objects point at."""
    query = "SELECT revision FROM fs_objects WHERE container = :container AND revision IS NOT NULL"
    return set(column(files, query))


def open_changes(files: Storage) -> set[str]:
    """Return the revisions that are being written."""
    query = "SELECT revision FROM fs_changes WHERE container = :container AND kind <> 'recovery'"
    return set(column(files, query))


def retired(files: Storage) -> set[str]:
    """Return the revisions whose blobs are still to be deleted for the first time."""
    query = "SELECT revision FROM fs_retired WHERE container = :container AND deletions = 0"
    return set(column(files, query))


def let_time_pass(files: Storage) -> None:
    """Let all leases end, and all that waits to be deleted be due."""
    change(files, "UPDATE fs_changes SET lease = 0 WHERE container = :container")
    change(files, "UPDATE fs_retired SET due = 0 WHERE container = :container AND deletions < 2")


def assert_nothing_is_left(files: Storage) -> None:
    """Check, after a recovery, that Swift has what objects point at and nothing else."""
    assert open_changes(files) == set()
    assert blobs(files) == pointed_at(files)
