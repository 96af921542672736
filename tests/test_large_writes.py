"""Files longer than a segment: stored in parts, whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from large import (
    A_MANIFEST,
    A_SEGMENT,
    CONTENT,
    MARKER,
    OTHER,
    SEGMENT,
    Beside,
    asked,
    assert_whole,
    beside,
)
from werkzeug.datastructures import FileStorage

from flask_fs_swift import (
    FileExists,
    FileTooLarge,
    FSError,
    InvalidPart,
    ObjectChanged,
    OperationNotSupported,
    Storage,
    SwiftBackend,
    SwiftUnavailable,
    intake,
)
from flask_fs_swift.devserver import DevServer
from flask_fs_swift.hashing import md5_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift.devserver import Faults

GONE = 0.3  # seconds; more than a request takes


@pytest.fixture
def files(files_of_segments: Storage) -> Storage:
    return files_of_segments


def backend_of(files: Storage) -> SwiftBackend:
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    return backend


# Every kind of content.


def a_file(data: bytes) -> Any:
    """A file of the system, of which the first bytes were read."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"read before" + data)
    file.seek(len(b"read before"))
    return file


def a_spooled_file(data: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=1000)  # noqa: SIM115
    file.write(data)
    file.seek(0)
    return file


def a_pipe(data: bytes) -> Any:
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    threading.Thread(target=fill).start()
    return os.fdopen(reader, "rb")


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 30_011] for at in range(0, len(data), 30_011))


KINDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "str": bytes.decode,
    "file": a_file,
    "BytesIO": io.BytesIO,
    "gzip": lambda data: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data, 0))),
    "SpooledTemporaryFile": a_spooled_file,
    "FileStorage": lambda data: FileStorage(a_spooled_file(data), "a.txt"),
    "generator": pieces,
    "pipe": a_pipe,
}
SIZES = {"less": SEGMENT - 1, "one": SEGMENT, "more": SEGMENT + 1, "many": 10 * SEGMENT + 1}

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("held", [intake.HELD, 10_000], ids=["held", "passing"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@every_kind
def test_content_longer_than_a_segment_is_a_large_object(
    files: Storage,
    seen: Beside,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    size: int,
    held: int,
) -> None:
    monkeypatch.setattr(intake, "HELD", held)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = os.urandom(size // 2 + 1).hex().encode()[:size]
    raw = KINDS[kind](data)
    info = files.write("a.txt", raw)
    if hasattr(raw, "close"):
        raw.close()
    full, rest = divmod(size, SEGMENT)
    sizes = [SEGMENT] * full + [rest] * (rest > 0)
    is_large = size > SEGMENT
    assert files.read("a.txt") == data
    assert (info.size, info.is_manifest, info.content_type) == (size, is_large, "text/plain")
    assert files.info("a.txt") == info
    assert seen.sizes() == (sizes if is_large else [])
    assert seen.markers() == []
    if not is_large:
        assert info.checksum == f"md5:{md5_of(data)}"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_file_that_was_written_to_is_stored_in_parts(
    files: Storage, seen: Beside, size: int
) -> None:
    data = os.urandom(size)
    with files.open("a.bin", "wb") as file:
        file.write(data)
    assert files.read("a.bin") == data
    assert len(seen.sizes()) == (0 if size <= SEGMENT else -(-size // SEGMENT))


def test_what_is_stored_beside_the_bytes_is_that_of_the_object(files: Storage) -> None:
    info = files.write(
        "a.bin",
        CONTENT,
        content_type="video/mp4; codecs=x",
        metadata={"owner": "J\u00f6rg", "n": "1"},
        expires_after=1000,
        cache_control="max-age=5",
        content_disposition='inline; filename="a b.mp4"',
    )
    told = files.info("a.bin")
    assert info == told
    assert told.metadata == {"owner": "J\u00f6rg", "n": "1"}
    assert (told.cache_control, told.content_type) == ("max-age=5", "video/mp4; codecs=x")
    assert told.content_disposition == 'inline; filename="a b.mp4"'
    assert told.expires is not None
    assert abs(told.expires.timestamp() - time.time() - 1000) < 30


def test_a_segment_expires_with_its_object(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    files.write("a.bin", CONTENT, expires_after=2)
    headers = seen.connection.head_object(files.name, "a.bin")
    for name in seen.segments():
        segment = seen.connection.head_object(seen.container, name)
        assert segment["x-delete-at"] == headers["x-delete-at"]
    time.sleep(3)
    swift_faults.tick()
    assert not files.exists("a.bin")
    assert seen.entries() == []


@pytest.fixture
def most_spools() -> list[int]:
    """How many temporary files were open when each was made."""
    return []


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most_spools: list[int]) -> list[Any]:
    """The temporary files that the package makes."""
    made: list[Any] = []
    make = tempfile.TemporaryFile

    def noted(*arguments: Any, **keywords: Any) -> Any:
        made.append(make(*arguments, **keywords))
        most_spools.append(sum(not file.closed for file in made))
        return made[-1]

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    return made


@pytest.mark.parametrize("raw", [io.BytesIO, pieces, a_pipe], ids=["BytesIO", "pieces", "pipe"])
def test_what_passes_is_spooled_part_by_part_and_nothing_is_left_on_the_disk(
    make_storage: MakeStorage,
    spools: list[Any],
    most_spools: list[int],
    tmp_path: Path,
    raw: Callable[[bytes], Any],
) -> None:
    mib = 1024 * 1024
    files = make_storage(segment_size=mib, segment_concurrency=2)
    data = os.urandom(10 * mib + 1)
    content = raw(data)
    files.write("a.bin", content)
    if hasattr(content, "close"):
        content.close()
    assert files.read("a.bin") == data
    assert len(spools) == 11
    assert all(file.closed for file in spools)
    assert max(most_spools) <= 3
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_system_is_read_where_it_is(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch, seen: Beside
) -> None:
    del seen
    files = make_storage(segment_size=1024 * 1024)
    data = os.urandom(5 * 1024 * 1024 + 1)
    with a_file(data) as file:
        monkeypatch.setattr(tempfile, "TemporaryFile", None)
        files.write("a.bin", file)
        assert file.read() == b""
    assert files.read("a.bin") == data


def test_parts_grow(files: Storage, seen: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "GROWTH", 2)
    data = os.urandom(10 * SEGMENT)
    files.write("a.bin", data)
    assert seen.sizes() == [SEGMENT, SEGMENT, 2 * SEGMENT, 2 * SEGMENT, 4 * SEGMENT]
    assert files.read("a.bin") == data
    monkeypatch.setattr(intake, "HELD", 10_000)
    files.write("b.bin", pieces(data))
    assert files.read("b.bin") == data


# Nested manifests.


@pytest.fixture(scope="module")
def small_manifests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    settings = {"slo.max_manifest_segments": "3", "constraints.max_file_size": "100000"}
    with DevServer.start(tmp_path_factory.mktemp("nested"), settings=settings) as server:
        yield server


@pytest.mark.parametrize(("segments", "manifests"), [(3, 0), (4, 2), (9, 3), (10, 6), (30, 16)])
def test_manifests_nest(
    small_manifests: DevServer, make_storage: MakeStorage, segments: int, manifests: int
) -> None:
    size = 1000
    files = make_storage(segment_size=size, authurl=small_manifests.auth_url)
    data = os.urandom(segments * size)
    for see in beside(small_manifests, files):
        for name in ("a.bin", "a.bin"):
            info = files.write(name, data, overwrite=True, metadata={"k": "v"})
            assert files.read("a.bin") == data
            assert files.info("a.bin") == info
            assert len(see.sizes()) == segments
            assert len(see.segments()) == segments + manifests
            assert len(see.uploads()) == 1
        assert files.collect_garbage(0) == []
        files.copy("a.bin", "b.bin")
        files.delete("a.bin")
        assert files.read("b.bin") == data
        assert len(see.sizes()) == segments
        files.delete("b.bin")
        assert see.entries() == []


def test_a_nested_manifest_that_fails_leaves_nothing(
    small_manifests: DevServer, make_storage: MakeStorage
) -> None:
    faults = small_manifests.faults
    files = make_storage(segment_size=1000, authurl=small_manifests.auth_url, retries=2)
    files.write("a.bin", b"old")
    for see in beside(small_manifests, files):
        for action in ("status", "after_status"):
            faults.add(action, method="PUT", path="/manifest/1-000001", times=-1)
            with pytest.raises(SwiftUnavailable) as caught:
                files.write("a.bin", os.urandom(10_000), overwrite=True)
            faults.clear()
            assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)
            assert files.read("a.bin") == b"old"
            assert see.entries() == []


def test_what_is_too_long_for_one_object_is_copied(
    small_manifests: DevServer, make_storage: MakeStorage
) -> None:
    files = make_storage(segment_size=50_000, authurl=small_manifests.auth_url)
    content = os.urandom(120_000)
    files.write("other.txt", b"")
    files.delete("other.txt")  # It knows of no segments now.
    told: list[tuple[int, int | None]] = []
    for see in beside(small_manifests, files):
        parts = [f"{files.name}/parts/{n}" for n in range(2)]
        for at, path in enumerate(parts):
            part = content[at * 60_000 :][:60_000]
            see.connection.put_object(files.name, path.partition("/")[2], part)
        see.connection.put_object(
            files.name,
            "a.bin",
            json.dumps([{"path": path} for path in parts]),
            query_string=A_MANIFEST,
        )
        files.copy("a.bin", "b.bin", progress=lambda *each: told.append(each))
        files.delete("a.bin")
        assert_whole(files, see, "b.bin", content)
        assert told[-1] == (len(content), len(content))


# So many at a time.


@pytest.mark.parametrize(
    ("concurrency", "pool_size", "expected"), [(1, 5, 1), (3, 5, 3), (4, 2, 2), (4, 1, 1)]
)
def test_no_more_segments_are_stored_at_a_time_than_allowed(
    make_storage: MakeStorage,
    swift_faults: Faults,
    concurrency: int,
    pool_size: int,
    expected: int,
) -> None:
    files = make_storage(segment_size=1000, segment_concurrency=concurrency, pool_size=pool_size)
    files.write("before.bin", os.urandom(2000))
    swift_faults.forget()
    swift_faults.add("delay", method="PUT", path=A_SEGMENT, seconds=GONE, times=-1)
    data = os.urandom(6000)
    files.write("a.bin", data)
    assert files.read("a.bin") == data
    times = [r.time for r in swift_faults.requests() if "/00000" in r.path]
    at_a_time = [sum(t <= other < t + GONE for other in times) for t in times]
    assert len(times) == 6
    assert max(at_a_time) == expected


# The budget.


def test_what_a_large_write_asks(files: Storage, swift_faults: Faults) -> None:
    def spend(verb: Callable[[], object]) -> list[str]:
        swift_faults.forget()
        verb()
        return asked(swift_faults)

    files.write("before.bin", CONTENT)
    whole = [
        "HEAD object",
        "PUT marker",
        *["PUT segment"] * 4,
        "PUT manifest",
        "DELETE marker",
    ]
    sweep = ["GET segments", "GET segments", "GET marker", "HEAD object", "GET manifest"]
    assert spend(lambda: files.write("a.bin", CONTENT)) == whole
    assert spend(lambda: files.write("new.bin", CONTENT, overwrite=True)) == [*whole, *sweep]
    replaced = spend(lambda: files.write("a.bin", CONTENT, overwrite=True))
    assert sorted(replaced) == sorted([*whole, *sweep, "GET marker", *["DELETE segment"] * 4])


def test_what_a_storage_without_large_objects_pays_for_them(
    files: Storage, swift_faults: Faults
) -> None:
    files.write("a.txt", b"new")
    swift_faults.forget()
    files.write("a.txt", b"new", overwrite=True)
    assert asked(swift_faults) == ["PUT object", "GET segments"]
    swift_faults.forget()
    files.write("a.txt", b"new", overwrite=True)
    files.delete("a.txt")
    files.write("a.txt", b"new")
    files.copy("a.txt", "b.txt", overwrite=True)
    assert asked(swift_faults) == ["PUT object", "DELETE object", "PUT object", "COPY object"]


def test_what_small_objects_pay_beside_large_ones(files: Storage, swift_faults: Faults) -> None:
    files.write("large.bin", CONTENT)
    swift_faults.forget()
    files.write("a.txt", b"new")
    assert asked(swift_faults) == ["PUT object"]
    swift_faults.forget()
    files.write("a.txt", b"new", overwrite=True)
    files.delete("a.txt")
    assert asked(swift_faults) == ["PUT object", "GET segments", "DELETE object", "GET segments"]
    files.write("a.txt", b"new")
    swift_faults.forget()
    files.copy("a.txt", "b.txt", overwrite=True)
    assert asked(swift_faults) == ["HEAD object", "COPY object", "GET segments"]


def test_a_create_where_there_is_an_object_costs_no_content(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    files.write("a.bin", b"old")
    swift_faults.forget()
    with pytest.raises(FileExists):
        files.write("a.bin", CONTENT)
    assert asked(swift_faults) == ["GET info", "HEAD object"]
    assert seen.entries() == []
    assert files.read("a.bin") == b"old"


def test_what_was_spooled_for_a_write_that_is_refused_is_given_up(
    files: Storage, spools: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "HELD", 10_000)
    files.write("a.bin", b"old")
    with pytest.raises(FileExists):
        files.write("a.bin", pieces(CONTENT))
    assert [file.closed for file in spools] == [True]


# What Swift can do.


def test_a_swift_without_large_objects_says_so(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    swift_faults.add("status", path="^/info", status=200, body='{"swift": {}}')
    with pytest.raises(OperationNotSupported, match="'slo' middleware"):
        files.write("a.bin", CONTENT)
    assert not files.exists("a.bin")
    assert seen.entries() == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_swift_that_does_not_tell_what_it_can_do_has_the_defaults(
    files: Storage, seen: Beside, swift_faults: Faults, status: int
) -> None:
    swift_faults.add("status", path="^/info", status=status, times=-1)
    files.write("a.bin", CONTENT)
    assert_whole(files, seen, "a.bin", CONTENT)


def test_a_swift_that_fails_to_tell_is_asked_again(files: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", path="^/info", status=429, times=-1)
    with pytest.raises(SwiftUnavailable):
        files.write("a.bin", CONTENT)
    swift_faults.clear()
    swift_faults.forget()
    files.write("a.bin", CONTENT)
    assert "GET info" in asked(swift_faults)


# Faults before the commit point.


@pytest.fixture(params=["create", "overwrite"])
def write(
    request: pytest.FixtureRequest, files: Storage, seen: Beside
) -> Iterator[Callable[..., Any]]:
    """Write a large file that fails; there is what was before, and nothing else."""
    if request.param == "overwrite":
        files.write("a.bin", OTHER)
    before = seen.entries()
    yield lambda raw=CONTENT, **keywords: files.write("a.bin", raw, overwrite=True, **keywords)
    assert seen.entries() == before
    if request.param == "overwrite":
        assert files.read("a.bin") == OTHER
    else:
        assert not files.exists("a.bin")
    pool = backend_of(files).pool.stats()
    assert (pool.lent, pool.waiting) == (0, 0)


@pytest.mark.parametrize("action", ["status", "after_status", "reset", "after_reset"])
@pytest.mark.parametrize("path", [MARKER, A_SEGMENT, "/000003/"])
def test_a_request_that_fails_for_good_leaves_what_was(
    write: Callable[..., Any], swift_faults: Faults, action: str, path: str
) -> None:
    swift_faults.add(action, method="PUT", path=path, times=-1)
    with pytest.raises(SwiftUnavailable) as caught:
        write()
    swift_faults.clear()
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)


def test_a_segment_that_arrives_corrupted_is_sent_again(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    swift_faults.forget()
    swift_faults.add("corrupt_upload", method="PUT", path="/000002/", offset=100)
    files.write("a.bin", CONTENT)
    assert_whole(files, seen, "a.bin", CONTENT)
    statuses = [r.status for r in swift_faults.requests() if "/000002/" in r.path]
    assert statuses == [422, 201]


def test_a_segment_that_is_stored_wrong_is_not_joined(
    write: Callable[..., Any], swift_faults: Faults
) -> None:
    swift_faults.add("etag", method="PUT", path="/000002/")
    with pytest.raises(FSError) as caught:
        write()
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)


class Broken(Exception):
    """Raised by a source."""


@pytest.mark.parametrize("after", [20_000, 150_000])
def test_a_source_that_breaks_leaves_what_was(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(intake, "HELD", 10_000)

    def broken() -> Iterator[bytes]:
        for at in range(0, after, 10_000):
            yield CONTENT[at : at + 10_000]
        raise Broken

    with pytest.raises(Broken):
        write(broken())


def test_too_many_bytes_that_pass_leave_what_was(
    make_storage: MakeStorage, swift_server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "HELD", 10_000)
    files = make_storage(segment_size=SEGMENT)
    mount = files._mount()
    object.__setattr__(mount.settings, "max_size", 150_000)
    for see in beside(swift_server, files):
        with pytest.raises(FileTooLarge):
            files.write("a.bin", pieces(CONTENT))
        assert not files.exists("a.bin")
        assert see.entries() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Broken])
def test_who_is_interrupted_while_segments_move_leaves_what_was(
    write: Callable[..., Any], error: type[BaseException]
) -> None:
    def interrupt(done: int, _total: int | None) -> None:
        if done > SEGMENT:
            raise error

    with pytest.raises(error):
        write(progress=interrupt)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Broken])
def test_who_is_interrupted_at_the_commit_point_keeps_the_segments(
    files: Storage, seen: Beside, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    container = backend_of(files)._container
    store = container.store

    def stored(*arguments: Any, **keywords: Any) -> Any:
        store(*arguments, **keywords)
        raise error

    monkeypatch.setattr(container, "store", stored)
    with pytest.raises(error):
        files.write("a.bin", CONTENT)
    assert files.read("a.bin") == CONTENT
    assert files.collect_garbage(0) == []
    assert_whole(files, seen, "a.bin", CONTENT)


def test_a_segment_that_is_lost_before_the_manifest_is_missed(
    write: Callable[..., Any], seen: Beside, swift_faults: Faults
) -> None:
    before = set(seen.segments())
    swift_faults.forget()

    def lose(done: int, total: int | None) -> None:
        if done == total:
            lost.extend(set(seen.segments()) - before)
            seen.delete(lost[0])

    lost: list[str] = []
    with pytest.raises(InvalidPart) as caught:
        write(progress=lose)
    assert lost
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)


def test_a_manifest_that_fails_leaves_what_was(
    write: Callable[..., Any], swift_faults: Faults
) -> None:
    swift_faults.add("status", method="PUT", path=A_MANIFEST, status=403)
    with pytest.raises(FSError) as caught:
        write()
    assert caught.value.filename == "a.bin"


def test_a_write_that_cannot_list_removes_what_it_knows(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    swift_faults.add("status", method="PUT", path=A_MANIFEST, status=403)
    swift_faults.add("status", method="GET", path="prefix=", times=-1)
    with pytest.raises(FSError):
        files.write("a.bin", CONTENT)
    swift_faults.clear()
    assert seen.segments() == []
    assert len(seen.markers()) == 1
    assert files.collect_garbage(0) == []
    assert seen.entries() == []


# Faults at the commit point.


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("times", [1, -1])
@pytest.mark.parametrize("action", ["after_status", "after_reset"])
def test_a_manifest_whose_answer_is_lost_was_stored(
    files: Storage,
    seen: Beside,
    swift_faults: Faults,
    action: str,
    times: int,
    overwrite: bool,
) -> None:
    if overwrite:
        files.write("a.bin", OTHER)
    swift_faults.add(action, method="PUT", path=A_MANIFEST, times=times)
    info = files.write("a.bin", CONTENT, overwrite=overwrite, metadata={"k": "v"})
    swift_faults.clear()
    assert info == files.info("a.bin")
    assert_whole(files, seen, "a.bin", CONTENT)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("before", [None, OTHER, b"small"], ids=["none", "large", "small"])
def test_a_manifest_of_unknown_fate_keeps_its_segments(
    files: Storage, seen: Beside, swift_faults: Faults, stored: bool, before: bytes | None
) -> None:
    if before is not None:
        files.write("a.bin", before)
    action = "after_reset" if stored else "reset"
    swift_faults.add(action, method="PUT", path=A_MANIFEST, times=-1)
    swift_faults.add("reset", method="GET|HEAD", path="a.bin", times=-1, skip=1)
    with pytest.raises(SwiftUnavailable) as caught:
        files.write("a.bin", CONTENT, overwrite=True)
    swift_faults.clear()
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", True)
    assert len(seen.markers()) == 1
    found = files.collect_garbage(0)
    if stored:
        assert len(found) == (3 if before == OTHER else 0)
        assert_whole(files, seen, "a.bin", CONTENT)
        return
    assert len(found) == 4
    assert seen.markers() == []
    if before is None:
        assert not files.exists("a.bin")
    else:
        assert files.read("a.bin") == before
    assert len(seen.uploads()) == (before == OTHER)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_token_may_be_revoked_in_the_middle(
    files: Storage, seen: Beside, swift_faults: Faults, at_the_end: bool
) -> None:
    files.write("a.bin", OTHER)
    revoked: list[int] = []
    swift_faults.add("delay", method="PUT", path="/00000[34]/", times=2)

    def revoke(done: int, total: int | None) -> None:
        if not revoked and (done == total or not at_the_end):
            revoked.append(done)
            swift_faults.revoke_tokens()

    files.write("a.bin", CONTENT, overwrite=True, progress=revoke)
    assert revoked
    seen.connection.token = None
    assert_whole(files, seen, "a.bin", CONTENT)


# Faults after the commit point.


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", MARKER), ("GET", "prefix="), ("GET", MARKER), ("DELETE", A_SEGMENT)],
)
@pytest.mark.parametrize("content", [CONTENT, b"small"], ids=["large", "small"])
def test_a_sweep_that_fails_is_left_to_a_collection(
    files: Storage,
    seen: Beside,
    swift_faults: Faults,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    content: bytes,
) -> None:
    files.write("a.bin", OTHER)
    swift_faults.add("status", method=method, path=path, times=-1)
    files.write("a.bin", content, overwrite=True)
    swift_faults.clear()
    assert files.read("a.bin") == content
    if content is not CONTENT and path == MARKER and method == "DELETE":
        return  # It has no marker.
    assert "left for a collection" in caplog.text
    assert [each.filename for each in files.collect_garbage(0)] == ["a.bin"] * 3
    assert len(seen.segments()) == (4 if content is CONTENT else 0)
    assert seen.markers() == []


@pytest.mark.parametrize("transport", ["native", "requests"])
@pytest.mark.parametrize("times", [1, -1])
def test_a_manifest_that_arrives_in_part_is_not_believed(
    make_storage: MakeStorage,
    swift_server: DevServer,
    swift_faults: Faults,
    times: int,
    transport: str,
) -> None:
    files = make_storage(segment_size=SEGMENT, retries=2, transport=transport)
    files.write("a.bin", OTHER)
    swift_faults.add(
        "truncate", method="GET", path="multipart-manifest=get", bytes=100, times=times
    )
    files.write("a.bin", CONTENT, overwrite=True)
    swift_faults.clear()
    assert len(files.collect_garbage(0)) == (0 if times == 1 else 3)
    for see in beside(swift_server, files):
        assert_whole(files, see, "a.bin", CONTENT)


@pytest.mark.parametrize("body", ["", "{}", "[1]", "[{}]", "null", "<html>"])
def test_an_answer_that_is_no_manifest_costs_nothing(
    files: Storage, seen: Beside, swift_faults: Faults, body: str
) -> None:
    files.write("a.bin", OTHER)
    headers = {"X-Static-Large-Object": "True"}
    path = "multipart-manifest=get"
    swift_faults.add(
        "status", method="GET", path=path, status=200, headers=headers, body=body, times=-1
    )
    files.write("a.bin", CONTENT, overwrite=True)
    assert files.collect_garbage(0) == []
    swift_faults.clear()
    assert len(files.collect_garbage(0)) == 3
    assert_whole(files, seen, "a.bin", CONTENT)


# Several at once.


@pytest.mark.parametrize("attempt", range(5))
def test_two_writers_of_one_name_leave_one_whole_object(
    files: Storage, seen: Beside, attempt: int
) -> None:
    del attempt
    contents = [os.urandom(3 * SEGMENT + n) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        writes = [threads.submit(files.write, "a.bin", each, overwrite=True) for each in contents]
        for each in writes:
            each.result()
    found = files.read("a.bin")
    assert found in contents
    assert_whole(files, seen, "a.bin", found)


def test_of_two_creates_the_second_is_told(files: Storage, seen: Beside) -> None:
    def create(content: bytes) -> bool:
        try:
            files.write("a.bin", content)
        except FileExists:
            return False
        return True

    def between(done: int, total: int | None) -> None:
        if done == total and not made:
            made.append(create(OTHER))

    made: list[bool] = []
    with pytest.raises(FileExists):
        files.write("a.bin", CONTENT, progress=between)
    assert made == [True]
    assert_whole(files, seen, "a.bin", OTHER)


# Replaced, deleted, copied.


def test_large_is_replaced_by_large_and_small(files: Storage, seen: Beside) -> None:
    files.write("a.bin", OTHER)
    first = seen.uploads()
    files.write("a.bin", CONTENT, overwrite=True)
    assert_whole(files, seen, "a.bin", CONTENT)
    assert seen.uploads() != first
    files.write("a.bin", b"small", overwrite=True)
    assert files.read("a.bin") == b"small"
    assert not files.info("a.bin").is_manifest
    assert seen.entries() == []
    files.write("a.bin", OTHER, overwrite=True)
    assert_whole(files, seen, "a.bin", OTHER)
    files.delete("a.bin")
    assert not files.exists("a.bin")
    assert seen.entries() == []


def test_names_that_begin_alike_are_others(files: Storage, seen: Beside) -> None:
    names = ["a", "a/b", "a.bin", "\u00fc %41\U0001f600", "x" * 1000]
    for name in names:
        files.write(name, CONTENT)
    for name in names:
        assert files.read(name) == CONTENT
        files.delete(name)
    assert seen.entries() == []


def test_a_copy_is_independent(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT, metadata={"k": "v"}, expires_after=5000, cache_control="no-cache")
    info = files.info("a.bin")
    files.write("b.bin", OTHER)
    files.copy("a.bin", "b.bin", overwrite=True)
    copied = files.info("b.bin")
    assert len(seen.uploads()) == 2
    files.delete("a.bin")
    assert_whole(files, seen, "b.bin", CONTENT)
    assert (copied.metadata, copied.expires) == (info.metadata, info.expires)
    assert (copied.etag, copied.size, copied.is_manifest) == (info.etag, info.size, True)
    assert copied.cache_control == "no-cache"
    [expiry] = {
        seen.connection.head_object(seen.container, name)["x-delete-at"] for name in seen.segments()
    }
    assert info.expires is not None
    assert int(expiry) == info.expires.timestamp()


def test_a_small_copy_replaces_a_large_object(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT)
    files.write("b.bin", b"small")
    files.copy("b.bin", "a.bin", overwrite=True)
    assert files.read("a.bin") == b"small"
    assert seen.entries() == []


def test_a_large_object_moves(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT)
    files.move("a.bin", "b.bin")
    assert not files.exists("a.bin")
    assert_whole(files, seen, "b.bin", CONTENT)
    files.move("b.bin", "b.bin")
    assert_whole(files, seen, "b.bin", CONTENT)


def test_metadata_of_a_large_object_is_set(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT, metadata={"a": "1"})
    files.set_metadata("a.bin", {"b": "2"})
    assert files.info("a.bin").metadata == {"a": "1", "b": "2"}
    assert_whole(files, seen, "a.bin", CONTENT)


def test_what_a_form_brought_replaces_a_large_object(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT)
    files.write("inbox.bin", b"from a form")
    backend_of(files).adopt("inbox.bin", "a.bin", overwrite=True)
    assert files.read("a.bin") == b"from a form"
    assert seen.entries() == []


def test_a_copy_of_what_is_replaced_meanwhile_leaves_what_was(files: Storage, seen: Beside) -> None:
    files.write("a.bin", CONTENT)
    gone = seen.segments()[2]
    files.write("b.bin", OTHER)
    seen.delete(gone)
    before = seen.entries()
    with pytest.raises(ObjectChanged) as caught:
        files.copy("a.bin", "b.bin", overwrite=True)
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)
    assert seen.entries() == before
    assert files.read("b.bin") == OTHER


def test_a_copy_whose_segment_fails_leaves_what_was(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    files.write("a.bin", CONTENT)
    files.write("b.bin", OTHER)
    before = seen.entries()
    for action in ("status", "after_status"):
        swift_faults.add(action, method="COPY", path="/000003/", times=-1)
        with pytest.raises(SwiftUnavailable) as caught:
            files.copy("a.bin", "b.bin", overwrite=True)
        swift_faults.clear()
        assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", False)
        assert seen.entries() == before
        assert files.read("b.bin") == OTHER


def test_a_temporary_url_of_a_large_object_needs_the_key_of_the_account(
    make_storage: MakeStorage, swift_server: DevServer
) -> None:
    """Swift lets a key of a container sign for that one only, and the segments are in another."""
    files = make_storage(segment_size=SEGMENT, temporary_url_key="k" * 32)
    files.write("a.bin", CONTENT)
    url = files.temporary_url("a.bin")
    header = "X-Account-Meta-Temp-URL-Key"
    for see in beside(swift_server, files):
        files.set_temporary_url_key("k" * 32)
        assert requests.get(url, timeout=10).status_code == 409
        see.connection.post_container(files.name, {"X-Container-Meta-Temp-URL-Key": ""})
        try:
            files.set_temporary_url_key("k" * 32, account=True)
            answer = requests.get(url, timeout=10)
        finally:
            see.connection.post_account({header: ""})
        assert (answer.status_code, answer.content) == (200, CONTENT)
