"""What the operations of a batch have of the permits, by both policies, on a real batch."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import NativeTask, until

from flask_fs_swift import Put
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.server.gate import Gate
from flask_fs_swift.api.server.limits import Limits
from flask_fs_swift.api.server.permits import PermitStats
from flask_fs_swift.batch import LOOK_AHEAD
from flask_fs_swift.concurrency import pause
from flask_fs_swift.operations import Head, Operation

from .held import Held, held_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flask_fs_swift.api.server.allowances import Allowance
    from flask_fs_swift.operations import Claim, Files


def gate_of(policy: str, most: int = 10, **also: Any) -> Gate:
    # Four operations of a batch at once, by either policy.
    shares = {"bulk_share": 0.4, "bulk_ceiling": 0.4, "queue_timeout": 20.0}
    return Gate(Limits(operations=most, **{"bulk_policy": policy, **shares, **also}))


def state(gate: Gate) -> PermitStats:
    stats = gate.stats().operations
    assert stats is not None
    return stats


@pytest.fixture
def files() -> Held:
    files = held_files()
    files.write("k", b"")
    return files


both = pytest.mark.parametrize("policy", ["permits", "window"])


class Batch:
    """A batch as the service does it, in a thread of its own."""

    def __init__(self, gate: Gate, files: Held, operations: Iterable[Operation]) -> None:
        self.pulled = 0
        self.errors: list[BaseException | None] = []
        #: Whether it is left at its first outcome.
        self.leaves = False
        self._gate = gate
        self._files = files
        self._operations = operations
        self.task = NativeTask(self._run)

    def _run(self) -> None:
        with (
            self._gate.allowance() as allowance,
            self._files.many(self._admitted(allowance), allowance.width) as outcomes,
        ):
            for outcome in outcomes:
                self.errors.append(outcome.error)
                if self.leaves:
                    return

    def _admitted(self, allowance: Allowance) -> Iterator[Operation]:
        for operation in self._operations:
            self.pulled += 1
            yield allowance.admit(operation)


class Step(Operation):
    """What is done is whatever a test says; it is about no name."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def claims(self) -> tuple[Claim, ...]:
        return ()

    def perform(self, _: Files, /) -> object:
        return self._act()


@both
def test_so_many_run_at_once_and_all_are_done(files: Held, policy: str) -> None:
    gate = gate_of(policy)
    with files.shut():
        batch = Batch(gate, files, [Head("k")] * 30)
        files.wait_for(4)
        assert batch.pulled <= 4 + LOOK_AHEAD
        assert state(gate) == PermitStats(10, 4, 4, 0)
    batch.task.result()
    assert batch.errors == [None] * 30
    assert files.most == 4
    assert state(gate) == PermitStats(10, 0, 0, 0)


@both
def test_who_leaves_early_keeps_permits_until_its_operations_have_ended(
    files: Held, policy: str
) -> None:
    gate = gate_of(policy)
    with files.shut():
        operations = [Head("k"), Head("k"), Step(lambda: True), *[Head("k")] * 30]
        batch = Batch(gate, files, operations)
        batch.leaves = True
        until(lambda: batch.errors)
        running = files.counts[0]
        assert state(gate).in_use >= running >= 2
    batch.task.result()
    assert len(batch.errors) == 1
    assert batch.pulled <= 5 + LOOK_AHEAD
    assert state(gate) == PermitStats(10, 0, 0, 0)


@both
def test_an_operation_that_fails_gives_its_permit_back(files: Held, policy: str) -> None:
    gate = gate_of(policy)
    batch = Batch(gate, files, [Step(lambda: 1 // 0) for _ in range(20)])
    batch.task.result()
    assert [type(error) for error in batch.errors] == [ZeroDivisionError] * 20
    assert state(gate) == PermitStats(10, 0, 0, 0)


@both
def test_a_batch_alone_is_never_in_its_own_way(files: Held, policy: str) -> None:
    def take_long() -> bool:
        pause(0.02)
        return True

    gate = gate_of(policy, queue_timeout=0.001)
    batch = Batch(gate, files, [Step(take_long) for _ in range(30)])
    batch.task.result()
    assert batch.errors == [None] * 30


@both
def test_an_input_that_fails_leaves_nothing(files: Held, policy: str) -> None:
    def broken() -> Iterator[Operation]:
        yield from [Head("k")] * 6
        raise ZeroDivisionError

    gate = gate_of(policy)
    batch = Batch(gate, files, broken())
    with pytest.raises(ZeroDivisionError):
        batch.task.result()
    assert batch.errors == [None] * 6
    assert state(gate) == PermitStats(10, 0, 0, 0)


@both
def test_operations_on_one_key_keep_their_order_with_few_permits(files: Held, policy: str) -> None:
    gate = gate_of(policy, 1)
    puts = [Put("one", b"%d" % number, overwrite=True) for number in range(10)]
    batch = Batch(gate, files, puts)
    batch.task.result()
    assert (batch.errors, files.read("one")) == ([None] * 10, b"9")


def test_ten_batches_at_once_have_their_part_together(files: Held) -> None:
    gate = gate_of("permits")
    with files.shut():
        batches = [Batch(gate, files, [Head("k")] * 10) for _ in range(10)]
        files.wait_for(4)
        with ExitStack() as held:
            for _ in range(6):  # The others find theirs meanwhile.
                held.enter_context(gate.permit())
            assert state(gate) == PermitStats(10, 10, 4, 0)
    for batch in batches:
        batch.task.result()
    assert [batch.errors for batch in batches] == [[None] * 10] * 10
    assert files.most <= 4
    assert state(gate) == PermitStats(10, 0, 0, 0)


def test_a_batch_finds_a_window_or_nothing(files: Held) -> None:
    gate = gate_of("window", 3, bulk_share=1)
    with files.shut():
        first = Batch(gate, files, [Head("k")] * 4)
        files.wait_for(3)
        second = Batch(gate, files, [Head("k")])
        with pytest.raises(Refusal) as caught:
            second.task.result()
        assert (caught.value.status, second.pulled) == (429, 0)
    first.task.result()
    assert state(gate) == PermitStats(3, 0, 0, 0)


def test_what_gets_no_permit_in_time_is_refused_by_itself(files: Held) -> None:
    gate = gate_of("permits", queue_timeout=0.01)
    with files.shut():
        first = Batch(gate, files, [Head("k")] * 4)
        files.wait_for(4)
        second = Batch(gate, files, [Head("k")] * 6)
        second.task.result()
        assert [str(error) for error in second.errors] == [
            "429 Too Many Requests: the service is at its capacity"
        ] * 6
        assert gate.stats().refused == {"operations": 6}
    first.task.result()
    assert first.errors == [None] * 4


@both
def test_where_it_is_only_reported_nothing_waits_and_all_is_done(files: Held, policy: str) -> None:
    gate = gate_of(policy, 1, report_only=True)
    with files.shut(), gate.permit():
        batch = Batch(gate, files, [Head("k")])
        files.wait_for(1)
        assert gate.stats().refused == {"operations": 1}
    batch.task.result()
    assert batch.errors == [None]
    assert state(gate) == PermitStats(1, 0, 0, 0)
