"""The answer to a commit, or of Swift, is lost: success is success, and an error does not lie."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.errors import (
    DatabaseError,
    FileNotFound,
    FSError,
    LeaseLost,
    SwiftUnavailable,
    UploadClosed,
)

from .operations import COPY, LARGE, NAME, OPERATIONS, OTHER, SMALL, STARTS, prepared
from .steps import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import MakeWorld
    from .operations import Before
    from .steps import Call, Host, World


class Losing:
    """Commits, and loses the answer to one of the commits, or that and the commit itself.

    :param then: what others do before it is asked again.
    """

    def __init__(
        self,
        world: World,
        number: int,
        *,
        commits: bool = True,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self._world = world
        self._left = number
        self._commits = commits
        self._then = then
        self.has_lost = False

    def __call__(self, commit: Callable[[], None]) -> None:
        self._left -= 1
        if self.has_lost or self._left >= 0:
            commit()
            return
        self.has_lost = True
        if self._commits:
            commit()
        self._world.database.lose_answer()


def attempted(world: World, name: str, before: Before, host: Host | None = None) -> FSError | None:
    """Run an operation, and what follows it; return what it raised."""
    host = host or world.host()
    raised = None
    try:
        OPERATIONS[name].run(host, before)
    except FSError as error:
        raised = error
    host.work_off()
    return raised


def check(world: World, name: str, before: Before, raised: FSError | None) -> None:
    """Make sure that what is there is what the caller was told."""
    world.database.committing = lambda commit: commit()
    host = world.recovered()
    operation = OPERATIONS[name]
    old = before.start if operation.target == NAME else None
    new = before.start if operation.after == "same" else operation.after
    left = host.read(operation.target)
    if raised is None:
        assert left == new
    elif raised.maybe_applied:
        assert left in {old, new}
    else:
        assert left == old
    world.check_forgets()


def expected(name: str, before: Before) -> str | None:
    """Return the error that an operation ends with where nothing fails; None: it succeeds."""
    if before.start is not None:
        return "FileExists" if name.endswith("create") else None
    return "FileNotFound" if name in {"copy", "metadata"} else None


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_lost_commit_is_recognised(
    make_any_world: MakeWorld, name: str, start: str, commits: bool
) -> None:
    number = 0
    has_lost = True
    while has_lost:
        world = make_any_world()
        before = prepared(world, start)
        losing = world.database.committing = Losing(world, number, commits=commits)
        raised = attempted(world, name, before)
        has_lost = losing.has_lost
        check(world, name, before, raised)
        assert (type(raised).__name__ if raised else None) == expected(name, before)
        number += 1


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_swift_did_without_an_answer_is_tidied(
    make_world: MakeWorld, name: str, start: str
) -> None:
    number = 0
    has_lost = True
    while has_lost:
        world = make_world()
        before = prepared(world, start)
        left, has_lost = number, False

        def hook(call: Call) -> None:
            nonlocal left, has_lost
            if call.store != "blobs" or not call.is_over or has_lost:
                return
            left -= 1
            if left < 0:
                has_lost = True
                raise SwiftUnavailable("no answer", maybe_applied=True)

        raised = attempted(world, name, before, world.host(hook))
        if name == "read" and has_lost:
            assert raised is not None
            raised = None
        check(world, name, before, raised)
        number += 1


def other_small(world: World) -> None:
    world.host().put(NAME, b"other")


def other_large(world: World) -> None:
    world.host().put(NAME, b"the large content of another")


def other_delete(world: World) -> None:
    world.host().backend.delete(NAME)


OTHERS: dict[Callable[[World], object], bytes | None] = {
    other_small: b"other",
    other_large: b"the large content of another",
    other_delete: None,
}


def run_meanwhile(
    world: World, name: str, before: Before, number: int, other: Callable[[World], object]
) -> FSError | None:
    """Lose the answer to a commit, and let another do something before it is asked again."""
    host = world.host()
    losing = Losing(world, number)

    def committing(commit: Callable[[], None]) -> None:
        had = losing.has_lost
        try:
            losing(commit)
        except Exception:
            if not had:
                world.database.committing = lambda plain: plain()
                asked.append(True)
            raise

    asked: list[bool] = []
    pauses = 0

    def pause(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        other(world)

    world.database.committing = committing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flask_fs_swift.retry.pause", pause)
        raised = attempted(world, name, before, host)
    assert asked
    assert pauses == 1
    return raised


#: An operation, which of its commits is lost, what there was, what somebody else does.
OVERTAKEN = [
    (*write, start, other)
    for write, start, other in itertools.product(
        [("small put", 0), ("large put", 1), ("delete", 0), ("complete", 0), ("copy over", 1)],
        STARTS,
        OTHERS,
    )
    # Nothing tells a write that was removed from one that never was.
    if (write[0], start, other) != ("small put", "absent", other_delete)
]


@pytest.mark.parametrize(("name", "number", "start", "other"), OVERTAKEN)
def test_a_write_that_was_replaced_before_it_could_ask_again_was_the_earlier_one(
    make_any_world: MakeWorld,
    name: str,
    number: int,
    start: str,
    other: Callable[[World], object],
) -> None:
    world = make_any_world()
    before = prepared(world, start)
    assert run_meanwhile(world, name, before, number, other) is None
    assert world.recovered().read(NAME) == OTHERS[other]


def test_a_small_write_that_was_removed_before_it_could_ask_again_comes_back_whole(
    make_any_world: MakeWorld,
) -> None:
    """Nothing tells it from one that never was; the documentation says so."""
    world = make_any_world()
    before = prepared(world, "absent")
    assert run_meanwhile(world, "small put", before, 0, other_delete) is None
    assert world.recovered().read(NAME) == OPERATIONS["small put"].after


@pytest.mark.parametrize("other", [other_small, other_large], ids=lambda one: one.__name__)
def test_a_small_create_that_was_replaced_does_not_know_whether_it_was_the_first(
    make_any_world: MakeWorld, other: Callable[[World], object]
) -> None:
    world = make_any_world()
    raised = run_meanwhile(world, "small create", prepared(world, "absent"), 0, other)
    assert isinstance(raised, DatabaseError)
    assert raised.maybe_applied
    assert raised.filename == NAME
    assert world.recovered().read(NAME) == OTHERS[other]


@pytest.mark.parametrize("other", OTHERS, ids=lambda one: one.__name__)
def test_a_large_create_that_was_replaced_knows_that_it_was_the_first(
    make_any_world: MakeWorld, other: Callable[[World], object]
) -> None:
    world = make_any_world()
    assert run_meanwhile(world, "large create", prepared(world, "absent"), 1, other) is None
    assert world.recovered().read(NAME) == OTHERS[other]


def test_metadata_whose_commit_was_lost_says_so_where_the_object_is_another(world: World) -> None:
    before = prepared(world, "inline")
    raised = run_meanwhile(world, "metadata", before, 0, other_small)
    assert isinstance(raised, DatabaseError)
    assert raised.maybe_applied
    assert world.recovered().read(NAME) == b"other"


def take_over(world: World) -> None:
    world.expire_leases(uploads=True)
    world.host().recover()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        *itertools.product(["large put", "copy over", "start upload"], STARTS),
        ("large create", "absent"),  # Elsewhere it is refused before it enters anything.
    ],
)
def test_a_change_that_was_taken_over_before_its_entry_was_known_is_not_entered_again(
    make_any_world: MakeWorld, name: str, start: str
) -> None:
    world = make_any_world()
    before = prepared(world, start)
    raised = run_meanwhile(world, name, before, 0, take_over)
    assert raised is None or (isinstance(raised, LeaseLost) and not raised.maybe_applied)
    assert not set(world.open_changes() + world.pointers()).intersection(world.retired())
    host = world.recovered()
    if name != "start upload":
        assert host.read(NAME) == (OPERATIONS[name].after if raised is None else before.start)


@pytest.mark.parametrize(("name", "number"), [("large put", 1), ("complete", 0)])
def test_a_large_write_that_was_committed_is_no_longer_to_be_taken_over(
    make_any_world: MakeWorld, name: str, number: int
) -> None:
    world = make_any_world()
    before = prepared(world, "large")
    assert run_meanwhile(world, name, before, number, take_over) is None
    assert world.recovered().read(NAME) == OPERATIONS[name].after


def test_a_completion_that_was_not_committed_loses_to_an_abort_in_between(world: World) -> None:
    before = prepared(world, "inline")

    def abort() -> None:
        world.database.committing = lambda commit: commit()
        host = world.host()
        host.backend.multipart.abort(before.marker, before.parts)
        host.work_off()

    losing = world.database.committing = Losing(world, 0, commits=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flask_fs_swift.retry.pause", lambda _seconds: abort())
        raised = attempted(world, "complete", before)
    assert losing.has_lost
    assert isinstance(raised, UploadClosed)
    assert world.recovered().read(NAME) == before.start


def test_an_error_after_a_lost_commit_says_that_it_may_have_been_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepared(world, "absent")
    world.database.committing = Losing(world, 0)
    monkeypatch.setattr("flask_fs_swift.retry.Deadline.remaining", lambda _self: 0.001)
    turn = world.database._turns.one(1)

    def stay(_seconds: float) -> None:
        turn.__enter__()  # Another has the turn, and keeps it.

    monkeypatch.setattr("flask_fs_swift.retry.pause", stay)
    monkeypatch.setattr("flask_fs_swift.retry.Attempts._pause", lambda _self: 0.0)
    try:
        raised = attempted(world, "small put", before)
    finally:
        turn.__exit__(None, None, None)
    assert isinstance(raised, DatabaseError)
    assert raised.maybe_applied
    assert "nothing was changed" not in str(raised)
    check(world, "small put", before, raised)


def test_an_abort_whose_answer_swift_owes_may_have_been_done(world: World) -> None:
    before = prepared(world, "absent")

    def hook(call: Call) -> None:
        if call.verb == "abort":
            raise SwiftUnavailable("no answer", maybe_applied=True)

    raised = attempted(world, "abort", before, world.host(hook))
    assert raised is not None
    assert raised.maybe_applied
    with pytest.raises(UploadClosed):
        world.host().backend.multipart.complete(before.marker, before.parts)


@pytest.mark.parametrize(
    "name", ["small put", "large put", "delete", "complete", "abort", "metadata", "start upload"]
)
def test_what_the_database_raises_tells_of_the_object(world: World, name: str) -> None:
    before = prepared(world, "large")

    def lose(_commit: Callable[[], None]) -> None:
        world.database.lose_answer()

    world.database.committing = lose
    raised = attempted(world, name, before)
    assert isinstance(raised, DatabaseError)
    assert raised.maybe_applied
    assert raised.filename == (OTHER if name == "start upload" else NAME)
    check(world, name, before, raised)


def test_a_removed_small_object_is_not_found(world: World) -> None:
    assert len(SMALL) <= THRESHOLD < len(LARGE)
    with pytest.raises(FileNotFound):
        world.host().backend.copy(NAME, COPY, overwrite=True)
