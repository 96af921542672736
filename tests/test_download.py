"""From the storage into a file of this machine: all of it, or nothing."""

from __future__ import annotations

import base64
import errno
import json
import os
import random
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient
from situations.hubs import below_a_hub, everywhere

from flask_fs_swift import (
    ETagMismatchError,
    FileExists,
    FileNotFound,
    InvalidName,
    ObjectChanged,
    ObjectStream,
    Storage,
    StreamBroken,
)
from flask_fs_swift.blocks import BLOCK
from flask_fs_swift.fetching import RANGE
from flask_fs_swift.hashing import md5_of
from flask_fs_swift.newfile import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeStorage
    from situations.hubs import RunIn

    from flask_fs_swift import Event, ObjectInfo
    from flask_fs_swift.devserver import DevServer, Faults

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(3 * MIB)
#: In ranges of a quarter of MiB, when ``small_ranges`` are in use.
SMALL = MIB // 4
#: Bytes of a part, no multiple of a range or a block.
PART = 900_001


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("flask_fs_swift.fetching.RANGE", SMALL)
    return SMALL


@pytest.fixture
def on_swift(make_storage: MakeStorage) -> Storage:
    files = make_storage(create_container=True)
    files.write("a.bin", CONTENT)
    return files


def assert_nothing_is_left(files: Storage, folder: Path, *names: str) -> None:
    """Check that a folder has these files only, and that nothing runs or is lent."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert [each for each in threading.enumerate() if each.name == "flask-fs-swift"] == []
    pool = getattr(files._mount().backend, "pool", None)
    assert pool is None or pool.stats().lent == 0


# All of it.


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    "size",
    [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 5 * SMALL, 5 * SMALL + 1, len(CONTENT)],
)
@pytest.mark.usefixtures("small_ranges")
def test_a_file_of_any_size_arrives(
    files: Storage, tmp_path: Path, size: int, concurrency: int
) -> None:
    stored = files.write("a.bin", CONTENT[:size])
    info = files.download("a.bin", tmp_path / "a", concurrency=concurrency)
    assert (tmp_path / "a").read_bytes() == CONTENT[:size]
    assert (info.name, info.size, info.etag) == ("a.bin", size, stored.etag)
    assert_nothing_is_left(files, tmp_path, "a")


@everywhere
def test_fifty_megabytes_arrive(on_swift: Storage, tmp_path: Path, run_in: RunIn) -> None:
    content = random.Random(6).randbytes(50_000_000)
    on_swift.write("large", content)
    run_in(lambda: on_swift.download("large", str(tmp_path / "a")))
    assert (tmp_path / "a").read_bytes() == content
    assert_nothing_is_left(on_swift, tmp_path, "a")


@pytest.mark.parametrize(("size", "requests"), [(RANGE, 1), (RANGE + 1, 2), (2 * RANGE, 2)])
def test_each_range_is_one_request_of_the_same_version(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path, size: int, requests: int
) -> None:
    on_swift.write("a.bin", bytes(size), overwrite=True)
    swift_faults.forget()
    on_swift.download("a.bin", tmp_path / "a")
    assert [asked.method for asked in swift_faults.requests()] == ["GET"] * requests


@pytest.mark.usefixtures("small_ranges")
def test_never_more_requests_run_than_there_are_connections(
    make_storage: MakeStorage, tmp_path: Path
) -> None:
    files = make_storage(create_container=True, pool_size=2, pool_timeout=0.001)
    files.write("a.bin", CONTENT)
    files.download("a.bin", tmp_path / "a", concurrency=8)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_gets_the_permissions_that_any_other_gets(files: Storage, tmp_path: Path) -> None:
    files.write("a.bin", b"content")
    (tmp_path / "usual").touch()
    files.download("a.bin", tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "a").chmod(0o640)
    files.download("a.bin", tmp_path / "a", overwrite=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_file_is_its_owners_alone_while_it_is_filled(files: Storage, tmp_path: Path) -> None:
    files.write("a.bin", b"content")
    seen: list[tuple[str, int]] = []

    def look(_done: int, _total: int | None) -> None:
        seen.extend((each.name[:4], each.stat().st_mode & 0o777) for each in tmp_path.iterdir())

    files.download("a.bin", tmp_path / "a", progress=look)
    assert set(seen) == {(".fs-", 0o600)}


def test_a_download_is_an_event(make_storage: MakeStorage, tmp_path: Path) -> None:
    events: list[Event] = []
    files = make_storage(create_container=True, on_event=events.append)
    files.write("a.bin", CONTENT)
    files.download("a.bin", tmp_path / "a")
    with pytest.raises(FileExists):
        files.download("a.bin", tmp_path / "a")
    told = [(event.bytes, event.outcome) for event in events if event.operation == "download"]
    assert told == [(len(CONTENT), "ok"), (0, "FileExists")]


# Large objects, and those of no known size.


@pytest.fixture(params=["static", "dynamic"])
def large(
    request: pytest.FixtureRequest, swift_server: DevServer, on_swift: Storage
) -> tuple[Storage, Any]:
    other: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    for number, at in enumerate(range(0, len(CONTENT), MIB)):
        other.put_object(on_swift.name, f"parts/{number}", CONTENT[at : at + MIB])
    if request.param == "static":
        manifest = json.dumps([{"path": f"{on_swift.name}/parts/{n}"} for n in range(3)])
        query = "multipart-manifest=put"
        other.put_object(on_swift.name, "large", manifest, query_string=query)
    else:
        headers = {"X-Object-Manifest": f"{on_swift.name}/parts/"}
        other.put_object(on_swift.name, "large", b"", headers=headers)
    other.close()
    return on_swift, request.param


@pytest.mark.usefixtures("small_ranges")
def test_a_large_object_arrives(large: tuple[Storage, str], tmp_path: Path) -> None:
    files, _ = large
    info = files.download("large", tmp_path / "a")
    assert (info.is_manifest, info.size) == (True, len(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.fixture
def in_parts(make_storage: MakeStorage) -> Storage:
    """A storage whose ``large`` is of four segments that end in the midst of small ranges."""
    files = make_storage(create_container=True)
    upload = files.start_upload("large")
    for number, at in enumerate(range(0, len(CONTENT), PART), 1):
        upload.put_part(number, CONTENT[at : at + PART])
    upload.complete()
    return files


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("skip", [0, 3, 11])
@pytest.mark.usefixtures("small_ranges")
def test_a_byte_of_a_segment_that_is_wrong_is_an_error(
    in_parts: Storage, swift_faults: Faults, tmp_path: Path, skip: int, concurrency: int
) -> None:
    """Each segment is held against the manifest, whichever ranges it came in."""
    swift_faults.add("corrupt", method="GET", path="/large$", offset=100, skip=skip)
    with pytest.raises(ETagMismatchError) as raised:
        in_parts.download("large", tmp_path / "a", concurrency=concurrency)
    assert raised.value.expected in {
        md5_of(CONTENT[at : at + PART]) for at in range(0, len(CONTENT), PART)
    }
    assert_nothing_is_left(in_parts, tmp_path)
    in_parts.download("large", tmp_path / "a", concurrency=concurrency)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_large_object_that_comes_by_one_request_is_verified(
    in_parts: Storage, swift_faults: Faults, tmp_path: Path
) -> None:
    swift_faults.add("corrupt", method="GET", path="/large$", offset=len(CONTENT) - 1)
    with pytest.raises(ETagMismatchError) as raised:
        in_parts.download("large", tmp_path / "a")
    assert raised.value.expected == md5_of(CONTENT[len(CONTENT) // PART * PART :])
    assert_nothing_is_left(in_parts, tmp_path)


@pytest.mark.parametrize("size", [RANGE - 1, RANGE, RANGE + 1, 2 * RANGE, 2 * RANGE + 1])
def test_large_objects_around_the_length_of_a_range(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path, size: int
) -> None:
    content = random.Random(size).randbytes(size)
    half = size // 2 + 1000
    upload = on_swift.start_upload("large")
    for number, part in enumerate((content[:half], content[half:]), 1):
        upload.put_part(number, part)
    upload.complete()
    swift_faults.forget()
    told: list[int] = []
    on_swift.download("large", tmp_path / "a", progress=lambda done, _: told.append(done))
    assert (tmp_path / "a").read_bytes() == content
    assert told[-1] == size
    asked = [request for request in swift_faults.requests() if request.method == "GET"]
    assert len([each for each in asked if not each.query]) == -(-size // RANGE)
    assert_nothing_is_left(on_swift, tmp_path, "a")
    swift_faults.add("corrupt", method="GET", path="/large$", offset=half % RANGE - 1)
    with pytest.raises(ETagMismatchError):
        on_swift.download("large", tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("ranges", [1, 12])
@pytest.mark.parametrize("when", ["before the list", "after the list"])
@pytest.mark.parametrize("change", ["large", "plain", "delete"])
def test_a_large_object_that_changes_meanwhile_is_an_error(
    in_parts: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    when: str,
    ranges: int,
) -> None:
    """One that comes by one request is still one version, once it is known how to verify it."""
    (tmp_path / "a").write_text("before")
    backend = in_parts._mount().backend
    if ranges > 1:
        monkeypatch.setattr("flask_fs_swift.fetching.RANGE", len(CONTENT) // ranges)
    checksums = backend.checksums

    def change_it() -> None:
        if change == "delete":
            in_parts.delete("large")
        elif change == "plain":
            in_parts.write("large", CONTENT[::-1], overwrite=True)
        else:
            upload = in_parts.start_upload("large", overwrite=True)
            upload.put_part(1, CONTENT[::-1])
            upload.complete()

    def checksums_beside_a_change(info: ObjectInfo) -> Any:
        if when == "before the list":
            change_it()
            return checksums(info)
        sums = checksums(info)
        change_it()
        return sums

    monkeypatch.setattr(backend, "checksums", checksums_beside_a_change)
    if (ranges, when) == (1, "after the list"):
        in_parts.download("large", tmp_path / "a", overwrite=True)
        assert (tmp_path / "a").read_bytes() == CONTENT
        return
    with pytest.raises(ObjectChanged):
        in_parts.download("large", tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_text() == "before"
    assert_nothing_is_left(in_parts, tmp_path, "a")


def put_manifest(other: Any, container: str, name: str, entries: list[dict[str, Any]]) -> None:
    query = "multipart-manifest=put"
    other.put_object(container, name, json.dumps(entries), query_string=query)


@pytest.fixture
def other_program(swift_server: DevServer, on_swift: Storage) -> Iterator[Any]:
    """A swiftclient of its own; the container has ``parts/0`` to ``parts/2``."""
    other: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    for number, at in enumerate(range(0, len(CONTENT), MIB)):
        other.put_object(on_swift.name, f"parts/{number}", CONTENT[at : at + MIB])
    yield other
    other.close()


@pytest.mark.usefixtures("small_ranges")
def test_lists_in_lists_of_other_programs_are_verified(
    on_swift: Storage, other_program: Any, swift_faults: Faults, tmp_path: Path
) -> None:
    container = on_swift.name
    inner = [{"path": f"/{container}/parts/{number}"} for number in (1, 2)]
    put_manifest(other_program, container, "inner", inner)
    outer = [{"path": f"/{container}/parts/0"}, {"path": f"/{container}/inner"}]
    put_manifest(other_program, container, "large", outer)
    on_swift.download("large", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    swift_faults.add("corrupt", method="GET", path="/large$", offset=100, skip=9)
    with pytest.raises(ETagMismatchError) as raised:
        on_swift.download("large", tmp_path / "b")
    assert raised.value.expected == md5_of(CONTENT[2 * MIB :])
    assert_nothing_is_left(on_swift, tmp_path, "a")


@pytest.mark.usefixtures("small_ranges")
def test_lists_of_parts_of_objects_arrive(
    on_swift: Storage, other_program: Any, tmp_path: Path
) -> None:
    container = on_swift.name
    entries = [
        {"path": f"/{container}/parts/0", "range": "100-299999"},
        {"path": f"/{container}/parts/1", "range": "-500000"},
        {"path": f"/{container}/parts/2"},
    ]
    put_manifest(other_program, container, "large", entries)
    put_manifest(other_program, container, "outer", [{"path": f"/{container}/large"}])
    both = [{"path": f"/{container}/parts/{number}"} for number in (0, 1)]
    put_manifest(other_program, container, "both", both)
    some = [{"path": f"/{container}/both", "range": "10-1399999"}]
    put_manifest(other_program, container, "some", some)
    put_manifest(other_program, container, "outermost", [{"path": f"/{container}/some"}])
    joined = CONTENT[100:300_000] + CONTENT[2 * MIB - 500_000 :]
    on_swift.start_upload("other").abort()  # There are segments: a copy looks at its source.
    for name in ("large", "outer", "some", "outermost"):
        expected = joined if name in {"large", "outer"} else CONTENT[10:1_400_000]
        on_swift.download(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == expected
        on_swift.copy(name, "copy", overwrite=True)
        assert on_swift.read("copy") == expected


@pytest.mark.usefixtures("small_ranges")
def test_lists_with_bytes_of_their_own_are_verified(
    on_swift: Storage, other_program: Any, swift_faults: Faults, tmp_path: Path
) -> None:
    container = on_swift.name
    entries = [
        {"data": base64.b64encode(b"head").decode()},
        {"path": f"/{container}/parts/0"},
    ]
    put_manifest(other_program, container, "large", entries)
    expected = b"head" + CONTENT[:MIB]
    on_swift.download("large", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == expected
    swift_faults.add("corrupt", method="GET", path="/large$", offset=1)
    with pytest.raises(ETagMismatchError) as raised:
        on_swift.download("large", tmp_path / "b")
    assert raised.value.expected == md5_of(b"head")
    on_swift.start_upload("other").abort()  # There are segments: the next verbs look for some.
    on_swift.copy("large", "copy")
    assert on_swift.read("copy") == expected
    on_swift.write("large", b"plain", overwrite=True)
    on_swift.delete("copy")


def test_an_object_of_no_known_size_arrives(
    on_swift: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = on_swift._mount().backend
    get = backend.get

    def get_unmeasured(name: str, *_: object) -> ObjectStream:
        stream = get(name, BLOCK)
        info = stream.info
        object.__setattr__(info, "size", None)
        stream.info = info
        stream._size = None
        return stream

    monkeypatch.setattr(backend, "get", get_unmeasured)
    told: list[tuple[int, int | None]] = []
    on_swift.download("a.bin", tmp_path / "a", progress=lambda *each: told.append(each))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert told == [(n * MIB, None) for n in (1, 2, 3)]


# Or nothing.


def test_what_is_there_is_not_replaced_and_nothing_is_asked(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("mine")
    swift_faults.forget()
    with pytest.raises(FileExists) as raised:
        on_swift.download("a.bin", tmp_path / "a")
    assert raised.value.filename == str(tmp_path / "a")
    assert swift_faults.requests() == []
    assert (tmp_path / "a").read_text() == "mine"
    on_swift.download("a.bin", tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert_nothing_is_left(on_swift, tmp_path, "a")


@pytest.mark.parametrize("has_links", [True, False])
def test_what_appears_meanwhile_is_not_replaced(
    files: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    files.write("a.bin", CONTENT)
    monkeypatch.setattr("flask_fs_swift.newfile.check_free", lambda *_, **__: None)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    (tmp_path / "a").write_text("theirs")
    with pytest.raises(FileExists):
        files.download("a.bin", tmp_path / "a")
    assert (tmp_path / "a").read_text() == "theirs"
    assert_nothing_is_left(files, tmp_path, "a")


def refuse_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def fail(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_file_system_needs_no_links(
    files: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("a.bin", CONTENT)
    monkeypatch.setattr(os, "link", refuse_links)
    files.download("a.bin", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert_nothing_is_left(files, tmp_path, "a")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_leaves_the_file_that_its_parent_fills(tmp_path: Path) -> None:
    """It has a copy of the greenlet that fills it, which ends there as if it had been killed."""
    filling = new_file(tmp_path / "a", overwrite=False)
    filling.__enter__().write_at(0, memoryview(b"content"))
    pid = os.fork()
    if not pid:
        try:
            filling.__exit__(SystemExit, SystemExit(), None)
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    filling.__exit__(None, None, None)
    assert (tmp_path / "a").read_bytes() == b"content"


@pytest.mark.parametrize("link", [refuse_links, fail])
def test_a_name_that_is_not_given_is_not_taken(
    files: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    link: object,
) -> None:
    files.write("a.bin", CONTENT)
    monkeypatch.setattr(os, "link", link)
    if link is refuse_links:
        monkeypatch.setattr(type(tmp_path), "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        files.download("a.bin", tmp_path / "a")
    assert_nothing_is_left(files, tmp_path)


def test_a_symbolic_link_is_replaced_and_not_followed(files: Storage, tmp_path: Path) -> None:
    files.write("a.bin", CONTENT)
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "a").symlink_to(tmp_path / "theirs")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(FileExists):
            files.download("a.bin", tmp_path / name)
    files.download("a.bin", tmp_path / "a", overwrite=True)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_file_is_never_replaced(files: Storage, tmp_path: Path, overwrite: bool) -> None:
    files.write("a.bin", CONTENT)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", os.devnull, "/", tmp_path):
        with pytest.raises(FileExists):
            files.download("a.bin", path, overwrite=overwrite)
    assert_nothing_is_left(files, tmp_path, "pipe", "folder")


def test_an_absent_file_or_folder_leaves_nothing(files: Storage, tmp_path: Path) -> None:
    files.write("a.bin", CONTENT)
    with pytest.raises(FileNotFound):
        files.download("absent", tmp_path / "a")
    with pytest.raises(FileNotFoundError) as raised:
        files.download("a.bin", tmp_path / "absent" / "a")
    assert not isinstance(raised.value, FileNotFound)
    assert_nothing_is_left(files, tmp_path)


def test_what_cannot_be_asked_is_refused_first(files: Storage, tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        files.download("a/../b", tmp_path / "a")
    with pytest.raises(ValueError, match="at least 1"):
        files.download("a", tmp_path / "a", concurrency=0)


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("change", ["replace", "delete"])
@pytest.mark.usefixtures("small_ranges")
def test_a_file_that_changes_meanwhile_is_an_error(
    on_swift: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    concurrency: int,
) -> None:
    (tmp_path / "a").write_text("before")
    backend = on_swift._mount().backend
    get = backend.get
    asked: list[object] = []

    def get_and_change(*wanted: Any) -> ObjectStream:
        asked.append(wanted)
        stream = get(*wanted)
        if len(asked) == 1 and change == "replace":
            on_swift.write("a.bin", CONTENT[::-1], overwrite=True)
        elif len(asked) == 1:
            on_swift.delete("a.bin")
        return stream

    monkeypatch.setattr(backend, "get", get_and_change)
    with pytest.raises(ObjectChanged):
        on_swift.download("a.bin", tmp_path / "a", overwrite=True, concurrency=concurrency)
    assert len(asked) <= 1 + concurrency
    assert (tmp_path / "a").read_text() == "before"
    assert_nothing_is_left(on_swift, tmp_path, "a")


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("size", [SMALL, len(CONTENT)])
@pytest.mark.usefixtures("small_ranges")
def test_a_byte_that_is_wrong_is_an_error(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path, skip: int, size: int
) -> None:
    stored = on_swift.write("a.bin", CONTENT[:size], overwrite=True)
    swift_faults.add("corrupt", method="GET", offset=100, skip=min(skip, size // SMALL - 1))
    with pytest.raises(ETagMismatchError) as raised:
        on_swift.download("a.bin", tmp_path / "a")
    assert raised.value.expected == stored.etag
    assert_nothing_is_left(on_swift, tmp_path)


@pytest.mark.usefixtures("small_ranges")
def test_a_transfer_that_breaks_goes_on_where_it_broke(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path
) -> None:
    swift_faults.add("truncate", method="GET", bytes=100_000, times=3)
    swift_faults.add("reset_body", method="GET", bytes=200_000, times=2)
    on_swift.download("a.bin", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.usefixtures("small_ranges")
def test_a_transfer_that_stays_broken_leaves_nothing(
    make_storage: MakeStorage, swift_faults: Faults, tmp_path: Path
) -> None:
    files = make_storage(create_container=True, retries=1)
    files.write("a.bin", CONTENT)
    swift_faults.add("truncate", method="GET", bytes=0, times=-1)
    with pytest.raises(StreamBroken):
        files.download("a.bin", tmp_path / "a")
    assert_nothing_is_left(files, tmp_path)


@everywhere
@pytest.mark.usefixtures("small_ranges")
def test_a_disk_that_is_full_is_an_error_that_leaves_nothing(
    on_swift: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_in: RunIn
) -> None:
    pwrite = os.pwrite

    def write_a_little(fileno: int, block: memoryview, position: int) -> int:
        if position + len(block) > MIB:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fileno, block[:50_000], position)

    def download() -> None:
        with pytest.raises(OSError, match="No space left") as raised:
            on_swift.download("a.bin", tmp_path / "a")
        assert raised.value.errno == errno.ENOSPC

    monkeypatch.setattr(os, "pwrite", write_a_little)
    run_in(download)
    assert_nothing_is_left(on_swift, tmp_path)


def test_a_real_disk_that_is_full(on_swift: Storage, tmp_path: Path) -> None:
    if os.geteuid() or os.system(f"mount -t tmpfs -o size=1m none {tmp_path}"):
        pytest.skip("only root mounts a disk that is full soon")
    try:
        with pytest.raises(OSError, match="No space left"):
            on_swift.download("a.bin", tmp_path / "a")
        assert_nothing_is_left(on_swift, tmp_path)
    finally:
        os.system(f"umount {tmp_path}")


@everywhere
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, ZeroDivisionError])
@pytest.mark.usefixtures("small_ranges")
def test_an_interruption_leaves_nothing(
    on_swift: Storage,
    tmp_path: Path,
    run_in: RunIn,
    kind: type[BaseException],
    concurrency: int,
) -> None:
    def interrupt(_done: int, _total: int | None) -> None:
        raise kind

    def download() -> None:
        with pytest.raises(kind):
            on_swift.download("a.bin", tmp_path / "a", progress=interrupt, concurrency=concurrency)

    run_in(download)
    assert_nothing_is_left(on_swift, tmp_path)


def test_a_killed_greenlet_leaves_nothing(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path
) -> None:
    on_swift.write("large", bytes(2 * RANGE))
    swift_faults.add("stall", method="GET", skip=1, bytes=1000, seconds=1)

    def task() -> None:
        import gevent

        def download() -> None:
            on_swift.download("large", tmp_path / "a")

        downloading = gevent.spawn(download)
        while len(swift_faults.requests()) < 2:
            gevent.sleep(0.01)
        downloading.kill()
        assert isinstance(downloading.value, gevent.GreenletExit)

    swift_faults.forget()
    below_a_hub(task)
    assert_nothing_is_left(on_swift, tmp_path)


# Progress.


@everywhere
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("size", [0, 1, SMALL, len(CONTENT)])
@pytest.mark.usefixtures("small_ranges")
def test_progress_only_grows_up_to_the_end(
    files: Storage, tmp_path: Path, run_in: RunIn, concurrency: int, size: int
) -> None:
    files.write("a.bin", CONTENT[:size])
    told: list[tuple[int, int | None]] = []
    threads: set[int] = set()

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())
        assert not (tmp_path / "a").exists()

    def download() -> None:
        files.download("a.bin", tmp_path / "a", progress=tell, concurrency=concurrency)
        assert threads == {threading.get_ident()}

    run_in(download)
    assert told == sorted(set(told))
    assert {total for _, total in told} == {size}
    assert told[-1] == (size, size)


def test_progress_is_told_while_ranges_are_on_their_way(
    on_swift: Storage, swift_faults: Faults, tmp_path: Path
) -> None:
    on_swift.write("large", bytes(RANGE + 1))
    swift_faults.add("stall", method="GET", bytes=5 * MIB, seconds=1)
    told: list[int] = []
    on_swift.download("large", tmp_path / "a", progress=lambda done, _: told.append(done))
    assert any(1 < done < RANGE for done in told), told
