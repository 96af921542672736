"""Large objects that other programs have stored: read, listed, copied for what they are."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient

if TYPE_CHECKING:
    from pathlib import Path

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
    assert swift_files.info("copy.bin").is_manifest
