"""The two tiers compared: every disagreement is found, and nothing else."""

from __future__ import annotations

import os
import resource
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, insert

from flask_fs_swift import ContainerNotFound
from flask_fs_swift.objects import ObjectInfo, new_id
from flask_fs_swift.swift import SwiftBackend
from flask_fs_swift.tiered import checking, rows
from flask_fs_swift.tiered.tables import objects

from .sides import SEGMENT, THRESHOLD, Sides, sides_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_fs_swift.devserver import DevServer, Faults

LARGE = os.urandom(2 * SEGMENT + 5)
MIDDLE = os.urandom(THRESHOLD + 1)
OURS = f"revisions/{'a' * 64}/{'b' * 32}"


@pytest.fixture
def sides(
    swift_server: DevServer, swift_settings: dict[str, object], tmp_path: Path
) -> Iterator[Sides]:
    with sides_of(swift_server, swift_settings, tmp_path) as found:
        yield found


def fill(sides: Sides) -> None:
    """Store something of everything, and leave something of everything behind."""
    sides.outside.put("taken-over", b"theirs")
    sides.outside.put("theirs", b"theirs")
    assert {one.outcome for one in sides.backend.moving_in.run()} == {"moved"}
    sides.files.delete("theirs")
    sides.outside.put("not-taken-over", b"theirs")
    for name, content in {
        "small": b"small",
        "empty": b"",
        "middle": MIDDLE,
        "large": LARGE,
    }.items():
        sides.files.write(name, content)
        sides.files.write(f"{name}-expiring", content, expires_after=5000)
    sides.files.write("replaced", LARGE)
    sides.files.write("replaced", MIDDLE)
    upload = sides.files.start_upload("part")
    upload.put_part(1, MIDDLE)
    sides.backend.recovery.wait()


def found(sides: Sides, **how: Any) -> set[tuple[str, str]]:
    return {(one.kind, one.name) for one in sides.backend.checking.run(**how)}


def test_a_healthy_storage_has_no_findings(sides: Sides) -> None:
    assert found(sides) == set()
    fill(sides)
    assert found(sides) == set()


def test_a_blob_that_is_missing_is_found(sides: Sides) -> None:
    fill(sides)
    revisions = sides.revisions()
    for name in ("large", "middle", "taken-over"):
        sides.outside.delete(revisions[name] or "")
    assert found(sides) == {("missing", "large"), ("missing", "middle"), ("missing", "taken-over")}


def test_a_blob_that_is_another_is_found(sides: Sides) -> None:
    fill(sides)
    revisions = sides.revisions()
    sides.outside.put(revisions["large"] or "", b"short")
    sides.outside.put(revisions["middle"] or "", bytes(THRESHOLD + 1))
    sides.outside.put("taken-over", b"theirs too")
    findings = {one.name: one for one in sides.backend.checking.run()}
    assert {one.kind for one in findings.values()} == {"different"}
    assert set(findings) == {"large", "middle", "taken-over"}
    assert f"5 bytes with ETag 4f09daa9d95bcb166a302407a0e0babe, not {len(LARGE)}" in (
        findings["large"].detail
    )


def test_a_blob_that_belongs_to_no_file_is_found(sides: Sides) -> None:
    fill(sides)
    sides.outside.put(OURS, b"lost")
    sides.outside.put("revisions/readme", b"theirs")
    revision = sides.revisions()["large"]
    sides.sql("DELETE FROM fs_objects WHERE name = 'large'")
    assert found(sides) == {("orphan", OURS), ("orphan", revision)}


def test_content_that_is_not_what_its_row_says_is_found(sides: Sides) -> None:
    fill(sides)
    sides.sql("UPDATE fs_objects SET content = :content WHERE name = 'small'", content=b"smal!")
    sides.sql("UPDATE fs_objects SET size = 4 WHERE name = 'empty'")
    assert found(sides) == {("content", "small"), ("content", "empty")}
    assert found(sides, content=False) == set()


def test_small_files_are_held_a_few_at_a_time(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "HELD", 100)
    monkeypatch.setattr(rows, "PAGE", 7)
    sizes = [0, 60, 40, 50, 51, 200, 1, 99, 100, 100, 0, 5, 5, 5, 5, 5]
    for number, size in enumerate(sizes):
        sides.files.write(f"{number:02}", bytes(size))
    groups = list(sides.backend.checking._groups())
    assert [int(name) for group in groups for name in group] == list(range(len(sizes)))
    held = [sum(sizes[int(name)] for name in group) for group in groups]
    assert all(size <= 100 or len(group) == 1 for size, group in zip(held, groups, strict=True))
    sides.sql("UPDATE fs_objects SET etag = 'x' WHERE name IN ('05', '15')")
    assert found(sides) == {("content", "05"), ("content", "15")}


def test_a_file_that_should_have_been_removed_is_found(sides: Sides) -> None:
    fill(sides)
    names = ("small-expiring", "large-expiring")
    for ago, name in zip((4000, 10), names, strict=True):
        sides.sql(
            "UPDATE fs_objects SET expires = :at WHERE name = :name",
            at=time.time() - ago,
            name=name,
        )
    assert found(sides) == {("expired", "small-expiring")}
    assert found(sides, overdue=5) == {("expired", name) for name in names}
    sides.backend.recovery.run()
    assert found(sides, overdue=0) == set()


def test_what_expires_in_a_moment_may_be_gone_already(sides: Sides) -> None:
    sides.files.write("a", LARGE, expires_after=30)
    sides.outside.delete(sides.revisions()["a"] or "")
    assert found(sides) == set()


def test_all_that_disagrees_is_found_over_many_pages(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE", 3)
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        sides.outside.put(name, name.encode())
    for _ in sides.backend.moving_in.run():
        pass
    for name in names[::2]:
        sides.files.write(name, MIDDLE)
    sides.backend.recovery.wait()
    assert found(sides) == set()
    revisions = sides.revisions()
    lost = ["00", "01", "09", "18", "19"]
    for name in lost:
        sides.outside.delete(revisions[name] or "")
    sides.outside.put(OURS)
    assert found(sides) == {("missing", name) for name in lost} | {("orphan", OURS)}
    for name in sides.outside.names():
        sides.outside.delete(name)
    assert found(sides) == {("missing", name) for name in names}
    sides.sql("DELETE FROM fs_objects")
    assert found(sides) == set()


def test_a_listing_that_lags_is_no_finding(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sides)
    listed = list(SwiftBackend.list(sides.backend._blobs, "", "", ""))  # type: ignore[arg-type]
    for name in ("large", "middle", "taken-over"):
        sides.files.write(name, b"newer" * 1000)
    sides.files.delete("replaced")
    sides.backend.recovery.wait()
    monkeypatch.setattr(SwiftBackend, "list", lambda *_: iter(listed))
    assert found(sides) == set()
    monkeypatch.setattr(SwiftBackend, "list", lambda *_: iter(()))
    assert found(sides) == set()


def test_a_file_that_changes_while_it_is_looked_at_is_no_finding(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("replaced", "deleted", "shrunk"):
        sides.files.write(name, LARGE)
    listing = [ObjectInfo(OURS, 1, "x", "x/y", None)]
    monkeypatch.setattr(SwiftBackend, "list", lambda *_: iter(listing))
    original = SwiftBackend.newest
    changed: set[str] = set()
    names = {revision: name for name, revision in sides.revisions().items()}

    def newest(self: SwiftBackend, revision: str) -> ObjectInfo | None:
        name = names.get(revision)
        if name is not None and name not in changed:
            changed.add(name)
            if name == "deleted":
                sides.files.delete(name)
            else:
                sides.files.write(name, MIDDLE if name == "replaced" else b"")
            sides.backend.recovery.wait()
        return original(self, revision)

    monkeypatch.setattr(SwiftBackend, "newest", newest)
    assert found(sides) == set()
    assert changed == {"replaced", "deleted", "shrunk"}


def test_nothing_is_found_while_writers_run(sides: Sides) -> None:
    over = threading.Event()
    errors: list[BaseException] = []

    def work(name: str) -> None:
        turn = 0
        try:
            while not over.is_set():
                turn += 1
                sides.files.write(name, (b"", MIDDLE, b"x", LARGE)[turn % 4])
                if turn % 3 == 0:
                    sides.files.copy(name, f"{name}-copy")
                if turn % 5 == 0:
                    sides.files.delete(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert found(sides) == set()
    over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    sides.backend.recovery.wait()
    assert found(sides) == set()


def test_nothing_is_changed(sides: Sides, swift_faults: Faults) -> None:
    fill(sides)
    sides.outside.put(OURS, b"lost")
    sides.outside.delete(sides.revisions()["large"] or "")
    before = sides.sql("SELECT * FROM fs_objects"), sides.outside.names()
    swift_faults.forget()
    assert len(found(sides)) == 2
    assert {one.method for one in swift_faults.requests()} == {"GET", "HEAD"}
    assert (sides.sql("SELECT * FROM fs_objects"), sides.outside.names()) == before


def test_a_container_that_is_absent_is_told(
    swift_server: DevServer, swift_settings: dict[str, object], tmp_path: Path
) -> None:
    settings = {**swift_settings, "FS_SWIFT_CREATE_CONTAINER": False}
    with sides_of(swift_server, settings, tmp_path) as sides:
        sides.outside.connection.delete_container(sides.outside.container)
        with pytest.raises(ContainerNotFound):
            found(sides)


def test_memory_does_not_grow_with_the_number_of_files(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing and rows by the ten thousand; nobody asks Swift for what agrees."""
    count = 30_000
    fixed = {
        "container": sides.outside.container, "version": new_id(), "size": 1, "etag": "e",
        "is_manifest": False, "content_type": "x/y", "modified": 0.0, "user_metadata": "{}",
    }  # fmt: skip
    names = (f"{number:08}" for number in range(count))
    engine = create_engine(sides.database)
    with engine.begin() as connection:
        connection.execute(
            insert(objects), [{**fixed, "name": name, "revision": name} for name in names]
        )
    engine.dispose()

    def listing(_self: object, *_: str) -> Iterator[ObjectInfo]:
        for number in range(count):
            yield ObjectInfo(f"{number:08}", 1, "e", "x/y", None)

    monkeypatch.setattr(SwiftBackend, "list", listing)
    sides.files.exists("x")
    tracemalloc.start()
    try:
        assert found(sides) == set()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_twelve_thousand_objects_move_in_and_out(sides: Sides) -> None:
    count = 12_000
    pool = [threading.Thread(target=_put, args=(sides, range(at, count, 8))) for at in range(8)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    for inline in (False, True):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcomes = [one.outcome for one in sides.backend.moving_in.run(inline=inline)]
        assert outcomes == ["moved"] * count
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB
    assert found(sides) == set()
    assert sides.outside.names() == []
    assert [one.outcome for one in sides.backend.moving_out.run()] == ["moved"] * count
    assert found(sides) == set()
    assert sum(1 for _ in sides.plain.list_files()) == count


def _put(sides: Sides, numbers: range) -> None:
    for number in numbers:
        sides.plain.write(f"{number:06}", str(number))
