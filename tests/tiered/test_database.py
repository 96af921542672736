"""What becomes of a call when the database fails, or is none."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from flask_fs_swift import ConfigError, DatabaseError, FileNotFound, FSError
from flask_fs_swift.config import RetrySettings
from flask_fs_swift.tiered import database as database_module
from flask_fs_swift.tiered.database import Database

from .children import Child
from .seeing import database_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import MakeStorage
    from sqlalchemy import Connection

    from flask_fs_swift import Storage

QUICK = RetrySettings(deadline=5.0, retries=2, backoff=0.01)
LARGE = os.urandom(5000)

# Python 3.12 and later warn, rightly, of forks beside other threads.
forking = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def lite(path: Path, **settings: Any) -> Database:
    return Database(f"sqlite:///{path}", QUICK, **{"width": 1, "create": True, **settings})


#: Every verb that asks the database about one file.
VERBS: dict[str, Callable[[Storage], object]] = {
    "write": lambda files: files.write("a.txt", b"new", overwrite=True),
    "create": lambda files: files.write("b.txt", b"new"),
    "large": lambda files: files.write("a.txt", LARGE, overwrite=True),
    "read": lambda files: files.read("a.txt"),
    "info": lambda files: files.info("a.txt"),
    "exists": lambda files: files.exists("a.txt"),
    "metadata": lambda files: files.set_metadata("a.txt", {"a": "b"}),
    "delete": lambda files: files.delete("a.txt"),
    "copy": lambda files: files.copy("a.txt", "c.txt"),
    "upload": lambda files: files.start_upload("a.txt", overwrite=True),
}
CHANGING = ("write", "create", "large", "metadata", "delete", "upload")


HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the one lock of writers, as another process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.communicate()


@pytest.fixture
def files(make_tiered: MakeStorage) -> Storage:
    """A storage with one small file, which is not patient."""
    files = make_tiered(
        tiered_threshold=1000, tiered_recovery_interval=0, swift_retries=1, swift_deadline=5
    )
    files.write("a.txt", b"old")
    return files


def path_of(files: Storage) -> Path:
    return Path(database_of(files)._url.database or "")


# SQLite, locked.


@pytest.mark.parametrize("verb", CHANGING)
def test_a_locked_database_is_waited_for_and_then_an_error(
    files: Storage, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY", 0.05)
    database_of(files).close()
    with locked(path_of(files)):
        with pytest.raises(DatabaseError, match="database is locked") as raised:
            VERBS[verb](files)
        assert raised.value.filename == ("b.txt" if verb == "create" else "a.txt")
        assert not raised.value.maybe_applied
        assert files.read("a.txt") == b"old"
        assert list(files.list_files()) == ["a.txt"]
    VERBS[verb](files)


def test_a_lock_that_is_let_go_in_time_is_no_error(files: Storage) -> None:
    with ThreadPoolExecutor() as threads:
        with locked(path_of(files)):
            writing = threads.submit(files.write, "a.txt", b"new", overwrite=True)
            assert files.read("a.txt") == b"old"
        writing.result()
    assert files.read("a.txt") == b"new"


def test_who_waits_for_a_turn_waits_no_longer_than_a_call_may_last(
    make_tiered: MakeStorage,
) -> None:
    files = make_tiered(tiered_recovery_interval=0, swift_deadline=0.2)
    files.write("a.txt", b"old")
    with (
        database_of(files)._turns.one(1),
        pytest.raises(DatabaseError, match="busy: others wrote for 0") as raised,
    ):
        files.write("a.txt", b"new", overwrite=True)
    assert (raised.value.filename, raised.value.maybe_applied) == ("a.txt", False)
    files.write("a.txt", b"new", overwrite=True)


# SQLite, on a disk that is no good.


def as_nobody(task: Callable[[], object]) -> None:
    """Do something in a child that may not do everything; it must end well."""

    def work() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        task()

    child = Child(work)
    child.go_on()
    child.end()


def raises(kind: type[FSError], match: str, database: Database) -> None:
    with pytest.raises(kind, match=match) as raised:
        database.transact(add_row)
    assert not raised.value.maybe_applied


ADD_ROW = (
    "INSERT INTO fs_changes VALUES"
    " ('c', hex(randomblob(16)), 'n', 'write', zeroblob(100000), 0, 0, 0)"
)


def execute(statement: str, connection: Connection, _lost: bool) -> None:
    connection.execute(text(statement))


add_row = partial(execute, ADD_ROW)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may reach."""
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    return tmp_path


@forking
def test_a_file_that_is_not_writable(open_folder: Path) -> None:
    path = open_folder / "tiered.sqlite3"
    database = lite(path)
    database.transact(add_row)
    database.close()
    path.chmod(0o444)
    as_nobody(lambda: raises(DatabaseError, "readonly|unable to open", lite(path)))


@forking
def test_a_folder_that_cannot_be_made(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    path = open_folder / "below" / "tiered.sqlite3"
    as_nobody(lambda: raises(DatabaseError, "Permission denied", lite(path)))


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    lite(tmp_path / "a" / "b" / "tiered.sqlite3").transact(add_row)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    raises(DatabaseError, "cannot be created", lite(tmp_path / "a" / "tiered.sqlite3"))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "tiered.sqlite3"
    path.write_bytes(b"not a database" * 100)
    raises(DatabaseError, "not a database", lite(path))
    assert path.read_bytes() == b"not a database" * 100


def test_a_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        database = lite(tmp_path / "tiered.sqlite3")
        count = 0

        def fill() -> None:
            nonlocal count
            while True:
                database.transact(add_row)
                count += 1

        with pytest.raises(DatabaseError, match=r"full|disk I/O") as raised:
            fill()
        # SQLite knows that it has not committed.
        assert not raised.value.maybe_applied
        rows = database.read(lambda c: c.execute(text("SELECT COUNT(*) FROM fs_changes")).scalar())
        assert rows == count > 3
        database.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# Tables.


@pytest.mark.parametrize("verb", VERBS)
def test_missing_tables_are_a_matter_of_configuration(
    make_tiered: MakeStorage, tmp_path: Path, verb: str
) -> None:
    files = make_tiered(
        tiered_database=f"sqlite:///{tmp_path / 'other.sqlite3'}", tiered_threshold=1000
    )
    with pytest.raises(ConfigError, match="flask fs tiered init") as raised:
        VERBS[verb](files)
    assert raised.value.key == "FS_TIERED_DATABASE"
    database_of(files).create_tables()
    with pytest.raises(FileNotFound):
        files.read("a.txt")


def test_missing_tables_in_postgresql(make_tiered: MakeStorage, postgresql: str) -> None:
    files = make_tiered(tiered_database=f"{postgresql}?options=-csearch_path%3Dpg_temp")
    with pytest.raises(ConfigError, match="flask fs tiered init"):
        files.write("a.txt", b"")


def test_threads_create_the_tables_of_our_own_database_at_once(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}" / "tiered.sqlite3"
        several = [lite(path) for _ in range(4)]
        start = threading.Barrier(12)

        def add(database: Database, start: threading.Barrier = start) -> None:
            start.wait()
            database.transact(add_row)

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(add, several * 3))
        for database in several:
            database.close()


@forking
def test_processes_create_the_tables_of_our_own_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tiered.sqlite3"
    children = [Child(partial(lite(path).transact, add_row)) for _ in range(6)]
    for child in children:
        child.begin()
    for child in children:
        child.wait()
        child.end()
    rows = lite(path).read(lambda c: c.execute(text("SELECT COUNT(*) FROM fs_changes")).scalar())
    assert rows == 6


def test_the_tables_are_created_in_postgresql_by_many_at_once(postgresql: str) -> None:
    admin = Database(postgresql, QUICK, width=1, create=False)
    for number in range(3):
        schema = f"t{os.urandom(6).hex()}_{number}"
        admin.transact(partial(execute, f"CREATE SCHEMA {schema}"))
        url = f"{postgresql}?options=-csearch_path%3D{schema}"
        several = [Database(url, QUICK, width=1, create=False) for _ in range(6)]
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(Database.create_tables, several))
        admin.transact(partial(execute, f"DROP SCHEMA {schema} CASCADE"))
        for database in several:
            database.close()
    admin.close()


# What the setting says.

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        f"no URL with {SECRET}",
        f"nothing://fs:{SECRET}@host/db",
        f"postgresql+psycopg://fs:{SECRET}@host:port/db",
        f"postgresql+asyncpg://fs:{SECRET}@host/db",
        f"postgresql+psycopg_async://fs:{SECRET}@host/db",
        f"mysql+absent://fs:{SECRET}@host/db",
        f"oracle://fs:{SECRET}@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_a_wrong_url_is_refused_and_not_shown(make_tiered: MakeStorage, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_tiered(tiered_database=url)
    assert raised.value.key == "FS_TIERED_DATABASE"
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_driver_that_is_not_installed_is_named(
    make_tiered: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"needs a driver: .*psycopg"):
        make_tiered(tiered_database=f"postgresql+psycopg://fs:{SECRET}@host/db")


def test_without_sqlalchemy_the_extra_is_named(
    make_tiered: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("flask_fs_swift.tiered")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError, match=r"flask-fs-swift\[sql\]") as raised:
        make_tiered()
    assert raised.value.key == "FS_BACKEND"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://fs:{SECRET}@127.0.0.1:1/db",
        f"postgresql+psycopg://fs@127.0.0.1:1/db?password={SECRET}",
    ],
)
def test_the_password_is_nowhere_to_be_seen(
    make_tiered: MakeStorage, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    files = make_tiered(tiered_database=url, swift_retries=0)
    mount = files._mount()
    with pytest.raises(DatabaseError) as raised:
        files.write("a.txt", LARGE)
    mount.backend.recovery.wait()  # type: ignore[attr-defined]
    shown = [
        *traceback.format_exception(raised.value),
        repr(mount),
        repr(mount.settings),
        repr(database_of(files)),
        caplog.text,
    ]
    assert SECRET not in "".join(shown)
    assert "127.0.0.1" in repr(database_of(files))


# Connections that are used up.


def test_no_connection_comes_free(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(postgresql, QUICK, width=1, create=False)
    engine = database._engine_now()
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    with engine.connect(), pytest.raises(DatabaseError, match="busy") as raised:
        database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
    assert not raised.value.maybe_applied
    assert database.read(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    database.close()


def test_a_lost_commit_is_told_though_no_turn_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another attempt ends with does not make the first one undone."""
    database = lite(tmp_path / "tiered.sqlite3")
    database.transact(add_row)

    def lose(_connection: Connection) -> None:
        database._turns = turns
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    turns = database_module._Turns()
    busy = turns.one(1)
    busy.__enter__()
    event.listen(database._engine_now(), "commit", lose)
    monkeypatch.setattr(database, "_retrying", RetrySettings(deadline=0.3, retries=2, backoff=0.01))
    with pytest.raises(DatabaseError) as raised:
        database.transact(add_row)
    assert raised.value.maybe_applied
    busy.__exit__(None, None, None)
    database.close()


# A PostgreSQL that insists on an order.


def test_transactions_that_conflict_run_again(make_tiered: MakeStorage, postgresql: str) -> None:
    url = f"{postgresql}?options=-cdefault_transaction_isolation%3Dserializable"
    files = make_tiered(tiered_database=url, tiered_threshold=1000, tiered_recovery_interval=0)
    conflicts: list[str] = []
    engine = database_of(files)._engine_now()

    def count(context: Any) -> None:
        conflicts.append(context.original_exception.sqlstate)

    event.listen(engine, "handle_error", count)
    contents = [f"{number}".encode() * (1 + number % 2 * 2000) for number in range(8)]

    def write(content: bytes) -> None:
        for _ in range(6):
            files.write("a.txt", content, overwrite=True)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, contents))
    assert files.read("a.txt") in contents
    assert "40001" in conflicts, set(conflicts)


def test_deadlocks_are_run_again(postgresql: str) -> None:
    database = Database(
        f"{postgresql}?options=-cdeadlock_timeout%3D20ms", QUICK, width=3, create=False
    )
    keys = [os.urandom(8).hex(), os.urandom(8).hex()]
    for key in keys:
        row = f"('d', '{key}', '', 'write', '', 0, 0, FALSE)"
        database.transact(partial(execute, f"INSERT INTO fs_changes VALUES {row}"))
    meet = threading.Barrier(2)
    runs: list[str] = []

    def both(first: str, second: str) -> None:
        def work(connection: Connection, lost: bool) -> None:
            assert not lost
            runs.append(first)
            touch(connection, first)
            if len(runs) <= 2:
                meet.wait()
            touch(connection, second)

        database.transact(work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(both, keys, reversed(keys)))
    assert len(runs) > 2  # One of them twice; and again, if it was back before the other went on.
    database.close()


def touch(connection: Connection, key: str) -> None:
    query = text(f"UPDATE fs_changes SET lease = lease + 1 WHERE revision = '{key}'")
    assert connection.execute(query).rowcount == 1
