"""Two tiers over stores that a test looks into, with a hook before and after every call of them.

A *world* is what lasts: the database and the blobs. A *host* is what may die: a backend over
them. Nothing happens beside a host: what its cleaner is to do waits until the test calls for it,
it recovers only when it is told to, and its leases are renewed by nobody.
"""

from __future__ import annotations

import secrets
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, TypeVar, cast

from sqlalchemy import delete, event, select, update

from flask_fs_swift.content import Held
from flask_fs_swift.errors import FileNotFound, FSError
from flask_fs_swift.memory import MemoryBackend
from flask_fs_swift.objects import Properties
from flask_fs_swift.tiered.backend import TieredBackend
from flask_fs_swift.tiered.database import Database
from flask_fs_swift.tiered.leases import Lease
from flask_fs_swift.tiered.recovery import Recovery
from flask_fs_swift.tiered.rows import Rows
from flask_fs_swift.tiered.tables import changes, objects, retired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from flask_fs_swift.backend import Blobs
    from flask_fs_swift.config import RetrySettings

T = TypeVar("T")

#: Bytes; what has more is large.
THRESHOLD = 10
#: Seconds.
LEASE, LIFETIME = 60.0, 7 * 24 * 3600.0

Store: TypeAlias = Literal["database", "blobs"]


@dataclass(frozen=True)
class Call:
    """One call of a store, before or after it."""

    store: Store
    verb: str
    is_over: bool = False


Hook: TypeAlias = "Callable[[Call], None]"


class Died(BaseException):
    """The host died. Nothing after it runs."""


class TestedDatabase(Database):
    """A database that waits for no disk, and whose commits a test can take into its hands."""

    __test__ = False

    def __init__(self, url: str, retrying: RetrySettings) -> None:
        super().__init__(url, retrying, width=4, create=True)
        #: Is given what commits.
        self.committing: Callable[[Callable[[], None]], None] = _commit

    def _new_engine(self) -> Engine:
        engine = super()._new_engine()
        if self._is_sqlite:
            event.listen(engine, "connect", _hurry)
        dialect: Any = engine.dialect
        commit = dialect.do_commit
        dialect.do_commit = lambda connection: self.committing(lambda: commit(connection))
        return engine

    def lose_answer(self) -> NoReturn:
        """Raise what a driver raises that has lost its connection."""
        dbapi: Any = self._engine_now().dialect.loaded_dbapi
        raise dbapi.OperationalError("the answer to the COMMIT was lost")


def _commit(commit: Callable[[], None]) -> None:
    commit()


def _hurry(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


class _Database:
    """Tells of each transaction."""

    def __init__(self, database: Database, step: Callable[..., Any]) -> None:
        self._database = database
        self._step = step

    def read(self, work: Callable[[Any], T]) -> T:
        return cast("T", self._step("database", _asked_by(work), self._database.read, work))

    def transact(self, work: Callable[[Any, bool], T]) -> T:
        return cast("T", self._step("database", _asked_by(work), self._database.transact, work))


def _asked_by(work: Callable[..., object]) -> str:
    """Return what the method is called that a transaction is of."""
    owner, method, *_ = work.__qualname__.split(".")
    return "expired objects" if (owner, method) == ("Rows", "_stored") else method


class _Blobs:
    """Tells of each call, of a backend or of its uploads."""

    def __init__(self, blobs: Any, step: Callable[..., Any]) -> None:
        self._blobs = blobs
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._blobs, name)
        if name == "multipart":
            return _Blobs(found, self._step)
        return lambda *args, **kwargs: self._step("blobs", name, found, *args, **kwargs)


class _Recovery(Recovery):
    """Leaves its tasks to whoever calls :meth:`work_off`."""

    def __init__(self, rows: Rows, blobs: Blobs, lease: Lease) -> None:
        super().__init__(rows, blobs, lease, None)
        self.left: deque[Callable[[], object]] = deque()

    def _begin(self, tasks: Sequence[Callable[[], object]]) -> None:
        self.left.extend(tasks)

    def work_off(self) -> None:
        while self.left:
            try:
                self.left.popleft()()
            except FSError:
                continue  # As it is logged, beside the callers.


class _Lease(Lease):
    """Is renewed by nobody."""

    @contextmanager
    def kept(self, revision: str) -> Iterator[None]:
        del revision
        yield


class Host:
    """A backend on some machine. It lives until its hook says that it died."""

    def __init__(self, backend: TieredBackend, recovery: _Recovery) -> None:
        self.backend = backend
        self._recovery = recovery

    def work_off(self) -> None:
        """Delete what was left to the cleaner."""
        self._recovery.work_off()

    def recover(self) -> None:
        """Take over what was left, and delete what is due."""
        self._recovery.run()

    def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write an object."""
        self.backend.put(name, Held(data), Properties("text/plain"), overwrite=overwrite)

    def read(self, name: str) -> bytes | None:
        """Return all of an object; None where there is none."""
        try:
            return self.backend.get(name, 2**16).read()
        except FileNotFound:
            return None


class World:
    """Two stores, and what may be done behind the back of those who use them.

    :param lease: seconds; below 0, whoever recovers takes over what is being written just now.
    """

    def __init__(
        self,
        database: TestedDatabase,
        blobs: Any = None,
        *,
        lease: float = LEASE,
        lifetime: float = LIFETIME,
        threshold: int = THRESHOLD,
        container: str | None = None,
    ) -> None:
        self.database = database
        self.blobs = MemoryBackend() if blobs is None else blobs
        self.container = container or f"t{secrets.token_hex(8)}"
        self._lease = lease
        self._lifetime = lifetime
        self._threshold = threshold

    def host(self, hook: Hook | None = None) -> Host:
        """Return another host, whose calls are told to a hook."""

        def step(store: Store, verb: str, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
            if hook is None:
                return call(*args, **kwargs)
            hook(Call(store, verb))
            answer = call(*args, **kwargs)
            hook(Call(store, verb, is_over=True))
            return answer

        rows = Rows(cast("Database", _Database(self.database, step)), self.container)
        blobs = cast("Blobs", _Blobs(self.blobs, step))
        lease = _Lease(rows.log, self._lease)
        recovery = _Recovery(rows, blobs, lease)
        backend = TieredBackend(
            rows, blobs, lease, recovery, threshold=self._threshold, lifetime=self._lifetime
        )
        return Host(backend, recovery)

    def expire_leases(self, *, uploads: bool = False) -> None:
        """Let nobody have been heard of for long; where it is asked for, all uploads be old."""
        query = update(changes).where(changes.c.container == self.container).values(lease=0)
        self._do(query if uploads else query.where(changes.c.kind != "upload"))

    def make_due(self) -> None:
        """Let whatever is to be deleted later be due."""
        self._do(update(retired).where(retired.c.container == self.container).values(due=0))

    def give_up(self) -> None:
        """Take over every change; leave the blobs for now."""
        log = Rows(self.database, self.container).log
        for revision in self.open_changes():
            assert log.abandon(revision)

    def take_over(self) -> None:
        """Take over every change, and delete the blobs."""
        self.expire_leases(uploads=True)
        self.host().recover()

    def expire(self, name: str) -> None:
        """Let the time of an object be over."""
        at = (objects.c.container == self.container, objects.c.name == name)
        self._do(update(objects).where(*at).values(expires=1))

    def pointers(self) -> list[str]:
        """Return the revisions that objects point at."""
        found = select(objects.c.revision).where(objects.c.container == self.container)
        return [revision for revision in self._all(found) if revision is not None]

    def open_changes(self) -> list[str]:
        """Return the revisions that are being written."""
        return self._all(select(changes.c.revision).where(changes.c.container == self.container))

    def retired(self, *wanted: Any) -> list[str]:
        """Return the revisions that are retired."""
        query = select(retired.c.revision).where(retired.c.container == self.container, *wanted)
        return self._all(query)

    def stored(self) -> list[str]:
        """Return what blobs there are."""
        return list(self.blobs.names("", "", ""))

    def dangling(self) -> set[str]:
        """Return what objects point at and is not there."""
        return set(self.pointers()).difference(self.stored())

    def recovered(self) -> Host:
        """Let every owner be dead, and some time pass; return the host that recovered it all.

        Uploads that are open stay.
        """
        host = self.host()
        self.expire_leases()
        self.make_due()  # What was claimed by one who died.
        host.recover()
        self.check_settled()
        return host

    def check_settled(self) -> None:
        """Make sure that nothing is missing, and nothing is left."""
        pointers = self.pointers()
        open_uploads = {marker.id for marker in self.host().backend.multipart.open_uploads()}
        left = [revision for revision in self.stored() if revision not in pointers]
        assert [one for one in left if one.rpartition("/")[2] not in open_uploads] == []
        assert self.dangling() == set()
        assert {one.rpartition("/")[2] for one in self.open_changes()} == open_uploads
        assert not set(pointers).intersection(self.retired(), self.open_changes())
        assert self.retired(retired.c.deletions == 0) == []

    def check_forgets(self) -> None:
        """Make sure that what is retired is deleted twice, remembered, and then forgotten."""
        before = self.stored()
        for deletions in (2, None):
            self.make_due()
            self.host().recover()
            remembered = (
                self.retired()
                if deletions is None
                else self.retired(retired.c.deletions != deletions)
            )
            assert remembered == []
        assert self.stored() == before

    def forget(self) -> None:
        """Remove the rows: a database that tests share stays small."""
        for table in (objects, changes, retired):
            self._do(delete(table).where(table.c.container == self.container))

    def _all(self, query: Any) -> list[Any]:
        return list(self.database.read(lambda one: one.execute(query).scalars().all()))

    def _do(self, query: Any) -> None:
        self.database.transact(lambda connection, _lost: connection.execute(query))


class Meanwhile:
    """A hook that lets others act before, or after, a call of some verb.

    :param times: before how many of them.
    """

    def __init__(
        self, verb: str, act: Callable[[], object], *, is_over: bool = False, times: int = 1
    ) -> None:
        self._verb = verb
        self._act = act
        self._is_over = is_over
        self._left = times
        #: How often the verb was called, and how often others acted.
        self.calls = self.acts = 0

    def __call__(self, call: Call) -> None:
        if call.verb != self._verb or call.is_over != self._is_over:
            return
        self.calls += 1
        if self._left > 0:
            self._left -= 1
            self.acts += 1
            self._act()
