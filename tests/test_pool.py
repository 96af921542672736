"""The pool, on connections that only know whether they were closed."""

from __future__ import annotations

import gc
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from situations.here import NativeTask, until
from situations.hubs import below_a_hub, everywhere
from situations.interrupting import Interruption, interruptions

from flask_fs_swift import FSError, PoolExhaustedError
from flask_fs_swift import pool as pool_module
from flask_fs_swift.pool import Checkout, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from situations.hubs import RunIn
    from swiftclient import Connection

    from flask_fs_swift.events import Event

LONG = 20.0  # seconds; what waits that long has lost its slot
SOON = 5.0  # seconds; what takes longer has waited for a time-out


class Wire:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.closed = 0
        self.is_lent = False

    def close(self) -> None:
        self.closed += 1


class Wires:
    """Makes connections, and remembers them."""

    def __init__(self) -> None:
        self.made: list[Wire] = []
        self.failure: BaseException | None = None

    def __call__(self) -> Connection:
        if self.failure is not None:
            raise self.failure
        wire = Wire()
        self.made.append(wire)
        return cast("Connection", wire)

    def open(self) -> int:
        """Count those that are open."""
        return sum(not wire.closed for wire in self.made)


def new_pool(
    size: int = 1,
    *,
    timeout: float = LONG,
    wires: Wires | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Pool:
    return Pool(wires or Wires(), size=size, timeout=timeout, name="pool", on_event=on_event)


def wire_of(checkout: Checkout) -> Wire:
    return cast("Wire", checkout.connection)


def assert_all_is_back(pool: Pool) -> None:
    """Check that every slot can be lent."""
    stats = pool.stats()
    assert (stats.lent, stats.waiting) == (0, 0), pool
    for checkout in [pool.checkout(0) for _ in range(pool.size)]:
        checkout.checkin()


# Lending.


def test_nothing_is_opened_before_it_is_lent() -> None:
    wires = Wires()
    pool = new_pool(5, wires=wires)
    assert not wires.made
    pool.checkout().checkin()
    pool.checkout().checkin()
    assert len(wires.made) == 1


def test_the_last_one_in_is_the_first_one_out() -> None:
    pool = new_pool(3)
    first, second, third = pool.checkout(), pool.checkout(), pool.checkout()
    for checkout in (first, third, second):
        checkout.checkin()
    lent = [pool.checkout() for _ in range(3)]
    assert [checkout.connection for checkout in lent] == [
        second.connection,
        third.connection,
        first.connection,
    ]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_there_are_never_more_connections_than_slots(size: int) -> None:
    wires = Wires()
    pool = new_pool(size, wires=wires)
    most = []

    def borrow() -> None:
        for number in range(50):
            checkout = pool.checkout()
            most.append(wires.open())
            (checkout.discard if number % 5 == 0 else checkout.checkin)()

    for task in [NativeTask(borrow) for _ in range(20)]:
        task.result()
    assert max(most) <= size
    assert_all_is_back(pool)


@everywhere
def test_a_borrower_gives_up_at_the_time_out_and_not_before(run_in: RunIn) -> None:
    wires = Wires()
    pool = new_pool(timeout=0.2, wires=wires)
    held = pool.checkout()

    def wait() -> float:
        began = time.monotonic()
        with pytest.raises(PoolExhaustedError, match=r"no connection came free within 0\.\d s"):
            pool.checkout()
        return time.monotonic() - began

    assert 0.19 <= run_in(wait) < SOON
    assert len(wires.made) == 1
    held.checkin()
    assert_all_is_back(pool)


@pytest.mark.parametrize(("of_pool", "of_call"), [(0.05, LONG), (LONG, 0.05), (LONG, 0.0)])
def test_the_shorter_time_out_counts(of_pool: float, of_call: float) -> None:
    pool = new_pool(timeout=of_pool)
    held = pool.checkout()
    began = time.monotonic()
    with pytest.raises(PoolExhaustedError):
        pool.checkout(of_call)
    assert time.monotonic() - began < SOON
    held.checkin()


def test_a_time_out_of_zero_is_enough_where_a_slot_is_free() -> None:
    pool = new_pool()
    pool.checkout(0).checkin()
    assert_all_is_back(pool)


@everywhere
def test_slots_are_handed_over_in_order_of_arrival(run_in: RunIn) -> None:
    pool = new_pool()
    order: list[int] = []
    held = [pool.checkout()]

    def wait(number: int) -> None:
        checkout = pool.checkout()
        order.append(number)
        checkout.checkin()

    def task() -> None:
        others = []
        for number in range(5):
            others.append(NativeTask(lambda number=number: wait(number)))  # type: ignore[misc]
            until(lambda: pool.stats().waiting == number + 1)  # noqa: B023

        def begin() -> None:
            until(lambda: pool.stats().waiting == 6)
            held.pop().checkin()

        others.append(NativeTask(begin))
        wait(5)
        for other in others:
            other.result()

    run_in(task)
    assert order == list(range(6))
    assert_all_is_back(pool)


def test_a_new_borrower_does_not_overtake_those_in_line() -> None:
    pool = new_pool()
    held = pool.checkout()
    waiter = NativeTask(pool.checkout)
    until(lambda: pool.stats().waiting == 1)
    held.checkin()
    with pytest.raises(PoolExhaustedError):
        pool.checkout(0)
    waiter.result().checkin()
    assert_all_is_back(pool)


@pytest.mark.parametrize("failure", [OSError("no"), KeyboardInterrupt()])
def test_a_connection_that_could_not_be_made_costs_no_slot(failure: BaseException) -> None:
    wires = Wires()
    pool = new_pool(wires=wires)
    wires.failure = failure
    with pytest.raises(type(failure)):
        pool.checkout()
    wires.failure = None
    assert pool.stats().opened == 0
    assert_all_is_back(pool)


def test_a_waiter_who_cannot_make_its_connection_passes_its_slot_on() -> None:
    wires = Wires()
    pool = new_pool(wires=wires)
    held = pool.checkout()
    waiters = [NativeTask(pool.checkout) for _ in range(2)]
    until(lambda: pool.stats().waiting == 2)
    wires.failure = OSError("no")
    held.discard()
    for waiter in waiters:
        with pytest.raises(OSError, match="no"):
            waiter.result()
    wires.failure = None
    assert_all_is_back(pool)


# Giving back.


def test_a_broken_connection_is_closed_and_never_lent_again() -> None:
    pool = new_pool()
    checkout = pool.checkout()
    checkout.discard()
    assert wire_of(checkout).closed == 1
    assert pool.checkout().connection is not checkout.connection


@pytest.mark.parametrize("first", ["checkin", "discard"])
@pytest.mark.parametrize("second", ["checkin", "discard"])
def test_giving_back_twice_is_giving_back_once(first: str, second: str) -> None:
    pool = new_pool(2)
    keep, checkout = pool.checkout(), pool.checkout()
    getattr(checkout, first)()
    getattr(checkout, second)()
    stats = pool.stats()
    assert (stats.lent, stats.idle) == (1, 1 if first == "checkin" else 0)
    assert wire_of(checkout).closed == (1 if first == "discard" else 0)
    keep.checkin()


def test_what_is_given_back_is_closed_before_its_slot_is_lent() -> None:
    wires = Wires()
    pool = new_pool(wires=wires)
    held = pool.checkout()
    waiter = NativeTask(lambda: (pool.checkout(), wires.open()))
    until(lambda: pool.stats().waiting == 1)
    held.discard()
    checkout, count = waiter.result()
    assert count == 1
    checkout.checkin()


def test_a_block_that_ends_well_keeps_the_connection() -> None:
    pool = new_pool()
    with pool.connection() as connection:
        pass
    assert pool.checkout().connection is connection


@pytest.mark.parametrize("failure", [ValueError(), KeyboardInterrupt()])
def test_a_block_that_raises_costs_the_connection(failure: BaseException) -> None:
    pool = new_pool()
    with pytest.raises(type(failure)), pool.connection() as connection:
        raise failure
    assert cast("Wire", connection).closed == 1
    assert_all_is_back(pool)


def test_a_connection_that_cannot_be_closed_costs_no_slot(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = new_pool()
    checkout = pool.checkout()
    monkeypatch.setattr(checkout.connection, "close", lambda: 1 / 0)
    checkout.discard()
    assert "failed while it was closed" in caplog.text
    assert_all_is_back(pool)


# Dropping, and finalisers.


@pytest.mark.parametrize("threads", [1, 10])
def test_dropped_checkouts_are_reclaimed(threads: int) -> None:
    wires = Wires()
    pool = new_pool(5, wires=wires)

    def drop() -> None:
        for _ in range(500 // threads):
            pool.checkout()

    for task in [NativeTask(drop) for _ in range(threads)]:
        task.result()
    stats = pool.stats()
    assert (stats.reclaimed, stats.discarded, stats.opened) == (500, 500, 500)
    assert wires.open() == 0
    assert_all_is_back(pool)


@contextmanager
def locked(pool: Pool) -> Iterator[None]:
    """Hold the lock, and look after what came back meanwhile, as every holder does."""
    with pool._lock:
        yield
    pool._settle()


def test_a_finaliser_may_run_in_the_thread_that_holds_the_lock() -> None:
    pool = new_pool()
    held = [pool.checkout()]
    with locked(pool):
        held.clear()
    assert pool.stats().reclaimed == 1
    assert_all_is_back(pool)


def test_the_collector_may_run_in_the_thread_that_holds_the_lock() -> None:
    pool = new_pool()
    cycle: list[object] = [pool.checkout()]
    cycle.append(cycle)
    with locked(pool):
        del cycle
        gc.collect()
    assert pool.stats().reclaimed == 1
    assert_all_is_back(pool)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_finaliser_may_run_in_the_hub(waiting: bool) -> None:
    pool = new_pool()

    def task() -> None:
        import gevent

        held = [pool.checkout()]
        waiter = gevent.spawn(pool.checkout)
        if waiting:
            gevent.sleep(0)
            assert pool.stats().waiting == 1
        gevent.get_hub().loop.run_callback(held.clear)
        waiter.get().checkin()

    began = time.monotonic()
    below_a_hub(task)
    assert time.monotonic() - began < SOON
    assert_all_is_back(pool)


@everywhere
def test_a_finaliser_may_interrupt_a_checkout_anywhere(run_in: RunIn) -> None:
    def task() -> None:
        pool = new_pool()
        held: list[Checkout] = []
        for interruption in interruptions(held.clear):
            held[:] = [pool.checkout()]
            with suppress(PoolExhaustedError):
                interruption.during(lambda: pool.checkout(0)).checkin()
            held.clear()
            assert_all_is_back(pool)

    run_in(task)


@everywhere
def test_a_slot_that_comes_back_before_the_wait_is_not_waited_for(run_in: RunIn) -> None:
    def task() -> None:
        seconds = 0.5
        for number in range(1000):
            pool = new_pool()
            held = [pool.checkout()]
            interruption = Interruption(number, held.clear)
            began = time.monotonic()
            with suppress(PoolExhaustedError):
                interruption.during(lambda: pool.checkout(seconds)).checkin()  # noqa: B023
            if time.monotonic() - began >= seconds:
                assert number > 20
                assert interruption.time - began >= seconds, "it was missed"
                return
            assert_all_is_back(pool)

    run_in(task)


@everywhere
@pytest.mark.parametrize(
    "interrupted",
    [
        lambda _, other: other.checkin(),
        lambda _, other: other.discard(),
        lambda pool, other: (pool.stats(), other.checkin()),
        lambda pool, other: (repr(pool), other.checkin()),
    ],
    ids=["checkin", "discard", "stats", "repr"],
)
def test_a_finaliser_may_interrupt_the_pool_anywhere(
    run_in: RunIn, interrupted: Callable[[Pool, Checkout], object]
) -> None:
    def task() -> None:
        pool = new_pool(2)
        held: list[Checkout] = []
        for interruption in interruptions(held.clear):
            other = pool.checkout()
            held[:] = [pool.checkout()]
            interruption.during(lambda: interrupted(pool, other))  # noqa: B023
            held.clear()
            assert_all_is_back(pool)

    run_in(task)


@everywhere
def test_a_finaliser_may_interrupt_closing_anywhere(run_in: RunIn) -> None:
    def task() -> None:
        held: list[Checkout] = []
        for interruption in interruptions(held.clear):
            pool = new_pool()
            held[:] = [pool.checkout()]
            interruption.during(lambda: pool.close(0))  # noqa: B023
            held.clear()
            assert pool.close(0)

    run_in(task)


# Waiters who leave.


def hold_and_wait(pool: Pool) -> tuple[Checkout, NativeTask[Checkout]]:
    """Have one borrower hold the only slot, and another wait for it."""
    held = pool.checkout()
    waiter = NativeTask(pool.checkout)
    until(lambda: pool.stats().waiting == 1)
    return held, waiter


def test_a_waiter_that_times_out_leaves_the_line() -> None:
    pool = new_pool(timeout=0.05)
    held, waiter = hold_and_wait(pool)
    with pytest.raises(PoolExhaustedError):
        waiter.result()
    assert pool.stats().waiting == 0
    held.checkin()
    assert_all_is_back(pool)


def test_a_killed_waiter_leaves_the_line() -> None:
    pool = new_pool()

    def task() -> None:
        import gevent

        held = pool.checkout()
        waiter = gevent.spawn(pool.checkout)
        gevent.sleep(0)
        waiter.kill()
        assert isinstance(waiter.value, gevent.GreenletExit)
        assert pool.stats().waiting == 0
        held.checkin()

    below_a_hub(task)
    assert_all_is_back(pool)


def test_a_waiter_that_is_killed_with_a_slot_passes_it_on() -> None:
    pool = new_pool()

    def task() -> None:
        import gevent

        held = pool.checkout()
        killed, next_one = gevent.spawn(pool.checkout), gevent.spawn(pool.checkout)
        gevent.sleep(0)
        # It was handed the slot, and has not run since.
        held.checkin()
        assert pool.stats().waiting == 1
        killed.kill()
        assert isinstance(killed.value, gevent.GreenletExit)
        assert next_one.get().connection is held.connection
        next_one.value.checkin()

    below_a_hub(task)
    assert_all_is_back(pool)


def test_a_timeout_of_gevent_ends_a_wait() -> None:
    pool = new_pool()

    def task() -> None:
        import gevent

        held = pool.checkout()
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            pool.checkout()
        assert pool.stats().waiting == 0
        held.checkin()

    below_a_hub(task)
    assert_all_is_back(pool)


@pytest.mark.parametrize("has_slot", [False, True])
def test_an_interrupt_from_the_keyboard_loses_no_slot(has_slot: bool) -> None:
    pool = new_pool()
    held = pool.checkout()

    def interrupt(*_: object) -> None:
        if has_slot:
            held.checkin()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident or 0

    def press() -> None:
        until(lambda: pool.stats().waiting == 1)
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        presser = NativeTask(press)
        with pytest.raises(KeyboardInterrupt):
            pool.checkout()
        presser.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    held.checkin()
    assert_all_is_back(pool)


# Closing.


def test_closing_closes_what_is_idle() -> None:
    wires = Wires()
    pool = new_pool(2, wires=wires)
    for checkout in [pool.checkout(), pool.checkout()]:
        checkout.checkin()
    assert pool.close()
    assert [wire.closed for wire in wires.made] == [1, 1]
    assert pool.stats().idle == 0
    assert pool.close()


def test_closing_waits_for_what_is_lent() -> None:
    pool = new_pool()
    held = pool.checkout()
    assert not pool.close(0.01)
    closing = NativeTask(lambda: pool.close(LONG))
    began = time.monotonic()
    held.checkin()
    assert closing.result()
    assert time.monotonic() - began < SOON
    assert wire_of(held).closed == 1


def test_closing_wakes_those_who_wait() -> None:
    pool = new_pool()
    held, waiter = hold_and_wait(pool)
    began = time.monotonic()
    assert not pool.close(0)
    with pytest.raises(FSError, match="closed with its application"):
        waiter.result()
    assert time.monotonic() - began < SOON
    held.checkin()
    assert pool.close(0)


def test_a_closed_pool_lends_nothing() -> None:
    pool = new_pool()
    pool.close()
    with pytest.raises(FSError, match="closed with its application"):
        pool.checkout()


def test_a_borrower_who_is_refused_settles_what_came_back_meanwhile() -> None:
    pool = new_pool()
    held = pool.checkout()
    closing = NativeTask(lambda: pool.close(LONG))
    until(lambda: pool._closing is not None)
    with pool._lock:
        held.checkin()
    began = time.monotonic()
    with pytest.raises(FSError):
        pool.checkout()
    assert closing.result()
    assert time.monotonic() - began < SOON


# What can be seen.


def test_the_statistics_tell_what_happened() -> None:
    pool = new_pool(2)
    kept, broken = pool.checkout(), pool.checkout()
    waiter = NativeTask(pool.checkout)
    until(lambda: pool.stats().waiting == 1)
    assert repr(pool) == (
        "<Pool 'pool': 0 idle, 2 lent, 0 of them to batches, 1 waiting, of 2; "
        "2 opened, 0 discarded, 0 of them reclaimed>"
    )
    broken.discard()
    checkout = waiter.result()
    kept.checkin()
    del checkout, waiter
    stats = pool.stats()
    assert (stats.size, stats.idle, stats.lent, stats.waiting) == (2, 1, 0, 0)
    assert (stats.opened, stats.discarded, stats.reclaimed) == (3, 2, 1)


def test_a_batch_that_is_killed_while_it_borrows_loses_no_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = new_pool(5)
    settle = pool._settle
    calls: list[bool] = []

    def killed() -> None:
        calls.append(True)
        if len(calls) == 1:
            raise KeyboardInterrupt
        settle()

    monkeypatch.setattr(pool, "_settle", killed)
    with pytest.raises(KeyboardInterrupt):
        pool.borrow()
    assert (pool.stats().lent, pool.stats().batched) == (0, 0)


def test_its_repr_tells_what_batches_have() -> None:
    pool = new_pool(20)
    checkout, slots = pool.checkout(), [*pool.reserve(5), pool.borrow()]
    assert "4 lent, 3 of them to batches, 0 waiting" in repr(pool)
    for slot in slots:
        assert slot is not None
        pool.unbatch(slot)
    checkout.checkin()
    assert "0 lent, 0 of them to batches" in repr(pool)


def test_the_hook_sees_every_checkout() -> None:
    events: list[Event] = []
    pool = new_pool(timeout=0.1, on_event=events.append)
    held = pool.checkout()
    with pytest.raises(PoolExhaustedError):
        pool.checkout()
    waiter = NativeTask(lambda: pool.checkout(LONG))
    until(lambda: pool.stats().waiting == 1)
    held.checkin()
    waiter.result().checkin()
    assert [(event.operation, event.storage, event.outcome) for event in events] == [
        ("checkout", "pool", "ok"),
        ("checkout", "pool", "PoolExhaustedError"),
        ("checkout", "pool", "ok"),
    ]
    assert events[0].seconds == 0
    assert events[1].seconds >= 0.09


def test_a_hook_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pool = new_pool(on_event=lambda event: 1 / 0)  # type: ignore[arg-type]  # noqa: ARG005
    pool.checkout().checkin()
    assert "the event hook failed" in caplog.text
    assert_all_is_back(pool)


@pytest.mark.parametrize("waits", [False, True])
def test_a_borrower_who_is_killed_in_the_hook_loses_no_slot(waits: bool) -> None:
    class Killed(BaseException):
        pass

    is_deadly = False

    def hook(_event: Event) -> None:
        if is_deadly:
            raise Killed

    pool = new_pool(on_event=hook)
    if waits:
        held, waiter = hold_and_wait(pool)
        is_deadly = True
        held.checkin()
        with pytest.raises(Killed):
            waiter.result()
    else:
        is_deadly = True
        with pytest.raises(Killed):
            pool.checkout()
    is_deadly = False
    assert pool.stats().reclaimed == 0
    assert_all_is_back(pool)


# Forks and homes.


def test_a_fork_leaves_the_child_an_empty_pool() -> None:
    wires = Wires()
    pool = new_pool(2, wires=wires)
    held, idle = pool.checkout(), pool.checkout()
    idle.checkin()
    pool.after_fork()
    stats = pool.stats()
    assert (stats.idle, stats.lent, stats.opened) == (0, 0, 0)
    held.discard()
    assert wires.open() == 2
    fresh = [pool.checkout(), pool.checkout()]
    assert {held.connection, idle.connection}.isdisjoint(c.connection for c in fresh)
    for checkout in fresh:
        checkout.checkin()


def test_a_waiter_of_the_parent_disturbs_nothing_in_the_child() -> None:
    pool = new_pool(timeout=0.2)
    held, waiter = hold_and_wait(pool)
    pool.after_fork()
    held.checkin()
    with pytest.raises(PoolExhaustedError):
        waiter.result()
    assert_all_is_back(pool)


@pytest.fixture
def go_home(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set where the sockets of those who borrow from now on are at home."""
    return lambda home: monkeypatch.setattr(pool_module, "socket_home", lambda: home)


def test_a_connection_is_lent_only_at_home(go_home: Callable[[str], None]) -> None:
    pool = new_pool(3)
    go_home("here")
    here = pool.checkout()
    here.checkin()
    go_home("there")
    there = pool.checkout()
    assert there.connection is not here.connection
    there.checkin()
    go_home("here")
    again = pool.checkout()
    assert again.connection is here.connection
    assert pool.stats().discarded == 0
    again.checkin()


def test_a_connection_makes_room_for_one_of_another_home(go_home: Callable[[str], None]) -> None:
    wires = Wires()
    pool = new_pool(2, wires=wires)
    go_home("here")
    old, young = pool.checkout(), pool.checkout()
    old.checkin()
    young.checkin()
    go_home("there")
    held = pool.checkout()
    assert (wire_of(old).closed, wire_of(young).closed) == (1, 0)
    assert wires.open() == 2
    assert pool.stats().discarded == 1
    held.checkin()
    assert_all_is_back(pool)


def test_a_slot_is_handed_over_to_another_home_without_its_connection(
    go_home: Callable[[str], None],
) -> None:
    wires = Wires()
    pool = new_pool(wires=wires)
    go_home("here")
    held = pool.checkout()
    go_home("there")
    waiter = NativeTask(pool.checkout)
    until(lambda: pool.stats().waiting == 1)
    held.checkin()
    checkout = waiter.result()
    assert wire_of(held).closed == 1
    assert wires.open() == 1
    checkout.checkin()
    assert pool.checkout().connection is checkout.connection


# Everything at once.

STEPS = st.sampled_from(["take", "give", "discard", "drop", "impatient", "fail"])


class Borrower:
    """Does what it is told, and checks what it is lent."""

    def __init__(self, pool: Pool, wires: Wires) -> None:
        self._pool = pool
        self._wires = wires
        self._held: list[Checkout] = []

    def run(self, steps: list[str]) -> None:
        for step in steps:
            getattr(self, step)()
            assert self._wires.open() <= self._pool.size
        while self._held:
            self.give()

    def take(self, timeout: float = 0.01) -> None:
        with suppress(PoolExhaustedError, OSError):
            checkout = self._pool.checkout(timeout)
            wire = wire_of(checkout)
            assert not wire.closed
            assert not wire.is_lent, "one connection, two borrowers"
            wire.is_lent = True
            self._held.append(checkout)

    def impatient(self) -> None:
        self.take(0)

    def fail(self) -> None:
        self._wires.failure = OSError("no")
        self.take(0)
        self._wires.failure = None

    def give(self) -> None:
        if self._held:
            checkout = self._held.pop()
            wire_of(checkout).is_lent = False
            checkout.checkin()

    def discard(self) -> None:
        if self._held:
            self._held.pop().discard()

    def drop(self) -> None:
        if self._held:
            self._held.pop()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 4),
    tasks=st.lists(st.lists(STEPS, max_size=15), min_size=1, max_size=4),
)
def test_whatever_borrowers_do_no_slot_is_lost(size: int, tasks: list[list[str]]) -> None:
    wires = Wires()
    pool = new_pool(size, wires=wires)
    running = [
        NativeTask(lambda steps=steps: Borrower(pool, wires).run(steps))  # type: ignore[misc]
        for steps in tasks
    ]
    for task in running:
        task.result()
    stats = pool.stats()
    assert stats.opened == len(wires.made)
    assert stats.opened - stats.discarded == stats.idle == wires.open()
    assert_all_is_back(pool)
