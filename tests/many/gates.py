"""A backend that waits where a test wants it to, over connections that do nothing."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, cast

from flask_fs_swift import ALL, MemoryBackend, Pool, Storage
from flask_fs_swift.concurrency import Latch
from flask_fs_swift.conditions import NO_CONDITIONS
from flask_fs_swift.config import read_settings
from flask_fs_swift.ranges import WHOLE
from flask_fs_swift.storage import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from swiftclient import Connection

    from flask_fs_swift import ObjectInfo, ObjectStream
    from flask_fs_swift.conditions import Conditions
    from flask_fs_swift.content import Content
    from flask_fs_swift.events import Progress
    from flask_fs_swift.intake import Parts
    from flask_fs_swift.objects import Properties
    from flask_fs_swift.pool import Checkout, Lender
    from flask_fs_swift.ranges import ByteRange

PATIENCE = 20.0  # seconds


class Wire:
    """Stands in for a connection."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Yard:
    """What the views of one backend share: its gates, and who is inside."""

    def __init__(self) -> None:
        self.gates: dict[str, Latch] = defaultdict(Latch)
        self.open: set[str] = set()
        self.all_open = True
        self.lock = threading.Lock()
        self.inside: list[str] = []
        self.most = 0
        #: What began, in order; what ended.
        self.began: list[str] = []
        self.ended: list[str] = []
        self.errors: dict[str, BaseException] = {}
        self.idents: set[int] = set()

    def pass_through(self, what: str, name: str) -> None:
        with self.lock:
            self.began.append(f"{what} {name}")
            self.inside.append(name)
            self.most = max(self.most, len(self.inside))
            self.idents.add(threading.get_ident())
            gate = None if self.all_open else self.gates[name]
        try:
            if gate is not None:
                assert gate.wait(PATIENCE), name
            if name in self.errors:
                raise self.errors[name]
        finally:
            with self.lock:
                self.inside.remove(name)
                self.ended.append(f"{what} {name}")

    def let(self, *names: str) -> None:
        for name in names:
            with self.lock:
                gate = self.gates[name]
            gate.open()

    def let_all(self) -> None:
        with self.lock:
            self.all_open = True
            gates = list(self.gates.values())
        for gate in gates:
            gate.open()


class Gated(MemoryBackend):
    """Objects in memory; each verb lends a connection, and waits at the gate of its name."""

    def __init__(self, pool: Pool, yard: Yard) -> None:
        super().__init__()
        self._pool = pool
        self._lender: Lender = pool
        self.yard = yard

    @property
    def pool(self) -> Pool:
        return self._pool

    def within(self, lender: Lender) -> Gated:
        view = Gated(self._pool, self.yard)
        view._objects, view._lock, view._lender = self._objects, self._lock, lender
        return view

    def _pass(self, what: str, name: str) -> Checkout:
        checkout = self._lender.checkout()
        try:
            self.yard.pass_through(what, name)
        except BaseException:
            checkout.discard()
            raise
        checkout.checkin()
        return checkout

    def head(self, name: str) -> ObjectInfo:
        self._pass("head", name)
        return super().head(name)

    def get(
        self,
        name: str,
        chunk_size: int,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
    ) -> ObjectStream:
        self._pass("get", name)
        return super().get(name, chunk_size, wanted, conditions)

    def put(
        self,
        name: str,
        content: Content | Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        self._pass("put", name)
        return super().put(name, content, properties, overwrite=overwrite, progress=progress)

    def delete(self, name: str) -> None:
        self._pass("delete", name)
        super().delete(name)

    def copy(
        self, source: str, target: str, *, overwrite: bool, progress: Progress | None = None
    ) -> None:
        self._pass("copy", target)
        super().copy(source, target, overwrite=overwrite, progress=progress)

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        raise NotImplementedError


class Place:
    """A storage of gated files, its pool and its yard."""

    def __init__(self, size: int = 10, **pool: float) -> None:
        self.wires: list[Wire] = []
        self.pool = Pool(self._open, size=size, timeout=PATIENCE, **pool)  # type: ignore[arg-type]
        self.yard = Yard()
        self.backend = Gated(self.pool, self.yard)
        storage = Storage("files", ALL, overwrite=True)
        settings = read_settings({"FS_BACKEND": "memory"}, "files", "/nowhere")
        storage._bound = Mount(storage, settings, self.backend)
        self.files = storage

    def _open(self) -> Connection:
        self.wires.append(Wire())
        return cast("Connection", self.wires[-1])

    def shut(self) -> Place:
        """Have every operation wait at its gate."""
        self.yard.all_open = False
        return self

    def assert_all_is_back(self) -> None:
        """Check that every slot can be lent, and none is counted for a batch."""
        stats = self.pool.stats()
        assert (stats.lent, stats.waiting, stats.batched) == (0, 0, 0), self.pool
        for checkout in [self.pool.checkout(0) for _ in range(self.pool.size)]:
            checkout.checkin()


class Counted:
    """An input that knows how much of it was pulled, and by whom."""

    def __init__(self, make: Callable[[int], object], count: int = 10**9) -> None:
        self.pulled = 0
        self.idents: set[int] = set()
        self._make = make
        self._count = count

    def __iter__(self) -> Iterator[object]:
        for number in range(self._count):
            self.pulled += 1
            self.idents.add(threading.get_ident())
            yield self._make(number)


def threads() -> list[threading.Thread]:
    """Return the threads that batches started, and that are left."""
    return [each for each in threading.enumerate() if each.name == "flask-fs-swift"]
