"""Races that designs of this kind have met, by name; and what became of them here.

The names are those of a design in which one row is compared and written at a time. Here a
transaction changes all rows that belong together.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.content import Held
from flask_fs_swift.errors import FileExists, FileNotFound, SwiftUnavailable, UploadClosed
from flask_fs_swift.objects import Properties

from .operations import LARGE, NAME, OTHER, PARTS, SMALL, prepared
from .schedules import run_randomly
from .steps import Call, Died, Meanwhile
from .test_schedules import run

if TYPE_CHECKING:
    from .conftest import MakeWorld
    from .operations import Before
    from .steps import Hook, World


def complete(world: World, before: Before, hook: Hook | None = None) -> None:
    host = world.host(hook)
    info = host.backend.multipart.complete(before.marker, before.parts)
    host.work_off()
    assert (info.name, info.size) == (NAME, len(PARTS))


def write(world: World, data: bytes) -> None:
    host = world.host()
    host.put(NAME, data)
    host.work_off()


def test_r1_what_a_failed_completion_leaves_is_not_deleted_below_its_retry(world: World) -> None:
    """A completion cleans nothing up when it fails: the upload stays open."""
    before = prepared(world, "large")

    def fail() -> None:
        raise SwiftUnavailable("no answer", maybe_applied=True)

    with pytest.raises(SwiftUnavailable) as raised:
        complete(world, before, Meanwhile("complete", fail, is_over=True))
    assert not raised.value.maybe_applied
    assert raised.value.filename == NAME
    world.recovered()
    complete(world, before)
    assert world.recovered().read(NAME) == PARTS


def test_r2_the_old_blob_goes_with_the_first_recovery_after_a_completion(world: World) -> None:
    """What was replaced is retired by the commit, and waits for no deadline."""
    before = prepared(world, "large")

    def die(call: Call) -> None:
        if call == Call("database", "compare_and_write", is_over=True):
            raise Died

    with pytest.raises(Died):
        complete(world, before, die)
    world.host().recover()
    assert sorted(world.stored()) == sorted(world.pointers())
    assert world.host().read(NAME) == PARTS


def test_r3_another_host_finds_what_was_left(world: World) -> None:
    """The change log is a table; there is none in memory."""
    before = prepared(world, "inline")
    assert world.host().backend.multipart.resume(NAME, before.marker.id).name == NAME
    assert [one.id for one in world.host().backend.multipart.open_uploads()] == [before.marker.id]


@pytest.mark.parametrize("is_cleaned", [True, False])
@pytest.mark.parametrize("other", [SMALL, LARGE, None])
def test_r4_a_completion_repeated_after_it_was_replaced_changes_nothing(
    world: World, other: bytes | None, is_cleaned: bool
) -> None:
    """Its revision is known as replaced: it succeeds, and points at nothing."""
    before = prepared(world, "absent")
    complete(world, before)
    host = world.host()
    if other is None:
        host.backend.delete(NAME)
    else:
        host.put(NAME, other)
    if is_cleaned:
        host.work_off()
    complete(world, before)
    assert world.dangling() == set()
    assert world.recovered().read(NAME) == other


@pytest.mark.parametrize("seed", range(3))
def test_r5_two_completions_and_another_writer(make_world: MakeWorld, seed: int) -> None:
    """Of two completions of one upload both succeed, and the object is made once."""
    chance = random.Random(seed)
    names = ["complete", "complete", chance.choice(["large put", "small put", "delete"])]
    for start in ("absent", "inline", "large"):
        world = make_world()
        assert run(world, start, names, partial(run_randomly, random=chance))


def test_r6_recovery_leaves_alone_whoever_is_alive(world: World) -> None:
    """A change has a lease. Who is taken for dead all the same is fenced: see the schedules."""
    host = world.host(Meanwhile("compare_and_write", lambda: world.host().recover()))
    prepared(world, "large")
    host.put(NAME, LARGE)
    assert len(world.retired()) == 1  # What was replaced, and no other.
    assert world.host().read(NAME) == LARGE


@pytest.mark.parametrize("verb", ["complete", "compare_and_write"])
@pytest.mark.parametrize("start", ["absent", "large"])
def test_r7_a_completion_after_its_upload_was_taken_over_is_refused(
    world: World, start: str, verb: str
) -> None:
    """It finds its revision abandoned, and never points at it; however late it is."""
    before = prepared(world, start)
    with pytest.raises(UploadClosed):
        complete(world, before, Meanwhile(verb, world.take_over))
    with pytest.raises(UploadClosed):
        complete(world, before)
    assert world.recovered().read(NAME) == before.start
    for _ in range(3):  # Until nothing is remembered.
        world.make_due()
        world.host().recover()
    assert world.retired() == []
    with pytest.raises(UploadClosed):
        complete(world, before)
    assert world.recovered().read(NAME) == before.start


def test_r8_a_reader_whose_revision_was_replaced_sees_the_new_version(world: World) -> None:
    """It looks at the row again."""
    prepared(world, "large")
    for new in (LARGE, SMALL):
        write(world, b"another large version")
        hook = Meanwhile("get", partial(write, world, new))
        assert world.host(hook).read(NAME) == new
        assert hook.acts == 1


def test_r8_a_reader_whose_object_was_deleted_finds_none(world: World) -> None:
    prepared(world, "large")

    def delete() -> None:
        host = world.host()
        host.backend.delete(NAME)
        host.work_off()

    hook = Meanwhile("get", delete)
    assert world.host(hook).read(NAME) is None
    assert hook.calls == 1


def test_r9_a_name_that_was_taken_for_a_moment_is_free(world: World) -> None:
    """Nothing compares what there is now with what there was; only the moment of commit counts."""
    prepared(world, "absent")

    def come_and_go() -> None:
        host = world.host()
        host.put(NAME, b"for a moment, and large")
        host.backend.delete(NAME)
        host.work_off()

    world.host(Meanwhile("compare_and_write", come_and_go)).put(NAME, LARGE, overwrite=False)
    assert world.recovered().read(NAME) == LARGE


def test_r10_an_upload_is_good_for_its_own_name_only(world: World) -> None:
    """A revision is made of the name and the id: nobody can name another's."""
    before = prepared(world, "absent")
    uploads = world.host().backend.multipart
    for stranger in (f"{before.marker.id}/..", "", "0" * 32):
        with pytest.raises(UploadClosed):
            uploads.resume(NAME, stranger)
    with pytest.raises(UploadClosed):
        uploads.resume(OTHER, before.marker.id)


@pytest.mark.parametrize("other", [LARGE, b"small, too", None])
def test_r11_a_small_write_is_never_dropped(world: World, other: bytes | None) -> None:
    """It looks and writes in one transaction, and so cannot lose in between."""
    prepared(world, "large")

    def act() -> None:
        world.host().backend.delete(NAME) if other is None else write(world, other)

    world.host(Meanwhile("compare_and_write", act)).put(NAME, SMALL)
    assert world.recovered().read(NAME) == SMALL


def test_a_put_that_lands_late_is_deleted_a_day_after(world: World) -> None:
    prepared(world, "inline")
    late: list[str] = []

    def lost(call: Call) -> None:
        if call == Call("blobs", "put"):
            late.extend(world.open_changes())
            raise SwiftUnavailable("no answer", maybe_applied=True)

    host = world.host(lost)
    with pytest.raises(SwiftUnavailable) as raised:
        host.put(NAME, LARGE)
    assert not raised.value.maybe_applied
    host.work_off()
    [revision] = [one for one in late if one in world.retired()]
    world.blobs.copy(world.stored()[0], revision, overwrite=True)  # Now it lands.
    world.make_due()
    world.host().recover()
    world.check_settled()


def test_an_abort_after_the_parts_were_joined_removes_the_blob(world: World) -> None:
    before = prepared(world, "large")

    def abort() -> None:
        host = world.host()
        host.backend.multipart.abort(before.marker, before.parts)
        host.work_off()

    with pytest.raises(UploadClosed):
        complete(world, before, Meanwhile("compare_and_write", abort))
    assert world.recovered().read(NAME) == before.start
    with pytest.raises(UploadClosed):
        complete(world, before)


def test_a_completion_that_may_not_overwrite_leaves_the_upload_open(world: World) -> None:
    host = world.host()
    uploads = host.backend.multipart
    before = prepared(world, "absent")
    marker = uploads.start(NAME, Properties("text/plain"), overwrite=False)
    parts = [uploads.put_part(marker, 1, Held(LARGE), None)]
    host.put(NAME, SMALL)
    for _ in range(2):
        with pytest.raises(FileExists):
            uploads.complete(marker, parts)
    world.recovered()
    parts.append(uploads.put_part(marker, 2, Held(PARTS), None))
    host.backend.delete(NAME)
    info = uploads.complete(marker, parts)
    assert world.recovered().read(NAME) == LARGE + PARTS
    host.put(NAME, SMALL)
    assert uploads.complete(marker, parts) == info
    assert world.recovered().read(NAME) == SMALL
    with pytest.raises(UploadClosed):
        uploads.abort(marker, parts)
    uploads.abort(before.marker, before.parts)
    host.work_off()
    assert world.recovered().read(NAME) == SMALL


@pytest.mark.parametrize("end", ["complete", "abort"])
def test_a_completion_that_is_refused_by_its_commit_has_joined_its_parts(
    world: World, end: str
) -> None:
    """They never come apart: it is completed with just these, or aborted."""
    host = world.host(Meanwhile("compare_and_write", partial(write, world, SMALL)))
    uploads = host.backend.multipart
    marker = uploads.start(NAME, Properties("text/plain"), overwrite=False)
    parts = [uploads.put_part(marker, 1, Held(LARGE), None)]
    with pytest.raises(FileExists):
        uploads.complete(marker, parts)
    with pytest.raises(UploadClosed):
        uploads.put_part(marker, 1, Held(PARTS), None)
    host.backend.delete(NAME)
    getattr(uploads, end)(marker, parts)
    host.work_off()
    assert world.recovered().read(NAME) == (LARGE if end == "complete" else None)


def test_two_that_clean_delete_a_blob_once(world: World) -> None:
    prepared(world, "large")
    host = world.host()
    host.put(NAME, SMALL)
    purges: list[Call] = []

    def count(call: Call) -> None:
        if call.verb == "purge" and not call.is_over:
            purges.append(call)

    def other() -> None:
        world.host(count).recover()

    cleaner = world.host(Meanwhile("purge", other))
    cleaner.recover()
    assert purges == []
    host.work_off()
    world.check_settled()


def test_a_source_that_is_replaced_while_it_is_copied_is_looked_up_again(world: World) -> None:
    prepared(world, "large")
    hook = Meanwhile("copy", partial(write, world, b"the new version of the source"))
    host = world.host(hook)
    host.backend.copy(NAME, OTHER, overwrite=True)
    host.work_off()
    assert world.recovered().read(OTHER) == b"the new version of the source"


def test_a_source_that_is_always_replaced_is_looked_up_three_times(world: World) -> None:
    prepared(world, "large")
    hook = Meanwhile("copy", partial(write, world, b"another large version"), times=9)
    host = world.host(hook)
    with pytest.raises(FileNotFound):
        host.backend.copy(NAME, OTHER, overwrite=True)
    assert hook.calls == 3
    host.work_off()
    world.recovered()
