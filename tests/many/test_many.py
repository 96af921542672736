"""What a batch promises of its operations and their outcomes."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import io
import os
import random
import sys
import threading
import time
import weakref
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, has_app_context
from hypothesis import given, settings
from hypothesis import strategies as st
from situations.here import NativeTask, until
from situations.hubs import below_a_hub, everywhere

from flask_fs_swift import (
    AtCapacity,
    Copy,
    Delete,
    FileExists,
    FileNotFound,
    FileTooLarge,
    Get,
    Head,
    InvalidName,
    ObjectInfo,
    Operation,
    Outcome,
    Put,
    batch,
)
from flask_fs_swift.batch import LOOK_AHEAD

from .gates import Counted, Place, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from situations.hubs import RunIn

    from flask_fs_swift import Storage

widths = pytest.mark.parametrize("concurrency", [1, 2, 7, None])

SIZE = 3 * 1024 * 1024


def put(number: int) -> Put:
    return Put(f"{number}", str(number))


def by_index(outcomes: object) -> list[Outcome]:
    found: list[Outcome] = sorted(outcomes, key=lambda outcome: outcome.index)  # type: ignore[call-overload]
    return found


# Operations.


@widths
def test_each_operation_has_one_outcome_with_its_value(
    files: Storage, tmp_path: Path, concurrency: int | None
) -> None:
    files.write("b", b"bee")
    files.write("c", b"sea")
    writable = io.BytesIO()
    operations: list[Operation] = [
        Put("a", "text", content_type="text/x-a", metadata={"k": "v"}, cache_control="no-store"),
        Get("b"),
        Head("c"),
        Get("b", into=writable),
        Get("b", into=tmp_path / "b"),
        Get("c", into=str(tmp_path / "c")),
        Copy("b", "d"),
        Copy("b", "b"),
        Delete("b"),
        Delete("absent"),
    ]
    outcomes = by_index(files.many(operations, concurrency))
    assert [outcome.index for outcome in outcomes] == list(range(10))
    assert [outcome.operation for outcome in outcomes] == operations
    assert [outcome.error for outcome in outcomes] == [None] * 10
    values = [outcome.value for outcome in outcomes]
    written, described = values[0], values[2]
    assert isinstance(written, ObjectInfo)
    assert (written.size, written.content_type, written.metadata) == (4, "text/x-a", {"k": "v"})
    assert isinstance(described, ObjectInfo)
    assert described.etag == files.info("c").etag
    assert values[1] == b"bee"
    assert [value.size for value in values[3:6]] == [3, 3, 3]
    assert values[6:] == ["d", "b", "b", "absent"]
    assert writable.getvalue() == (tmp_path / "b").read_bytes() == files.read("d") == b"bee"
    assert (tmp_path / "c").read_bytes() == b"sea"
    assert files.info("a").cache_control == "no-store"
    assert "b" not in files


def test_put_takes_what_write_takes(files: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"file")
    with (tmp_path / "file").open("rb") as file:
        contents: list[Any] = [
            "text",
            b"bytes",
            bytearray(b"array"),
            memoryview(b"view"),
            io.BytesIO(b"io"),
            file,
            iter([b"it", b"erable"]),
            (b"gen" for _ in range(2)),
        ]
        outcomes = by_index(files.many(Put(f"{n}", one) for n, one in enumerate(contents)))
        assert [outcome.error for outcome in outcomes] == [None] * 8
    read = [outcome.value for outcome in by_index(files.many(Get(f"{n}") for n in range(8)))]
    assert read == [
        b"text", b"bytes", b"array", b"view", b"io", b"file", b"iterable", b"gengen",
    ]  # fmt: skip


def test_put_tells_its_progress_and_obeys_what_that_raises(files: Storage) -> None:
    told: list[tuple[int, int | None]] = []

    def enough(*_: object) -> None:
        raise ValueError("enough")

    first, second = by_index(
        files.many(
            [
                Put("a", b"abc", progress=lambda *moved: told.append(moved)),
                Put("b", b"abc", progress=enough),
            ]
        )
    )
    assert first.error is None
    assert told[-1] == (3, 3)
    assert isinstance(second.error, ValueError)
    assert "b" not in files


@pytest.mark.parametrize("into", ["path", "writable", None])
def test_get_tells_its_progress_and_obeys_what_that_raises(
    files: Storage, tmp_path: Path, into: str | None
) -> None:
    content = os.urandom(SIZE)
    files.write("a", content)
    told: list[tuple[int, int | None]] = []
    idents: set[int] = set()

    memory = io.BytesIO()
    target: Any = {"path": tmp_path / "a", "writable": memory, None: None}[into]

    def tell(*moved: Any) -> None:
        told.append(moved)
        idents.add(threading.get_ident())

    def enough(*_: object) -> None:
        raise ValueError("enough")

    [ended] = files.many([Get("a", into=target, progress=enough)])
    assert str(ended.error) == "enough"
    assert list(tmp_path.iterdir()) == []
    memory.seek(0)
    [outcome] = files.many([Get("a", into=target, progress=tell)])
    assert outcome.error is None
    assert told == sorted(set(told))
    assert told[-1] == (SIZE, SIZE)
    assert idents.isdisjoint({threading.get_ident()})
    if into == "path":
        assert target.read_bytes() == content
    else:
        assert (memory.getvalue() if into else outcome.value) == content


def test_a_put_does_not_overwrite_unless_it_says_so(files: Storage) -> None:
    files.write("a", b"old")
    operations = [Put("a", b"1"), Put("a", b"2", overwrite=True), Put("a", b"3", overwrite=False)]
    errors = [type(outcome.error) for outcome in by_index(files.many(operations))]
    assert errors == [FileExists, type(None), FileExists]
    assert files.read("a") == b"2"


def test_an_absent_file_is_an_outcome(files: Storage, tmp_path: Path) -> None:
    operations = [
        Get("absent"),
        Head("absent"),
        Copy("absent", "b"),
        Get("absent", into=tmp_path / "a"),
        Get("absent", into=io.BytesIO()),
    ]
    outcomes = list(files.many(operations))
    assert [type(outcome.error) for outcome in outcomes] == [FileNotFound] * 5
    assert [outcome.value for outcome in outcomes] == [None] * 5
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_name_is_its_own_outcome(files: Storage) -> None:
    operations = [
        Put("../a", b"x"), Put("good", b"x"), Delete(""), Head("\ud800"), Delete("a/./b"),
        Get("\n"), Copy("good", ".."), Delete("also-good"), Delete("\udcff"),
    ]  # fmt: skip
    outcomes = by_index(files.many(operations))
    good = [outcome.index for outcome in outcomes if outcome.error is None]
    assert good == [1, 7]
    assert {type(outcome.error) for outcome in outcomes} == {type(None), InvalidName}


@pytest.mark.parametrize("kind", [Put, Get, Head, Delete, Copy])
def test_what_is_no_name_is_refused_when_the_operation_is_made(kind: Any) -> None:
    further: dict[Any, list[Any]] = {Put: [b""], Copy: ["b"]}
    for wrong in (None, 3, b"a", ["a"]):
        with pytest.raises(TypeError, match="name of a file"):
            kind(wrong, *further.get(kind, []))


def test_operations_are_values() -> None:
    assert Put("a", b"x") == Put("a", b"x")
    assert len({Delete("a"), Delete("a"), Head("a")}) == 2
    with pytest.raises(AttributeError):
        Delete("a").filename = "b"  # type: ignore[misc]


def test_the_limits_of_the_storage_hold(make_storage: Any) -> None:
    files = make_storage(max_size=3)
    first, second = by_index(files.many([Put("a", b"1234"), Put("b", b"123")]))
    assert (type(first.error), second.error) == (FileTooLarge, None)


def test_a_full_disk_is_an_outcome_and_leaves_nothing(
    files: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("a", b"x" * 10)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    [outcome] = files.many([Get("a", into=tmp_path / "a")])
    assert isinstance(outcome.error, OSError)
    assert outcome.error.errno == 28
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("errno", [28, 122])  # There is no space left; the quota is exceeded.
def test_a_writable_that_is_full_is_an_outcome_and_gives_the_connection_back(
    make_storage: Any, errno: int
) -> None:
    files = make_storage(pool_size=1)
    files.write("a", os.urandom(SIZE))
    got: list[bytes] = []

    class Filling:
        def write(self, block: bytes) -> int:
            if got:
                raise OSError(errno, os.strerror(errno))
            got.append(block)
            return len(block)

    first, second = by_index(files.many([Get("a", into=Filling()), Head("a")]))
    assert isinstance(first.error, OSError)
    assert (first.error.errno, first.value) == (errno, None)
    assert second.value.size == SIZE
    pool = files._mount().backend.pool
    assert (pool.stats().lent, pool.stats().batched) == (0, 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_on_a_full_disk_is_an_outcome(files: Storage, buffering: int) -> None:
    files.write("a", os.urandom(SIZE))
    files.write("b", b"x")
    with contextlib.suppress(OSError), Path("/dev/full").open("wb", buffering=buffering) as full:
        outcomes = by_index(files.many([Get("a", into=full), Get("b")]))
    assert isinstance(outcomes[0].error, OSError)
    assert outcomes[0].error.errno == 28
    assert outcomes[1].value == b"x"


def test_a_path_is_only_overwritten_where_that_is_said(files: Storage, tmp_path: Path) -> None:
    files.write("a", b"new")
    (tmp_path / "a").write_bytes(b"old")
    [kept] = files.many([Get("a", into=tmp_path / "a")])
    assert isinstance(kept.error, FileExists)
    assert (tmp_path / "a").read_bytes() == b"old"
    [replaced] = files.many([Get("a", into=tmp_path / "a", overwrite=True)])
    assert replaced.error is None
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_writable_gets_a_long_file_in_pieces(files: Storage) -> None:
    content = os.urandom(SIZE)
    files.write("a", content)
    blocks: list[bytes] = []

    class Writer:
        def write(self, block: bytes) -> None:
            blocks.append(block)

    [outcome] = files.many([Get("a", into=Writer())])
    assert outcome.error is None
    assert b"".join(blocks) == content
    assert len(blocks) > 1


# The input.


@everywhere
def test_no_more_is_alive_than_runs_and_a_small_look_ahead(run_in: RunIn) -> None:
    place = Place(10).shut()
    source = Counted(put)

    def task() -> None:
        outcomes = place.files.many(source)  # type: ignore[arg-type]
        assert source.pulled == 0
        place.yard.let("0")
        assert next(outcomes).index == 0
        until(lambda: len(place.yard.inside) == 8)
        assert source.pulled <= 1 + 8 + LOOK_AHEAD
        place.yard.let("1")
        assert next(outcomes).index == 1
        assert source.pulled <= 2 + 8 + LOOK_AHEAD
        place.yard.let_all()
        outcomes.close()
        assert source.pulled <= 2 + 8 + LOOK_AHEAD

    run_in(task)
    place.assert_all_is_back()
    assert threads() == []


@widths
def test_ten_thousand_of_a_generator_are_never_more_than_a_few_at_a_time(
    concurrency: int | None,
) -> None:
    place = Place(20)
    most = alive = 0

    def source() -> Iterator[Put]:
        nonlocal alive, most
        for number in range(10_000):
            alive += 1
            most = max(most, alive)
            yield put(number)

    seen = set()
    for outcome in place.files.many(source(), concurrency):
        alive -= 1
        assert outcome.error is None
        seen.add(outcome.index)
    assert len(seen) == 10_000
    assert most <= (concurrency or 16) + LOOK_AHEAD
    assert place.yard.most <= (concurrency or 16)
    place.assert_all_is_back()


@everywhere
def test_the_input_is_pulled_by_who_wants_the_outcomes(run_in: RunIn) -> None:
    place = Place(20)
    source = Counted(put, 100)

    def task() -> None:
        for _ in place.files.many(source):  # type: ignore[arg-type]
            pass
        assert source.idents == {threading.get_ident()}

    run_in(task)


@everywhere
@widths
def test_an_input_that_fails_is_raised_after_all_that_it_gave(
    run_in: RunIn, concurrency: int | None
) -> None:
    place = Place(10)

    def source() -> Iterator[Operation]:
        yield from map(put, range(30))
        raise LookupError("no more")

    def task() -> None:
        outcomes = place.files.many(source(), concurrency)
        seen: list[int] = []
        with pytest.raises(LookupError, match="no more"):
            seen.extend(outcome.index for outcome in outcomes)
        assert sorted(seen) == list(range(30))
        assert list(outcomes) == []

    run_in(task)
    place.assert_all_is_back()
    assert threads() == []


@pytest.mark.parametrize("foreign", [None, "a.txt", ("a", b""), Put, object(), Outcome])
def test_a_foreign_object_is_raised_after_what_came_before(files: Storage, foreign: object) -> None:
    outcomes = files.many([Put("a", b"x"), Put("b", b"y"), foreign, Put("c", b"z")])  # type: ignore[list-item]
    seen: list[int] = []
    with pytest.raises(TypeError, match="made of Put, Get, Head, Delete and Copy"):
        seen.extend(outcome.index for outcome in outcomes)
    assert sorted(seen) == [0, 1]
    assert sorted(files.list_files()) == ["a", "b"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_input_that_ends_the_program_ends_the_batch_in_order(kind: type[BaseException]) -> None:
    place = Place(10).shut()

    def source() -> Iterator[Operation]:
        yield put(0)
        until(lambda: place.yard.inside == ["0"])
        place.yard.let_all()
        raise kind

    with pytest.raises(kind):
        list(place.files.many(source()))
    assert place.yard.ended == ["put 0"]
    place.assert_all_is_back()
    assert threads() == []


# Errors.


class Strange(BaseException):
    """No Exception."""


@widths
@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), Strange(), GeneratorExit()])
def test_whatever_an_operation_raises_is_its_outcome(
    error: BaseException, concurrency: int | None
) -> None:
    place = Place(10)
    place.yard.errors["3"] = error
    outcomes = by_index(place.files.many(map(put, range(20)), concurrency))
    assert [outcome.error for outcome in outcomes] == [error if n == 3 else None for n in range(20)]
    assert [outcome.value is None for outcome in outcomes] == [n == 3 for n in range(20)]
    place.assert_all_is_back()


@widths
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, "GreenletExit"])
def test_what_ends_a_program_ends_the_batch_after_what_runs(
    kind: Any, concurrency: int | None
) -> None:
    if kind == "GreenletExit":
        kind = pytest.importorskip("greenlet").GreenletExit
    place = Place(10)
    place.yard.errors["5"] = kind("now")
    source = Counted(put)
    outcomes = place.files.many(source, concurrency)  # type: ignore[arg-type]
    seen: list[int] = []
    with pytest.raises(kind, match="now"):
        seen.extend(outcome.index for outcome in outcomes)
    done = {f"put {index}" for index in seen}
    assert set(place.yard.ended) - {"put 5"} == done == set(place.yard.began) - {"put 5"}
    assert source.pulled <= len(seen) + 1 + 8 + LOOK_AHEAD
    assert list(outcomes) == []
    place.assert_all_is_back()
    assert threads() == []


def test_one_that_never_returns_keeps_its_own_slot_and_nothing_else() -> None:
    place = Place(10).shut()
    place.yard.let(*(f"{number}" for number in range(1, 200)))
    outcomes = place.files.many(map(put, range(200)))
    assert sorted(next(outcomes).index for _ in range(199)) == list(range(1, 200))
    assert place.yard.inside == ["0"]
    place.yard.let_all()
    assert [outcome.index for outcome in outcomes] == [0]
    place.assert_all_is_back()


# The end.


@everywhere
@widths
@pytest.mark.parametrize("how", ["close", "with", "del", "raise"])
def test_what_has_begun_is_run_to_its_end(run_in: RunIn, how: str, concurrency: int | None) -> None:
    place = Place(10).shut()
    source = Counted(put)

    def task() -> None:
        outcomes: Any = place.files.many(source, concurrency)  # type: ignore[arg-type]
        place.yard.let("0")
        assert next(outcomes).index == 0
        until(lambda: len(place.yard.inside) == min(concurrency or 8, 8))
        opener = NativeTask(place.yard.let_all)
        if how == "close":
            outcomes.close()
            outcomes.close()
        elif how == "with":
            with outcomes:
                pass
        elif how == "raise":
            with pytest.raises(LookupError), outcomes:
                raise LookupError
        else:
            del outcomes
            gc.collect()
        opener.result()
        if how == "del":
            until(lambda: not place.yard.inside)
        assert place.yard.inside == []
        if how != "del":
            assert list(outcomes) == []

    run_in(task)
    until(lambda: place.pool.stats().lent == 0)
    pulled = source.pulled
    assert sorted(place.yard.began) == sorted(place.yard.ended)
    until(lambda: not threads())
    assert source.pulled == pulled
    place.assert_all_is_back()


def test_a_loop_that_raises_gives_all_slots_back() -> None:
    place = Place(10)

    def consume() -> None:
        for _ in place.files.many(Counted(put)):  # type: ignore[arg-type]
            raise LookupError

    with pytest.raises(LookupError):
        consume()
    gc.collect()
    until(lambda: not threads())
    place.assert_all_is_back()


def test_dropping_waits_for_nothing_and_what_was_reserved_comes_back_with_the_last() -> None:
    place = Place(20).shut()
    outcomes = place.files.many(Counted(put))  # type: ignore[arg-type]
    place.yard.let("0")
    next(outcomes)
    until(lambda: len(place.yard.inside) == 16)
    del outcomes
    gc.collect()
    names = list(place.yard.inside)
    place.yard.let(*names[:-1])
    until(lambda: place.yard.inside == names[-1:])
    until(lambda: place.pool.stats().batched <= 3)
    assert place.pool.stats().batched >= 2, "what was reserved"
    place.yard.let_all()
    until(lambda: place.pool.stats().lent == 0)
    place.assert_all_is_back()


def test_a_consumer_that_does_nothing_keeps_no_thread() -> None:
    place = Place(10)
    outcomes = place.files.many(map(put, range(100)))
    next(outcomes)
    until(lambda: not threads())
    assert len(list(outcomes)) == 99


def test_a_killed_consumer_waits_for_what_runs() -> None:
    place = Place(10).shut()

    def task() -> None:
        import gevent

        def consume() -> None:
            for _ in place.files.many(Counted(put)):  # type: ignore[arg-type]
                pass

        consumer = gevent.spawn(consume)
        while len(place.yard.inside) < 8:
            gevent.sleep(0.001)
        for message in ("once", "twice"):
            consumer.kill(gevent.GreenletExit(message), block=False)
            gevent.sleep(0.01)
        assert not consumer.dead, "it waits"
        place.yard.let_all()
        assert str(consumer.get()) == "twice"
        assert place.yard.inside == []

    below_a_hub(task)
    assert threads() == []
    place.assert_all_is_back()


def test_below_an_unpatched_hub_others_run_while_outcomes_are_waited_for() -> None:
    place = Place(10).shut()

    def task() -> None:
        import gevent

        gevent.spawn_later(0.02, place.yard.let_all)
        assert len(list(place.files.many([put(0)], concurrency=1))) == 1
        assert threading.get_ident() not in place.yard.idents

    below_a_hub(task)


def test_a_thread_that_cannot_start_leaves_its_work_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if thread.name == "flask-fs-swift":
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    place = Place(20)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_two)
        assert len(list(place.files.many(map(put, range(100))))) == 100
        assert place.yard.most <= 2
        with pytest.raises(RuntimeError, match="can't start"):
            list(place.files.many(map(put, range(100))))
    place.assert_all_is_back()
    assert threads() == []


@pytest.mark.parametrize("has_started", [True, False])
def test_an_interruption_while_a_thread_starts_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, has_started: bool
) -> None:
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        is_ours = thread.name == "flask-fs-swift"
        if has_started or not is_ours:
            start(thread)
        if is_ours:
            raise KeyboardInterrupt

    place = Place(20)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(place.files.many(map(put, range(100))))
    until(lambda: not threads())
    place.assert_all_is_back()


def test_operations_have_the_context_of_their_caller() -> None:
    told = contextvars.ContextVar[str]("told")
    seen: list[tuple[str, bool]] = []

    def content() -> Iterator[bytes]:
        seen.append((told.get("nothing"), has_app_context()))
        yield b"x"

    place = Place(10)
    with Flask("context").app_context():
        told.set("by me")
        list(place.files.many([Put("a", content())]))
    assert seen == [("by me", True)]


def test_an_outcome_that_is_kept_keeps_nothing_of_the_others(files: Storage) -> None:
    content = io.BytesIO(b"x")
    gone = weakref.ref(content)
    operations: list[Operation] = [Get("absent"), Put("a", content)]
    del content
    outcomes = by_index(files.many(operations))
    until(lambda: not threads())
    operations.clear()
    del outcomes[1]
    gc.collect()
    assert isinstance(outcomes[0].error, FileNotFound)
    assert gone() is None


# Order.


def test_one_at_a_time_is_in_the_order_of_the_input() -> None:
    place = Place(20)
    operations: list[Operation] = [
        operation
        for name in ["0", "1", "2"] * 17
        for operation in (Put(name, b"x"), Delete(name), Head(name), Get(name), *[Delete(name)] * 4)
    ]
    outcomes = list(place.files.many(operations, concurrency=1))
    assert [outcome.index for outcome in outcomes] == list(range(408))
    assert place.yard.most == 1
    assert place.yard.began == [
        f"{type(operation).__name__.lower()} {operation.claims()[0][0]}" for operation in operations
    ]


def test_outcomes_come_as_operations_end() -> None:
    place = Place(20).shut()
    outcomes = place.files.many(map(put, range(5)))
    for number in (3, 0, 4, 1, 2):
        place.yard.let(str(number))
        assert next(outcomes).index == number


def test_reads_of_one_name_share_and_a_change_waits_for_all_of_them() -> None:
    place = Place(20)
    place.files.write("a", b"x")
    place.shut()
    operations = [Get("a"), Head("a"), Get("a"), Delete("a"), Head("b"), Get("a"), Put("a", b"y")]
    task = NativeTask(lambda: by_index(place.files.many(operations)))
    until(lambda: sorted(place.yard.inside) == ["a", "a", "a", "b"])
    place.yard.let("b")
    until(lambda: place.yard.inside == ["a"] * 3)
    place.yard.let("a")
    outcomes = task.result()
    ended = [each for each in place.yard.ended if each.endswith(" a")]
    assert sorted(ended[1:4]) == ["get a", "get a", "head a"]
    assert ended[4:] == ["delete a", "get a", "put a"]
    assert isinstance(outcomes[5].error, FileNotFound)


def test_a_copy_reads_its_source_and_writes_its_target() -> None:
    place = Place(20)
    place.files.write("a", b"x")
    place.shut()
    operations: list[Operation] = [
        Copy("a", "b"), Get("a"), Get("b"), Put("a", b"y"), Copy("b", "a"), Get("a"),
    ]  # fmt: skip
    task = NativeTask(lambda: by_index(place.files.many(operations)))
    until(lambda: sorted(place.yard.inside) == ["a", "b"])
    place.yard.let("a")
    until(lambda: place.yard.inside == ["b"])
    assert place.yard.began[1:] == ["copy b", "get a"], "the put of a waits for the copy of it"
    place.yard.let("b")
    values = [outcome.value for outcome in task.result()]
    assert (values[1], values[2], values[5]) == (b"x", b"x", b"x")


NAMES = st.sampled_from("abc")
OPERATIONS = st.one_of(
    st.builds(Put, NAMES, st.binary(max_size=3)),
    st.builds(Get, NAMES),
    st.builds(Head, NAMES),
    st.builds(Delete, NAMES),
    st.builds(Copy, NAMES, NAMES),
)


def shown(outcome: Outcome) -> object:
    value = outcome.value
    return type(outcome.error), value.etag if isinstance(value, ObjectInfo) else value


@settings(deadline=None, max_examples=150)
@given(st.lists(OPERATIONS, max_size=30), st.integers(2, 12))
def test_operations_on_the_same_names_end_as_if_done_one_by_one(
    operations: list[Operation], concurrency: int
) -> None:
    one, many = Place(20), Place(20)
    expected = [shown(each) for each in one.files.many(operations, concurrency=1)]
    outcomes = by_index(many.files.many(operations, concurrency=concurrency))
    assert [shown(outcome) for outcome in outcomes] == expected
    assert [outcome.index for outcome in outcomes] == list(range(len(operations)))
    assert _contents(one) == _contents(many)
    many.assert_all_is_back()


def _contents(place: Place) -> dict[str, bytes]:
    return {name: stored.data for name, stored in place.backend._objects.items()}


class LateLock:
    """A lock whose holder does nothing for a moment after letting go of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        time.sleep(0.001)


def test_what_is_unblocked_while_it_is_added_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(20)
    monkeypatch.setattr(batch, "new_lock", LateLock)
    outcomes = list(place.files.many(Put("a", b"x") for _ in range(100)))
    assert [outcome.index for outcome in outcomes] == list(range(100))
    assert place.yard.began == ["put a"] * 100
    place.assert_all_is_back()


def test_threads_that_switch_all_the_time_lose_nothing() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for number in range(1000):
            chance = random.Random(number)
            place = Place(chance.choice([1, 2, 3, 10, 20]))
            _do_at_random(place, chance)
            until(lambda place=place: not place.pool.stats().lent)  # type: ignore[misc]
            place.assert_all_is_back()
    finally:
        sys.setswitchinterval(interval)


def _do_at_random(place: Place, chance: random.Random) -> None:
    names = "abcdefghij"[: chance.randint(1, 10)]
    kinds: list[Callable[[str], Operation]] = [
        lambda name: Put(name, b"x"),
        Get,
        Delete,
        lambda name: Copy(name, names[0]),
    ]
    count, enough = chance.randint(0, 100), chance.choice([10**9, 1, 20])
    operations = (chance.choice(kinds)(chance.choice(names)) for _ in range(count))
    seen = [outcome.index for outcome in islice(place.files.many(operations), enough)]
    assert len(set(seen)) == len(seen) == min(count, enough)


def test_others_overtake_what_waits_for_its_name() -> None:
    place = Place(20).shut()
    outcomes = place.files.many([Put("a", b"1"), Put("a", b"2"), Put("b", b"3")])
    place.yard.let("b")
    assert next(outcomes).index == 2
    place.yard.let("a")
    assert [outcome.index for outcome in outcomes] == [0, 1]


# Folders.


def test_a_folder_is_copied_at_every_depth_and_nothing_else(files: Storage) -> None:
    for name in ("a/1", "a/b/2", "a/b/c/3", "ab/4", "a"):
        files.write(name, name)
    assert files.copy_prefix("a/", "x/") == 3
    assert sorted(files.list_files()) == sorted(
        ["a", "a/1", "a/b/2", "a/b/c/3", "ab/4", "x/1", "x/b/2", "x/b/c/3"]
    )
    assert files.read("x/b/c/3") == b"a/b/c/3"
    with pytest.raises(FileExists):
        files.copy_prefix("a/", "x/")
    assert files.copy_prefix("a/", "x/", overwrite=True) == 3


def test_a_folder_without_a_connection_in_the_middle_is_removed_up_to_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(10)
    for number in range(1500):
        place.files.write(f"a/{number:04}", b"")
    reserve, calls = place.pool.reserve, iter([True, False])

    def reserve_once(most: int) -> Any:
        if next(calls):
            return reserve(most)
        raise AtCapacity

    monkeypatch.setattr(place.pool, "reserve", reserve_once)
    with pytest.raises(AtCapacity):
        place.files.delete_prefix("a/")
    assert list(place.files.list_files()) == [f"a/{number:04}" for number in range(1000, 1500)]


@pytest.mark.parametrize(
    ("prefix", "target"), [("a", "b/"), ("a/", "b"), ("a/", "a/"), ("a/", "a/b/"), ("a/b/", "a/")]
)
def test_folders_that_cannot_be_copied_are_refused(
    files: Storage, prefix: str, target: str
) -> None:
    with pytest.raises(ValueError, match=r"folder|inside"):
        files.copy_prefix(prefix, target)


def test_folders_are_removed_and_copied_over_a_pool_of_one(
    make_storage: Callable[..., Storage],
) -> None:
    files = make_storage(pool_size=1)
    list(files.many(Put(f"a/{number}", b"x") for number in range(25)))
    assert files.copy_prefix("a/", "b/") == 25
    assert files.delete_prefix("a/") == 25
    assert len(list(files.list_files())) == 25
