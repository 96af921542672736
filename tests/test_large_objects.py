"""Large objects that other programs have stored: read, listed, copied for what they are."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient

if TYPE_CHECKING:
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
