"""Which tier an object is in, what it may be called, and what a reader finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.content import Held
from flask_fs_swift.intake import take
from flask_fs_swift.objects import Properties
from flask_fs_swift.tiered.revisions import revision_of

from .operations import LARGE, NAME, SMALL
from .steps import THRESHOLD, Meanwhile

if TYPE_CHECKING:
    from .conftest import MakeWorld
    from .steps import World

NAMES = [
    revision_of("dir/file", "0" * 32),
    "revisions/",
    "revisions",
    "recovery",
    "x" * 1024,
    "é" * 512,
    "\U0001f389" * 256,
    "\uffff",
    "\U0010ffff",
    "a b%2Fc?d#e'\"\\;--",
]


def write_anew(world: World) -> None:
    host = world.host()
    host.put(NAME, LARGE)
    host.work_off()


def test_a_revision_that_is_gone_is_looked_up_three_times(world: World) -> None:
    host = world.host()
    host.put(NAME, LARGE)
    hook = Meanwhile("get", lambda: write_anew(world), times=9)
    assert world.host(hook).read(NAME) is None
    assert hook.calls == 3
    hook = Meanwhile("get", lambda: write_anew(world), times=2)
    assert world.host(hook).read(NAME) == LARGE
    assert hook.calls == 3


@pytest.mark.parametrize("data", [SMALL, LARGE])
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(make_any_world: MakeWorld, name: str, data: bytes) -> None:
    world = make_any_world()
    host = world.host()
    for copy in (name, "b"):
        host.put(copy, data, overwrite=False)
    assert host.read(name) == data
    assert sorted(host.backend.names("", "", "")) == sorted([name, "b"])
    assert list(host.backend.names(name, "", "")) == [name]
    host.backend.delete(name)
    host.work_off()
    assert host.read(name) is None
    assert world.recovered().read("b") == data


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("size", [0, 1, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1])
@pytest.mark.parametrize("threshold", [0, THRESHOLD])
def test_what_has_more_bytes_than_the_threshold_is_in_swift(
    make_any_world: MakeWorld, threshold: int, size: int, is_known: bool
) -> None:
    world = make_any_world(threshold=threshold)
    host = world.host()
    data = bytes(size)
    content = Held(data) if is_known else take(iter([data]), filename=NAME)
    info = host.backend.put(NAME, content, Properties("text/plain"), overwrite=False)
    assert info == host.backend.head(NAME)
    assert info.size == size
    assert host.read(NAME) == data
    assert len(world.stored()) == (size > threshold)
    host.backend.delete(NAME)
    host.work_off()
    assert world.stored() == []
