"""Large objects that other programs have stored: read, listed, copied for what they are."""

from __future__ import annotations

import io
import json
import os
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient

from flask_fs_swift import (
    FileNotFound,
    ObjectChanged,
    RangeNotSatisfiable,
    SwiftBackend,
    SwiftUnavailable,
)
from flask_fs_swift.multipart import Multipart

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults

PARTS = [os.urandom(70_000), os.urandom(50_001)]
WHOLE = b"".join(PARTS)


@pytest.fixture
def other_program(swift_server: DevServer, swift_files: Storage) -> Any:
    """A swiftclient of its own, and the container that the storage is in."""
    connection: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    connection.put_container(swift_files.name)
    for number, part in enumerate(PARTS):
        connection.put_object(swift_files.name, f"parts/{number}", part)
    yield connection
    connection.close()


@pytest.fixture(params=["static", "dynamic"])
def large(request: pytest.FixtureRequest, other_program: Any, swift_files: Storage) -> Storage:
    """A storage with a large object called ``large.bin``."""
    container = swift_files.name
    if request.param == "static":
        manifest = json.dumps([{"path": f"{container}/parts/{n}"} for n in range(len(PARTS))])
        other_program.put_object(
            container, "large.bin", manifest, query_string="multipart-manifest=put"
        )
    else:
        headers = {"X-Object-Manifest": f"{container}/parts/"}
        other_program.put_object(container, "large.bin", b"", headers=headers)
    return swift_files


def test_a_large_object_is_read_without_taking_its_etag_for_an_md5(large: Storage) -> None:
    assert large.read("large.bin") == WHOLE
    assert b"".join(large.read_chunks("large.bin", 30_000)) == WHOLE


def test_a_large_object_has_no_checksum(large: Storage) -> None:
    info = large.info("large.bin")
    assert (info.size, info.is_manifest, info.checksum) == (len(WHOLE), True, None)
    assert "checksum" not in large.metadata("large.bin")


def test_a_large_object_that_breaks_is_resumed(large: Storage, swift_faults: Faults) -> None:
    swift_faults.add("truncate", method="GET", path="large.bin", bytes=100_000)
    assert large.read("large.bin") == WHOLE


def test_setting_metadata_keeps_a_large_object_whole(large: Storage) -> None:
    large.set_metadata("large.bin", {"owner": "me"})
    assert large.read("large.bin") == WHOLE
    assert large.info("large.bin").metadata == {"owner": "me"}


def test_a_large_object_is_copied(large: Storage) -> None:
    large.copy("large.bin", "copy.bin")
    assert large.read("copy.bin") == WHOLE


@pytest.mark.parametrize("large", ["static"], indirect=True)
def test_a_listing_knows_static_large_objects(large: Storage) -> None:
    (listed,) = large.list_infos("large.bin")
    described = large.info("large.bin")
    assert (listed.size, listed.etag, listed.is_manifest) == (
        described.size,
        described.etag,
        True,
    )


# Lists of other programs, with all that a list may have.


def put_list(connection: Any, container: str, name: str, *entries: dict[str, Any]) -> None:
    connection.put_object(
        container, name, json.dumps(entries), query_string="multipart-manifest=put"
    )


def ranges(container: str) -> list[dict[str, Any]]:
    return [
        {"path": f"{container}/parts/0", "range": "100-60000"},
        {"path": f"{container}/parts/1"},
    ]


LISTS: dict[str, tuple[bytes, Any]] = {
    "parts of objects": (
        PARTS[0][100:60001] + PARTS[1],
        lambda put, name: put("large.bin", *ranges(name)),
    ),
    "lists": (
        WHOLE + PARTS[0],
        lambda put, name: (
            put("inner", {"path": f"{name}/parts/0"}, {"path": f"{name}/parts/1"}),
            put("large.bin", {"path": f"{name}/inner"}, {"path": f"{name}/parts/0"}),
        ),
    ),
    "parts of lists": (
        WHOLE[500:90_001] + PARTS[0],
        lambda put, name: (
            put("inner", {"path": f"{name}/parts/0"}, {"path": f"{name}/parts/1"}),
            put(
                "large.bin",
                {"path": f"{name}/inner", "range": "500-90000"},
                {"path": f"{name}/parts/0"},
            ),
        ),
    ),
    "lists of parts of objects": (
        PARTS[0][100:60001] + PARTS[1] + PARTS[0],
        lambda put, name: (
            put("inner", *ranges(name)),
            put("large.bin", {"path": f"{name}/inner"}, {"path": f"{name}/parts/0"}),
        ),
    ),
    "bytes": (
        b"begin" + PARTS[0],
        lambda put, name: put("large.bin", {"data": "YmVnaW4="}, {"path": f"{name}/parts/0"}),
    ),
}


@pytest.mark.parametrize("asked", [False, True], ids=["new", "known to have no segments"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_copy_of_what_another_program_made_is_independent(
    other_program: Any, swift_files: Storage, tmp_path: Path, kind: str, asked: bool
) -> None:
    container = swift_files.name
    content, make = LISTS[kind]
    make(partial(put_list, other_program, container), container)
    if asked:
        swift_files.delete("absent")
    swift_files.copy("large.bin", "copy.bin")
    swift_files.download("large.bin", tmp_path / "large.bin")
    for name in ("parts/0", "parts/1", "inner", "large.bin"):
        swift_files.delete(name)
    assert swift_files.read("copy.bin") == content
    assert (tmp_path / "large.bin").read_bytes() == content
    swift_files.delete("copy.bin")
    assert swift_files.collect_garbage(0) == []


def test_segments_of_another_container_are_copied_and_left(
    other_program: Any, swift_files: Storage
) -> None:
    other = f"{swift_files.name}-other"
    other_program.put_container(other)
    other_program.put_object(other, "a b", PARTS[0])
    put_list(other_program, swift_files.name, "large.bin", {"path": f"{other}/a b"})
    swift_files.copy("large.bin", "copy.bin")
    swift_files.delete("large.bin")
    assert other_program.get_object(other, "a b")[1] == PARTS[0]
    other_program.delete_object(other, "a b")
    assert swift_files.read("copy.bin") == PARTS[0]


# Read where one likes.


@pytest.fixture
def in_parts(swift_files: Storage) -> Storage:
    """A storage whose ``large.bin`` is of two segments of ours."""
    store_in_parts(swift_files, PARTS)
    return swift_files


def store_in_parts(files: Storage, parts: list[bytes]) -> None:
    upload = files.start_upload("large.bin", overwrite=True)
    for number, part in enumerate(parts, 1):
        upload.put_part(number, part)
    upload.complete()


def test_a_large_object_is_a_file_that_seeks(in_parts: Storage) -> None:
    joint = len(PARTS[0])
    with in_parts.open("large.bin", "rb") as file:
        for start in (joint - 10, 0, joint, len(WHOLE) - 5, joint - 1):
            assert file.seek(start) == start
            assert file.read(20) == WHOLE[start : start + 20]
        assert file.seek(-7, os.SEEK_END) == len(WHOLE) - 7
        assert file.read() == WHOLE[-7:]
        assert file.read(1) == b""


def test_some_bytes_of_a_large_object(in_parts: Storage) -> None:
    joint = len(PARTS[0])
    wanted = [(joint - 1, joint + 1), (0, 1), (len(WHOLE) - 1, None), (joint, None), (5, 5)]
    expected = [WHOLE[start:end] for start, end in wanted]
    assert in_parts.read_ranges("large.bin", wanted[:4]) == expected[:4]
    for (start, end), content in zip(wanted[:4], expected, strict=False):
        assert in_parts.read("large.bin", start=start, end=end) == content
        assert b"".join(in_parts.read_chunks("large.bin", 1000, start=start, end=end)) == content
    with pytest.raises(RangeNotSatisfiable) as raised:
        in_parts.read("large.bin", start=len(WHOLE))
    assert raised.value.size == len(WHOLE)


def test_one_member_of_a_large_archive_takes_a_few_requests(
    swift_files: Storage, swift_faults: Faults
) -> None:
    members = {f"{number}.bin": os.urandom(500_000) for number in range(8)}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    content = archive.getvalue()
    starts = range(0, len(content), 700_001)
    store_in_parts(swift_files, [content[at : at + 700_001] for at in starts])
    swift_faults.forget()
    with zipfile.ZipFile(swift_files.open("large.bin", "rb")) as zipped:
        assert zipped.read("5.bin") == members["5.bin"]
    assert len(swift_faults.requests()) <= 8


@pytest.mark.parametrize("by", ["large", "same size", "plain", "nothing"])
@pytest.mark.parametrize("read", ["file", "ranges", "stream"])
def test_two_versions_of_a_large_object_are_never_mixed(
    in_parts: Storage, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch, by: str, read: str
) -> None:
    parts = [os.urandom(600_000), os.urandom(600_001)]
    store_in_parts(in_parts, parts)

    def change() -> None:
        if by == "nothing":
            in_parts.delete("large.bin")
        elif by == "plain":
            in_parts.write("large.bin", WHOLE, overwrite=True)
        else:
            store_in_parts(in_parts, parts[::-1] if by == "same size" else PARTS)

    gone = FileNotFound if by == "nothing" else ObjectChanged
    if read == "file":
        with in_parts.open("large.bin", "rb") as file:
            assert file.read(10) == parts[0][:10]
            change()
            file.seek(700_000)
            with pytest.raises(gone):
                file.read(10)
    elif read == "ranges":
        backend = in_parts._mount().backend
        get = backend.get

        def get_and_change(*wanted: Any) -> Any:
            monkeypatch.setattr(backend, "get", get)
            stream = get(*wanted)
            change()
            return stream

        monkeypatch.setattr(backend, "get", get_and_change)
        with pytest.raises(gone):
            in_parts.read_ranges("large.bin", [(0, 10), (1_000_000, 1_000_010)])
    else:
        swift_faults.add("truncate", method="GET", path="large.bin$", bytes=500_000)
        with in_parts.read_chunks("large.bin", 100_000) as stream:
            next(stream)
            change()
            with pytest.raises(ObjectChanged):
                stream.read()


# A large write that fails before its commit point.


@pytest.mark.parametrize("fault", ["status", "after_status", "after_reset"])
@pytest.mark.parametrize("path", ["_segments/uploads/", "/000002/", "/manifest/"])
def test_a_failed_step_is_no_doubt_about_the_object(
    make_storage: MakeStorage, swift_faults: Faults, fault: Any, path: str
) -> None:
    """What it tells of is the object, which was left alone; what was stored for it is gone."""
    files = make_storage(retries=0, segment_size=10_000, segment_concurrency=1)
    files.write("large.bin", b"old")
    multipart = files._mount().backend.multipart
    assert isinstance(multipart, Multipart)
    multipart.limit = lambda: 4  # type: ignore[method-assign]
    swift_faults.add(fault, method="PUT", path=path)
    with pytest.raises(SwiftUnavailable) as raised:
        files.write("large.bin", WHOLE, overwrite=True)
    assert (raised.value.filename, raised.value.maybe_applied) == ("large.bin", False)
    swift_faults.clear()
    assert files.read("large.bin") == b"old"
    assert list(multipart._segments.objects.pages()) == []


def test_a_copy_is_of_one_version(in_parts: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its headers and its segments come from two requests."""
    backend = in_parts._mount().backend
    assert isinstance(backend, SwiftBackend)
    container = backend._container
    ask = container.headers

    def ask_before_a_change(*asked: Any, **how: Any) -> Any:
        monkeypatch.setattr(container, "headers", ask)
        headers = ask(*asked, **how)
        store_in_parts(in_parts, PARTS[::-1])
        return headers

    monkeypatch.setattr(container, "headers", ask_before_a_change)
    with pytest.raises(ObjectChanged) as raised:
        in_parts.copy("large.bin", "copy.bin")
    assert raised.value.filename == "large.bin"
    assert not in_parts.exists("copy.bin")


def test_a_copy_tells_which_file_has_changed(in_parts: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", method="COPY", path="_segments/", status=412)
    with pytest.raises(ObjectChanged) as raised:
        in_parts.copy("large.bin", "copy.bin")
    assert (raised.value.filename, raised.value.maybe_applied) == ("large.bin", False)
    assert not in_parts.exists("copy.bin")
    assert in_parts.collect_garbage(older_than=0) == []
