"""Where a service holds its limits: who comes in, what passes, and what was refused.

A request meets them in this order, between which its sender and its place become known:

1. Too many are in flight: 503, without a word.
2. A killswitch stops it: 403.
3. Too much has passed in the last second: 429.
4. Too many operations run: 429.

State, guarded by ``_lock``: ``_running`` and ``_begun``, the requests that run, and that ever
began; ``_refused``, what was. The end of a request goes onto ``_ended``, a deque that needs no
lock, so that an answer that is dropped is counted as well.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.concurrency import forget_after_fork, new_lock

from .allowances import Allowance, OneByOne, Window
from .permits import Permits
from .rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from flask_fs_swift.api.places import Place

    from .limits import Kind, Limits
    from .permits import PermitStats

    #: Counts bytes that have passed.
    Meter: TypeAlias = Callable[[int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GateStats:
    """What a gate knows at one moment. What is counted, is since the process began."""

    running: int
    begun: int
    #: By limit.
    refused: dict[str, int]
    #: None where operations are not limited.
    operations: PermitStats | None


class Ticket:
    """One request that came in. Lives until its answer was sent, or dropped."""

    def __init__(self, ended: deque[None]) -> None:
        self._ended = ended
        self._is_over = False

    def close(self) -> None:
        """Say that it has ended. Twice is fine, and finalisers may do it."""
        if not self._is_over:
            self._is_over = True
            self._ended.append(None)

    def __del__(self) -> None:
        self.close()


class Gate:
    """The limits of one service in one process. Lives as long as it.

    :param clock: tells seconds, and never goes back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._rates = Rates(limits, clock)
        self._permits = Permits(limits) if limits.operations is not None else None
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Count anew."""
        self._lock = new_lock()
        # Guarded by _lock, these three; see the module.
        self._running = 0
        self._begun = 0
        self._refused: Counter[str] = Counter()
        # Needs no lock.
        self._ended: deque[None] = deque()

    def enter(self) -> Ticket:
        """Let a request in; it has to be said when it has ended.

        :raises Refusal: 503, there are too many.
        """
        most = self._limits.in_flight
        with self._lock:
            self._count_ended()
            is_over = most is not None and self._running >= most
            if not is_over or self._limits.report_only:
                self._running += 1
                self._begun += 1
        if is_over:
            self._refuse("in_flight", Refusal(503, form="empty"))
        return Ticket(self._ended)

    def admit(self, place: Place, kind: Kind | None) -> Meter | None:
        """Let a request, or an operation of a batch, do something in a place.

        :param kind: None: what it does is not known yet.
        :returns: what its bytes are to be told to; None: nothing.
        :raises Refusal: 403 or 429, see the module.
        """
        if any(each.stops(place, kind) for each in self._limits.killswitches):
            self._count("killswitches")
            raise Refusal(403, "this is switched off", form="text")
        over = self._rates.admit(place)
        if over is not None:
            self._refuse(over, Refusal(429, f"over the limit: {over}", form="text"))
            return None  # It would not have passed.
        return partial(self._rates.passed, place) if self._rates.counts_bytes else None

    def permit(self, *, is_bulk: bool = False) -> AbstractContextManager[object]:
        """Wait until one more operation may run; return what to hold while it does.

        :param is_bulk: whether it is one of a batch.
        :raises Refusal: 429, too many run.
        """
        permit = None
        if self._permits is not None:
            permit = self._permits.take(is_bulk=is_bulk, waits=not self._limits.report_only)
            if permit is None:
                self._refuse_operation()
        return permit or nullcontext()

    def allowance(self) -> Allowance:
        """Return what a batch has of the permits.

        :raises Refusal: 429, it has nothing.
        """
        if self._permits is None:
            return Allowance()
        if self._limits.bulk_policy == "permits":
            return OneByOne(self._permits.ceiling, partial(self.permit, is_bulk=True))
        permits = self._permits.reserve(self._limits.bulk_share)
        if permits:
            return Window(permits)
        self._refuse_operation()
        return Allowance()

    def stats(self) -> GateStats:
        """Return the state and the counts of this moment."""
        operations = self._permits.stats() if self._permits is not None else None
        with self._lock:
            self._count_ended()
            return GateStats(self._running, self._begun, dict(self._refused), operations)

    def _refuse_operation(self) -> None:
        self._refuse("operations", Refusal(429, "the service is at its capacity"))

    def _refuse(self, name: str, refusal: Refusal) -> None:
        self._count(name)
        if not self._limits.report_only:
            raise refusal
        logger.warning("done, because limits are only reported: over the limit %s", name)

    def _count(self, name: str) -> None:
        with self._lock:
            self._refused[name] += 1

    def _count_ended(self) -> None:
        """Take in, under the lock, what has ended."""
        while self._ended:
            self._ended.popleft()
            self._running -= 1
