"""Waiting and waking, one fact at a time. How they race is in ``situations``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest
from situations.here import NativeTask, until
from situations.hubs import below_a_hub, everywhere
from situations.interrupting import Interruption, interruptions
from tiered.children import Child

from flask_fs_swift.concurrency import (
    Deadline,
    Latch,
    Wakeup,
    new_lock,
    new_wakeup,
    off_hub,
    pause,
    socket_home,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from situations.hubs import RunIn


@everywhere
def test_a_wake_before_the_wait_is_remembered(run_in: RunIn) -> None:
    def task() -> bool:
        wakeup = new_wakeup()
        wakeup.wake()
        return wakeup.wait(5)

    began = time.monotonic()
    assert run_in(task) is True
    assert time.monotonic() - began < 4


@everywhere
def test_waking_twice_is_waking_once(run_in: RunIn) -> None:
    def task() -> bool:
        wakeup = new_wakeup()
        wakeup.wake()
        wakeup.wake()
        return wakeup.wait(5)

    assert run_in(task) is True


@everywhere
def test_a_wake_from_another_thread_ends_the_wait(run_in: RunIn) -> None:
    def task() -> bool:
        wakeup = new_wakeup()
        waker = NativeTask(wakeup.wake)
        woken = wakeup.wait(5)
        waker.result()
        return woken

    assert run_in(task) is True


@everywhere
@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.1])
def test_a_wait_ends_at_its_time_and_not_before(run_in: RunIn, seconds: float) -> None:
    def task() -> float:
        began = time.monotonic()
        assert not new_wakeup().wait(seconds)
        return time.monotonic() - began

    assert seconds - 0.01 <= run_in(task) < seconds + 5


def test_a_hub_that_was_blocked_does_not_cut_the_next_wait_short() -> None:
    def task() -> float:
        pause(0.001)  # The loop's clock is set, and stands still from here on.
        time.sleep(0.3)
        began = time.monotonic()
        new_wakeup().wait(0.2)
        return time.monotonic() - began

    assert below_a_hub(task) >= 0.19


def test_a_killed_waiter_leaves_nothing_active() -> None:
    def task() -> None:
        import gevent

        wakeup = new_wakeup()
        waiting = gevent.spawn(wakeup.wait, 3600)
        gevent.sleep(0)
        waiting.kill()
        assert isinstance(waiting.value, gevent.GreenletExit)
        wakeup.wake()

    below_a_hub(task)


def test_a_waiter_that_timed_out_leaves_nothing_active() -> None:
    def task() -> None:
        import gevent

        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            new_wakeup().wait(3600)

    below_a_hub(task)


def test_a_wait_lets_the_other_greenlets_run() -> None:
    def task() -> bool:
        import gevent

        wakeup = new_wakeup()
        gevent.spawn_later(0.01, wakeup.wake)
        return wakeup.wait(5)

    assert below_a_hub(task) is True


def test_the_hub_itself_waits_without_yielding() -> None:
    def task() -> list[bool]:
        import gevent

        woken: list[bool] = []
        gevent.get_hub().loop.run_callback(lambda: woken.append(new_wakeup().wait(0.01)))
        gevent.sleep(0.05)
        return woken

    assert below_a_hub(task) == [False]


# Python 3.12 and later warn, rightly, of forks beside other threads.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_hub_that_was_copied_by_a_fork_serves_the_child() -> None:
    def wait_for_a_disk() -> None:
        assert off_hub(len, "abc") == 3

    def task() -> None:
        wait_for_a_disk()  # Now the hub has a thread, which no child has.
        children = [Child(wait_for_a_disk) for _ in range(3)]
        for child in children:
            child.begin()
        wait_for_a_disk()
        for child in children:
            child.end()

    below_a_hub(task)


@everywhere
def test_a_pause_lasts_as_long_as_it_should(run_in: RunIn) -> None:
    def task() -> float:
        began = time.monotonic()
        pause(0.1)
        pause(0)
        pause(-1)
        return time.monotonic() - began

    assert 0.09 <= run_in(task) < 5


@everywhere
def test_an_open_latch_stops_nobody(run_in: RunIn) -> None:
    latch = Latch()
    assert run_in(lambda: latch.wait(0.01)) is False
    latch.open()
    assert run_in(lambda: latch.wait(5)) is True


@everywhere
def test_a_latch_opens_for_all_who_wait(run_in: RunIn) -> None:
    latch = Latch()
    others = [NativeTask(lambda: latch.wait(20)) for _ in range(5)]

    def task() -> bool:
        def open_for_six() -> None:
            until(lambda: len(latch._waiting) == 6)
            latch.open()

        opener = NativeTask(open_for_six)
        passed = latch.wait(20)
        opener.result()
        return passed

    assert run_in(task) is True
    assert all(other.result() for other in others)
    assert not latch._waiting


class Waiting(Protocol):
    def wait(self, timeout: float) -> bool: ...


def assert_never_missed(make: Callable[[], tuple[Waiting, Callable[[], None]]]) -> None:
    """End a wait before each of its instructions, up to those where it has begun to wait."""
    seconds = 0.5
    for number in range(1000):
        waiting, end = make()
        interruption = Interruption(number, end)
        began = time.monotonic()
        woken = interruption.during(lambda: waiting.wait(seconds))  # noqa: B023
        if time.monotonic() - began >= seconds:
            assert number > 5
            assert interruption.time - began >= seconds, "it was missed"
            return
        assert woken


@everywhere
def test_a_finaliser_may_open_a_latch_at_any_moment_of_a_wait(run_in: RunIn) -> None:
    def make() -> tuple[Latch, Callable[[], None]]:
        latch = Latch()
        return latch, latch.open

    run_in(lambda: assert_never_missed(make))


@everywhere
def test_a_finaliser_may_wake_at_any_moment_of_a_wait(run_in: RunIn) -> None:
    def make() -> tuple[Wakeup, Callable[[], None]]:
        wakeup = new_wakeup()
        return wakeup, wakeup.wake

    run_in(lambda: assert_never_missed(make))


@everywhere
def test_a_finaliser_may_interrupt_a_wake(run_in: RunIn) -> None:
    def task() -> None:
        wakeup = new_wakeup()
        for interruption in interruptions(lambda: wakeup.wake()):  # noqa: B023, PLW0108
            wakeup = new_wakeup()
            interruption.during(wakeup.wake)
            assert wakeup.wait(5)

    run_in(task)


def test_a_deadline_counts_down_and_stops_at_zero() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.remaining() <= 0.05
    time.sleep(0.06)
    assert deadline.remaining() == 0
    assert Deadline(-1).remaining() == 0


def test_a_lock_is_native() -> None:
    assert isinstance(new_lock(), type(threading.Lock()))


def test_sockets_that_are_not_patched_are_at_home_everywhere() -> None:
    assert socket_home() is None
    assert below_a_hub(socket_home) is None
