"""The host dies before or after any call of a store: what it leaves is old or new, and tidied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .operations import NAME, OPERATIONS, OTHER, OTHERS, STARTS, Before, prepared
from .steps import Died

if TYPE_CHECKING:
    from conftest import MakeStorage

    from .conftest import MakeWorld
    from .steps import Call, World


class Dying:
    """A host's hook that lets it live for some calls."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self.has_died = False

    def __call__(self, _call: Call) -> None:
        self.has_died = self._left <= 0
        if self.has_died:
            raise Died
        self._left -= 1


def dies(world: World, name: str, before: Before, calls: int) -> tuple[bool, bool]:
    """Run an operation until the host dies; tell whether it was acknowledged, and whether so."""
    hook = Dying(calls)
    host = world.host(hook)
    acknowledged = False
    try:
        OPERATIONS[name].run(host, before)
        acknowledged = True
        host.work_off()
    except Died:
        pass
    except Exception:
        if not hook.has_died:
            host.work_off()
    return acknowledged, hook.has_died


def check(world: World, name: str, before: Before, *, acknowledged: bool) -> None:
    operation = OPERATIONS[name]
    host = world.recovered()
    source = before.start
    if operation.target == NAME:
        new = before.start if operation.after == "same" else operation.after
        if name.endswith("create") and before.start is not None:
            new = before.start
        left = host.read(NAME)
        assert left == new if acknowledged else left in {before.start, new}
    else:
        assert host.read(NAME) == source
        left = host.read(operation.target)
        assert left == source if acknowledged else left in {None, source}
    assert host.read(OTHER) == OTHERS


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_host_that_dies_leaves_the_old_or_the_new_and_nothing_else(
    make_any_world: MakeWorld, name: str, start: str
) -> None:
    calls = 0
    has_died = True
    while has_died:
        world = make_any_world()
        before = prepared(world, start)
        if name == "recover":  # There is something to recover.
            leave_much(world, before)
        acknowledged, has_died = dies(world, name, before, calls)
        assert world.dangling() == set()
        check(world, name, before, acknowledged=acknowledged)
        world.check_forgets()
        world.expire_leases(uploads=True)
        world.recovered()
        assert world.open_changes() == []
        calls += 1
    assert calls > 1


@pytest.mark.parametrize("name", ["large put", "copy over", "complete", "abort"])
def test_a_host_that_dies_leaves_nothing_in_swift(
    make_world: MakeWorld, make_storage: MakeStorage, name: str
) -> None:
    swift = make_storage(segment_size=16)._mount().backend
    calls = 0
    has_died = True
    while has_died:
        world = make_world(blobs=swift)
        before = prepared(world, "large")
        acknowledged, has_died = dies(world, name, before, calls)
        check(world, name, before, acknowledged=acknowledged)
        world.expire_leases(uploads=True)
        host = world.recovered()
        for left in list(host.backend.names("", "", "")):
            host.backend.delete(left)
        host.work_off()
        assert world.stored() == []
        assert world.blobs.multipart.collect(0.0, dry_run=True) == []
        calls += 2  # Before each call: after it is before the next.
    assert calls > 1


def leave_much(world: World, before: Before) -> None:
    """Leave a blob, a change without one, and what has expired, to a recovery."""
    for calls in (2, 3, 4):
        dies(world, "large put", before, calls)
    host = world.host()
    for name in ("expired", "expired, large"):
        host.put(name, name.encode())
        world.expire(name)
    world.expire_leases()
