"""A container as other programs see it, and as its owner limits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import swiftclient
from flask import Flask

from flask_fs_swift import ALL, FS, Forbidden, QuotaExceeded, Storage
from flask_fs_swift.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISPOSITION = "attachment; filename*=UTF-8''%e2%82%ac%20rates.txt"


@pytest.fixture
def other_program(swift_server: DevServer) -> Iterator[Any]:
    """A swiftclient of its own."""
    connection: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    yield connection
    connection.close()


def raw_headers(connection: Any, container: str, name: str) -> dict[str, str]:
    connection.head_object(container, name)
    return dict(connection.http_conn[1].resp.headers)


def test_other_programs_see_what_was_given(swift_files: Storage, other_program: Any) -> None:
    swift_files.write(
        "a.txt",
        b"content",
        metadata={"Owner": "50% Grüße "},
        cache_control="max-age=3600",
        content_disposition=DISPOSITION,
    )
    seen = other_program.head_object(swift_files.name, "a.txt")
    assert seen["x-object-meta-owner"] == "50% Grüße "
    headers = raw_headers(other_program, swift_files.name, "a.txt")
    assert headers["Cache-Control"] == "max-age=3600"
    assert headers["Content-Disposition"] == DISPOSITION


def test_setting_metadata_changes_no_header(swift_files: Storage, other_program: Any) -> None:
    container = swift_files.name
    swift_files.write("a.txt", b"content")
    headers = {
        "Content-Disposition": DISPOSITION,
        "Content-Encoding": "identity",
        "Content-Language": "de",
        "Cache-Control": "no-store",
        "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "X-Delete-At": "2000000000",
        "X-Object-Meta-Old": "%25 \xc3\xbc",
    }
    other_program.post_object(container, "a.txt", headers)
    before = raw_headers(other_program, container, "a.txt")
    swift_files.set_metadata("a.txt", {"new": "x"})
    after = raw_headers(other_program, container, "a.txt")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    moving = {"Date", "Last-Modified", "X-Timestamp", "X-Trans-Id", "X-Openstack-Request-Id"}
    assert changed - moving == {"X-Object-Meta-New"}


def test_what_other_programs_store_is_read(swift_files: Storage, other_program: Any) -> None:
    other_program.put_container(swift_files.name)
    other_program.put_object(
        swift_files.name, "ü.txt", b"theirs", headers={"X-Object-Meta-Who": "Zoë"}
    )
    assert swift_files.read("ü.txt") == b"theirs"
    assert swift_files.info("ü.txt").metadata == {"who": "Zoë"}


def test_compressed_content_stays_compressed(swift_files: Storage, other_program: Any) -> None:
    """What was stored with a Content-Encoding is neither decoded nor found corrupt."""
    other_program.put_container(swift_files.name)
    packed = b"\x1f\x8b these bytes only begin like gzip"
    other_program.put_object(swift_files.name, "a.gz", packed, headers={"Content-Encoding": "gzip"})
    assert swift_files.read("a.gz") == packed


def test_a_quota_is_said_to_be_exceeded(swift_files: Storage, other_program: Any) -> None:
    quota = {"X-Container-Meta-Quota-Bytes": "1000"}
    other_program.put_container(swift_files.name, headers=quota)
    swift_files.write("small.bin", bytes(1000))
    with pytest.raises(QuotaExceeded) as caught:
        swift_files.write("large.bin", bytes(1001))
    assert caught.value.http_status == 413
    assert not swift_files.exists("large.bin")


def test_who_may_not_is_told_so(swift_files: Storage, swift_settings: dict[str, Any]) -> None:
    """The development Swift's third tester is in the account and has no rights."""
    swift_files.write("a.txt", b"content")
    app = Flask("stranger")
    app.config.update(
        swift_settings, FS_SWIFT_USER="test:tester3", FS_SWIFT_KEY="testing3",
        FS_SWIFT_CREATE_CONTAINER=False,
    )  # fmt: skip
    storage = Storage(swift_files.name, ALL)
    fs = FS(app, storage)
    stranger = storage.bound(app)
    for verb in (stranger.read, stranger.exists, stranger.delete, stranger.info):
        with pytest.raises(Forbidden) as caught:
            verb("a.txt")
        assert caught.value.filename == "a.txt"
    with pytest.raises(Forbidden):
        list(stranger.list_files())
    fs.close(app)


def test_a_server_with_short_pages_is_listed_to_the_end(tmp_path: Path) -> None:
    limit = {"constraints.container_listing_limit": "7"}
    with DevServer.start(tmp_path / "swift", settings=limit) as server:
        app = Flask("tests")
        app.config.update(
            FS_SWIFT_AUTHURL=server.auth_url,
            FS_SWIFT_USER=server.user,
            FS_SWIFT_KEY=server.key,
            FS_SWIFT_AUTH_VERSION=1,
            FS_SWIFT_CREATE_CONTAINER=True,
        )
        storage = Storage("files", ALL)
        fs = FS(app, storage)
        files = storage.bound(app)
        names = [f"{number:02d}/a" for number in range(7 * 3)]
        for name in names:
            files.write(name, b"")
        server.faults.forget()
        assert list(files.list_files()) == names
        assert [request.status for request in server.faults.requests()] == [412, *[200] * 4]
        assert list(files.list_files(delimiter="/")) == [name[:3] for name in names]
        assert files.delete_prefix("03/") == 1
        fs.close(app)


def test_what_has_expired_is_gone(swift_files: Storage, swift_faults: Any) -> None:
    swift_files.write("a.txt", b"content", expires_after=1)
    while swift_files.exists("a.txt"):
        pass
    swift_faults.tick()
    assert list(swift_files.list_files()) == []
