"""Batches while Swift fails, and while the program is interrupted."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import until

from flask_fs_swift import Delete, Get, Head, Put, SwiftUnavailable

from .gates import Counted, Place, threads
from .test_many import by_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift import Operation, Storage
    from flask_fs_swift.devserver import Faults

COUNT = 60


def fail_every_third(faults: Faults, container: str, name: str, first: int) -> None:
    """Fail one request in three of those for one file, from the ``first`` (from 0) on.

    Counted for each file by itself: of the requests of a wide batch as a whole, every third may
    happen to be one and the same operation's, as often as it tries.
    A rule counts the requests that those before it let through.
    """
    for number in range(3):
        faults.add("status", path=f"{container}/{name}$", skip=first + 2 * number)


@pytest.mark.parametrize("concurrency", [1, None])
def test_every_third_request_fails_and_every_operation_ends(
    swift_files: Storage, swift_faults: Faults, concurrency: int | None
) -> None:
    swift_files.write("first", b"x")
    for number in range(COUNT):
        fail_every_third(swift_faults, swift_files.name, f"{number:02}", first=number % 3)
    swift_faults.forget()
    for make in (lambda name: Put(name, name), Get, Head):
        operations: list[Operation] = [make(f"{number:02}") for number in range(COUNT)]
        outcomes = by_index(swift_files.many(operations, concurrency))
        assert [outcome.error for outcome in outcomes] == [None] * COUNT
        if make is Get:
            assert outcomes[7].value == b"07"
    failed = sum(request.status == 503 for request in swift_faults.requests())
    assert failed >= COUNT


def test_a_swift_that_is_down_is_the_error_of_each(make_storage: Any, swift_faults: Faults) -> None:
    files = make_storage(retries=1)
    files.write("first", b"x")
    swift_faults.add("status", path=files.name, times=-1)
    outcomes = list(files.many(Get(f"{number}") for number in range(COUNT)))
    assert len(outcomes) == COUNT
    assert {type(outcome.error) for outcome in outcomes} == {SwiftUnavailable}


def test_a_bulk_delete_whose_answer_breaks_off_is_made_good(
    swift_files: Storage, swift_faults: Faults
) -> None:
    for outcome in swift_files.many(Put(f"{number:02}", b"x") for number in range(COUNT)):
        assert outcome.error is None
    swift_faults.add("truncate", method="POST", bytes=20, times=2)
    outcomes = by_index(swift_files.many(Delete(f"{number:02}") for number in range(COUNT)))
    assert [outcome.error for outcome in outcomes] == [None] * COUNT
    assert list(swift_files.list_files()) == []


def test_tokens_that_are_revoked_in_the_middle_are_renewed(
    swift_files: Storage, swift_faults: Faults
) -> None:
    seen = set()
    for outcome in swift_files.many(Put(f"{number}", b"x") for number in range(COUNT)):
        assert outcome.error is None
        seen.add(outcome.index)
        if len(seen) == COUNT // 2:
            swift_faults.revoke_tokens()
    assert len(seen) == COUNT
    assert any(request.status == 401 for request in swift_faults.requests())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell has what it starts in the background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_while_outcomes_are_waited_for_ends_the_batch_in_order() -> None:
    assert threading.current_thread() is threading.main_thread()
    place = Place(10).shut()
    outcomes = place.files.many(Counted(lambda number: Put(f"{number}", b"x")))  # type: ignore[arg-type]

    def interrupt() -> None:
        until(lambda: len(place.yard.inside) == 8)
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: outcomes._core.stopped)
        place.yard.let_all()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    interrupter.join()
    assert sorted(place.yard.began) == sorted(place.yard.ended)
    assert len(place.yard.ended) == 8
    assert list(outcomes) == []
    assert threads() == []
    place.assert_all_is_back()
