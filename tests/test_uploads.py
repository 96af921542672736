"""Uploads in parts: in any order, from anywhere, and then one object or nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient

from flask_fs_swift import (
    FileExists,
    FileTooLarge,
    InvalidName,
    InvalidPart,
    OperationNotSupported,
    Part,
    Storage,
    SwiftError,
    SwiftUnavailable,
    UploadClosed,
)
from flask_fs_swift.devserver import DevServer
from flask_fs_swift.hashing import md5_of
from flask_fs_swift.multipart import Multipart
from flask_fs_swift.objects import Marker
from flask_fs_swift.segments import hash_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift import Event, Upload
    from flask_fs_swift.devserver import Faults

KIB = 1024
CONTENTS = {number: random.Random(number).randbytes(70 * KIB + number) for number in range(1, 6)}
WHOLE = b"".join(CONTENTS.values())
DAY = 24 * 3600

MANIFEST = "big.bin[?]multipart-manifest=put"
MARKER = "_segments/uploads/"


@pytest.fixture
def upload(files: Storage) -> Upload:
    """An upload of ``big.bin`` on each backend in turn, all of whose parts were put."""
    return uploaded(files)


@pytest.fixture
def on_swift(swift_files: Storage) -> Upload:
    return uploaded(swift_files)


def uploaded(files: Storage, **properties: Any) -> Upload:
    upload = files.start_upload("big.bin", **properties)
    for number, content in CONTENTS.items():
        upload.put_part(number, content)
    return upload


@pytest.fixture(scope="module")
def small_manifests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A Swift whose manifests list three segments."""
    settings = {"slo.max_manifest_segments": "3"}
    with DevServer.start(tmp_path_factory.mktemp("small"), settings=settings) as server:
        yield server


def multipart_of(files: Storage) -> Multipart:
    multipart = files._mount().backend.multipart
    assert isinstance(multipart, Multipart)
    return multipart


def store_joined(multipart: Multipart, begun: Marker, parts: list[Part]) -> None:
    """Take the step of a completion that makes the object, and no other."""
    multipart._join(begun, [multipart._segments.part(begun, part) for part in parts])


def kept(files: Storage) -> list[str]:
    """Return the names of all segments, and manifests that are part of others."""
    pages = multipart_of(files)._segments.objects.pages()
    names = [entry["name"] for page in pages for entry in page]
    return [name for name in names if not name.startswith("uploads/")]


def marker_headers(files: Storage, upload: Upload) -> dict[str, str]:
    name = f"uploads/{hash_of(upload.filename)}/{upload.id}"
    return multipart_of(files)._segments.objects.headers(name)


def assert_one_object(files: Storage, upload: Upload) -> None:
    """Check that the object is there, and nothing but its segments, listed or not."""
    assert files.read("big.bin") == WHOLE
    assert files.collect_garbage(older_than=0, dry_run=True) == []
    if isinstance(files._mount().backend.multipart, Multipart):
        assert all(upload.id in name for name in kept(files))
        assert len([name for name in kept(files) if "/manifest/" not in name]) == len(CONTENTS)


def assert_nothing_is_left(files: Storage) -> None:
    assert not files.exists("big.bin")
    assert kept(files) == []


def assert_still_usable(files: Storage, upload: Upload) -> None:
    upload.complete()
    assert_one_object(files, upload)


# All of it.


def test_parts_in_any_order_become_one_object(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    for number in (3, 1, 5, 2, 4):
        part = upload.put_part(number, CONTENTS[number])
        assert part == Part(number, len(CONTENTS[number]), md5_of(CONTENTS[number]))
    assert not files.exists("big.bin")
    info = upload.complete()
    assert (info.name, info.size) == ("big.bin", len(WHOLE))
    assert info.content_type == "application/octet-stream"
    assert_one_object(files, upload)


def test_numbers_need_not_follow_each_other(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    for number, content in zip((10_000, 1, 77), (b"c", b"a", b"b"), strict=True):
        upload.put_part(number, content)
    upload.complete()
    assert files.read("big.bin") == b"abc"


@pytest.mark.parametrize("number", [1, 10_000])
def test_one_part_is_enough(files: Storage, number: int) -> None:
    upload = files.start_upload("big.bin")
    upload.put_part(number, b"x")
    upload.complete()
    assert files.read("big.bin") == b"x"


def test_threads_put_parts_at_once(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    with ThreadPoolExecutor(5) as threads:
        parts = list(threads.map(upload.put_part, CONTENTS, CONTENTS.values()))
    assert upload.list_parts() == parts
    upload.complete()
    assert_one_object(files, upload)


@pytest.mark.parametrize(
    "make",
    [bytes, bytearray, memoryview, lambda data: iter([data[:100], data[100:]])],
    ids=["bytes", "bytearray", "memoryview", "iterator"],
)
def test_a_part_is_any_content(files: Storage, make: Callable[[bytes], Any]) -> None:
    upload = files.start_upload("big.bin")
    upload.put_part(1, make(CONTENTS[1]))
    upload.complete()
    assert files.read("big.bin") == CONTENTS[1]


def test_a_part_is_a_file_from_its_position(files: Storage, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(WHOLE)
    upload = files.start_upload("big.bin")
    with (tmp_path / "a").open("rb") as file:
        file.seek(100)
        assert upload.put_part(1, file).size == len(WHOLE) - 100
    upload.complete()
    assert files.read("big.bin") == WHOLE[100:]


@pytest.mark.parametrize("name", ["a b.bin", "100%25.bin", "🎉/ö", "x" * 1024, "/a//b", 'q"uo\\te'])
def test_any_name_will_do(files: Storage, name: str) -> None:
    upload = files.start_upload(name)
    upload.put_part(1, b"one")
    assert [each.filename for each in files.list_uploads()] == [name]
    resumed = files.resume_upload(name, upload.id)
    resumed.put_part(2, b"two")
    resumed.complete(resumed.list_parts())
    assert files.read(name) == b"onetwo"
    assert files.collect_garbage(older_than=0) == []


def test_another_process_goes_on(
    swift_files: Storage, swift_settings: dict[str, object], swift_faults: Faults
) -> None:
    """It puts the parts, and completes with them; ours then knows that it was completed."""
    upload = swift_files.start_upload("big.bin", metadata={"owner": "me"})
    upload.put_part(1, b"a" * 1000)
    program = """
import json, sys
from flask import Flask
from flask_fs_swift import ALL, FS, Storage
settings, name, upload = json.load(sys.stdin)
app = Flask("other")
app.config.update(settings)
storage = Storage(name, ALL)
FS(app, storage)
with app.app_context():
    resumed = storage.resume_upload("big.bin", upload)
    resumed.put_part(2, b"b" * 1000)
    resumed.complete(resumed.list_parts())
"""
    told = json.dumps([swift_settings, swift_files.name, upload.id])
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=told,
        text=True,
        check=True,
        timeout=60,
    )
    swift_faults.forget()
    info = upload.complete()
    assert [request.method for request in swift_faults.requests()] == ["GET"]
    assert (info.size, info.metadata) == (2000, {"owner": "me"})
    assert swift_files.read("big.bin") == b"a" * 1000 + b"b" * 1000


class Forking(dict[int, Part]):
    """What was put through a handle. The process forks while a part is noted."""

    def __init__(self, run: Callable[[], object]) -> None:
        super().__init__()
        self.child = 0
        self._run = run

    def __setitem__(self, number: int, part: Part) -> None:
        super().__setitem__(number, part)
        self.child = os.fork()
        if not self.child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(5)  # Seconds, after which it is killed.
            try:
                self._run()
                os._exit(0)
            finally:
                os._exit(1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_handle_works_in_a_child_that_is_forked_while_a_part_is_noted(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    noted = upload._parts = Forking(upload.complete)
    upload.put_part(1, b"part")
    assert os.waitpid(noted.child, 0)[1] == 0
    assert upload.complete().size == 4


def test_the_object_is_what_was_started(files: Storage) -> None:
    before = datetime.now(timezone.utc)
    upload = uploaded(
        files,
        content_type="video/mp4",
        metadata={"Owner": "Jürgen"},
        expires_after=3600,
        cache_control="no-store",
        content_disposition='attachment; filename="a.mp4"',
    )
    completed, again, read = upload.complete(), upload.complete(), files.info("big.bin")
    for info in (completed, again, read):
        assert (info.content_type, info.metadata) == ("video/mp4", {"owner": "Jürgen"})
        assert info.cache_control == "no-store"
        assert info.content_disposition == 'attachment; filename="a.mp4"'
        assert (info.size, info.etag) == (len(WHOLE), read.etag)
        assert info.is_manifest == read.is_manifest
        assert info.modified is not None
        assert info.expires is not None
        assert timedelta(hours=1) <= info.expires - before + timedelta(seconds=2)
        assert info.expires - before <= timedelta(hours=1, seconds=2)
    assert completed == again


def test_parts_expire_with_their_object(swift_files: Storage) -> None:
    upload = uploaded(swift_files, expires_after=3600)
    upload.complete()
    objects = multipart_of(swift_files)._segments.objects
    expiries = {objects.headers(name)["x-delete-at"] for name in kept(swift_files)}
    [expiry] = expiries
    waiting = swift_files.start_upload("other", expires_after=3600)
    assert 0 <= int(marker_headers(swift_files, waiting)["x-delete-at"]) - int(expiry) < 60
    assert swift_files.info("big.bin").expires == datetime.fromtimestamp(int(expiry), timezone.utc)


def test_completing_replaces_a_large_object_and_its_segments_go(swift_files: Storage) -> None:
    first = uploaded(swift_files)
    first.complete()
    second = uploaded(swift_files, overwrite=True)
    assert swift_files.read("big.bin") == WHOLE
    second.complete()
    assert_one_object(swift_files, second)
    third = swift_files.start_upload("big.bin", overwrite=True)
    swift_files.write("big.bin", b"plain", overwrite=True)
    assert kept(swift_files) == []
    third.put_part(1, b"x")
    third.complete()
    assert swift_files.read("big.bin") == b"x"


# Parts that are put again.


def test_a_part_that_is_put_again_is_replaced(files: Storage, upload: Upload) -> None:
    wrong = upload.put_part(2, b"wrong")
    assert upload.list_parts()[1] == wrong
    right = upload.put_part(2, CONTENTS[2])
    assert upload.list_parts()[1] == right
    upload.complete()
    assert files.read("big.bin") == WHOLE


def test_what_was_replaced_can_be_completed_with_all_the_same(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    first = upload.put_part(1, b"first")
    upload.put_part(1, b"second")
    upload.complete([first])
    assert files.read("big.bin") == b"first"


def test_the_newest_part_is_listed_though_the_other_has_its_page_first(
    swift_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Age is not measured while the listing goes on: between two pages time passes."""
    upload = swift_files.start_upload("big.bin")
    older, newer = sorted(
        [Part(1, 1, md5_of(b"a")), Part(1, 1, md5_of(b"b"))], key=lambda p: p.etag
    )
    content = {md5_of(each): each for each in (b"a", b"b")}
    upload.put_part(1, content[older.etag])
    upload.put_part(1, content[newer.etag])
    clock = iter(range(int(time.time()), 2**40, 100))
    monkeypatch.setattr("flask_fs_swift.segments.time.time", lambda: next(clock))
    assert upload.list_parts() == [newer]


def test_a_generator_of_parts_will_do(files: Storage, upload: Upload) -> None:
    upload.complete(part for part in reversed(upload.list_parts()))
    assert_one_object(files, upload)


# Completed twice.


def test_completed_twice_it_is_done_once(files: Storage, upload: Upload) -> None:
    parts = upload.list_parts()
    first = upload.complete()
    files.write("big.bin", b"newer", overwrite=True)
    assert upload.complete() == first
    assert files.resume_upload("big.bin", upload.id).complete(parts) == first
    assert files.resume_upload("big.bin", upload.id).complete() == first
    assert files.read("big.bin") == b"newer"


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("path", [MANIFEST, MARKER])
@pytest.mark.parametrize("fault", ["after_status", "after_reset", "status", "reset"])
def test_an_answer_that_is_lost_changes_nothing(
    swift_files: Storage, swift_faults: Faults, fault: Any, path: str, overwrite: bool
) -> None:
    upload = uploaded(swift_files, overwrite=overwrite)
    swift_faults.add(fault, method="PUT", path=path)
    assert upload.complete() == upload.complete()
    assert_one_object(swift_files, upload)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("path", [MANIFEST, MARKER])
@pytest.mark.parametrize("fault", ["after_status", "status"])
def test_a_completion_that_failed_is_repeated_in_another_process(
    make_storage: MakeStorage, swift_faults: Faults, fault: Any, path: str, overwrite: bool
) -> None:
    """Its answers stay away, and so do those to the question whether it was done."""
    files = make_storage(retries=0)
    upload = uploaded(files, overwrite=overwrite)
    swift_faults.add(fault, method="PUT", path=path)
    swift_faults.add("status", method="HEAD", path="big.bin", times=-1)
    with pytest.raises(SwiftUnavailable) as raised:
        upload.complete()
    assert raised.value.filename == "big.bin"
    assert raised.value.maybe_applied
    swift_faults.clear()
    resumed = files.resume_upload("big.bin", upload.id)
    info = resumed.complete(upload.list_parts())
    assert info.size == len(WHOLE)
    assert upload.complete() == resumed.complete()
    assert_one_object(files, upload)


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_completions_at_once_make_one_object(files: Storage, overwrite: bool) -> None:
    upload = uploaded(files, overwrite=overwrite)
    other = files.resume_upload("big.bin", upload.id)
    parts = upload.list_parts()
    barrier = threading.Barrier(4)

    def complete(handle: Upload) -> str | None:
        barrier.wait()
        return handle.complete(parts).etag

    with ThreadPoolExecutor(4) as threads:
        etags = set(threads.map(complete, [upload, other] * 2))
    assert etags == {files.info("big.bin").etag}
    assert list(files.list_uploads()) == []
    assert_one_object(files, upload)


def test_a_completion_is_told_of_another_whose_object_was_deleted(
    on_swift: Upload, swift_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have begun; one has ended, and with its object the segments went."""
    other = swift_files.resume_upload("big.bin", on_swift.id)
    parts = on_swift.list_parts()
    multipart = multipart_of(swift_files)
    join = multipart._join

    def join_late(*arguments: Any) -> Any:
        monkeypatch.setattr(multipart, "_join", join)
        first.append(other.complete(parts))
        swift_files.delete("big.bin")
        return join(*arguments)

    first: list[Any] = []
    monkeypatch.setattr(multipart, "_join", join_late)
    assert [on_swift.complete()] == first
    assert_nothing_is_left(swift_files)


def test_a_completed_upload_is_remembered_for_seven_days(
    on_swift: Upload, swift_files: Storage
) -> None:
    assert "x-delete-at" not in marker_headers(swift_files, on_swift)
    on_swift.complete()
    expiry = int(marker_headers(swift_files, on_swift)["x-delete-at"])
    assert abs(expiry - time.time() - 7 * DAY) < 60


def test_a_stale_listing_does_no_harm(
    on_swift: Upload, swift_files: Storage, swift_faults: Faults
) -> None:
    names = kept(swift_files)
    swift_faults.add("stale_listing", method="GET", times=-1, names=names)
    assert on_swift.list_parts() == []
    on_swift.complete()
    swift_faults.clear()
    assert_one_object(swift_files, on_swift)


# What cannot be joined.


def part_of(number: Any, size: Any, etag: Any) -> Part:
    """Return a part that has come a long way."""
    return Part(number, size, etag)


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part_of(part.number, part.size, "0" * 32),
        lambda part: part_of(part.number, part.size + 1, part.etag),
        lambda part: part_of(part.number + 1000, part.size, part.etag),
        lambda part: part_of(0, part.size, part.etag),
        lambda part: part_of(10_001, part.size, part.etag),
        lambda part: part_of(True, part.size, part.etag),
        lambda part: part_of("1", part.size, part.etag),
        lambda part: part_of(part.number, str(part.size), part.etag),
        lambda part: part_of(part.number, 0, part.etag),
        lambda part: part_of(part.number, -1, part.etag),
        lambda part: part_of(part.number, part.size, None),
        lambda part: part_of(part.number, part.size, "../../x"),
        lambda part: part_of(part.number, part.size, part.etag.upper()),
    ],
)
def test_a_part_that_is_another_is_refused(
    files: Storage, upload: Upload, change: Callable[[Part], Part]
) -> None:
    parts = upload.list_parts()
    for index in (0, 4):
        wrong = [*parts[:index], change(parts[index]), *parts[index + 1 :]]
        with pytest.raises(InvalidPart) as raised:
            upload.complete(wrong)
        assert raised.value.filename == "big.bin"
        assert not files.exists("big.bin")
    assert_still_usable(files, upload)


def test_two_parts_with_one_number_are_refused(files: Storage, upload: Upload) -> None:
    parts = upload.list_parts()
    with pytest.raises(InvalidPart, match="same number"):
        upload.complete([*parts, parts[0]])
    assert_still_usable(files, upload)


def test_no_parts_are_refused(files: Storage, upload: Upload) -> None:
    resumed = files.resume_upload("big.bin", upload.id)
    none: list[Iterable[Part] | None] = [None, [], iter(())]
    for given in none:
        with pytest.raises(InvalidPart, match=r"no parts|absent"):
            resumed.complete(given)
    assert_still_usable(files, upload)


def test_a_refusal_leaves_the_old_object_as_it_was(files: Storage) -> None:
    files.write("big.bin", b"old")
    upload = uploaded(files, overwrite=True)
    with pytest.raises(InvalidPart):
        upload.complete([Part(1, 5, "0" * 32)])
    assert files.read("big.bin") == b"old"
    assert_still_usable(files, upload)


def test_a_part_that_was_lost_is_put_again(on_swift: Upload, swift_files: Storage) -> None:
    lost = next(name for name in kept(swift_files) if "/000003/" in name)
    multipart_of(swift_files)._segments.delete(lost)
    with pytest.raises(InvalidPart) as raised:
        on_swift.complete()
    assert raised.value.filename == "big.bin"
    assert not raised.value.maybe_applied
    on_swift.put_part(3, CONTENTS[3])
    assert_still_usable(swift_files, on_swift)


@pytest.mark.parametrize("number", [0, -1, 10_001, True, "1", 1.0, None])
def test_there_is_no_such_part(files: Storage, upload: Upload, number: Any) -> None:
    with pytest.raises(InvalidPart, match="from 1 to 10000"):
        upload.put_part(number, b"content")
    assert_still_usable(files, upload)


@pytest.mark.parametrize("content", [b"", "", [], iter([b"", b""])])
def test_a_part_has_bytes(files: Storage, upload: Upload, content: Any) -> None:
    with pytest.raises(InvalidPart, match="no bytes"):
        upload.put_part(6, content)
    assert_still_usable(files, upload)


def test_what_can_never_be_stored_is_not_sent(on_swift: Upload, swift_faults: Faults) -> None:
    swift_faults.forget()
    for number, content in ((0, b"x"), (10_001, b"x"), (1, b"")):
        with pytest.raises(InvalidPart):
            on_swift.put_part(number, content)
    assert swift_faults.requests() == []


def test_a_part_that_is_corrupted_on_its_way_is_sent_again(
    on_swift: Upload, swift_files: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("corrupt_upload", method="PUT", path="/000002/", offset=100)
    on_swift.put_part(2, CONTENTS[2])
    assert_still_usable(swift_files, on_swift)


def test_a_part_that_fails_leaves_the_upload_usable(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(retries=0)
    upload = uploaded(files)
    faults: list[Any] = ["status", "after_status"]
    for fault in faults:
        swift_faults.add(fault, method="PUT", path="/000002/")
        with pytest.raises(SwiftUnavailable) as raised:
            upload.put_part(2, b"other")
        assert (raised.value.filename, raised.value.maybe_applied) == ("big.bin", True)
    assert files.collect_garbage(older_than=0) == []
    upload.complete()
    assert files.read("big.bin") == WHOLE


# Aborted.


def test_an_abort_leaves_nothing(files: Storage, upload: Upload) -> None:
    upload.abort()
    upload.abort()
    assert not files.exists("big.bin")
    assert list(files.list_uploads()) == []
    for use in (
        upload.complete,
        lambda: upload.put_part(1, b"late"),
        lambda: files.resume_upload("big.bin", upload.id),
    ):
        with pytest.raises(UploadClosed) as raised:
            use()
        assert raised.value.filename == "big.bin"
    assert upload.list_parts() == []
    assert files.collect_garbage(older_than=0) == []


def test_an_abort_removes_what_no_listing_shows(
    on_swift: Upload, swift_files: Storage, swift_faults: Faults
) -> None:
    """And keeps the marker for a while, so that a late part is refused, and removed."""
    swift_faults.add("stale_listing", method="GET", times=-1, names=kept(swift_files))
    on_swift.abort()
    swift_faults.clear()
    assert kept(swift_files) == []
    expiry = int(marker_headers(swift_files, on_swift)["x-delete-at"])
    assert abs(expiry - time.time() - 7 * DAY) < 60
    with pytest.raises(UploadClosed):
        on_swift.put_part(1, b"late")
    assert kept(swift_files) == []


def test_an_abort_that_failed_is_repeated(make_storage: MakeStorage, swift_faults: Faults) -> None:
    files = make_storage(retries=0)
    upload = uploaded(files)
    for fault in (
        {"method": "PUT", "path": MARKER},
        {"method": "HEAD", "path": "big.bin"},
        {"method": "GET", "path": "_segments.*prefix"},
        {"method": "POST", "path": "bulk-delete"},
    ):
        swift_faults.add("status", **fault)
        with pytest.raises(SwiftUnavailable) as raised:
            upload.abort()
        assert (raised.value.filename, raised.value.maybe_applied) == ("big.bin", True)
    upload.abort()
    assert kept(files) == []


def test_an_abort_elsewhere_removes_what_is_listed(on_swift: Upload, swift_files: Storage) -> None:
    swift_files.resume_upload("big.bin", on_swift.id).abort()
    assert kept(swift_files) == []


def test_a_part_that_arrives_after_its_upload_was_completed_does_no_harm(
    on_swift: Upload, swift_files: Storage
) -> None:
    on_swift.complete()
    for late in (b"late", CONTENTS[1]):
        with pytest.raises(UploadClosed):
            on_swift.put_part(1, late)
    assert swift_files.read("big.bin") == WHOLE
    [orphan] = swift_files.collect_garbage(older_than=0)
    assert (orphan.filename, orphan.size) == ("big.bin", 4)
    assert_one_object(swift_files, on_swift)


def test_a_part_that_arrives_when_nobody_remembers_does_no_harm(
    on_swift: Upload, swift_files: Storage
) -> None:
    """The marker has expired; the object has a part of this number and content."""
    on_swift.complete()
    segments = multipart_of(swift_files)._segments
    marker = segments.marker("big.bin", on_swift.id)
    assert marker is not None
    segments.unmark(marker)
    for use in (on_swift.complete, on_swift.abort, lambda: on_swift.put_part(1, CONTENTS[1])):
        with pytest.raises(UploadClosed):
            use()
    assert_one_object(swift_files, on_swift)


def test_what_was_completed_is_not_aborted(files: Storage, upload: Upload) -> None:
    upload.complete()
    with pytest.raises(UploadClosed):
        upload.abort()
    assert_one_object(files, upload)
    assert upload.complete().size == len(WHOLE)


@pytest.mark.parametrize("trouble", ["none", "head"])
def test_what_is_stored_but_not_marked_is_not_aborted(
    make_storage: MakeStorage, swift_faults: Faults, trouble: str
) -> None:
    """Nor when it cannot be asked whether it is stored."""
    files = make_storage(retries=0)
    upload = uploaded(files)
    swift_faults.add("status", method="PUT", path=MARKER)
    with pytest.raises(SwiftUnavailable):
        upload.complete()
    if trouble == "head":
        swift_faults.add("status", method="HEAD", path="big.bin")
        with pytest.raises(SwiftUnavailable):
            upload.abort()
        assert files.read("big.bin") == WHOLE
    with pytest.raises(UploadClosed):
        upload.abort()
    if trouble == "none":
        assert upload.complete().size == len(WHOLE)
        assert upload.complete() == files.resume_upload("big.bin", upload.id).complete()
    assert_one_object(files, upload)


@pytest.mark.parametrize("moment", ["before the manifest", "after it"])
def test_an_abort_during_a_completion(
    on_swift: Upload, swift_files: Storage, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """One of the two is done: a part is never taken out of an object."""
    other = swift_files.resume_upload("big.bin", on_swift.id)
    multipart = multipart_of(swift_files)
    join = multipart._join
    closed: list[bool] = []

    def join_beside_an_abort(*arguments: Any) -> Any:
        if moment == "before the manifest":
            other.abort()
            return join(*arguments)
        info = join(*arguments)
        with pytest.raises(UploadClosed):
            other.abort()
        closed.append(True)
        return info

    monkeypatch.setattr(multipart, "_join", join_beside_an_abort)
    if moment == "before the manifest":
        with pytest.raises((InvalidPart, UploadClosed)):
            on_swift.complete()
        assert_nothing_is_left(swift_files)
    else:
        assert on_swift.complete().size == len(WHOLE)
        assert_one_object(swift_files, on_swift)


def test_a_completion_takes_back_what_an_abort_did_not_see(
    on_swift: Upload, swift_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The abort looks for the object before it is stored, and removes the parts after that."""
    other = swift_files.resume_upload("big.bin", on_swift.id)
    multipart = multipart_of(swift_files)
    remove = multipart._remove

    def remove_after_a_completion(*arguments: Any) -> None:
        monkeypatch.setattr(multipart, "_remove", remove)
        # It has asked before whether the upload was open.
        monkeypatch.setattr(multipart, "resume", lambda *_: begun)
        with pytest.raises(UploadClosed):
            other.complete(parts)
        remove(*arguments)

    begun = multipart.resume("big.bin", on_swift.id)
    parts = on_swift.list_parts()
    monkeypatch.setattr(multipart, "_remove", remove_after_a_completion)
    on_swift.abort()
    assert_nothing_is_left(swift_files)


def test_both_of_a_completion_and_an_abort_may_give_way(
    on_swift: Upload, swift_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The abort finds the object, the completion finds the abort: nothing is left."""
    other = swift_files.resume_upload("big.bin", on_swift.id)
    multipart = multipart_of(swift_files)
    is_stored = multipart._is_stored
    looks: list[bool] = []

    def look(marker: Any) -> bool:
        monkeypatch.setattr(multipart, "_is_stored", is_stored)
        store_joined(multipart, begun, parts)
        seen = is_stored(marker)
        with pytest.raises(UploadClosed):
            multipart._check_not_aborted(begun, parts)
        looks.append(seen)
        return seen

    begun = multipart.resume("big.bin", on_swift.id)
    parts = on_swift.list_parts()
    monkeypatch.setattr(multipart, "_is_stored", look)
    other.abort()
    assert looks == [True]
    with pytest.raises(UploadClosed):
        on_swift.complete()
    assert_nothing_is_left(swift_files)


def test_an_object_that_is_taken_back_is_not_remembered_as_completed(
    on_swift: Upload, swift_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The completion has seen the abort; the abort gives way to the object, and is first."""
    other = swift_files.resume_upload("big.bin", on_swift.id)
    multipart = multipart_of(swift_files)
    segments = multipart._segments
    begun = multipart.resume("big.bin", on_swift.id)
    parts = on_swift.list_parts()
    store_joined(multipart, begun, parts)
    with pytest.raises(UploadClosed):
        other.abort()
    with monkeypatch.context() as seen:
        seen.setattr(segments, "marker", lambda *_: replace(begun, state="aborted"))
        with pytest.raises(UploadClosed):
            multipart._check_not_aborted(begun, parts)
    with pytest.raises(UploadClosed):
        on_swift.complete()
    assert_nothing_is_left(swift_files)


@pytest.mark.parametrize("attempt", range(4))
def test_a_completion_and_an_abort_at_once(files: Storage, upload: Upload, attempt: int) -> None:
    """Whoever is first: the object is whole, or nothing is left and nobody says otherwise."""
    other = files.resume_upload("big.bin", upload.id)
    barrier = threading.Barrier(2)

    def end(how: Callable[[], object], seconds: float) -> bool:
        barrier.wait()
        time.sleep(seconds)
        try:
            how()
        except (InvalidPart, UploadClosed):
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        completed = threads.submit(end, upload.complete, 0)
        aborted = threads.submit(end, other.abort, attempt * 0.007)
    assert not (completed.result() and aborted.result())
    assert list(files.list_uploads()) == []
    assert files.exists("big.bin") == completed.result()
    if completed.result():
        assert_one_object(files, upload)
    else:
        files.collect_garbage(older_than=0)
        with pytest.raises(UploadClosed):
            upload.complete()


@pytest.mark.parametrize("ending", ["complete", "abort"])
def test_an_upload_that_ends_while_its_parts_are_joined(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    upload = uploaded(memory_files)
    parts = upload.list_parts()
    other = memory_files.resume_upload("big.bin", upload.id)
    ended: list[object] = []

    def hash_late(data: bytes) -> str:
        monkeypatch.undo()
        if ending == "complete":
            ended.append(other.complete(parts))
        else:
            other.abort()
        return md5_of(data)

    monkeypatch.setattr("flask_fs_swift.memory.md5_of", hash_late)
    if ending == "complete":
        assert [upload.complete()] == ended
        assert_one_object(memory_files, upload)
    else:
        with pytest.raises(UploadClosed):
            upload.complete()
        assert not memory_files.exists("big.bin")


# Which upload it is.


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "../x",
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "é" * 32,
        "0" * 31 + "\n",
        "0" * 32 + "\n",
        "٣" * 32,
    ],
)
def test_an_id_that_is_none_is_not_asked_for(
    swift_files: Storage, swift_faults: Faults, garbage: str
) -> None:
    swift_files.start_upload("big.bin")
    swift_faults.forget()
    with pytest.raises(UploadClosed):
        swift_files.resume_upload("big.bin", garbage)
    assert swift_faults.requests() == []


def test_an_id_is_good_for_one_file(files: Storage, upload: Upload) -> None:
    for name, id_ in (("other.bin", upload.id), ("big.bin", "0" * 32)):
        with pytest.raises(UploadClosed):
            files.resume_upload(name, id_)
    with pytest.raises(InvalidName):
        files.resume_upload("a/../b", upload.id)
    assert files.resume_upload("big.bin", upload.id).id == upload.id


def test_an_id_is_good_for_one_storage(make_storage: MakeStorage, on_swift: Upload) -> None:
    other = make_storage()
    with pytest.raises(UploadClosed):
        other.resume_upload("big.bin", on_swift.id)
    other.start_upload("big.bin")
    with pytest.raises(UploadClosed):
        other.resume_upload("big.bin", on_swift.id)


def test_the_marker_of_a_large_write_is_no_upload(swift_files: Storage) -> None:
    multipart = multipart_of(swift_files)
    marker = Marker("big.bin", "write")
    multipart._segments.mark(marker)
    with pytest.raises(UploadClosed):
        swift_files.resume_upload("big.bin", marker.id)
    assert list(swift_files.list_uploads()) == []


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"null", b"\xff", b'{"name": "big.bin"}', b'{"x": 1}',
                b'{"name": "big.bin", "kind": "upload"}', b'{"name": 1, "kind": "upload"}']
)  # fmt: skip
def test_a_marker_that_is_garbage_is_an_error(
    swift_files: Storage, swift_server: DevServer, garbage: bytes
) -> None:
    upload = swift_files.start_upload("big.bin")
    other: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    name = f"uploads/{hash_of('big.bin')}/{upload.id}"
    other.put_object(f"{swift_files.name}_segments", name, garbage)
    other.close()
    with pytest.raises(SwiftError) as raised:
        swift_files.resume_upload("big.bin", upload.id)
    assert raised.value.filename == "big.bin"


def test_an_id_is_in_no_error(on_swift: Upload, swift_faults: Faults) -> None:
    swift_faults.add("status", method="PUT", path="_segments", status=403)
    with pytest.raises(SwiftError) as raised:
        on_swift.put_part(5, b"refused")
    assert on_swift.id not in str(raised.value)
    assert raised.value.filename == "big.bin"


def test_nobody_guesses_an_id(files: Storage) -> None:
    ids = {files.start_upload("big.bin").id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(bytes.fromhex(each)) == 16 for each in ids)


def test_an_id_is_not_in_what_is_logged(files: Storage, upload: Upload) -> None:
    assert repr(upload) == "<Upload of 'big.bin'>"
    assert upload.id not in repr(files)


# Where a file is already.


def test_a_file_that_is_there_is_not_replaced(files: Storage) -> None:
    files.write("big.bin", b"theirs")
    for overwrite in (None, False):
        with pytest.raises(FileExists) as raised:
            files.start_upload("big.bin", overwrite=overwrite)
        assert raised.value.filename == "big.bin"
    assert list(files.list_uploads()) == []


def test_a_file_that_appears_meanwhile_is_not_replaced(files: Storage, upload: Upload) -> None:
    files.write("big.bin", b"theirs")
    for _ in range(2):
        with pytest.raises(FileExists):
            upload.complete()
    assert files.read("big.bin") == b"theirs"
    files.delete("big.bin")
    assert_still_usable(files, upload)


def test_a_large_file_that_appears_meanwhile_is_not_replaced(
    on_swift: Upload, swift_files: Storage
) -> None:
    other = swift_files.start_upload("big.bin")
    other.put_part(1, b"theirs")
    other.complete()
    with pytest.raises(FileExists):
        on_swift.complete()
    assert swift_files.read("big.bin") == b"theirs"
    other_names = [name for name in kept(swift_files) if on_swift.id in name]
    assert len(other_names) == len(CONTENTS)
    swift_files.delete("big.bin")
    assert_still_usable(swift_files, on_swift)


# Limits.


def test_parts_are_no_longer_than_a_file_may_be(make_storage: MakeStorage) -> None:
    files = make_storage(max_size=1000)
    upload = files.start_upload("big.bin")
    with pytest.raises(FileTooLarge):
        upload.put_part(1, bytes(1001))
    upload.put_part(1, bytes(600))
    upload.put_part(2, bytes(401))
    with pytest.raises(FileTooLarge) as raised:
        upload.complete()
    assert (raised.value.limit, raised.value.filename) == (1000, "big.bin")
    upload.put_part(2, bytes(400))
    assert upload.complete().size == 1000


@pytest.mark.parametrize("count", [3, 4, 9, 10, 28])
def test_more_parts_than_a_manifest_lists(
    make_storage: MakeStorage, small_manifests: DevServer, count: int, tmp_path: Path
) -> None:
    files = make_storage(authurl=small_manifests.auth_url)
    upload = files.start_upload("big.bin", expires_after=3600)
    contents = [bytes([number]) * 100 for number in range(count)]
    for number, content in enumerate(contents, 1):
        upload.put_part(number, content)
    info = upload.complete()
    assert files.read("big.bin") == b"".join(contents)
    assert (info.size, info.etag) == (100 * count, files.info("big.bin").etag)
    files.download("big.bin", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"".join(contents)
    objects = multipart_of(files)._segments.objects
    assert len({objects.headers(name)["x-delete-at"] for name in kept(files)}) == 1
    assert files.collect_garbage(older_than=0) == []
    assert upload.complete() == upload.complete()
    files.delete("big.bin")
    assert kept(files) == []


def test_a_nested_manifest_is_never_changed(
    make_storage: MakeStorage, small_manifests: DevServer
) -> None:
    """A completion of other parts, that stops before its end, leaves the object whole."""
    files = make_storage(authurl=small_manifests.auth_url)
    upload = files.start_upload("big.bin")
    first = [upload.put_part(number, bytes([number])) for number in range(1, 6)]
    second = [upload.put_part(number, b"x") for number in range(1, 6)]
    multipart = multipart_of(files)
    segments = multipart._segments
    marker = multipart.resume("big.bin", upload.id)
    upload.complete(first)
    multipart._nested(marker, [segments.part(marker, part) for part in second], 3)
    assert files.read("big.bin") == bytes(range(1, 6))
    assert len(files.collect_garbage(older_than=0)) == len(second) + 2
    assert files.read("big.bin") == bytes(range(1, 6))


def test_a_part_of_a_nested_manifest_that_was_lost(
    make_storage: MakeStorage, small_manifests: DevServer
) -> None:
    files = make_storage(authurl=small_manifests.auth_url)
    upload = files.start_upload("big.bin")
    for number in range(1, 11):
        upload.put_part(number, b"x")
    lost = next(name for name in kept(files) if "/000002/" in name)
    multipart_of(files)._segments.delete(lost)
    with pytest.raises(InvalidPart) as raised:
        upload.complete()
    assert (raised.value.filename, raised.value.maybe_applied) == ("big.bin", False)
    upload.put_part(2, b"x")
    upload.complete()
    assert files.read("big.bin") == b"x" * 10
    files.delete("big.bin")
    assert kept(files) == []


def test_a_swift_without_large_objects_says_so(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage()
    swift_faults.add("status", path="^/info", status=200, body='{"swift": {}}')
    with pytest.raises(OperationNotSupported, match="slo"):
        files.start_upload("big.bin")


# Who goes on with what.


def test_open_uploads_are_listed(files: Storage) -> None:
    before = datetime.now(timezone.utc)
    assert list(files.list_uploads()) == []
    first, second, third = (files.start_upload(name) for name in ("a", "a", "b/c"))
    aborted, completed = files.start_upload("a"), files.start_upload("d")
    aborted.abort()
    completed.put_part(1, b"x")
    completed.complete()
    files.write("plain", b"content")
    found = {info.id: info for info in files.list_uploads()}
    assert {id_: info.filename for id_, info in found.items()} == {
        first.id: "a",
        second.id: "a",
        third.id: "b/c",
    }
    assert all(before <= info.started <= datetime.now(timezone.utc) for info in found.values())
    for info in found.values():
        files.resume_upload(info.filename, info.id).abort()
    assert list(files.list_uploads()) == []


def test_uploads_are_listed_lazily(swift_files: Storage, swift_faults: Faults) -> None:
    for _ in range(3):
        swift_files.start_upload("big.bin")
    swift_faults.forget()
    listed = swift_files.list_uploads()
    assert swift_faults.requests() == []
    next(listed)
    assert [request.method for request in swift_faults.requests()] == ["GET", "GET"]


def test_an_open_upload_is_never_collected(files: Storage, upload: Upload) -> None:
    assert files.collect_garbage(older_than=0) == []
    assert_still_usable(files, upload)


def test_a_storage_in_memory_has_nothing_to_collect(memory_files: Storage) -> None:
    upload = uploaded(memory_files)
    upload.complete()
    assert memory_files.collect_garbage() == []


@pytest.mark.parametrize("what", ["parts", "object"])
def test_what_expires_before_it_is_completed_is_no_more(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    upload = uploaded(memory_files, expires_after=100)
    now = time.time()
    late = 200 if what == "parts" else 50
    monkeypatch.setattr("flask_fs_swift.memory_uploads.time.time", lambda: now + late)
    if what == "parts":
        with pytest.raises(InvalidPart, match="expired"):
            upload.complete()
    else:
        expires = upload.complete().expires
        assert expires is not None
        assert abs(expires.timestamp() - now - 50) < 5


def test_an_upload_that_ended_is_forgotten_after_seven_days(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, waiting = uploaded(memory_files), memory_files.start_upload("other")
    ended.complete()
    now = time.time()
    monkeypatch.setattr("flask_fs_swift.memory_uploads.time.time", lambda: now + 7 * DAY + 1)
    with pytest.raises(UploadClosed):
        memory_files.resume_upload("big.bin", ended.id)
    memory_files.start_upload("third")
    assert memory_files.resume_upload("other", waiting.id)
    with pytest.raises(UploadClosed):
        ended.complete()


# What is told.


def test_progress_is_told_of_a_part(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    told: list[tuple[int, int | None]] = []
    content = bytes(3 * 1024 * KIB)
    upload.put_part(1, content, progress=lambda *each: told.append(each))
    assert told == sorted(told)
    assert told[-1] == (len(content), len(content))


def test_progress_that_raises_ends_the_part(files: Storage, upload: Upload) -> None:
    def give_up(_done: int, _total: int | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        upload.put_part(1, b"other", progress=give_up)
    assert_still_usable(files, upload)


def test_each_step_is_an_event(make_storage: MakeStorage) -> None:
    events: list[Event] = []
    files = make_storage(on_event=events.append)
    upload = uploaded(files)
    files.resume_upload("big.bin", upload.id)
    list(files.list_uploads())
    upload.list_parts()
    upload.complete()
    with pytest.raises(UploadClosed):
        upload.abort()
    told = [(e.operation, e.bytes, e.outcome) for e in events if e.operation != "checkout"]
    assert told == [
        ("start_upload", 0, "ok"),
        *(("put_part", len(content), "ok") for content in CONTENTS.values()),
        ("resume_upload", 0, "ok"),
        ("list_uploads", 0, "ok"),
        ("list_parts", 0, "ok"),
        ("complete_upload", len(WHOLE), "ok"),
        ("abort_upload", 0, "UploadClosed"),
    ]


def test_a_name_that_is_none_is_refused_first(files: Storage) -> None:
    for name in ("", "a/../b", "x" * 1025):
        with pytest.raises(InvalidName):
            files.start_upload(name)
    with pytest.raises(ValueError, match="expires_after"):
        files.start_upload("a", expires_after=0)


# What strangers are given, and what they bring back.


def test_parts_are_listed_a_page_at_a_time(files: Storage, upload: Upload) -> None:
    pages = [upload.list_parts(after, 2) for after in (0, 2, 4, 5)]
    assert [[part.number for part in page] for page in pages] == [[1, 2], [3, 4], [5], []]
    now = time.time()
    assert all(part.stored and abs(part.stored - now) < 60 for page in pages for part in page)
    assert json.loads(json.dumps(asdict(pages[0][0])))["number"] == 1
    assert_still_usable(files, upload)


def test_a_part_is_named_by_its_number_and_the_newest_etag(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    old, new = upload.put_part(1, b"old"), upload.put_part(1, b"new")
    assert upload.named_parts([(1, new.etag)]) == [new]
    for name in ((1, old.etag), (2, new.etag), (1, "no MD5"), (1, "0" * 32), (0, new.etag)):
        with pytest.raises(InvalidPart):
            upload.named_parts([name])
    upload.complete(upload.named_parts([(1, new.etag)]))
    assert files.read("big.bin") == b"new"


def test_a_named_part_is_found_that_no_listing_shows(
    swift_files: Storage, swift_faults: Faults
) -> None:
    upload = swift_files.start_upload("big.bin")
    old = upload.put_part(1, b"old")
    new = upload.put_part(1, b"new")
    other = upload.put_part(2, b"other")
    hidden = [name for name in kept(swift_files) if old.etag not in name]
    swift_faults.add("stale_listing", method="GET", times=-1, names=hidden)
    assert upload.list_parts() == [old]
    assert upload.named_parts([(1, new.etag), (2, other.etag)]) == [new, other]


def test_a_part_that_is_not_what_its_md5_says_is_not_stored(files: Storage) -> None:
    upload = files.start_upload("big.bin")
    with pytest.raises(InvalidPart, match="MD5"):
        upload.put_part(1, b"content", etag=md5_of(b"other"))
    assert upload.list_parts() == []
    upload.put_part(1, b"content", etag=md5_of(b"content"))


def test_an_upload_of_known_size_has_each_part_once(files: Storage) -> None:
    upload = files.start_upload("big.bin", size=len(WHOLE))
    assert upload.receipts([1, 2]) == [None, None]
    first = upload.put_part(1, CONTENTS[1])
    with pytest.raises(FileExists):
        upload.put_part(1, b"another")
    elsewhere = files.resume_upload("big.bin", upload.id)
    assert elsewhere.size == len(WHOLE)
    with pytest.raises(FileExists):
        elsewhere.put_part(1, CONTENTS[1])
    assert elsewhere.receipts([2, 1]) == [None, first]
    for number in (2, 3, 4, 5):
        with pytest.raises(InvalidPart, match="in place of"):
            elsewhere.complete([part for part in elsewhere.receipts(range(1, number)) if part])
        elsewhere.put_part(number, CONTENTS[number])
    elsewhere.complete([part for part in elsewhere.receipts(range(1, 6)) if part])
    assert files.read("big.bin") == WHOLE
    assert files.resume_upload("big.bin", upload.id).is_completed
    upload.complete(())
    files.collect_garbage(0)  # What came too late.
    assert files.collect_garbage(0) == []
    assert files.read("big.bin") == WHOLE


def test_receipts_are_certain_and_go_when_they_have_served(
    swift_files: Storage, swift_faults: Faults
) -> None:
    upload = swift_files.start_upload("big.bin", size=6)
    parts = [upload.put_part(1, b"one"), upload.put_part(2, b"two")]
    assert [name.split("/", 2)[2] for name in kept(swift_files)][2:] == [
        "receipts/000001",
        "receipts/000002",
    ]
    swift_faults.add("stale_listing", method="GET", times=-1, names=kept(swift_files))
    assert upload.receipts([1, 2, 3]) == [*parts, None]
    swift_faults.clear()
    upload.complete()
    assert not any("receipts" in name for name in kept(swift_files))
    assert swift_files.collect_garbage(0) == []


def test_a_receipt_whose_answer_was_lost_is_known_again(
    swift_files: Storage, swift_faults: Faults
) -> None:
    upload = swift_files.start_upload("big.bin", size=3)
    swift_faults.add("after_status", method="PUT", path="receipts", status=503)
    part = upload.put_part(1, b"one")
    assert upload.receipts([1]) == [part]


@pytest.mark.parametrize("is_removed", [True, False])
def test_an_upload_whose_beginning_was_lost_is_removed_if_it_can_be(
    make_storage: MakeStorage, swift_faults: Faults, is_removed: bool
) -> None:
    """Nobody was told its id, and a collection leaves open uploads alone."""
    files = make_storage(retries=0)
    files.start_upload("other").abort()  # So there is a container for it.
    swift_faults.add("after_status", method="PUT", path=MARKER, status=503)
    if not is_removed:
        swift_faults.add("status", method="DELETE", path=MARKER, status=503)
    with pytest.raises(SwiftUnavailable) as raised:
        files.start_upload("big.bin")
    assert (raised.value.filename, raised.value.maybe_applied) == ("big.bin", not is_removed)
    assert [each.filename for each in files.list_uploads()] == ["big.bin"] * (not is_removed)


#: By the size of an upload: what of a part is lost, and whether that part may be put.
LOST: list[tuple[int | None, dict[str, Any], bool]] = [
    (None, {"method": "PUT", "path": "/000001/"}, True),
    (None, {"method": "GET", "path": MARKER}, True),
    (3, {"method": "PUT", "path": "/000001/"}, False),  # Without a receipt it is no part.
    (3, {"method": "(PUT|HEAD)", "path": "/receipts/", "times": 2}, True),
    (3, {"method": "GET", "path": MARKER}, True),
]


@pytest.mark.parametrize("tiers", ["one", "two"])
def test_a_part_whose_answer_was_lost_may_be_put(
    make_storage: MakeStorage, make_tiered: MakeStorage, swift_faults: Faults, tiers: str
) -> None:
    files = make_storage(retries=0) if tiers == "one" else make_tiered(swift_retries=0)
    files.start_upload("other").put_part(1, b"one")  # So there is a container for it.
    for number, (size, lost, maybe_applied) in enumerate(LOST):
        name = f"{number}.bin"
        upload = files.start_upload(name, size=size)
        swift_faults.add("after_status", status=503, **lost)
        with pytest.raises(SwiftUnavailable) as raised:
            upload.put_part(1, b"one")
        assert (raised.value.filename, raised.value.maybe_applied) == (name, maybe_applied)
        swift_faults.clear()
        if not maybe_applied:
            assert upload.receipts([1]) == [None]
            upload.put_part(1, b"one")
        [part] = upload.list_parts() if size is None else upload.receipts([1])
        assert part is not None
        upload.complete([part])
        assert files.read(name) == b"one"


@pytest.mark.parametrize("size", [None, 3])
def test_what_is_over_is_nobodys_and_is_collected(files: Storage, size: int | None) -> None:
    upload = files.start_upload("big.bin", size=size, lifetime=3600)
    part = upload.put_part(1, b"one")
    assert files.collect_garbage(0) == []
    overdue = files.start_upload("big.bin", size=size, lifetime=0)
    for verb in (
        lambda: overdue.put_part(1, b"one"),
        lambda: overdue.complete([part]),
        lambda: files.resume_upload("big.bin", overdue.id),
    ):
        with pytest.raises(UploadClosed):
            verb()
    assert all(overdue.id in orphan.name for orphan in files.collect_garbage(0))
    assert [each.id for each in files.list_uploads()] == [upload.id]
    assert files.collect_garbage(0) == []
    upload.complete()
    assert files.read("big.bin") == b"one"


def test_an_upload_that_is_over_keeps_its_parts_for_a_while(swift_files: Storage) -> None:
    upload = swift_files.start_upload("big.bin", lifetime=0)
    with pytest.raises(UploadClosed):
        upload.put_part(1, b"one")
    assert swift_files.collect_garbage(60) == []
    assert len(swift_files.collect_garbage(0)) == 1


def test_an_upload_is_aborted_by_its_id(files: Storage) -> None:
    upload = uploaded(files)
    for name, id_ in (("other", upload.id), ("big.bin", "0" * 32), ("big.bin", "../x"), ("b", "")):
        with pytest.raises(UploadClosed):
            files.abort_upload(name, id_)
    assert len(upload.list_parts()) == 5
    for _ in range(2):
        files.abort_upload("big.bin", upload.id)
    with pytest.raises(UploadClosed):
        files.resume_upload("big.bin", upload.id)
    done = uploaded(files)
    done.complete()
    with pytest.raises(UploadClosed):
        files.abort_upload("big.bin", done.id)
    assert files.read("big.bin") == WHOLE


def test_what_is_known_to_be_too_long_is_not_begun(make_storage: MakeStorage) -> None:
    files = make_storage(max_size=1000)
    files.start_upload("big.bin", size=1000)
    with pytest.raises(FileTooLarge):
        files.start_upload("big.bin", size=1001)
    with pytest.raises(ValueError, match="less than nothing"):
        files.start_upload("big.bin", size=-1)
    with pytest.raises(ValueError, match="less than nothing"):
        files.start_upload("big.bin", lifetime=-1)
