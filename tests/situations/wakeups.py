"""Waiting and waking, by greenlets and threads, racing: nobody is forgotten."""

from __future__ import annotations

import random
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from flask_fs_swift.concurrency import Latch, Wakeup, _native_lock, new_wakeup, pause

from . import here

if TYPE_CHECKING:
    from collections.abc import Callable

WAITERS = 10
WAITS_EACH = 300
WAKERS = 3
PATIENCE = 15.0  # seconds; a wake-up that is lost costs all of them


class Race:
    """Waiters who each wait many times, and wakers who wake whomever they find."""

    def __init__(self, waiters: int) -> None:
        self._pending: deque[Wakeup] = deque()
        self._waiters = [True] * waiters

    def wait(self, breathe: Callable[[], None]) -> None:
        for _ in range(WAITS_EACH):
            wakeup = new_wakeup()
            self._pending.append(wakeup)
            # The wake-up comes before, while and after the wait begins.
            for _ in range(random.randrange(3)):
                breathe()
            assert wakeup.wait(PATIENCE), "a wake-up was lost"
        self._waiters.pop()

    def wake(self, nap: Callable[[], None]) -> None:
        while self._waiters:
            try:
                self._pending.popleft().wake()
            except IndexError:
                nap()


def nobody_is_forgotten() -> None:
    waiters_here_are_woken_by_native_threads()
    waiters_in_native_threads_are_woken_from_here()
    waiters_here_are_woken_from_here()
    a_latch_lets_everybody_through()


def waiters_here_are_woken_by_native_threads() -> None:
    race = Race(WAITERS)
    here.at_once(
        [partial(race.wait, here.breathe)] * WAITERS,
        beside=[partial(race.wake, here.native_nap)] * WAKERS,
    )


def waiters_in_native_threads_are_woken_from_here() -> None:
    race = Race(WAITERS)
    here.at_once(
        [partial(race.wake, here.nap)] * WAKERS,
        beside=[partial(race.wait, here.native_breath)] * WAITERS,
    )


def waiters_here_are_woken_from_here() -> None:
    race = Race(WAITERS)
    waits = [partial(race.wait, here.breathe)] * WAITERS
    here.at_once([*waits, *[partial(race.wake, here.nap)] * WAKERS])


def a_latch_lets_everybody_through() -> None:
    """However its opening races with those who come to wait, here and in native threads."""
    latches = [Latch() for _ in range(WAITS_EACH)]

    def wait(breathe: Callable[[], None]) -> None:
        for latch in latches:
            for _ in range(random.randrange(3)):
                breathe()
            assert latch.wait(PATIENCE), "the latch kept somebody"

    def open_all(breathe: Callable[[], None]) -> None:
        for latch in latches:
            for _ in range(random.randrange(3)):
                breathe()
            latch.open()

    here.at_once(
        [*[partial(wait, here.breathe)] * WAITERS, partial(open_all, here.breathe)],
        beside=[partial(wait, here.native_breath)] * WAITERS,
    )


def locks_are_native() -> None:
    """A finaliser that runs in the hub cannot yield to it."""
    assert type(_native_lock()).__module__ == "_thread"


def a_pause_lets_others_run() -> None:
    seen: list[float] = []

    def tick() -> None:
        while len(seen) < 20:
            seen.append(time.monotonic())
            pause(0.001)

    def pause_long() -> None:
        began = time.monotonic()
        pause(1.0)
        assert time.monotonic() - began >= 0.99
        assert len(seen) == 20

    here.at_once([pause_long, tick])
