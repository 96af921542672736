"""What the service asks of the server below it, and of the application around it."""

from __future__ import annotations

import io
import logging
import threading
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from flask import Flask
from situations.hubs import below_a_hub

from flask_fs_swift import ConfigError, Storage
from flask_fs_swift.api.expiration import Policy
from flask_fs_swift.api.keys import new_key_pair
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.server import health
from flask_fs_swift.api.server.batches import AHEAD, LONGEST_INSERT, LONGEST_REQUEST, _in_file
from flask_fs_swift.api.server.blueprint import objectstore
from flask_fs_swift.api.server.body import MOST_DRAINED, Body
from flask_fs_swift.api.wire import closing
from flask_fs_swift.errors import FileTooLarge, PoolExhaustedError, QuotaExceeded, SwiftUnavailable

from .test_batches import BOUNDARY, TYPE, op, parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from werkzeug.test import TestResponse

PATH = "/v1/objects/test/_/k"


def app_of(files: Storage, prefix: str = "/v1", **options: Any) -> Flask:
    app = Flask("service")
    app.register_blueprint(objectstore(files, **{"enforce": False, **options}), url_prefix=prefix)
    return app


def ask(files: Storage, method: str, path: str = PATH, **how: Any) -> TestResponse:
    return app_of(files).test_client().open(path, method=method, **how)


@pytest.mark.parametrize(
    "environ", [{"SERVER_SOFTWARE": "waitress"}, {"waitress.client_disconnected": None}]
)
def test_a_server_that_capitalises_headers_is_refused(
    memory_files: Storage, environ: dict[str, Any]
) -> None:
    answer = ask(memory_files, "GET", environ_overrides=environ)
    assert answer.status_code == 500
    assert b"gunicorn" in answer.data


def test_a_server_that_hides_the_raw_target_is_refused(memory_files: Storage) -> None:
    answer = ask(memory_files, "GET", environ_overrides={"RAW_URI": "", "REQUEST_URI": ""})
    assert answer.status_code == 500
    assert b"raw target" in answer.data


def test_a_server_that_hands_over_no_chunks_is_refused(memory_files: Storage) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked"}
    answer = ask(memory_files, "PUT", environ_overrides=environ)
    assert answer.status_code == 500
    assert list(memory_files.list_files()) == []


def test_it_is_below_any_prefix(memory_files: Storage) -> None:
    client = app_of(memory_files, "/a/b/v1").test_client()
    assert client.put("/a/b/v1/objects/test/_//k").get_json() == {"key": "/k"}
    assert client.get("/a/b/%761/objects/test/_//k").status_code == 404
    mounted = {"SCRIPT_NAME": "/root", "PATH_INFO": "/a/b/v1/objects/test/_//k"}
    for target in ("/root/a/b/v1/objects/test/_//k", "/a/b/v1/objects/test/_//k"):
        environ = {**mounted, "RAW_URI": target}
        assert client.get("/a/b/v1/", environ_overrides=environ).status_code == 200


def test_several_are_beside_each_other(memory_files: Storage) -> None:
    app = app_of(memory_files)
    app.register_blueprint(objectstore(memory_files, name="other"), url_prefix="/other/v1")
    client = app.test_client()
    assert client.get(PATH).status_code == 404
    assert client.get(f"/other{PATH}").status_code == 400


def test_without_keys_nothing_is_done(memory_files: Storage) -> None:
    client = app_of(memory_files, enforce=True).test_client()
    assert client.put(PATH).status_code == 400
    assert client.put(PATH, headers={"x-os-auth": "Bearer x.y.z"}).status_code == 401


def test_what_is_not_enforced_is_logged(
    memory_files: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"kid": {"versions": [new_key_pair().public]}}
    client = app_of(memory_files, keys=keys).test_client()
    with caplog.at_level(logging.WARNING):
        assert client.put(PATH).status_code == 200
    assert "there is no token" in caplog.text


def test_a_key_that_is_none_is_refused_at_the_start(memory_files: Storage, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="bad"):
        objectstore(memory_files, keys=tmp_path)


def test_a_storage_is_found_in_the_application() -> None:
    from flask_fs_swift import FS

    files = Storage("files")
    app = app_of(files)
    app.config["FS_BACKEND"] = "memory"
    FS(app, files)
    assert app.test_client().put(PATH).status_code == 200
    assert not files.is_bound


def test_a_host_that_goes_down_says_so(
    memory_files: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DOWN", tmp_path)
    client = app_of(memory_files, enforce=True).test_client()
    assert client.get("/v1/ready").status_code == 503
    assert client.get("/v1/health").status_code == 200
    assert client.put("/v1/health").status_code == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SwiftUnavailable("secret"), 500),
        (FileTooLarge("too large"), 413),
        (PoolExhaustedError("secret"), 429),
        (PoolExhaustedError("secret", maybe_applied=True), 500),
        (QuotaExceeded("secret", maybe_applied=True), 500),
    ],
)
def test_what_fails_is_said_without_secrets(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Storage, "write", fail)
    answer = ask(memory_files, "PUT")
    assert answer.status_code == status
    assert b"secret" not in answer.data
    assert answer.content_type == "application/json"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    "damage", [{"metadata": {"api-0": "<secret>"}}, {"content_type": "no secret"}]
)
def test_what_others_damaged_is_no_mistake_of_who_reads_it(
    memory_files: Storage, caplog: pytest.LogCaptureFixture, damage: dict[str, Any]
) -> None:
    memory_files.write("test/objects/k", b"x", **damage)
    for method in ("GET", "HEAD"):
        answer = ask(memory_files, method)
        assert answer.status_code == 500
        assert b"secret" not in answer.data
        assert b"test/objects" not in answer.data
    assert caplog.text.count("a request failed") == 2


def test_a_conflict_is_said_where_somebody_else_wrote(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app_of(memory_files).test_client()
    client.put(PATH, headers={"x-sn-expiration": "ttl:1d"})
    read = Storage.read_chunks

    def read_and_replace(self: Storage, name: str, *args: Any, **how: Any) -> Any:
        stream = read(self, name, *args, **how)
        self.write(name, b"other", overwrite=True)
        return stream

    monkeypatch.setattr(Storage, "read_chunks", read_and_replace)
    extension = {"extend_expiry": {"after": "2d", "from": "now"}}
    assert client.patch(PATH, json=extension).status_code == 409
    monkeypatch.undo()
    assert client.get(PATH).data == b"other"


def test_a_deadline_that_does_not_move_keeps_nobody_from_reading(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SwiftUnavailable("no")

    client = app_of(memory_files).test_client()
    client.put(PATH, data=b"x", headers={"x-sn-expiration": "tti:1h"})
    monkeypatch.setattr("flask_fs_swift.api.expiration._LAG", timedelta(seconds=-1))
    monkeypatch.setattr(Storage, "set_metadata", fail)
    assert client.get(PATH).data == b"x"


@pytest.mark.parametrize("length", [0, 900])
def test_what_is_replaced_while_it_is_read_is_described_as_it_was_stored(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr("flask_fs_swift.api.expiration._LAG", timedelta(seconds=-1))
    client = app_of(memory_files).test_client()
    idle = {"x-sn-expiration": "tti:1h", "content-encoding": "zstd", "x-snme-a": "x" * 300}
    client.put(PATH, data=b"old", headers=idle)
    with client.get(PATH, buffered=False) as answer:
        client.put(PATH, data=b"new", headers={"x-snme-b": "y" * length})
        assert answer.data == b"old"
    found = client.get(PATH)
    assert (found.data, found.headers["x-snme-b"]) == (b"new", "y" * length)
    assert not set(found.headers.keys()) & {"x-sn-expiration", "content-encoding", "x-snme-a"}


def test_a_read_never_shortens_what_was_extended_meanwhile(
    memory_files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_fs_swift.api.expiration._LAG", timedelta(seconds=-1))
    client = app_of(memory_files).test_client()
    client.put(PATH, data=b"x", headers={"x-sn-expiration": "tti:1h"})
    with client.get(PATH, buffered=False) as answer:
        extension = {"extend_expiry": {"at": "2100-01-01T00:00:00Z"}}
        assert client.patch(PATH, json=extension).status_code == 204
        assert answer.data == b"x"
    assert client.head(PATH).headers["x-sn-time-expires"].startswith("2100")


def test_a_policy_counts_for_idle_objects_that_are_extended(memory_files: Storage) -> None:
    policy = Policy(longest={"tti": timedelta(days=2)})
    client = app_of(memory_files, usecases={"test": policy}).test_client()
    client.put(PATH, headers={"x-sn-expiration": "tti:1d"})
    for days, status in ((1, 204), (3, 400)):
        extension = {"extend_expiry": {"after": f"{days}d 1h", "from": "now"}}
        assert client.patch(PATH, json=extension).status_code == status


def test_a_batch_that_is_too_long_is_refused_unread(memory_files: Storage) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    environ = {"CONTENT_LENGTH": str(LONGEST_REQUEST + 1), "wsgi.input": io.BytesIO()}
    answer = ask(
        memory_files,
        "POST",
        "/v1/objects:batch/test/_/",
        headers=headers,
        environ_overrides=environ,
    )
    assert answer.status_code == 413


def test_of_a_batch_that_breaks_off_late_what_was_whole_is_done_and_answered(
    memory_files: Storage,
) -> None:
    whole = op("insert", "begun", b"1") + op("get", "filler", bytes(AHEAD))
    cut = op("insert", "cut", b"2")
    answer = ask(
        memory_files,
        "POST",
        "/v1/objects:batch/test/_/",
        data=whole + cut[:-9],
        content_type=TYPE,
        environ_overrides={"CONTENT_LENGTH": str(len(whole + cut + closing(BOUNDARY)))},
    )
    parts = parts_of(answer.content_type, answer.data)
    statuses = [part.status[:3] for _, part in sorted(parts.items())]
    assert (answer.status_code, statuses) == (200, ["201", "404", "400"])
    assert list(memory_files.list_files()) == ["test/objects/begun"]


class Disk(SpooledTemporaryFile[bytes]):
    """A temporary file that knows which threads have waited for it, and how."""

    waits: ClassVar[set[tuple[str, int]]] = set()

    def write(self, block: Any) -> int:
        self.waits.add(("write", threading.get_ident()))
        return super().write(block)

    def read(self, *size: int) -> bytes:
        self.waits.add(("read", threading.get_ident()))
        return super().read(*size)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> type[Disk]:
    monkeypatch.setattr(Disk, "waits", set())
    for name in ("objects.SpooledTemporaryFile", "batches.SpooledTemporaryFile"):
        monkeypatch.setattr(f"flask_fs_swift.api.server.{name}", Disk)
    monkeypatch.setattr("flask_fs_swift.api.server.batches.TemporaryFile", Disk)
    return Disk


def test_greenlets_do_not_wait_for_the_disk_that_a_batch_has(
    memory_files: Storage, disk: type[Disk]
) -> None:
    memory_files.write("test/objects/large", bytes(LONGEST_INSERT + 1))
    # The first are answered before the last has come in.
    parts = [op("get", "large"), *[op("head", "x")] * 100, op("head", "x", bytes(2 * AHEAD))]
    body = b"".join([*parts, closing(BOUNDARY)])

    def task() -> None:
        answer = ask(
            memory_files, "POST", "/v1/objects:batch/test/_/", data=body, content_type=TYPE
        )
        assert len(parts_of(answer.content_type, answer.data)[0].body) == LONGEST_INSERT + 1
        # Greenlets that take the place of threads do this, too.
        _in_file([b"x"]).close()
        assert {how for how, _ in disk.waits} == {"write", "read"}
        assert threading.get_ident() not in {thread for _, thread in disk.waits}

    below_a_hub(task)


def test_greenlets_do_not_wait_for_the_disk_that_an_extension_has(
    memory_files: Storage, disk: type[Disk]
) -> None:
    ask(memory_files, "PUT", data=b"x", headers={"x-sn-expiration": "ttl:1d"})

    def task() -> None:
        extension = {"extend_expiry": {"after": "2d", "from": "now"}}
        assert ask(memory_files, "PATCH", json=extension).status_code == 204
        assert "write" in {how for how, _ in disk.waits}
        assert ("write", threading.get_ident()) not in disk.waits

    below_a_hub(task)


def test_a_refused_body_is_read_so_far() -> None:
    content = io.BytesIO(bytes(3 * MOST_DRAINED))
    environ = {"wsgi.input": content, "CONTENT_LENGTH": str(3 * MOST_DRAINED)}
    Body(environ).drain()
    assert content.tell() == MOST_DRAINED


def test_a_body_without_a_length_is_empty() -> None:
    assert Body({"wsgi.input": io.BytesIO(b"next request")}).read() == b""


@pytest.mark.parametrize("length", ["-1", "x", "1" * 19])
def test_a_length_is_a_number(length: str) -> None:
    with pytest.raises(Refusal):
        Body({"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": length})


def test_a_body_ends_where_it_said() -> None:
    body = Body({"wsgi.input": io.BytesIO(b"abcdef"), "CONTENT_LENGTH": "3"})
    assert (body.read(2), body.read(9), body.read(9)) == (b"ab", b"c", b"")
    short = Body({"wsgi.input": io.BytesIO(b"ab"), "CONTENT_LENGTH": "3"})
    assert short.read(9) == b"ab"
    with pytest.raises(Refusal, match="broke off"):
        short.read(9)
