"""What nothing refers to is removed, and nothing else: by writes, and by collections."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import QUICK
from large import (
    A_MANIFEST,
    A_SEGMENT,
    CONTENT,
    MARKER,
    OTHER,
    SEGMENT,
    Beside,
    assert_whole,
)

from flask_fs_swift import InvalidPart, Storage, SwiftError
from flask_fs_swift.objects import Orphan
from flask_fs_swift.segments import PUT_MANIFEST, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.devserver import Faults

HASH = hash_of("a.bin")
PATIENCE = 30.0  # seconds


@pytest.fixture
def files(files_of_segments: Storage) -> Storage:
    return files_of_segments


@pytest.fixture
def orphans(files: Storage, seen: Beside) -> list[str]:
    """The segments of a large object that another program has deleted, and left them."""
    files.write("a.bin", CONTENT)
    names = seen.segments()
    seen.connection.delete_object(files.name, "a.bin")
    return names


# Collections.


def test_a_collection_removes_what_nothing_refers_to(
    files: Storage, seen: Beside, orphans: list[str]
) -> None:
    files.write("b.bin", OTHER)
    sizes = [SEGMENT] * 3 + [1]
    expected = [Orphan(*each) for each in zip(orphans, ["a.bin"] * 4, sizes, strict=True)]
    assert files.collect_garbage(0, dry_run=True) == expected
    assert files.collect_garbage(0, dry_run=True) == expected
    assert files.collect_garbage(0) == expected
    assert files.collect_garbage(0) == []
    assert_whole(files, seen, "b.bin", OTHER)


def test_what_is_younger_is_left(files: Storage, seen: Beside, orphans: list[str]) -> None:
    assert files.collect_garbage() == []
    assert files.collect_garbage(60) == []
    assert seen.segments() == orphans
    time.sleep(1.1)
    assert len(files.collect_garbage(1)) == 4


@pytest.mark.parametrize("older_than", [-1, -0.1, math.nan])
def test_an_age_is_no_less_than_nothing(files: Storage, older_than: float) -> None:
    with pytest.raises(ValueError, match="0 seconds or more"):
        files.collect_garbage(older_than)


def test_where_there_are_no_large_objects_nothing_is_found(files: Storage) -> None:
    assert files.collect_garbage(0) == []


@pytest.mark.parametrize("hidden", [slice(None), slice(0, 2), slice(2, None)])
def test_a_stale_listing_costs_nothing(
    files: Storage, seen: Beside, swift_faults: Faults, hidden: slice
) -> None:
    files.write("a.bin", OTHER)
    old = seen.segments()
    files.write("a.bin", CONTENT, overwrite=True)
    new = seen.segments()
    assert not set(old) & set(new)
    swift_faults.add("stale_listing", names=new[hidden], times=-1)
    assert files.collect_garbage(0) == []
    swift_faults.clear()
    assert_whole(files, seen, "a.bin", CONTENT)


def test_what_a_stale_listing_does_not_show_is_found_later(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    files.write("a.bin", OTHER)
    old = seen.segments()
    swift_faults.add("stale_listing", names=old, times=-1)
    files.write("a.bin", CONTENT, overwrite=True)
    swift_faults.clear()
    assert [each.name for each in files.collect_garbage(0)] == old
    assert_whole(files, seen, "a.bin", CONTENT)


@pytest.mark.parametrize("stale", [False, True])
def test_an_open_upload_is_left(
    files: Storage, seen: Beside, swift_faults: Faults, stale: bool
) -> None:
    upload = files.start_upload("a.bin")
    upload.put_part(1, OTHER)
    upload.put_part(2, CONTENT)
    if stale:
        swift_faults.add("stale_listing", names=seen.markers(), times=-1)
    assert files.collect_garbage(0) == []
    files.write("a.bin", b"small", overwrite=True)
    files.delete("a.bin")
    upload.complete()
    assert files.read("a.bin") == OTHER + CONTENT


def test_what_an_upload_did_not_use_is_collected(files: Storage, seen: Beside) -> None:
    upload = files.start_upload("a.bin")
    upload.put_part(1, OTHER)
    part = upload.put_part(1, CONTENT)
    upload.put_part(2, b"never used")
    upload.complete([part])
    found = files.collect_garbage(0)
    assert sorted(each.size for each in found) == [len(b"never used"), len(OTHER)]
    assert files.read("a.bin") == CONTENT
    assert len(seen.segments()) == len(seen.markers()) == 1


def test_a_write_that_runs_is_left(files: Storage, seen: Beside, swift_faults: Faults) -> None:
    files.write("a.bin", OTHER)
    swift_faults.add("delay", method="PUT", path="/000004/")
    ran: list[object] = []

    def collect(_done: int, _total: int | None) -> None:
        ran.append(files.collect_garbage(60))

    files.write("a.bin", CONTENT, overwrite=True, progress=collect)
    assert ran
    assert not any(ran)
    assert_whole(files, seen, "a.bin", CONTENT)


def test_another_write_leaves_one_that_runs(files: Storage, seen: Beside) -> None:
    ran: list[bool] = []

    def overwrite(done: int, total: int | None) -> None:
        if done == total:
            ran.append(True)
            files.write("a.bin", OTHER, overwrite=True)
            files.write("a.bin", b"small", overwrite=True)
            files.delete("a.bin")

    files.write("a.bin", CONTENT, overwrite=True, progress=overwrite)
    assert ran
    assert_whole(files, seen, "a.bin", CONTENT)


def test_a_write_that_is_taken_for_dead_fails_and_leaves_what_was(
    files: Storage, seen: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("a.bin", OTHER)
    # So that what was handed to the network is stored when it is told.
    monkeypatch.setattr(files._mount().backend.multipart, "_width", 1)

    def collect(done: int, total: int | None) -> None:
        if done == total:
            assert len(files.collect_garbage(0)) == 4

    with pytest.raises(InvalidPart):
        files.write("a.bin", CONTENT, overwrite=True, progress=collect)
    assert_whole(files, seen, "a.bin", OTHER)


def test_what_other_programs_keep_beside_is_theirs(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT)
    upload = "0" * 32
    others = {
        "README": "text/plain",
        "a.bin/1700000000.0/200/100/00000000": "application/octet-stream",
        f"{HASH}/{upload}/000001/{upload}": "text/plain",
        f"{HASH}/{upload}/000002/{upload}": "application/x-segment;of=b3RoZXI",
        f"{HASH}/{upload}/000003/{upload}": "application/x-segment;of=a",
        "uploads/a.bin": "text/plain",
        f"uploads/{HASH}": "application/json",
        f"uploads/{HASH}/x": "application/json",
    }
    for name, content_type in others.items():
        seen.connection.put_object(seen.container, name, b"{}", content_type=content_type)
    assert files.collect_garbage(0) == []
    assert list(files.list_uploads()) == []
    files.delete("a.bin")
    assert sorted(each["name"] for each in seen.entries()) == sorted(others)


def test_a_marker_that_cannot_be_read_is_left_alone_with_its_segments(
    files: Storage, seen: Beside, orphans: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    [upload] = {name.split("/")[1] for name in orphans}
    for content in (b"", b"[]", b"{}", b'{"name": 1'):
        seen.connection.put_object(seen.container, f"uploads/{HASH}/{upload}", content)
        assert files.collect_garbage(0) == []
        assert "is no marker" in caplog.text
        caplog.clear()
    assert seen.segments() == orphans


def test_a_manifest_that_is_lost_stops_no_collection(
    files: Storage, seen: Beside, orphans: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    of_another = [{"path": f"{seen.container}/{orphans[0]}"}]
    put = seen.connection.put_object
    put(seen.container, "inner", json.dumps(of_another), query_string=PUT_MANIFEST)
    outer = json.dumps([{"path": f"{seen.container}/inner"}])
    put(files.name, "a.bin", outer, query_string=PUT_MANIFEST)
    seen.connection.delete_object(seen.container, "inner")
    upload = files.start_upload("other.bin")
    upload.put_part(1, b"left by an upload")
    upload.abort()
    assert files.collect_garbage(0) == []
    assert "but absent" in caplog.text
    assert seen.segments() == orphans


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "format=json"), ("GET", MARKER), ("HEAD", "a.bin"), ("DELETE", A_SEGMENT)],
)
def test_a_collection_that_fails_says_so_and_can_be_repeated(
    files: Storage,
    seen: Beside,
    swift_faults: Faults,
    orphans: list[str],
    method: str,
    path: str,
) -> None:
    swift_faults.add("status", method=method, path=path, times=-1)
    with pytest.raises(SwiftError):
        files.collect_garbage(0)
    swift_faults.clear()
    assert seen.segments() == orphans
    assert len(files.collect_garbage(0)) == 4
    assert seen.entries() == []


def test_the_manifest_is_asked_of_all_that_may_have_it(
    files: Storage, orphans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swift's ``X-Newest``: the development server has one replica, so look at what is sent."""
    from flask_fs_swift.connection import SwiftConnection

    sent: list[tuple[str, Any]] = []

    def noted(verb: str) -> None:
        original = getattr(SwiftConnection, verb)

        def call(self: Any, container: str, name: str, *args: Any, **keywords: Any) -> Any:
            sent.append((f"{container}/{name}", keywords.get("headers")))
            return original(self, container, name, *args, **keywords)

        monkeypatch.setattr(SwiftConnection, verb, call)

    noted("head_object")
    noted("get_object")
    assert len(files.collect_garbage(0)) == len(orphans)
    assert len(sent) == 2
    assert all((headers or {}).get("x-newest") == "true" for _, headers in sent)


# What a crash leaves.

#: Where a write is killed: before which request, and how many such come first.
CREATE = {
    "before the marker": ("PUT", MARKER, 0),
    "before the segments": ("PUT", A_SEGMENT, 0),
    "between the segments": ("PUT", A_SEGMENT, 2),
    "before the manifest": ("PUT", A_MANIFEST, 0),
    "before the marker goes": ("DELETE", MARKER, 0),
    "before the sweep": ("GET", "prefix=", 0),
    "in the sweep": ("GET", "multipart-manifest=get", 0),
}
OVERWRITE = {**CREATE, "before the old segments go": ("POST", "bulk-delete", 0)}
COMMITTED = set(OVERWRITE) - set(list(CREATE)[:4])
KILLS = [*(("create", point) for point in CREATE), *(("overwrite", point) for point in OVERWRITE)]


@pytest.fixture
def killed_at(
    files: Storage, swift_settings: dict[str, object], swift_faults: Faults, tmp_path: Path
) -> Callable[[tuple[str, str, int]], None]:
    """Write CONTENT to ``a.bin`` in another process, and kill it at a request."""
    content = tmp_path / "content"
    content.write_bytes(CONTENT)
    settings = {
        **swift_settings,
        **QUICK,
        "FS_SWIFT_SEGMENT_SIZE": SEGMENT,
        "FS_SWIFT_SEGMENT_CONCURRENCY": 1,
    }
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    command = [sys.executable, "-m", "writing", json.dumps(settings), files.name, str(content)]

    def kill(point: tuple[str, str, int]) -> None:
        method, path, skip = point
        swift_faults.forget()
        swift_faults.add("hang", method=method, path=path, skip=skip)

        def came() -> int:
            return sum(
                each.method == method and bool(re.search(path, f"{each.path}?{each.query}"))
                for each in swift_faults.requests()
            )

        with subprocess.Popen(command, env=environment, cwd=root) as process:
            deadline = time.monotonic() + PATIENCE
            while came() <= skip and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
        assert came() == skip + 1
        swift_faults.clear()

    return kill


@pytest.mark.parametrize(("before", "point"), KILLS)
def test_a_killed_write_is_settled_by_a_collection(
    files: Storage,
    seen: Beside,
    killed_at: Callable[[tuple[str, str, int]], None],
    before: str,
    point: str,
) -> None:
    old = OTHER if before == "overwrite" else None
    if old is not None:
        files.write("a.bin", old)
    old_segments = set(seen.segments())
    killed_at(OVERWRITE[point])
    expected = CONTENT if point in COMMITTED else old
    if point not in COMMITTED:
        assert old_segments <= set(seen.segments())
    assert (files.read("a.bin") if files.exists("a.bin") else None) == expected
    assert files.collect_garbage(60) == []
    would = files.collect_garbage(0, dry_run=True)
    assert files.collect_garbage(0) == would
    if expected is not None:
        assert_whole(files, seen, "a.bin", expected)
    else:
        assert not files.exists("a.bin")
        assert seen.entries() == []


def test_what_replaces_the_object_of_a_killed_write_leaves_nothing(
    files: Storage, seen: Beside, killed_at: Callable[[tuple[str, str, int]], None]
) -> None:
    """Not even where another write is the first to know: the collection forgot the marker."""
    killed_at(CREATE["before the marker goes"])
    assert files.collect_garbage(0) == []
    assert seen.markers() == []
    files.write("a.bin", OTHER, overwrite=True)
    assert_whole(files, seen, "a.bin", OTHER)
