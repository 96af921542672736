"""What a batch does while something is late: its input, a slot, a thread."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import NativeTask, until

from flask_fs_swift import AtCapacity, Delete, Head, Put, batch
from flask_fs_swift.concurrency import Latch
from flask_fs_swift.window import PoolSeat

from .gates import PATIENCE, Gated, Place, threads
from .test_many import put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask_fs_swift import Operation, Pool
    from flask_fs_swift.pool import Checkout

SOON = 5.0  # seconds


class Collecting(Gated):
    """Removes many files together."""

    def within(self, lender: Any) -> Collecting:
        view = Collecting(self._pool, self.yard)
        view._objects, view._lock, view._lender = self._objects, self._lock, lender
        return view

    def delete_many(self, names: Sequence[str]) -> set[str]:
        self._pass("delete", f"{len(names)}")
        return set()


def collecting(size: int = 10) -> Place:
    """Return a place whose deletes are collected."""
    place = Place(size)
    place.backend = Collecting(place.pool, place.yard)
    bound: Any = place.files._bound
    object.__setattr__(bound, "backend", place.backend)
    return place


@pytest.mark.parametrize("concurrency", [1, 2, None])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_deletes_are_done_while_the_input_keeps_the_consumer(
    count: int, concurrency: int | None
) -> None:
    place = collecting()
    gate = Latch()

    def source() -> Iterator[Operation]:
        for number in range(count):
            yield Delete(str(number))
        assert gate.wait(PATIENCE)

    outcomes = place.files.many(source(), concurrency)
    task = NativeTask(lambda: sorted(outcome.index for outcome in outcomes))
    expected = [f"delete {count}"] if count > 2 else [f"delete {n}" for n in range(count)]
    until(lambda: sorted(place.yard.ended) == expected, SOON)
    gate.open()
    assert task.result() == list(range(count))
    assert threads() == []
    place.assert_all_is_back()


def test_deletes_after_others_are_done_while_the_input_keeps_the_consumer() -> None:
    """All workers are at work when the last delete is pulled: the first that rests takes it."""
    place = collecting(10).shut()
    gate = Latch()

    def source() -> Iterator[Operation]:
        yield from map(put, range(8))
        until(lambda: len(place.yard.inside) == 8)
        yield from (Delete(f"x{number}") for number in range(3))
        assert gate.wait(PATIENCE)

    outcomes = place.files.many(source())
    task = NativeTask(lambda: len(list(outcomes)))
    until(lambda: len(outcomes._core._run) == 3)
    place.yard.let("3", "0")
    until(lambda: "delete 3" in place.yard.ended, SOON)
    place.yard.let_all()
    gate.open()
    assert task.result() == 11
    place.assert_all_is_back()


def test_nobody_waits_for_deletes_when_the_batch_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "RUN_PATIENCE", 60.0)
    place = collecting()
    outcomes = place.files.many([put(0), *(Delete(f"x{n}") for n in range(5)), put(1)][:6])
    began = time.monotonic()
    next(outcomes)
    outcomes.close()
    assert time.monotonic() - began < SOON
    assert threads() == []
    place.assert_all_is_back()


class Keeping(Gated):
    """Keeps the connection of the file called 0, as a stream that somebody holds."""

    kept: list[Checkout]

    def within(self, lender: Any) -> Keeping:
        view = Keeping(self._pool, self.yard)
        view._objects, view._lock, view._lender = self._objects, self._lock, lender
        view.kept = self.kept
        return view

    def _pass(self, what: str, name: str) -> Checkout:
        if name != "0":
            return super()._pass(what, name)
        self.kept.append(self._lender.checkout())
        return self.kept[0]


def test_a_slot_that_comes_back_late_is_used_soon() -> None:
    """Nothing runs when it comes back, so nobody tells the batch."""
    place = Place(1)
    backend = Keeping(place.pool, place.yard)
    backend.kept = []
    bound: Any = place.files._bound
    object.__setattr__(bound, "backend", backend)
    outcomes = place.files.many([put(0), put(1)])
    assert next(outcomes).index == 0
    task = NativeTask(lambda: next(outcomes).index)
    until(lambda: not threads())
    assert not task._outcome
    began = time.monotonic()
    backend.kept.pop().checkin()
    assert task.result() == 1
    assert time.monotonic() - began < SOON
    outcomes.close()
    place.assert_all_is_back()


def test_threads_are_tried_again_a_while_after_the_system_had_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    refused: list[float] = []

    def start_one(thread: threading.Thread) -> None:
        if thread.name == "flask-fs-swift" and threads() and not refused:
            refused.append(time.monotonic())
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    monkeypatch.setattr(batch, "RESPITE", 0.3)
    place = Place(10).shut()
    outcomes = place.files.many(put(number) for number in range(100))
    place.yard.let("0")
    assert next(outcomes).index == 0
    assert len(refused) == 1
    until(lambda: place.yard.inside == ["1"])
    assert len(threads()) == 1, "nobody is hired at once"
    time.sleep(0.3)
    place.yard.let("1")
    assert next(outcomes).index == 1
    place.yard.let("2")
    assert next(outcomes).index == 2
    until(lambda: len(place.yard.inside) > 1)
    place.yard.let_all()
    assert len(list(outcomes)) == 97
    place.assert_all_is_back()


@pytest.mark.parametrize("verb", ["take", "keep", "leave"])
def test_seats_are_taken_and_left_while_the_batch_is_not_locked(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The pool may have things to log then, and a handler may do anything."""
    act: Callable[[PoolSeat], Any] = getattr(PoolSeat, verb)
    locked: list[bool] = []

    def logging_act(seat: PoolSeat) -> Any:
        core: Any = outcomes._core
        owner_is_us = holders.get(threading.get_ident(), 0)
        locked.append(bool(owner_is_us) and core._lock.locked())
        logging.getLogger(__name__).debug("something")
        return act(seat)

    holders: dict[int, int] = {}

    class Watched:
        """A lock that knows who has it."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self.locked = self._lock.locked

        def acquire(self, blocking: bool = True) -> bool:
            taken = self._lock.acquire(blocking)
            if taken:
                holders[threading.get_ident()] = 1
            return taken

        def release(self) -> None:
            holders.pop(threading.get_ident())
            self._lock.release()

        def __enter__(self) -> None:
            self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    monkeypatch.setattr(PoolSeat, verb, logging_act)
    monkeypatch.setattr(batch, "new_lock", Watched)
    place = Place(4)
    outcomes = place.files.many(put(number) for number in range(50))
    assert len(list(outcomes)) == 50
    assert locked
    assert not any(locked)
    place.assert_all_is_back()


def test_a_loop_that_raises_after_the_first_outcome_begins_nothing_more() -> None:
    place = Place(10).shut()
    pulled: list[int] = []

    def source() -> Iterator[Put]:
        for number in range(1000):
            pulled.append(number)
            yield put(number)

    place.yard.let("0")
    seen: list[int] = []

    def consume() -> None:
        with place.files.many(source()) as outcomes:
            for outcome in outcomes:
                seen.append(outcome.index)
                until(lambda: len(place.yard.inside) == 8)
                place.yard.let_all()
                raise LookupError

    with pytest.raises(LookupError):
        consume()
    assert seen == [0]
    assert sorted(place.yard.began) == sorted(place.yard.ended)
    assert len(place.yard.ended) <= len(pulled) <= 1 + 8 + batch.LOOK_AHEAD
    assert threads() == []
    place.assert_all_is_back()


def reserve_and_borrow(pool: Pool) -> None:
    for number in range(300):
        try:
            slots = pool.reserve(1 + number % 7)
        except AtCapacity:
            continue
        borrowed = pool.borrow()
        for slot in [*slots, *([borrowed] if borrowed is not None else [])]:
            pool.unbatch(slot)


def lend(pool: Pool) -> None:
    for _ in range(300):
        pool.checkout().checkin()


def test_slots_are_counted_right_while_many_reserve_at_once() -> None:
    place = Place(20)
    wrong: list[object] = []
    stop = Latch()

    def watch() -> None:
        while not stop.wait(0):
            stats = place.pool.stats()
            if not 0 <= stats.batched <= stats.lent <= stats.size:
                wrong.append(stats)

    watcher = NativeTask(watch)
    tasks = [
        NativeTask(partial(task, place.pool)) for task in [reserve_and_borrow] * 12 + [lend] * 4
    ]
    for task in tasks:
        task.result()
    stop.open()
    watcher.result()
    assert wrong == []
    place.assert_all_is_back()


def test_a_head_is_done_beside_deletes_that_are_collected() -> None:
    place = collecting()
    place.files.write("a", b"x")
    outcomes = place.files.many([Delete("x"), Delete("y"), Delete("z"), Head("a")])
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2, 3]
    assert sorted(place.yard.ended)[:2] == ["delete 3", "head a"]
