"""Tasks at once: how many, in which order, and how it ends."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from situations.here import until
from situations.hubs import below_a_hub, everywhere

from flask_fs_swift.concurrency import Latch, new_wakeup, pause
from flask_fs_swift.parallel import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from situations.hubs import RunIn

PATIENCE = 20.0  # seconds

widths = pytest.mark.parametrize("width", [1, 2, 3, 100])


def threads() -> list[threading.Thread]:
    """Return the threads that this module started, and that are left."""
    return [each for each in threading.enumerate() if each.name == "flask-fs-swift"]


class Gate:
    """A task that waits until it is let through, and then returns its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.began = Latch()
        self.opened = Latch()
        self.ended = False

    def __call__(self) -> int:
        self.began.open()
        assert self.opened.wait(PATIENCE)
        self.ended = True
        return self.number


class Source:
    """Gates, and how many of them were pulled."""

    def __init__(self, count: int) -> None:
        self.gates = [Gate(number) for number in range(count)]
        self.pulled = 0

    def __iter__(self) -> Iterator[Gate]:
        for gate in self.gates:
            self.pulled += 1
            yield gate

    def open(self) -> None:
        for gate in self.gates:
            gate.opened.open()


def fail() -> int:
    raise ValueError("no")


@everywhere
@widths
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_task_gives_one_result_with_its_index(run_in: RunIn, width: int, count: int) -> None:
    def task() -> dict[int, int]:
        results = list(at_once([partial(pow, n, 2) for n in range(count)], width))
        assert len(results) == count
        return dict(results)

    assert run_in(task) == {n: n * n for n in range(count)}
    assert threads() == []


@everywhere
def test_results_come_as_they_end(run_in: RunIn) -> None:
    def task() -> list[int]:
        source = Source(3)
        order = []
        with at_once(source, 3) as results:
            assert not results.wait(0.01)
            for number in (1, 2, 0):
                source.gates[number].opened.open()
                assert results.wait(PATIENCE)
                order.append(next(results)[1])
            assert results.wait(0), "the end is known at once"
            with pytest.raises(StopIteration):
                next(results)
        return order

    assert run_in(task) == [1, 2, 0]


@everywhere
def test_no_more_are_pulled_than_run(run_in: RunIn) -> None:
    def task() -> list[int]:
        source = Source(10)
        results = at_once(source, 3)
        assert source.pulled == 0
        pulled = []
        assert not results.wait(0.01)
        pulled.append(source.pulled)
        source.open()
        return pulled + [source.pulled for _ in results]

    assert run_in(task) == [3, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


@everywhere
def test_never_more_run_than_the_width(run_in: RunIn) -> None:
    running: list[bool] = []
    most: list[int] = []

    def count() -> None:
        running.append(True)
        most.append(len(running))
        pause(0.001)
        running.pop()

    def task() -> None:
        for _ in at_once([count] * 60, 4):
            pass

    run_in(task)
    assert (len(most), max(most)) == (60, 4)


@everywhere
def test_one_at_a_time_runs_in_its_caller(run_in: RunIn) -> None:
    def task() -> bool:
        tasks = [threading.get_ident] * 3
        return {ident for _, ident in at_once(tasks, 1)} == {threading.get_ident()}

    assert run_in(task)


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_below_one_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        at_once([], width)


def test_tasks_have_the_context_of_their_caller() -> None:
    told = contextvars.ContextVar[str]("told")
    told.set("by me")
    assert list(at_once([told.get], 2)) == [(0, "by me")]


@everywhere
@widths
def test_an_error_comes_after_what_ended_before_it(run_in: RunIn, width: int) -> None:
    pulled: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for n in range(1000):
            pulled.append(n)
            yield fail if n == 2 else n.bit_length

    def task() -> None:
        results = at_once(tasks(), width)
        come: list[tuple[int, int]] = []
        with pytest.raises(ValueError, match="no"):
            come.extend(result for result in results)
        assert list(results) == [], "it has ended"

    run_in(task)
    assert len(pulled) <= 2 + width
    assert threads() == []


@everywhere
def test_an_error_waits_for_those_that_run(run_in: RunIn) -> None:
    def task() -> None:
        source = Source(2)

        def fail_then_open() -> int:
            source.gates[0].began.wait(PATIENCE)
            try:
                return fail()
            finally:
                source.gates[0].opened.open()

        tasks: list[Callable[[], int]] = [source.gates[0], fail_then_open, source.gates[1]]
        with pytest.raises(ValueError, match="no"):
            for _ in at_once(tasks, 2):
                pass
        assert source.gates[0].ended
        assert not source.gates[1].ended

    run_in(task)
    assert threads() == []


@everywhere
@widths
def test_a_source_that_fails_ends_it(run_in: RunIn, width: int) -> None:
    def tasks() -> Iterator[Callable[[], int]]:
        yield lambda: 1
        fail()

    def task() -> None:
        with pytest.raises(ValueError, match="no"):
            list(at_once(tasks(), width))

    run_in(task)
    assert threads() == []


@widths
def test_a_task_cannot_end_its_consumers_loop(width: int) -> None:
    def stop() -> int:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(at_once([stop] * 5, width))


@widths
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_reaches_the_consumer_too(
    width: int, kind: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise kind

    with pytest.raises(kind):
        list(at_once(iter([interrupt]), width))


@everywhere
def test_closing_pulls_no_more_and_waits_for_those_that_run(run_in: RunIn) -> None:
    def task() -> None:
        source = Source(10)
        with at_once(source, 2) as results:
            source.gates[0].opened.open()
            assert next(results) == (0, 0)
            source.gates[1].began.wait(PATIENCE)
            source.open()
        assert source.pulled == 2
        assert source.gates[1].ended
        results.close()
        assert list(results) == []

    run_in(task)
    assert threads() == []


@everywhere
def test_dropping_pulls_no_more_and_waits_for_nothing(run_in: RunIn) -> None:
    def task() -> None:
        source = Source(10)
        results = at_once(source, 2)
        assert not results.wait(0.01)
        del results
        gc.collect()
        assert not any(gate.ended for gate in source.gates)
        source.open()
        until(lambda: source.gates[1].ended)
        assert source.pulled == 2

    run_in(task)
    until(lambda: not threads())


def test_a_killed_consumer_waits_for_those_that_run() -> None:
    def task() -> None:
        import gevent

        source = Source(10)

        def consume() -> None:
            for _ in at_once(source, 2):
                pass

        consumer = gevent.spawn(consume)
        assert source.gates[1].began.wait(PATIENCE)
        consumer.kill(block=False)
        gevent.sleep(0.01)
        consumer.kill(gevent.GreenletExit("a second time"), block=False)
        gevent.sleep(0.01)
        assert not consumer.dead, "it waits"
        source.open()
        assert str(consumer.get()) == "a second time"
        assert (source.pulled, source.gates[1].ended) == (2, True)

    below_a_hub(task)
    assert threads() == []


def test_a_task_that_is_killed_before_it_began_is_an_error() -> None:
    program = """
from gevent import monkey
monkey.patch_all()
import gc
import gevent
from flask_fs_swift.parallel import at_once

def tasks():
    yield lambda: 1
    [first] = [each for each in gc.get_objects() if type(each) is gevent.Greenlet]
    first.kill(block=False)
    yield lambda: 2

with gevent.Timeout(10):
    try:
        list(at_once(tasks(), 2))
    except RuntimeError as error:
        print(error)
"""
    pytest.importorskip("gevent")
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (ended.stdout, ended.stderr) == ("a task was killed before it began\n", "")


def test_other_greenlets_run_while_a_consumer_waits() -> None:
    def task() -> None:
        import gevent

        gate = Gate(0)
        gevent.spawn_later(0.01, gate.opened.open)
        tasks: list[Callable[[], int]] = [gate, lambda: 1]
        assert list(at_once(tasks, 2)) == [(1, 1), (0, 0)]

    below_a_hub(task)


def test_a_thread_that_cannot_start_is_an_error_that_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    source = Source(5)
    source.open()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_two)
        with pytest.raises(RuntimeError, match="can't start"):
            list(at_once(source, 3))
    assert threads() == []


def test_an_interruption_while_a_thread_starts_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    source = Source(5)
    source.open()

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(at_once(source, 3))
    until(lambda: not threads())
    assert source.pulled == 1


def test_waking_races_with_waiting_and_no_result_is_lost() -> None:
    def task() -> int:
        wakeup = new_wakeup()
        wakeup.wake()
        return int(wakeup.wait(1))

    for width in (2, 3, 8):
        assert sum(result for _, result in at_once([task] * 500, width)) == 500
    assert threads() == []
