"""Permits: who gets one at once, who waits and for how long, and that all come back."""

from __future__ import annotations

import gc
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import NativeTask, until
from situations.hubs import everywhere

from flask_fs_swift.api.server.limits import Limits
from flask_fs_swift.api.server.permits import Permits, PermitStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from situations.hubs import RunIn

    from flask_fs_swift.api.server.permits import Permit

SOON = 20.0


def permits_of(most: int, **also: Any) -> Permits:
    return Permits(Limits(operations=most, **{"queue_timeout": SOON, **also}))


def taken(permits: Permits, count: int, **how: bool) -> list[Permit]:
    found = [permits.take(**how) for _ in range(count)]
    assert None not in found
    return [permit for permit in found if permit is not None]


def line(permits: Permits, count: int, **how: bool) -> list[NativeTask[Permit | None]]:
    """Have so many wait, each behind the one before."""
    tasks: list[NativeTask[Permit | None]] = []
    for _ in range(count):
        expected = len(permits._waiting) + 1
        tasks.append(NativeTask(lambda: permits.take(**how)))
        until(partial(_has_length, permits._waiting, expected))
    return tasks


def _has_length(waiting: Sized, length: int) -> bool:
    return len(waiting) == length


@pytest.mark.parametrize("most", [0, 1, 2])
def test_so_many_are_taken_at_once_and_one_more_is_not(most: int) -> None:
    permits = permits_of(most)
    held = taken(permits, most)
    assert permits.take() is None
    for permit in held:
        permit.release()
    assert permits.stats() == PermitStats(most, 0, 0, 0)


@everywhere
def test_nobody_waits_for_a_place_in_a_full_queue(run_in: RunIn) -> None:
    permits = permits_of(1, queue=2)
    [held] = taken(permits, 1)
    waiting = line(permits, 2)
    assert permits.stats() == PermitStats(1, 1, 0, 2)
    assert run_in(permits.take) is None
    held.release()
    for task in waiting:
        got = task.result()
        assert got is not None
        got.release()
    assert permits.stats() == PermitStats(1, 0, 0, 0)


def test_who_came_first_goes_first() -> None:
    permits = permits_of(1, queue=3)
    [held] = taken(permits, 1)
    for task in line(permits, 3):
        held.release()
        got = task.result()
        assert got is not None
        held = got
    held.release()


@everywhere
def test_a_wait_has_an_end(run_in: RunIn) -> None:
    permits = permits_of(1, queue=1, queue_timeout=0.05)
    [held] = taken(permits, 1)
    for is_bulk in (False, True):
        assert run_in(partial(permits.take, is_bulk=is_bulk)) is None
    assert permits.stats() == PermitStats(1, 1, 0, 0)
    held.release()
    assert run_in(permits.take) is not None


def test_batches_have_no_more_than_their_part_and_no_place_in_the_queue() -> None:
    permits = permits_of(5, queue=0, bulk_ceiling=0.6)
    bulk = taken(permits, 3, is_bulk=True)
    [waiting] = line(permits, 1, is_bulk=True)
    assert permits.stats() == PermitStats(5, 3, 3, 0)
    alone = taken(permits, 2)  # The others' part, past who waits.
    alone.pop().release()
    assert len(permits._waiting) == 1
    bulk.pop().release()
    got = waiting.result()
    assert got is not None
    for permit in (*bulk, *alone, got):
        permit.release()
    assert permits.stats() == PermitStats(5, 0, 0, 0)


@pytest.mark.parametrize(
    ("most", "share", "ceiling"),
    [(0, 0.6, 1), (1, 0.6, 1), (5, 0.6, 3), (70, 0.1, 7), (500, 0.6, 300), (10, 1, 10)],
)
def test_the_part_of_batches_is_rounded_up_and_never_nothing(
    most: int, share: float, ceiling: int
) -> None:
    assert permits_of(most, bulk_ceiling=share).ceiling == ceiling


@pytest.mark.parametrize(("free", "window"), [(0, 0), (1, 1), (10, 1), (11, 2), (70, 7), (500, 50)])
def test_a_window_is_a_share_of_what_is_free_rounded_up(free: int, window: int) -> None:
    permits = permits_of(500)
    held = taken(permits, 500 - free)
    reserved = permits.reserve(0.1)
    assert len(reserved) == window
    assert permits.stats() == PermitStats(500, 500 - free + window, window, 0)
    for permit in (*held, *reserved):
        permit.release()
    assert permits.stats().in_use == 0


def test_a_permit_that_comes_back_twice_counts_once() -> None:
    permits = permits_of(2, bulk_ceiling=1)
    first, _second = taken(permits, 2, is_bulk=True)
    first.release()
    first.release()
    assert permits.stats() == PermitStats(2, 1, 1, 0)


@everywhere
def test_who_is_interrupted_in_line_keeps_nothing(run_in: RunIn) -> None:
    permits = permits_of(1, queue=1)
    [held] = taken(permits, 1)

    def wait_and_be_interrupted() -> None:
        import flask_fs_swift.api.server.permits as module

        class Interrupted:
            def wait(self, _: float) -> bool:
                held.release()  # It gets its permit in the very moment.
                raise KeyboardInterrupt

            def wake(self) -> None:
                pass

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "new_wakeup", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                permits.take()

    run_in(wait_and_be_interrupted)
    assert permits.stats() == PermitStats(1, 0, 0, 0)


def test_a_finaliser_gives_back_while_the_lock_is_held() -> None:
    permits = permits_of(1)
    [held] = taken(permits, 1)

    class Dropped:
        def __del__(self) -> None:
            held.release()

    dropped: list[Any] = [Dropped()]
    with permits._lock:
        dropped.clear()
        gc.collect()
    assert permits.take() is not None


@everywhere
def test_ten_at_once_share_three(run_in: RunIn) -> None:
    permits = permits_of(3, queue=10)
    lock = threading.Lock()
    running = [0, 0]

    def work() -> bool:
        for _ in range(20):
            permit = permits.take()
            if permit is None:
                return False
            with permit:
                with lock:
                    running[0] += 1
                    running[1] = max(running)
                with lock:
                    running[0] -= 1
        return True

    def crowd() -> list[bool]:
        return [task.result() for task in [NativeTask(work) for _ in range(9)]] + [work()]

    assert run_in(crowd) == [True] * 10
    assert 1 <= running[1] <= 3
    assert permits.stats() == PermitStats(3, 0, 0, 0)


def in_a_child(check: Callable[[], bool]) -> bool:
    """Tell whether something holds in a forked child."""
    child = os.fork()
    if not child:
        good = False
        try:
            good = check()
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_all_permits_and_the_parent_keeps_its_own() -> None:
    permits = permits_of(2)
    held = taken(permits, 2)

    def has_all() -> bool:
        for permit in held:
            permit.release()  # They are the parent's: nothing comes back.
        return len(taken(permits, 2)) == 2 and permits.take() is None

    assert in_a_child(has_all)
    assert permits.stats().in_use == 2
    for permit in held:
        permit.release()
    assert permits.stats().in_use == 0
