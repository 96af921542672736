"""What recovery takes over, what it leaves alone, and by whose clock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from flask_fs_swift.errors import SwiftUnavailable
from flask_fs_swift.tiered.leases import Lease
from flask_fs_swift.tiered.recovery import Recovery
from flask_fs_swift.tiered.rows import Rows

from .operations import LARGE, NAME, PARTS, SMALL, prepared
from .steps import Meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.backend import Blobs

    from .conftest import MakeWorld
    from .steps import World

DAY = 24 * 3600.0


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_ends_no_lease(
    make_any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    world = make_any_world()
    before = prepared(world, "large")

    def jumped() -> None:
        now = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now() + jump)
            world.host().recover()

    host = world.host(Meanwhile("compare_and_write", jumped))
    host.put(NAME, LARGE)
    assert len(world.retired()) == 1  # What was replaced.
    host.work_off()
    assert host.backend.multipart.complete(before.marker, before.parts).size == len(PARTS)


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_prolongs_no_lease(
    make_any_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    world = make_any_world()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    prepared(world, "large")
    hook = Meanwhile("compare_and_write", world.take_over)
    host = world.host(hook)
    host.put(NAME, LARGE)
    assert hook.calls == 2
    host.work_off()
    world.take_over()
    assert world.recovered().read(NAME) == LARGE


@pytest.mark.parametrize("old", [SMALL, LARGE])
@pytest.mark.parametrize("new", [b"again", b"again, and large"])
def test_what_has_expired_is_absent(make_any_world: MakeWorld, old: bytes, new: bytes) -> None:
    world = make_any_world()
    host = world.host()
    host.put(NAME, old)
    assert list(host.backend.names("", "", "")) == [NAME]
    world.expire(NAME)
    assert host.read(NAME) is None
    assert list(host.backend.names("", "", "")) == []
    host.put(NAME, new, overwrite=False)
    assert host.read(NAME) == new
    assert world.recovered().read(NAME) == new


@pytest.mark.parametrize("old", [SMALL, LARGE])
def test_what_has_expired_is_removed_with_its_blob(make_any_world: MakeWorld, old: bytes) -> None:
    world = make_any_world()
    world.host().put(NAME, old)
    world.expire(NAME)
    recovered = world.host().backend.recovery.run()
    assert recovered.expired == 1
    assert recovered.deleted == (old == LARGE)
    assert world.stored() == []
    world.check_settled()


def test_what_was_written_anew_since_it_expired_is_not_removed(world: World) -> None:
    world.host().put(NAME, LARGE)
    world.expire(NAME)
    hook = Meanwhile("compare_and_write", lambda: world.host().put(NAME, b"new, and large"))
    world.host(hook).recover()
    assert hook.acts == 1
    assert world.recovered().read(NAME) == b"new, and large"


def test_what_swift_does_not_delete_is_deleted_later(world: World) -> None:
    prepared(world, "large")

    def fail() -> None:
        raise SwiftUnavailable("Swift is down")

    host = world.host(Meanwhile("purge", fail, times=2))
    host.put(NAME, SMALL)
    host.work_off()
    host.recover()  # It is not due.
    left = len(world.stored())
    world.make_due()
    assert host.backend.recovery.run().left == 1
    world.make_due()
    assert host.backend.recovery.run().deleted == 1
    assert len(world.stored()) == left - 1
    world.check_settled()


def test_of_all_processes_one_recovers_in_its_turn(make_any_world: MakeWorld) -> None:
    world = make_any_world()
    log = Rows(world.database, world.container).log
    assert log.claim_recovery("one", 300)
    assert not log.claim_recovery("other", 300)
    world.expire_leases()
    assert log.claim_recovery("other", 300)


class _Failing:
    """Blobs that fail in a way that nobody has thought of, once."""

    def __init__(self) -> None:
        self.purged: list[str] = []
        self._fails = True

    def purge(self, name: str) -> None:
        if self._fails:
            self._fails = False
            raise ValueError("a bug")
        self.purged.append(name)


def test_what_nobody_has_thought_of_does_not_stop_the_cleaner(world: World) -> None:
    host = world.host()
    for name in ("a", "b"):
        host.put(name, LARGE)
        host.backend.delete(name)
    rows = Rows(world.database, world.container)
    blobs = _Failing()
    recovery = Recovery(rows, cast("Blobs", blobs), Lease(rows.log, 60), None)
    recovery.clean(sorted(world.retired()))
    recovery.wait()
    assert len(blobs.purged) == 1
    assert threading.active_count() < 50
    recovery.close()


class _Watched:
    """Blobs of which each that is deleted is told of."""

    def __init__(self, told: Callable[[str], object]) -> None:
        self.purge = told


def test_a_cleaner_keeps_few_tasks_in_memory_and_does_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = world.host()
    for number in range(5):
        host.put(f"{number}", LARGE)
        host.backend.delete(f"{number}")
    monkeypatch.setattr("flask_fs_swift.tiered.recovery.MOST_TASKS", 2)
    rows = Rows(world.database, world.container)
    purged: dict[str, int] = {}
    blobs = _Watched(lambda revision: purged.update({revision: len(recovery._tasks)}))
    recovery = Recovery(rows, cast("Blobs", blobs), Lease(rows.log, 60), None)
    revisions = set(world.retired())
    recovery.clean(sorted(revisions))
    recovery.wait()
    assert set(purged) == revisions
    assert max(purged.values()) < 2
    recovery.close()
