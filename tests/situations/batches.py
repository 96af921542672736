"""Batches in each situation: what runs at once, what others notice, how it ends."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import Delete, FSError, Get, Head, Outcome, Put

from . import here
from .downloads import assert_no_thread_is_left
from .forks import exit_code, fork
from .swift import faults, new_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift import Operation, Pool

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

COUNT = 40
TICKS = 10


def name(number: int) -> str:
    return f"{number:03}"


def puts(count: int = COUNT) -> Iterator[Operation]:
    return (Put(name(number), name(number) * 100) for number in range(count))


def assert_over(pool: Pool) -> None:
    here.until(lambda: pool.stats().lent == 0)
    assert (pool.stats().waiting, pool.stats().batched) == (0, 0), pool
    assert_no_thread_is_left()


def every_operation_ends_and_others_run() -> None:
    """Two batches at once, over ten connections, and a request now and then."""
    files, pool = new_storage(pool_size=10)
    files.write("other", b"x")
    done: list[bool] = []
    ticks: list[bool] = []
    most: list[int] = []

    def tick() -> None:
        while len(done) < 2:
            ticks.append(True)
            most.append(pool.stats().batched)
            assert files.read("other") == b"x"
            here.nap()

    def work(half: int) -> None:
        try:
            for kind in (put, get, head, delete):
                numbers = range(half, COUNT, 2)
                outcomes = list(files.many(map(kind, numbers)))
                assert sorted(outcome.index for outcome in outcomes) == list(range(len(numbers)))
                assert [outcome.error for outcome in outcomes] == [None] * len(numbers)
                if kind is get:
                    assert {outcome.value for outcome in outcomes} == {
                        (name(number) * 100).encode() for number in numbers
                    }
        finally:
            done.append(True)

    tasks: list[Callable[[], None]] = [partial(work, 0), partial(work, 1), tick]
    here.at_once(tasks)
    assert len(ticks) >= TICKS, len(ticks)
    # The second may have reserved its slot when the first was as wide as it may be.
    assert max(most) <= 8 + 1
    assert list(files.list_files()) == ["other"]
    assert_over(pool)


def put(number: int) -> Operation:
    return Put(name(number), name(number) * 100)


def get(number: int) -> Operation:
    return Get(name(number))


def head(number: int) -> Operation:
    return Head(name(number))


def delete(number: int) -> Operation:
    return Delete(name(number))


def operations_run_in_what_the_situation_has() -> None:
    """Greenlets of one thread where they have taken the place of threads, else threads."""
    files, pool = new_storage()
    idents: set[object] = set()

    def content() -> Iterator[bytes]:
        idents.add(_native_ident())
        (here.nap if here.name == here.PATCHED else here.native_nap)()
        yield b"x"

    def consume() -> int:
        return len(list(files.many(Put(name(number), content()) for number in range(30))))

    assert consume() == 30
    assert (idents == {_native_ident()}) == (here.name == here.PATCHED)
    assert_over(pool)
    [there] = here.at_once([], beside=[lambda: len(list(files.many(puts(30))))])
    assert there == 30
    assert_over(pool)


def _native_ident() -> object:
    if here.name != here.PATCHED:
        return threading.get_ident()
    from gevent import monkey

    return monkey.get_original("_thread", "get_ident")()


def what_is_closed_or_dropped_runs_to_its_end() -> None:
    files, pool = new_storage()

    def leave(how: int) -> None:
        outcomes = files.many(Put(f"{how}/{name(number)}", b"x") for number in range(10**6))
        assert next(outcomes).error is None
        if how % 3 == 0:
            outcomes.close()
        elif how % 3 == 1:
            with outcomes:
                pass
        del outcomes
        gc.collect()

    for how in range(6):
        here.at_once([partial(leave, how)])
        here.until(lambda: pool.stats().lent == 0)
        here.until(lambda: "flask-fs-swift" not in [each.name for each in threading.enumerate()])
    assert_over(pool)


def killed_workers_keep_nothing() -> None:
    """Greenlets that are killed before they begin, while they work, and while they rest."""
    if here.name != here.PATCHED:
        return
    import gevent

    files, pool = new_storage()
    files.write("other", b"x")
    for pause in (None, 0.0, 0.001, 0.005, 0.05):
        outcomes = files.many(puts())
        with gevent.Timeout(20), contextlib.suppress(gevent.GreenletExit):
            if pause == 0.05:
                next(outcomes)
            else:
                outcomes._fill()
            workers: list[Any] = [worker.strand._runner for worker in outcomes._core._workers]
            assert workers
            if pause is not None:
                gevent.sleep(pause)
            gevent.killall(workers, block=False)
            list(outcomes)
        assert_over(pool)


def errors_and_renewals_in_the_middle_lose_nothing() -> None:
    files, pool = new_storage(backoff=0.01)
    control = faults()
    seen: list[Outcome] = []
    for index, outcome in enumerate(files.many(puts())):
        seen.append(outcome)
        if index == COUNT // 3:
            control.revoke_tokens()
        if index % 10 == 5:
            control.add("status", path=files.name)
            control.add("after_reset", path=files.name)
    control.clear()
    assert sorted(outcome.index for outcome in seen) == list(range(COUNT))
    assert [outcome.error for outcome in seen] == [None] * COUNT
    values = [outcome.value for outcome in files.many(map(get, range(COUNT)), concurrency=1)]
    assert values == [(name(number) * 100).encode() for number in range(COUNT)]
    assert_over(pool)


def a_fork_in_the_middle_harms_neither() -> None:
    files, pool = new_storage()
    outcomes = files.many(puts())
    seen = [next(outcomes) for _ in range(10)]

    def child() -> None:
        nonlocal outcomes
        here.nap()  # Copies of greenlets end.
        with pytest.raises(FSError, match="forked"):
            next(outcomes)
        assert list(outcomes) == []
        outcomes.close()
        del outcomes
        gc.collect()
        assert (pool.stats().lent, pool.stats().batched) == (0, 0)
        own = list(files.many(Put(f"child/{name(number)}", b"x") for number in range(20)))
        assert [outcome.error for outcome in own] == [None] * 20
        assert (pool.stats().lent, pool.stats().batched) == (0, 0)

    def dropping_child() -> None:
        nonlocal outcomes
        del outcomes
        gc.collect()
        files.write(f"child-{os.getpid()}", b"x")

    pids = [fork(child), fork(dropping_child)]
    seen += outcomes
    assert [exit_code(pid) for pid in pids] == [0, 0]
    assert sorted(outcome.index for outcome in seen) == list(range(COUNT))
    assert [outcome.error for outcome in seen] == [None] * COUNT
    assert_over(pool)


def a_child_undoes_nothing_of_a_large_put() -> None:
    """It ends its copy of the greenlet that puts, which cleans up as if it had been killed."""
    files, pool = new_storage(segment_size=100_000)
    content = os.urandom(1_000_000)
    faults().forget()
    faults().add("delay", method="PUT", path="_segments/", seconds=0.3, times=4)
    process = os.getpid()

    def put() -> list[Outcome]:
        try:
            return list(files.many([Put("large", content)]))
        except FSError:
            assert os.getpid() != process
            return []

    batch = here.Spawned(put)
    here.until(lambda: any("_segments/" in each.path for each in faults().requests()))

    def child() -> None:
        for _ in range(50):
            here.nap()
        assert (pool.stats().lent, pool.stats().batched, pool.stats().opened) == (0, 0, 0)

    assert exit_code(fork(child)) == 0
    [outcome] = batch.result()
    assert outcome.error is None
    assert files.read("large") == content
    assert_over(pool)


def a_program_that_ends_in_the_middle_ends() -> None:
    """The iterator is alive to the end; what has begun is stored."""
    files, _ = new_storage()
    globals()["kept"] = kept = files.many(puts())
    assert next(kept).error is None
    assert next(kept).error is None
