"""The service's commands: keys, tokens, and a server that ends in order."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_fs_swift import FS, ConfigError, Storage
from flask_fs_swift.api.keys import DELETE, READ, WRITE, read_keys, read_signing_key
from flask_fs_swift.api.server.keyfiles import check_kid
from flask_fs_swift.api.server.settings import Served, settings_of
from flask_fs_swift.api.tokens import new_token, verify_token
from flask_fs_swift.api.wire import closing
from flask_fs_swift.standalone import create_service

from .test_batches import BOUNDARY, TYPE, op

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

PATIENCE = 60.0  # seconds, of a machine that is busy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; in it the folder ``trusted`` for the keys of a server."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trusted").mkdir()
    return tmp_path


def run(*arguments: str, storages: tuple[str, ...] = ("files",)) -> Result:
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    FS(app, *map(Storage, storages))
    return app.test_cli_runner().invoke(args=["fs", *arguments])


def new(*arguments: str) -> Result:
    return run("keys", "new", "--kid", "reports", *arguments)


def test_a_new_key_is_trusted_and_only_its_owner_reads_it(folder: Path) -> None:
    result = new("--keys", "trusted", "--permissions", "read,object.write")
    assert (result.exit_code, result.stdout) == (0, "")
    private = folder / "reports.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert [path.name for path in (folder / "trusted").iterdir()] == ["reports.pem"]
    key = read_signing_key("KEY", "reports", private.read_text())
    token = new_token(key, "exports", [], [READ, WRITE, DELETE], time.time())
    authority = verify_token(token, read_keys("keys", folder / "trusted"), time.time())
    assert authority.permissions == {READ, WRITE}


def test_a_private_key_replaces_nothing(folder: Path) -> None:
    (folder / "reports.key").write_text("precious")
    result = new("--keys", "trusted", "--permissions", "read")
    assert result.exit_code == 1
    assert "File exists" in result.output
    assert (folder / "reports.key").read_text() == "precious"
    assert list((folder / "trusted").iterdir()) == []


def test_an_id_gets_one_version_more(folder: Path) -> None:
    new("--keys", "trusted", "--permissions", "read")
    public = folder / "trusted" / "reports.pem"
    public.write_text(f"# the nightly reports\n{public.read_text()}")
    assert new("--keys", "trusted", "--private", "second.key").exit_code == 0
    key = read_keys("keys", folder / "trusted")["reports"]
    assert len(key.versions) == 2
    assert key.max_permissions == {READ}
    assert public.read_text().startswith("# the nightly reports\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keys", "trusted"], "is new"),
        (["--keys", "trusted", "--permissions", "read,fly"], "'fly' is none of"),
        (["--keys", "absent", "--permissions", "read"], "does not exist"),
        (["--kid", "../out", "--permissions", "read"], "the id of a key"),
        (
            ["--kid", "there", "--keys", "trusted", "--private", "x", "--permissions", "read"],
            "allows object.write",
        ),
        ([], "--permissions"),
        (["--private", "-", "--permissions", "read"], "--keys"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(folder: Path, arguments: list[str], said: str) -> None:
    run("keys", "new", "--kid", "there", "--keys", "trusted", "--permissions", "write")
    before = sorted(folder.rglob("*"))
    result = new(*arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert sorted(folder.rglob("*")) == before
    assert len(read_keys("keys", folder / "trusted")["there"].versions) == 1


def test_halves_are_printed_where_that_is_asked_for(folder: Path) -> None:
    result = new("--keys", "trusted", "--permissions", "read", "--private", "-")
    assert read_signing_key("KEY", "reports", result.stdout)
    assert not list(folder.glob("*.key"))
    result = new("--permissions", "read")
    (folder / "trusted" / "reports.pem").write_text(result.stdout)
    assert read_keys("keys", folder / "trusted")["reports"].max_permissions == {READ}


@pytest.mark.parametrize("kid", ["", ".hidden", "a/b", "a\nb", "é", "x" * 65])
def test_an_id_is_the_name_of_a_file(kid: str) -> None:
    with pytest.raises(ValueError, match="the id of a key"):
        check_kid(kid)


def test_a_token_is_for_what_was_asked(folder: Path) -> None:
    new("--keys", "trusted", "--permissions", "read,write")
    command = ["keys", "token", "--kid", "reports", "--scope", "org=42", "exports"]
    trusted = read_keys("keys", folder / "trusted")
    result = run(*command)
    authority = verify_token(result.stdout.strip(), trusted, time.time() + 3600)
    assert authority.allows(READ, "exports", [("org", "42")])
    assert not authority.allows(WRITE, "exports", [("org", "42")])
    result = run(*command, "--permissions", "write", "--lifetime", "5")
    assert verify_token(result.stdout.strip(), trusted, time.time()).permissions == {WRITE}
    for wrong in (["--scope", "org"], ["--scope", "org=43"], ["--private", "trusted/reports.pem"]):
        result = run(*command, *wrong)
        assert (result.exit_code, result.output[:6]) == (1, "Error:")


# Serving.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--keys FOLDER, or --no-auth"),
        (["--no-auth", "--keys", "trusted"], "--keys FOLDER, or --no-auth"),
        (["--keys", "absent"], "--keys must be"),
        (["--no-auth", "--bind", "0.0.0.0:80"], "this machine only"),
        (["--no-auth", "--bind", ":80"], "this machine only"),
        (["--no-auth", "--bind", "127.0.0.1.example:80"], "this machine only"),
        (["--no-auth", "--bind", "localhost:1", "--bind", "[::]:80"], "this machine only"),
        (["--no-auth", "--backend", "swift"], "FS_SWIFT_AUTHURL"),
        (["--no-auth", "--workers", "2"], "memory of its own"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_started(
    arguments: list[str], said: str
) -> None:
    result = run("serve", *arguments)
    assert result.exit_code != 0
    assert said in result.output


def test_of_several_storages_one_is_named() -> None:
    for command in (["serve", "--no-auth"], ["service", "sweep"]):
        result = run(*command, storages=("one", "two"))
        assert result.output == "Error: say which storage: ['one', 'two']\n"
    assert "only ['one']" in run("service", "sweep", "two", storages=("one",)).output


@pytest.mark.parametrize(
    ("missing", "extra", "more"),
    [("cryptography", "api", []), ("gunicorn", "serve", []), ("gevent", "gevent", ["gevent"])],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, missing: str, extra: str, more: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(
        "flask_fs_swift.api.server.settings.find_spec", lambda name: name != missing or None
    )
    how = [text for kind in more for text in ("--worker-class", kind)]
    assert f"flask-fs-swift[{extra}]" in run("serve", "--keys", "trusted", *how).output


def test_the_service_is_told_nothing_of_the_applications_own_door() -> None:
    config = {"FS_SERVE": True, "FS_SWIFT_KEY": "k", "SECRET_KEY": "s", "FILES_FS_ALLOW": ()}
    settings = settings_of(config, {"FILES_FS_CONTAINER": "c"})
    assert settings == {"FS_SWIFT_KEY": "k", "FILES_FS_ALLOW": (), "FILES_FS_CONTAINER": "c"}


def test_a_service_serves_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBJECTSTORE_SERVICE", raising=False)
    with pytest.raises(ConfigError, match="flask fs serve"):
        create_service()
    served = Served("flask_fs_swift.standalone", "ours", {"OURS_FS_BACKEND": "memory"}, None, "")
    for name, value in served.variables.items():
        monkeypatch.setenv(name, value)
    client = create_service().test_client()
    assert client.put("/objects/test/_/k", data=b"x").status_code == 200
    assert client.get("/objects/test/_/k").data == b"x"


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``flask fs serve``, and return its process and its port."""
    words = [
        *(sys.executable, "-m", "flask", "--app", "flask_fs_swift.standalone", "fs", "serve"),
        *("--backend", "memory", "--bind", "127.0.0.1:0", *arguments),
    ]
    environment = {name: value for name, value in os.environ.items() if name[:6] != "FLASK_"}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        [_, url] = said(process, r"Listening at: http://([0-9.]+):([0-9]+)")
        yield process, int(url)
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], pattern: str) -> Any:
    """Read what a process says until it is this."""
    assert process.stderr is not None
    found = next(filter(None, (re.search(pattern, line) for line in process.stderr)))
    return found.groups()


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_what_has_begun_ends_before_the_service(kind: str) -> None:
    batch = b"".join([*(op("insert", f"k{number}", b"x") for number in range(20)), op("get", "k1")])
    batch += closing(BOUNDARY)
    with command("--no-auth", "--worker-class", kind) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            head = (
                "POST /v1/objects:batch/test/_/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                f"Content-Type: {TYPE}\r\nContent-Length: {len(batch)}\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert b"100 Continue" in connection.recv(100)
            connection.sendall(batch[:900])
            process.terminate()
            said(process, "Handling signal: term")
            connection.sendall(batch[900:])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.read().count(b"201 Created")) == (200, 20)
        assert process.wait(PATIENCE) == 0


def test_a_key_that_is_added_is_trusted_after_a_hangup() -> None:
    def status() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/v1/objects/exports/_/absent", headers=headers)
        answer = connection.getresponse()
        connection.close()
        return answer.status

    with command("--keys", "trusted") as (process, port):
        headers: dict[str, str] = {}
        statuses = [status()]  # It has read its keys.
        new("--keys", "trusted", "--permissions", "read")
        token = run("keys", "token", "--kid", "reports", "exports").stdout.strip()
        headers = {"x-os-auth": f"Bearer {token}"}
        statuses.append(status())
        process.send_signal(signal.SIGHUP)
        said(process, "Worker exiting")
        statuses.append(status())
    assert statuses == [400, 401, 404]
