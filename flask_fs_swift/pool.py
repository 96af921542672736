"""Lend Swift connections to threads and greenlets, a bounded number at a time.

A ``swiftclient.Connection`` is one HTTP socket: two borrowers at once would read each
other's answers. So the pool owns every connection, and a borrower has one to itself
from checkout to checkin. Connections open lazily, on their first request; the one used
last is lent first, so that those which are not needed go unused.

A *slot* is the right to have a connection, idle or lent. A borrower who finds no slot
free waits in line, with a wake-up of its own; a slot that comes free is handed to the
first in line directly, and passed on if that one has left meanwhile.

A batch of operations *reserves* a share of the free slots when it begins, at once or not at all,
and keeps them until it ends. It borrows others one by one, while nobody waits and all batches
together have fewer than the *ceiling*. Reserving looks at the free slots only, and not at what
other batches have: enough batches can have reserved every slot. Until then a borrower who comes
alone finds a slot, or waits for one operation.

gevent's sockets work in one thread only, their *home*. A connection whose home is
another one than its borrower's is closed, and a new one opened in its slot.

State, guarded by ``_lock``:

``_idle``     slots whose connections nobody has; the last one in is the first one out.
``_lent``     how many slots borrowers have.
``_waiting``  who waits, first come first.
``_batched``  how many of the slots that are lent batches have.

Always true while ``_lock`` is free: ``len(_idle) + _lent <= size``, and nobody waits
while a slot is free. No I/O happens while it is held, and no greenlet switches.

What comes back goes onto ``_returned``, a deque that needs no lock, and is settled by
whoever can take the lock without waiting: if it is taken, its holder looks at the deque
once more after letting go. So a connection can be given back from anywhere, also from
a finaliser that interrupted the very thread that holds the lock.

After a fork the child starts empty, and neither uses nor closes its parent's sockets.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .concurrency import (
    Latch,
    Wakeup,
    forget_after_fork,
    new_lock,
    new_wakeup,
    socket_home,
)
from .errors import AtCapacity, FSError, PoolExhaustedError
from .events import Event, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swiftclient import Connection

    from .events import EventHook

logger = logging.getLogger(__name__)

# Sockets that a fork copied. They are their parent's: closing them here could take
# them out of an event loop that both processes share, so they are kept until the end.
_inherited: list[object] = []


@dataclass(frozen=True)
class PoolStats:
    """The state of a pool at one moment, and its counts since it was made (or forked)."""

    size: int
    #: Connections that nobody has.
    idle: int
    #: Slots that borrowers have.
    lent: int
    #: Borrowers in line.
    waiting: int
    #: Connections made.
    opened: int
    #: Connections thrown away, because they broke or might have, or had another home.
    discarded: int
    #: Of those, the ones whose borrower dropped them without giving them back.
    reclaimed: int
    #: Of the lent slots, those that batches have.
    batched: int = 0


class Slot:
    """The right to have a connection, and the connection once it was made.

    Lives until its connection is closed, or its process ends.
    """

    __slots__ = ("connection", "generation", "home")

    def __init__(self, generation: int, home: object) -> None:
        self.connection: Connection | None = None
        #: The fork that it belongs to.
        self.generation = generation
        #: Where its connection's socket works; see :func:`.concurrency.socket_home`.
        self.home = home

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        try:
            if connection is not None:
                _close(connection)
        except Exception:  # A socket that cannot be closed properly is gone all the same.
            logger.exception("a connection failed while it was closed")


def _close(connection: Connection) -> None:
    http = getattr(connection, "http_conn", None)
    # swiftclient leaves it to urllib3 to close an idle socket, which it does when nothing
    # refers to it; but the last answer does, and the traceback of an error.
    sockets = _idle_sockets(http[1]) if http and hasattr(http[1], "request_session") else []
    connection.close()
    for idle in sockets:
        idle.close()


def _idle_sockets(http: Any) -> list[Any]:
    """Return urllib3's pools: one, with one socket, where no proxy or redirect comes between."""
    adapters = http.request_session.adapters.values()
    managers = [(adapter.poolmanager, *adapter.proxy_manager.values()) for adapter in adapters]
    containers = [manager.pools for group in managers for manager in group]
    return [pools[key] for pools in containers for key in pools.keys()]  # noqa: SIM118


class Keeper(Protocol):
    """Whom a slot comes back to. Finalisers may call it: it waits for nothing."""

    def give_back(self, slot: Slot, /) -> None:
        """Take back a slot whose connection can be used again."""

    def take_away(self, slot: Slot, /, *, reclaimed: bool) -> None:
        """Take back a slot after closing its connection.

        :param reclaimed: whether its borrower had dropped it.
        """


class Lender(Protocol):
    """Who lends connections: a pool, or what a batch has of one."""

    @property
    def size(self) -> int:
        """How many it lends at a time, at most."""

    def checkout(self, timeout: float | None = None) -> Checkout:
        """Borrow a connection.

        :param timeout: seconds to wait for one at most.
        :raises PoolExhaustedError: none came free in time; Swift was sent nothing.
        """


class Checkout:
    """One connection, and the slot it fills, in the hands of one borrower.

    Lasts until ``checkin`` or ``discard``; what is called after that does nothing.
    """

    __slots__ = ("_keeper", "_settled", "_slot", "connection")

    def __init__(self, keeper: Keeper, slot: Slot, connection: Connection) -> None:
        self.connection = connection
        self._keeper = keeper
        self._slot = slot
        self._settled = False

    def checkin(self) -> None:
        """Give the connection back; its last answer has been read to the end."""
        if not self._settled:
            self._settled = True
            self._keeper.give_back(self._slot)

    def discard(self) -> None:
        """Close the connection and free its slot. Waits for nothing: finalisers may call it."""
        if not self._settled:
            self._settled = True
            self._keeper.take_away(self._slot, reclaimed=False)

    def __del__(self) -> None:
        if not self._settled:
            self._settled = True
            self._keeper.take_away(self._slot, reclaimed=True)


class _Waiter:
    """A borrower in line."""

    __slots__ = ("slot", "wakeup")

    def __init__(self) -> None:
        self.wakeup: Wakeup = new_wakeup()
        #: What the waiter was handed. Guarded by the pool's lock.
        self.slot: Slot | None = None


class Pool:
    """At most ``size`` connections to one Swift, in one process.

    Lives as long as its application; ``close`` ends it.

    :param open_connection: makes a connection; it must not touch the network yet.
    :param timeout: seconds to wait for a slot.
    :param share: of the free slots, what a batch reserves.
    :param ceiling: of all slots, what batches may have.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        *,
        size: int = 20,
        timeout: float = 30.0,
        share: float = 0.1,
        ceiling: float = 0.8,
        name: str = "",
        on_event: EventHook | None = None,
    ) -> None:
        self.size = size
        self.timeout = timeout
        #: How many slots batches may have, beyond what they reserved.
        self.ceiling = max(1, math.floor(_exactly(size * ceiling)))
        self.name = name
        self._share = share
        self._open_connection = open_connection
        self._on_event = on_event
        self._generation = 0  # Which fork this is; only ever written by after_fork.
        self._start_empty()
        forget_after_fork(self)

    def _start_empty(self) -> None:
        self._lock = new_lock()
        # Guarded by _lock, all of these; the module says what the first three mean.
        self._idle: list[Slot] = []
        self._lent = 0
        self._waiting: deque[_Waiter] = deque()
        self._batched = 0
        self._closing: Latch | None = None  # Open once nothing is lent any more.
        self._opened = 0
        self._discarded = 0
        self._reclaimed = 0
        # These need no lock. The slots that came back; for each connection that was
        # thrown away and is not counted yet, whether its borrower had dropped it; and the slots
        # that batches gave back and that are still counted as theirs.
        self._returned: deque[Slot] = deque()
        self._thrown: deque[bool] = deque()
        self._unbatched: deque[Slot] = deque()

    def checkout(self, timeout: float | None = None) -> Checkout:
        """Borrow a connection, waiting in line for it if need be.

        :param timeout: seconds; the pool's own by default, and never longer than that.
        :raises PoolExhaustedError: none came free in time; Swift was sent nothing.
        """
        home = socket_home()
        waiter = slot = None
        with self._lock:
            is_closed = self._closing is not None
            if not is_closed and self._lent < self.size:
                idle = self._idle
                slot = idle.pop() if idle and idle[-1].home is home else self._choose(home)
                self._lent += 1
            elif not is_closed:
                waiter = _Waiter()
                self._waiting.append(waiter)
        if self._returned:
            self._settle()
        waited = 0.0
        if waiter is not None:
            waited, slot = self._wait_in_line(waiter, self._patience(timeout))
        if slot is None:
            raise _closed()
        connection = slot.connection
        if connection is None or slot.home is not home or self._on_event is not None:
            try:
                connection = self.equip(slot, home, waited)
            except BaseException:
                self.give_back(slot)
                raise
        return Checkout(self, slot, connection)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for the length of a ``with`` block.

        A block that raises costs the pool its connection: half an answer may still be
        on the socket, and the next borrower would take it for their own.

        :raises PoolExhaustedError: none came free in time; Swift was sent nothing.
        """
        checkout = self.checkout()
        try:
            yield checkout.connection
        except BaseException:
            checkout.discard()
            raise
        checkout.checkin()

    # For batches.

    def reserve(self, most: int) -> list[Slot]:
        """Take a share of the free slots, rounded up, for a batch: all at once, without waiting.

        :param most: how many it can use.
        :raises AtCapacity: none is free.
        """
        home = socket_home()
        self._settle()
        with self._lock:
            is_closed = self._closing is not None
            free = 0 if is_closed else self.size - self._lent
            share = math.ceil(_exactly(free * self._share))
            slots: list[Slot] = []
            for _ in range(min(share, most, self.ceiling)):
                slots.append(self._choose(home))
                self._lent += 1  # What the next choice looks at.
            self._batched += len(slots)
        self._settle()
        if is_closed:
            raise _closed()
        if not slots:
            raise AtCapacity(f"no connection is free that a batch could reserve: {self!r}")
        return slots

    def borrow(self) -> Slot | None:
        """Take one slot for a batch, if one stands idle and the ceiling allows it."""
        home = socket_home()
        slot = None
        with self._lock:
            # Where one is free, nobody waits.
            is_free = self._closing is None and self._lent < self.size
            if is_free and self._count_batched() < self.ceiling:
                slot = self._choose(home)
                self._lent += 1
                self._batched += 1
        try:
            self._settle()
        except BaseException:  # What is closed may be logged, and who waits for that killed.
            if slot is not None:
                self.unbatch(slot)
            raise
        return slot

    def is_wanted(self) -> bool:
        """Tell whether somebody waits for a slot, or the pool for all of them."""
        return bool(self._waiting) or self._closing is not None

    def equip(self, slot: Slot, home: object, waited: float = 0.0) -> Connection:
        """Put a connection into a slot that is the caller's, if it has none that can be used.

        :raises FSError: the pool was closed; or the slot is the parent's of a forked process.
        """
        if self._closing is not None:
            raise _closed()
        if slot.generation != self._generation:
            # Copies of the parent's greenlets clean up what is the parent's.
            raise FSError("this began in the process that this one was forked from")
        if slot.home is not home:
            self._rehome(slot, home)
        if slot.connection is None:
            slot.connection = self._open_connection()
            with self._lock:
                self._opened += 1
            self._settle()
        if self._on_event is not None:
            self._tell("ok", waited)
        return slot.connection

    def close_in(self, slot: Slot, *, reclaimed: bool) -> None:
        """Close the connection in a slot that stays lent. Finalisers may call it."""
        if slot.generation == self._generation:
            slot.close()
            self._thrown.append(reclaimed)

    def unbatch(self, slot: Slot) -> None:
        """Take back a slot that a batch had. Finalisers may call it."""
        if slot.generation == self._generation:
            self._unbatched.append(slot)
        self.give_back(slot)

    def stats(self) -> PoolStats:
        """Return the state and the counts of this moment."""
        with self._lock:
            self._count_thrown()
            stats = PoolStats(
                size=self.size,
                idle=len(self._idle),
                lent=self._lent,
                waiting=len(self._waiting),
                opened=self._opened,
                discarded=self._discarded,
                reclaimed=self._reclaimed,
                batched=self._count_batched(),
            )
        self._settle()
        return stats

    def close(self, timeout: float = 30.0) -> bool:
        """Lend nothing more, close what is idle, and wait for what is lent.

        :param timeout: seconds; what is lent longer than that is closed when it comes back.
        :returns: whether everything is closed.
        """
        with self._lock:
            closing = self._closing = self._closing or Latch()
            idle, self._idle = self._idle, []
            waiting, self._waiting = self._waiting, deque()
            nothing_lent = not self._lent
        self._settle()
        for waiter in waiting:
            waiter.wakeup.wake()
        for slot in idle:
            slot.close()
        return nothing_lent or closing.wait(timeout)

    def after_fork(self) -> None:
        """Forget the parent's connections, borrowers and waiters."""
        _inherited.extend((self._idle, self._returned))
        self._generation += 1
        self._start_empty()

    def __repr__(self) -> str:
        stats = self.stats()
        return (
            f"<Pool {self.name!r}: {stats.idle} idle, {stats.lent} lent, "
            f"{stats.batched} of them to batches, {stats.waiting} waiting, of {stats.size}; "
            f"{stats.opened} opened, {stats.discarded} discarded, "
            f"{stats.reclaimed} of them reclaimed>"
        )

    # Taking.

    def _choose(self, home: object) -> Slot:
        """Choose a slot, under the lock, when one is free: best one that can be used as it is."""
        for index in reversed(range(len(self._idle))):
            if self._idle[index].home is home:
                return self._idle.pop(index)
        if len(self._idle) + self._lent < self.size:
            return Slot(self._generation, home)
        return self._idle.pop(0)

    def _patience(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else min(timeout, self.timeout)

    def _wait_in_line(self, waiter: _Waiter, patience: float) -> tuple[float, Slot | None]:
        """Return the seconds waited and the slot got; None where the pool was closed."""
        began = time.monotonic()
        try:
            waiter.wakeup.wait(patience)
        except BaseException:
            slot = self._leave_line(waiter)
            if slot is not None:
                self.give_back(slot)
            raise
        slot = self._leave_line(waiter)
        waited = time.monotonic() - began
        if slot is None and self._closing is None:
            self._tell(PoolExhaustedError.__name__, waited)
            raise PoolExhaustedError(
                f"no connection came free within {waited:.1f} s; a stream that is kept open "
                f"holds one: {self!r}"
            )
        return waited, slot

    def _leave_line(self, waiter: _Waiter) -> Slot | None:
        """Take a waiter out of the line; return the slot that it was handed before that."""
        with self._lock:
            if waiter.slot is None and waiter in self._waiting:
                self._waiting.remove(waiter)
        self._settle()
        return waiter.slot

    def _rehome(self, slot: Slot, home: object) -> None:
        if slot.connection is not None:
            slot.close()
            self._thrown.append(False)
        slot.home = home

    # Giving back. All of it may run in a finaliser.

    def take_away(self, slot: Slot, *, reclaimed: bool) -> None:
        """Close a connection, then free its slot: never more sockets than slots."""
        self.close_in(slot, reclaimed=reclaimed)
        self.give_back(slot)

    def give_back(self, slot: Slot) -> None:
        """Free a slot, for the first in line."""
        if slot.generation != self._generation:
            _inherited.append(slot)
            return
        self._returned.append(slot)
        self._settle()

    def _settle(self) -> None:
        while self._returned and self._lock.acquire(False):
            try:
                to_do = self._take_in()
            finally:
                self._lock.release()
            for act in to_do:
                act()

    def _take_in(self) -> list[Callable[[], None]]:
        """Decide, under the lock, who gets what came back; return what to do without it."""
        to_do: list[Callable[[], None]] = []
        while self._returned:
            slot = self._returned.popleft()
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.slot = slot
                to_do.append(waiter.wakeup.wake)
                continue
            self._lent -= 1
            if slot.connection is None:
                continue
            if self._closing is None:
                self._idle.append(slot)
            else:
                to_do.append(slot.close)
        if self._thrown:
            self._count_thrown()
        if self._closing is not None and not self._lent:
            to_do.append(self._closing.open)
        return to_do

    def _count_thrown(self) -> None:
        """Count, under the lock, what was thrown away."""
        while self._thrown:
            self._discarded += 1
            self._reclaimed += self._thrown.popleft()

    def _count_batched(self) -> int:
        """Count, under the lock, the slots that batches have."""
        while self._unbatched:
            self._unbatched.popleft()
            self._batched -= 1
        return self._batched

    def _tell(self, outcome: str, waited: float) -> None:
        if self._on_event is not None:
            tell(self._on_event, Event("checkout", self.name, 0, waited, outcome))


def _exactly(number: float) -> float:
    """Take away what floating point has added: a tenth of 70 is 7, and no more."""
    return round(number, 9)


def _closed() -> FSError:
    return FSError("this storage was closed with its application; Swift was sent nothing")
