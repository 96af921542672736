"""Let a bounded number of operations run at once: each has a permit for it.

Who finds none waits in line, first come first, if there is a place in the queue, and for so
long. Operations of batches wait beside the queue: there are no more of them in line than run at
once. All batches together have but a part of the permits, so that the others find one sooner.

State, guarded by ``_lock``:

``_out``      the permits that operations have.
``_bulk``     how many of these are batches'.
``_waiting``  who waits, first come first.

Always true while ``_lock`` is free: ``len(_out) <= most``, and nobody waits who could go.

What comes back goes onto ``_returned``, a deque that needs no lock, and is settled by whoever
can take the lock without waiting; its holder looks once more after letting go. So a permit can be
given back from a finaliser. A forked child starts with all permits.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_fs_swift.concurrency import forget_after_fork, new_lock, new_wakeup

if TYPE_CHECKING:
    from typing_extensions import Self

    from flask_fs_swift.concurrency import Wakeup

    from .limits import Limits


@dataclass(frozen=True)
class PermitStats:
    """The state of a service's permits at one moment."""

    most: int
    in_use: int
    #: Of those in use, the ones that batches have.
    bulk: int
    #: Requests in line.
    queued: int


class Permit:
    """The right to run one operation: a context manager. Lives until it is given back."""

    __slots__ = ("_permits", "is_bulk")

    def __init__(self, permits: Permits, *, is_bulk: bool) -> None:
        self._permits = permits
        self.is_bulk = is_bulk

    def release(self) -> None:
        """Give it back. Twice is fine, and finalisers may do it."""
        self._permits.give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _Waiter:
    """Who waits, and the permit that it is going to have."""

    __slots__ = ("has_it", "permit", "wakeup")

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.wakeup: Wakeup = new_wakeup()
        #: Guarded by the lock.
        self.has_it = False


class Permits:
    """All permits of one service in one process. Lives as long as it.

    :param limits: with ``operations``.
    """

    def __init__(self, limits: Limits) -> None:
        self.most = limits.operations or 0
        self.queue = limits.queue
        #: Seconds.
        self.timeout = limits.queue_timeout
        #: How many batches may have together, where they take them one by one.
        self.ceiling = max(1, _ceil(self.most * limits.bulk_ceiling))
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Leave all that is out to the parent."""
        self._lock = new_lock()
        # Guarded by _lock, these three; see the module.
        self._out: set[Permit] = set()
        self._bulk = 0
        self._waiting: deque[_Waiter] = deque()
        # Needs no lock.
        self._returned: deque[Permit] = deque()

    def take(self, *, is_bulk: bool = False, waits: bool = True) -> Permit | None:
        """Take a permit, waiting in line for it if need be; None: none came in time.

        :param waits: if not, only what is free is taken.
        """
        permit = Permit(self, is_bulk=is_bulk)
        waiter = None
        with self._lock:
            woken = self._take_in()
            is_taken = self._may_go(permit)
            if is_taken:
                self._hand_out(permit)
            elif waits and self._may_wait(permit):
                waiter = _Waiter(permit)
                self._waiting.append(waiter)
        self._wake(woken)
        self._settle()
        if waiter is not None:
            is_taken = self._wait_in_line(waiter)
        return permit if is_taken else None

    def reserve(self, share: float) -> list[Permit]:
        """Take a share of the free permits at once, rounded up; none, where none is free."""
        with self._lock:
            woken = self._take_in()
            count = _ceil((self.most - len(self._out)) * share)
            permits = [Permit(self, is_bulk=True) for _ in range(count)]
            for permit in permits:
                self._hand_out(permit)
        self._wake(woken)
        self._settle()
        return permits

    def give_back(self, permit: Permit) -> None:
        """Take a permit back, for the first in line. Finalisers may call it."""
        self._returned.append(permit)
        self._settle()

    def stats(self) -> PermitStats:
        """Return the state of this moment."""
        with self._lock:
            woken = self._take_in()
            stats = PermitStats(self.most, len(self._out), self._bulk, self._queued())
        self._wake(woken)
        self._settle()
        return stats

    def _wait_in_line(self, waiter: _Waiter) -> bool:
        """Tell whether a waiter got its permit."""
        try:
            waiter.wakeup.wait(self.timeout)
        except BaseException:
            self._leave_line(waiter)
            waiter.permit.release()
            raise
        self._leave_line(waiter)
        return waiter.has_it

    def _leave_line(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        self._settle()

    def _settle(self) -> None:
        while self._returned and self._lock.acquire(False):
            try:
                woken = self._take_in()
            finally:
                self._lock.release()
            self._wake(woken)

    def _wake(self, woken: list[_Waiter]) -> None:
        for waiter in woken:
            waiter.wakeup.wake()

    # Decisions; the caller holds the lock.

    def _take_in(self) -> list[_Waiter]:
        """Take what came back, and hand it out; return whom to wake without the lock."""
        while self._returned:
            permit = self._returned.popleft()
            if permit in self._out:
                self._out.remove(permit)
                self._bulk -= permit.is_bulk
        woken = []
        for waiter in self._waiting.copy():
            if self._may_go(waiter.permit):
                self._waiting.remove(waiter)
                self._hand_out(waiter.permit)
                waiter.has_it = True
                woken.append(waiter)
        return woken

    def _hand_out(self, permit: Permit) -> None:
        self._out.add(permit)
        self._bulk += permit.is_bulk

    def _may_go(self, permit: Permit) -> bool:
        has_part = not permit.is_bulk or self._bulk < self.ceiling
        return has_part and len(self._out) < self.most

    def _may_wait(self, permit: Permit) -> bool:
        # Of batches no more are in line than their widths together.
        return self.most > 0 and (permit.is_bulk or self._queued() < self.queue)

    def _queued(self) -> int:
        return sum(not waiter.permit.is_bulk for waiter in self._waiting)


def _ceil(number: float) -> int:
    """Round up, but for what floating point has added: a tenth of 70 is 7, and no more."""
    return math.ceil(round(number, 9))
