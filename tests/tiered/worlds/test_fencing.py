"""A change that was taken over is never committed: its owner writes anew, or says so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.content import Held
from flask_fs_swift.errors import FileExists, FileNotFound, LeaseLost, ObjectChanged
from flask_fs_swift.intake import take
from flask_fs_swift.objects import Properties

from .operations import COPY, LARGE, NAME, OTHER, OTHERS, STARTS, prepared
from .steps import Meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeStorage

    from .conftest import MakeWorld
    from .steps import World

PLAIN = Properties("text/plain")


@pytest.mark.parametrize("verb", ["put", "compare_and_write"])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_write_that_was_taken_over_is_written_anew(
    make_any_world: MakeWorld, start: str, verb: str, times: int
) -> None:
    world = make_any_world()
    prepared(world, start)
    hook = Meanwhile(verb, world.take_over, times=times)
    host = world.host(hook)
    info = host.backend.put(NAME, Held(LARGE), PLAIN, overwrite=True)
    assert info.modified is not None
    assert (hook.acts, hook.calls) == (times, times + 1)
    host.work_off()
    assert world.recovered().read(NAME) == LARGE


@pytest.mark.parametrize("start", STARTS)
def test_a_write_that_is_taken_over_three_times_says_that_nothing_is_stored(
    make_any_world: MakeWorld, start: str
) -> None:
    world = make_any_world()
    before = prepared(world, start)
    host = world.host(Meanwhile("compare_and_write", world.take_over, times=3))
    with pytest.raises(LeaseLost) as raised:
        host.put(NAME, LARGE)
    assert not raised.value.maybe_applied
    assert raised.value.filename == NAME
    host.work_off()
    assert world.recovered().read(NAME) == before.start


def test_a_create_that_is_written_anew_finds_who_was_first(world: World) -> None:
    prepared(world, "absent")

    def act() -> None:
        world.take_over()
        world.host().put(NAME, b"first")

    host = world.host(Meanwhile("compare_and_write", act))
    with pytest.raises(FileExists):
        host.put(NAME, LARGE, overwrite=False)
    host.work_off()
    assert world.recovered().read(NAME) == b"first"


@pytest.mark.parametrize("take_over", ["take_over", "give_up"])
def test_a_copy_that_was_taken_over_is_made_anew(world: World, take_over: str) -> None:
    prepared(world, "large")
    host = world.host(Meanwhile("compare_and_write", getattr(world, take_over)))
    host.backend.copy(OTHER, NAME, overwrite=True)
    host.work_off()
    assert world.recovered().read(NAME) == OTHERS


def test_a_copy_that_was_taken_over_looks_up_a_source_that_was_replaced(world: World) -> None:
    prepared(world, "large")

    def act() -> None:
        world.take_over()
        other = world.host()
        other.put(NAME, LARGE)
        other.work_off()

    host = world.host(Meanwhile("compare_and_write", act))
    host.backend.copy(NAME, COPY, overwrite=True)
    host.work_off()
    assert world.recovered().read(COPY) == LARGE


def test_a_renewal_tells_whether_the_change_was_taken_over(world: World) -> None:
    found: list[bool] = []

    def renew() -> None:
        [revision] = world.open_changes()
        log = world.host().backend._rows.log
        found.append(log.renew(revision, 60))
        world.take_over()
        found.append(log.renew(revision, 60))

    world.host(Meanwhile("put", renew)).put(NAME, LARGE)
    assert found == [True, False]
    assert world.recovered().read(NAME) == LARGE


def test_who_gives_up_what_was_taken_over_and_who_did_clean_it_once(world: World) -> None:
    def act() -> None:
        world.take_over()
        raise ValueError("the source failed")

    host = world.host(Meanwhile("put", act, is_over=True))
    with pytest.raises(ValueError, match="the source failed"):
        host.put(NAME, LARGE)
    host.work_off()
    assert world.recovered().read(NAME) is None


# In Swift, whose large objects have segments.

LONG = bytes(range(100))
ANOTHER = LONG[::-1]
SEGMENT = 16  # bytes


@pytest.fixture
def in_swift(make_world: MakeWorld, make_storage: MakeStorage) -> World:
    files = make_storage(segment_size=SEGMENT)
    return make_world(blobs=files._mount().backend)


def put_parts(world: World, act: Callable[[], object], *, times: int = 1) -> None:
    host = world.host(Meanwhile("compare_and_write", act, times=times))
    content = take(iter([LONG]), filename=NAME, limit=None, part_size=SEGMENT)
    assert host.backend.put(NAME, content, PLAIN, overwrite=True).size == len(LONG)
    host.work_off()


def segments(world: World) -> int:
    """Return how many bytes are stored that are no whole objects."""
    return len(world.blobs.multipart.collect(0.0, dry_run=True))


def test_parts_that_were_given_up_are_copied_inside_swift(in_swift: World) -> None:
    put_parts(in_swift, in_swift.give_up)
    host = in_swift.recovered()
    assert host.read(NAME) == LONG
    assert segments(in_swift) == 0


def test_parts_that_were_deleted_are_lost(in_swift: World) -> None:
    in_swift.host().put(NAME, ANOTHER)
    with pytest.raises(LeaseLost) as raised:
        put_parts(in_swift, in_swift.take_over)
    assert not raised.value.maybe_applied
    host = in_swift.recovered()
    assert host.read(NAME) == ANOTHER
    assert segments(in_swift) == 0


def replaced(world: World) -> None:
    host = world.host()
    host.backend.put(
        NAME, take(ANOTHER, filename=NAME, limit=None, part_size=SEGMENT), PLAIN, overwrite=True
    )
    host.work_off()


@pytest.mark.parametrize("verb", ["get", "copy"])
def test_who_comes_late_for_a_blob_in_swift_gets_the_new_version(
    in_swift: World, verb: str
) -> None:
    put_parts(in_swift, lambda: None)
    host = in_swift.host(Meanwhile(verb, partial(replaced, in_swift)))
    if verb == "get":
        assert host.read(NAME) == ANOTHER
    else:
        host.backend.copy(NAME, COPY, overwrite=True)
        host.work_off()
        assert in_swift.recovered().read(COPY) == ANOTHER
    assert segments(in_swift) == 0


def test_the_checksums_of_what_was_replaced_are_those_of_another_version(in_swift: World) -> None:
    put_parts(in_swift, lambda: None)
    info = in_swift.host().backend.head(NAME)
    host = in_swift.host(Meanwhile("checksums", partial(replaced, in_swift)))
    with pytest.raises(ObjectChanged) as raised:
        host.backend.checksums(info)
    assert raised.value.filename == NAME


def test_an_upload_in_swift_that_was_taken_over_leaves_nothing(in_swift: World) -> None:
    before = prepared(in_swift, "large")
    uploads = in_swift.host(Meanwhile("compare_and_write", in_swift.take_over)).backend.multipart
    with pytest.raises(FileNotFound):
        in_swift.host().backend.head("absent")
    with pytest.raises(Exception, match="no such upload"):
        uploads.complete(before.marker, before.parts)
    assert in_swift.recovered().read(NAME) == before.start
    assert segments(in_swift) == 0
