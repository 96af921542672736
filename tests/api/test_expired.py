"""What has expired unread: absent at once, and deleted for good by a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_fs_swift import FS
from flask_fs_swift.api.server.expired import sweep_expired
from flask_fs_swift.errors import SwiftUnavailable
from flask_fs_swift.storage import Storage

from .test_blueprint import app_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from flask_fs_swift.api.server.expired import Expired


@pytest.fixture
def client(files: Storage) -> FlaskClient:
    """A client of a service on each backend, in which three objects have expired."""
    client = app_of(files).test_client()
    for path, expiration in {
        "test/_/idle": "tti:0s",
        "test/org=1/a%0A/..": "tti:0s",
        "other/_/idle": "tti:0s",
        "test/_/read": "tti:1d",
        "test/_/brief": "ttl:1d",
        "test/_/kept": "manual",
    }.items():
        put(client, path, expiration)
    files.write("test/objects.txt", "no object of the service")
    files.write("readme", "neither")
    return client


def put(client: FlaskClient, path: str, expiration: str) -> None:
    headers = {"x-sn-expiration": expiration}
    assert client.put(f"/v1/objects/{path}", data=b"x", headers=headers).status_code == 200


def keys(found: Iterator[Expired]) -> set[tuple[str, ...]]:
    return {(*each.place.segments, each.key) for each in found if each.error is None}


IDLE = {("test", "_", "idle"), ("test", "org=1", "a\n/.."), ("other", "_", "idle")}


def test_a_sweep_deletes_what_nobody_can_read_and_nothing_else(
    files: Storage, client: FlaskClient
) -> None:
    everything = set(files.list_files())
    for usecase, _, _ in IDLE:
        assert client.get(f"/v1/objects/{usecase}/_/idle").status_code == 404
    assert keys(sweep_expired(files)) == set(), "they have expired just now"
    assert keys(sweep_expired(files, older_than=0, dry_run=True)) == IDLE
    assert set(files.list_files()) == everything
    assert keys(sweep_expired(files, "other", older_than=0)) == {("other", "_", "idle")}
    assert keys(sweep_expired(files, older_than=0)) == IDLE - {("other", "_", "idle")}
    left = {"test/objects/read", "test/objects/brief", "test/objects/kept"}
    assert set(files.list_files()) == left | {"test/objects.txt", "readme"}
    assert keys(sweep_expired(files, older_than=0)) == set()


def test_what_was_written_anew_or_deleted_meanwhile_is_left(
    files: Storage, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_files = Storage.list_files

    def list_and_write(*arguments: Any) -> Iterator[str]:
        names = list(list_files(*arguments))
        put(client, "test/_/idle", "tti:1d")
        client.delete("/v1/objects/other/_/idle")
        return iter(names)

    monkeypatch.setattr(Storage, "list_files", list_and_write)
    assert keys(sweep_expired(files, older_than=0)) == {("test", "org=1", "a\n/..")}
    assert client.get("/v1/objects/test/_/idle").data == b"x"


def test_what_cannot_be_deleted_is_told_and_the_rest_deleted(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app_of(memory_files).test_client()
    for key in ("bad", "good"):
        put(client, f"test/_/{key}", "tti:0s")
    put(client, "test/_/changed", "manual")
    memory_files.set_metadata("test/objects/changed", {"api-0": "<nonsense>"})
    delete = Storage.delete

    def fail(self: Storage, name: str) -> None:
        if name.endswith("bad"):
            raise SwiftUnavailable("not now")
        delete(self, name)

    monkeypatch.setattr(Storage, "delete", fail)
    found = {each.key: str(each.error) for each in sweep_expired(memory_files, older_than=0)}
    assert found.keys() == {"bad", "good", "changed"}
    assert (found["good"], found["bad"]) == ("None", "not now")
    assert "was changed" in found["changed"]


def test_the_command_prints_what_it_does() -> None:
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    files = Storage("files")
    FS(app, files)
    inner = app_of(files.bound(app)).test_client()
    put(inner, "test/_/a%0A", "tti:0s")
    run = app.test_cli_runner()
    for more, said in ((["--dry-run"], "1 to delete"), ([], "1 deleted"), ([], "0 deleted")):
        result = run.invoke(args=["fs", "service", "sweep", "--older-than", "0", *more])
        assert result.exit_code == 0
        assert result.output.splitlines()[-1] == f"files: {said}, 0 left"
        assert ("files: test/_: 'a\\n': expired 2" in result.output) == (said[0] == "1")
    put(inner, "test/_/b", "tti:0s")
    files.bound(app).set_metadata("test/objects/b", {"api-0": "<nonsense>"})
    result = run.invoke(args=["fs", "service", "sweep"])
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "files: 0 deleted, 1 left")
