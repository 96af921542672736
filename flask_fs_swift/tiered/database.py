"""Run transactions until it is sure how they ended.

A transaction is a function that is given a connection; it may run several times, and runs again

- after a failure of the database or the network, after a pause, while attempts and deadline last;
- after a conflict with another transaction, which the database has ended.

When the answer to a COMMIT was lost, the next run is told: it has to recognise its own work.

SQLite waits for disks and for other processes without letting greenlets run, so below a hub its
transactions run in a real thread. It has one writer: those of one process take turns, in order,
so that only processes meet at its lock, which knows no order.

State, guarded by ``_lock``:

``_idle``    connections to SQLite that nobody uses; the one used last is lent first. Other
             databases' are in the pool of SQLAlchemy.
``_used``    how many connections to SQLite somebody uses.
``_engine``  made when it is first needed.

Guarded by ``_gate``: that ``_used`` grows. It is held while the process forks, when no connection
to SQLite may be open: a child would take the locks of the parent's for its own, and has none.
What it writes would be lost with the log that the last to leave deletes.
"""

from __future__ import annotations

import contextlib
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from flask_fs_swift.concurrency import (
    Deadline,
    below_hub,
    forget_after_fork,
    hold_for_fork,
    native_pause,
    new_lock,
    new_wakeup,
    off_hub,
)
from flask_fs_swift.errors import ConfigError, DatabaseError
from flask_fs_swift.retry import Attempts

from .tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from flask_fs_swift.concurrency import Wakeup
    from flask_fs_swift.config import RetrySettings
    from flask_fs_swift.errors import FSError

T = TypeVar("T")

#: Seconds for which SQLite waits for another process that writes.
BUSY = 10.0
#: Runs of one transaction that conflicts with others.
CONFLICTS = 50

_SETTING = "FS_TIERED_DATABASE"
#: SQLSTATEs: serialization failure, deadlock, a table that another has just created, or its type.
#: Nothing was done.
_CONFLICT = frozenset({"40001", "40P01", "42P07", "42710"})
#: SQLSTATE of a table that does not exist.
_NO_TABLE = frozenset({"42P01"})
#: What asking SQLite again does not change.
_LASTING = frozenset({"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB"})


class Database:
    """One database. Lives as long as its application; it connects when it is first used.

    :param width: connections to another database than SQLite.
    :param create: whether missing tables are created, rather than asked for.
    """

    def __init__(self, url: str, retrying: RetrySettings, *, width: int, create: bool) -> None:
        self._url = _checked(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._retrying = retrying
        self._width = width
        self._create = create
        self._turns = _Turns()
        # What a fork has inherited: its sockets and locks are the parent's, so it is never closed.
        self._of_parents: list[object] = []
        self._lock = new_lock()
        self._gate = new_lock()
        self._engine: Engine | None = None
        self._idle: list[Connection] = []
        self._used = 0
        forget_after_fork(self)
        hold_for_fork(self)

    def __repr__(self) -> str:
        # Without the password, which may also be among the parameters.
        return f"<Database {self._url.set(query={})!r}>"

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what is read with a connection.

        :raises DatabaseError: it could not be.
        """
        return self._run(lambda connection, _lost: work(connection), writes=False)

    def transact(self, work: Callable[[Connection, bool], T]) -> T:
        """Return what a transaction returns, once it is committed.

        :param work: is also told whether a former run of it may have been committed. What it
            raises ends the transaction, which has done nothing then.
        :raises DatabaseError: with ``maybe_applied`` where the answer to a COMMIT was lost.
        """
        return self._run(work, writes=True)

    def create_tables(self) -> None:
        """Create those of the tables that do not exist.

        :raises DatabaseError: they could not be.
        """

        def create(connection: Connection, _lost: bool) -> None:
            metadata.create_all(connection)

        self._run(create, writes=True)

    def close(self) -> None:
        """Close what is idle. What is still used is closed by its user's end."""
        with self._lock:
            engine, self._engine = self._engine, None
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if engine is not None:
            engine.dispose()

    def before_fork(self) -> None:
        """Close every connection to SQLite, once it is idle; then none is opened for a while."""
        self._gate.acquire()
        patience = Deadline(BUSY)
        while self._used and patience.remaining():
            native_pause(0.001)
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def after_fork_in_parent(self) -> None:
        """Let connections be opened again."""
        self._gate.release()

    def after_fork(self) -> None:
        """Forget what is the parent's."""
        self._lock = new_lock()
        self._gate = new_lock()
        self._used = 0
        self._turns = _Turns()
        self._of_parents += [self._engine, self._idle]
        if self._engine is not None and not self._is_sqlite:
            self._engine.dispose(close=False)
        self._engine = None
        self._idle = []

    def _run(self, work: Callable[[Connection, bool], T], *, writes: bool) -> T:
        attempts = Attempts(self._retrying)
        run = _Run(work, writes=writes)
        has_created = False
        while True:
            try:
                return self._once(run, attempts.deadline.remaining())
            except (_NoTurn, PoolTimeout) as error:
                raise DatabaseError(
                    f"the database was busy: {error}", maybe_applied=run.lost
                ) from error
            except DBAPIError as error:
                if self._create and _lacks_table(error) and not has_created:
                    self.create_tables()
                    has_created = True
                elif not run.may_repeat(error) and not (_is_transient(error) and attempts.again()):
                    raise _failed(error, maybe_applied=run.lost) from error

    def _once(self, run: _Run[T], timeout: float) -> T:
        if not self._is_sqlite:
            with self._engine_now().connect() as connection:
                return run(connection)
        with self._turns.one(timeout) if run.writes else contextlib.nullcontext():
            return off_hub(self._in_sqlite, run) if below_hub() else self._in_sqlite(run)

    def _in_sqlite(self, run: _Run[T]) -> T:
        with self._gate, self._lock:
            self._used += 1
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = self._engine_now().connect()
            try:
                answer = run(connection)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                keep = connection.engine is self._engine
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()
            return answer
        finally:
            with self._lock:
                self._used -= 1

    def _engine_now(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._new_engine()
            return self._engine

    def _new_engine(self) -> Engine:
        # Parameters are somebody's files.
        if not self._is_sqlite:
            return create_engine(
                self._url,
                poolclass=QueuePool,
                pool_size=min(self._width, 5),
                max_overflow=self._width - min(self._width, 5),
                hide_parameters=True,
            )
        path = Path(self._url.database or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{path} cannot be created: {error}") from error
        engine = create_engine(
            self._url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"check_same_thread": False, "timeout": BUSY},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_in_sqlite)
        return engine


class _Run(Generic[T]):
    """One transaction, run until it ends. Lives as long as the call.

    :param writes: whether it may change anything; if not, there is nothing to be committed.
    """

    def __init__(self, work: Callable[[Connection, bool], T], *, writes: bool) -> None:
        self.writes = writes
        #: Whether it may have been committed: the answer to a COMMIT was lost.
        self.lost = False
        self._work = work
        self._conflicts = 0

    def __call__(self, connection: Connection) -> T:
        """Run it once, with a connection that nobody else uses."""
        connection.info[_WRITES] = self.writes
        if not self.writes:
            if connection.dialect.name != "sqlite":
                connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                return self._work(connection, False)
            finally:
                connection.rollback()
        with connection.begin() as transaction:
            answer = self._work(connection, self.lost)
            try:
                transaction.commit()
            except DBAPIError as error:
                self.lost = self.lost or not (_is_conflict(error) or _code(error) in _LASTING)
                raise
        return answer

    def may_repeat(self, error: DBAPIError) -> bool:
        """Tell whether it met another transaction, so that it has done nothing."""
        self._conflicts += 1
        return _is_conflict(error) and self._conflicts <= CONFLICTS


class _NoTurn(Exception):
    """A writer waited, and others wrote."""


class _Turns:
    """Lets in one at a time, threads or greenlets, in the order in which they came.

    State, guarded by ``_lock``: ``_waiting``, the wake-ups of those who wait, and ``_taken``,
    whether it is somebody's turn. Who leaves passes the turn on to the first who waits.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        self._waiting: deque[Wakeup] = deque()
        self._taken = False

    @contextmanager
    def one(self, timeout: float) -> Iterator[None]:
        """Wait for a turn, at most ``timeout`` seconds; it lasts as long as the block.

        :raises _NoTurn: none came.
        """
        wakeup = new_wakeup()
        with self._lock:
            must_wait = self._taken
            if must_wait:
                self._waiting.append(wakeup)
            self._taken = True
        if must_wait:
            self._wait(wakeup, timeout)
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, wakeup: Wakeup, timeout: float) -> None:
        try:
            came = wakeup.wait(timeout)
        except BaseException:
            self._give_up(wakeup)
            raise
        if not came and self._give_up(wakeup):
            raise _NoTurn(f"others wrote for {timeout:.1f} s")

    def _give_up(self, wakeup: Wakeup) -> bool:
        """Wait no more; where the turn has come just now, pass it on."""
        with self._lock:
            waits = wakeup in self._waiting
            if waits:
                self._waiting.remove(wakeup)
        if not waits:
            self._pass_on()
        return True

    def _pass_on(self) -> None:
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._taken = following is not None
        if following is not None:
            following.wake()


_WRITES = "flask_fs_swift_writes"


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # Transactions begin when we say so.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Readers and the writer do not wait for each other; a commit survives a loss of power.
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_in_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader may find, too late, that it cannot become one.
    immediate = connection.info.get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _checked(url: str) -> URL:
    """Read the URL of a database.

    :raises ConfigError: it is none, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        dialect = parsed.get_dialect()
        dialect.import_dbapi()
    except ImportError as error:
        raise ConfigError(f"{_SETTING} needs a driver: {error}", key=_SETTING) from error
    except (ArgumentError, NoSuchModuleError, ValueError):
        # Without the value, and without what says it: it may have a password in it.
        raise ConfigError(f"{_SETTING} is no URL that SQLAlchemy knows", key=_SETTING) from None
    if dialect.is_async:
        raise ConfigError(f"{_SETTING} needs another driver: this is one of asyncio", key=_SETTING)
    if parsed.get_backend_name() == "sqlite" and _is_no_path(parsed.database or ""):
        raise ConfigError(f"{_SETTING} must name a file: processes share it", key=_SETTING)
    return parsed


def _is_no_path(database: str) -> bool:
    return database in {"", ":memory:"} or database.startswith("file:")


def _failed(error: DBAPIError, *, maybe_applied: bool) -> FSError:
    reason = f"{type(error.orig).__name__}: {error.orig}"
    if _lacks_table(error):
        return ConfigError(
            f"the database in {_SETTING} has no tables: run 'flask fs tiered init' ({reason})",
            key=_SETTING,
        )
    return DatabaseError(f"the database failed: {reason}", maybe_applied=maybe_applied)


def _code(error: DBAPIError) -> str:
    """Return what the driver calls the error: an SQLSTATE, or SQLite's name of it."""
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error.orig, name, None)
        if code is not None:
            return str(code)
    return ""


def _is_conflict(error: DBAPIError) -> bool:
    """Tell whether the database ended a transaction because of another."""
    return isinstance(error, IntegrityError) or _code(error) in _CONFLICT


def _is_transient(error: DBAPIError) -> bool:
    """Tell whether another run may succeed."""
    if not isinstance(error, (OperationalError, InterfaceError)) and (
        not error.connection_invalidated
    ):
        return False
    return _code(error) not in _LASTING and not _lacks_table(error)


def _lacks_table(error: DBAPIError) -> bool:
    return _code(error) in _NO_TABLE or "no such table" in str(error.orig)
