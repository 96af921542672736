"""The service's permits, shared by greenlets and threads: all come back, and others run on."""

from __future__ import annotations

import time
from functools import partial

from flask_fs_swift.api.server.limits import Limits
from flask_fs_swift.api.server.permits import Permits, PermitStats
from flask_fs_swift.concurrency import new_lock

from . import here
from .forks import exit_code, fork

MOST = 3
CROWD = 10
TURNS = 10
PATIENCE = 15.0  # seconds; a wake-up that is lost costs all of them


class Crowd:
    """Counts how many have a permit at a time."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._lock = new_lock()
        self._running = 0
        self.most = 0

    def visit(self, *, is_bulk: bool, native: bool) -> None:
        for _ in range(TURNS):
            permit = self._permits.take(is_bulk=is_bulk)
            assert permit is not None, "nobody was told that a permit is free"
            with permit:
                self._count(1)
                (here.native_breath if native else here.breathe)()
                self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._running += change
            self.most = max(self.most, self._running)


def new_permits(most: int = MOST, queue: int = 2 * CROWD, patience: float = PATIENCE) -> Permits:
    return Permits(Limits(operations=most, queue=queue, queue_timeout=patience))


def many_share_few_and_all_come_back() -> None:
    permits = new_permits()
    crowd = Crowd(permits)
    bulk = [number % 2 == 0 for number in range(CROWD)]
    here.at_once(
        [partial(crowd.visit, is_bulk=each, native=False) for each in bulk],
        beside=[partial(crowd.visit, is_bulk=each, native=True) for each in bulk],
    )
    assert 1 <= crowd.most <= MOST
    assert permits.stats() == PermitStats(MOST, 0, 0, 0)
    others_run_while_one_waits()
    a_child_has_permits_of_its_own()


def others_run_while_one_waits() -> None:
    """Who waits in vain does so for its time, and the others are not kept from running."""
    permits = new_permits(1, patience=0.5)
    held = permits.take()
    assert held is not None
    ticks: list[int] = []
    done: list[bool] = []

    def wait() -> None:
        began, before = time.monotonic(), len(ticks)
        assert permits.take() is None
        assert time.monotonic() - began >= 0.49
        assert len(ticks) > before, "nothing ran while one waited"
        done.append(True)

    def tick() -> None:
        while not done:
            ticks.append(0)
            here.nap()

    here.at_once([wait, tick])
    held.release()
    assert permits.stats() == PermitStats(1, 0, 0, 0)


def a_child_has_permits_of_its_own() -> None:
    """Also where the parent holds them all, and their lock."""
    permits = new_permits(1, queue=0)
    held = permits.take()
    assert held is not None

    def child() -> None:
        held.release()
        assert permits.take() is not None
        assert permits.take() is None

    with permits._lock:
        pid = fork(child)
    assert exit_code(pid) == 0
    assert permits.stats() == PermitStats(1, 1, 0, 0)
