"""A private server: how it starts, what it is told, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from flask_fs_swift.devserver import DevServer, DevServerError, spawning
from flask_fs_swift.devserver.datadir import DataDirectory
from flask_fs_swift.devserver.locks import Lock, is_held

from .client import Client, ask, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


SETTINGS = {
    "constraints.max_file_size": "10",
    "constraints.container_listing_limit": "2",
    "slo.max_manifest_segments": "7",
    "tempauth.token_life": "100",
    "tempauth.user_test_other": "s3cret%20%(x)s .admin",
    "proxy-server.node_timeout": "20",
    "DEFAULT.client_timeout": "50",
}


def is_served(data: Path) -> bool:
    return is_held(DataDirectory(data).server_lock)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A server without faults, with settings."""
    data = tmp_path_factory.mktemp("100%")
    data.chmod(0o755)
    with DevServer.start(data, faults=False, settings=SETTINGS) as server:
        yield server


def test_its_facts_lead_to_it_and_to_nobody_else(server: DevServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert server.auth_url == f"{server.url}/auth/v1.0"
    assert (server.user, server.key) == ("test:tester", "testing")
    assert server.storage_url == f"{server.url}/v1/AUTH_test"
    assert server.log.exists()
    os.kill(server.pid, 0)


def test_two_servers_have_two_ports(server: DevServer, plain: DevServer) -> None:
    assert server.url != plain.url


def test_settings_reach_swift(plain: DevServer) -> None:
    client = Client(plain)
    client("PUT", "/container")
    assert client("PUT", "/container/a", bytes(10)).status == 201
    assert client("PUT", "/container/b", bytes(11)).status == 413
    assert client("GET", "/container?limit=3").status == 412
    assert b'"max_manifest_segments": 7' in ask("GET", f"{plain.url}/info").body
    credentials = {"X-Auth-User": "test:other", "X-Auth-Key": "s3cret%20%(x)s"}
    login = ask("GET", plain.auth_url, headers=credentials)
    assert 0 < int(login.headers["x-auth-token-expires"]) <= 100


def test_secrets_among_the_settings_are_not_on_the_command_line(plain: DevServer) -> None:
    assert b"s3cret" not in Path(f"/proc/{plain.pid}/cmdline").read_bytes()


def test_the_data_can_be_read_by_nobody_else(plain: DevServer) -> None:
    data = plain.log.parent
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_server_without_faults_has_no_control_endpoint(plain: DevServer) -> None:
    with pytest.raises(DevServerError, match="start one with faults=True"):
        plain.faults.clear()
    assert ask("GET", f"{plain.url}/__devserver__/requests").status != 200


def test_what_was_stored_survives_a_crash_on_the_same_port(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        Client(server)("PUT", "/container")
        Client(server)("PUT", "/container/object", b"abc")
        server.kill()
    with DevServer.start(tmp_path, port=urlsplit(server.url).port or 0) as again:
        assert again.url == server.url
        assert again.pid != server.pid
        assert Client(again)("GET", "/container/object").body == b"abc"


def test_a_server_that_was_stopped_is_gone_and_may_be_stopped_again(tmp_path: Path) -> None:
    server = DevServer.start(tmp_path)
    server.stop()
    assert not is_served(tmp_path)
    assert not DataDirectory(tmp_path).ready_file.exists()
    with pytest.raises(ConnectionRefusedError):
        ask("GET", server.url)
    server.stop()
    server.kill()


def test_stopping_lets_requests_in_flight_finish(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server, ThreadPoolExecutor(1) as pool:
        client = Client(server)
        server.faults.add("delay", seconds=0.5)
        in_flight = pool.submit(client, "PUT", "/container")
        wait_until(lambda: len(server.faults.requests()) > 1)
        server.stop()
        assert in_flight.result().status == 201


def test_a_server_that_does_not_listen_to_reason_is_killed(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)
        server.stop(timeout=0.1)
        assert not is_served(tmp_path)


def test_a_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import pathlib, time
from flask_fs_swift.devserver import DevServer
server = DevServer.start(pathlib.Path({str(tmp_path)!r}))
print(server.url, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().decode().strip()
        assert ask("GET", f"{url}/healthcheck").status == 200
        parent.kill()
    wait_until(lambda: not is_served(tmp_path))


def test_a_forked_child_does_not_stop_its_parents_server(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        child = os.fork()
        if not child:
            server.stop()
            server.kill()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert ask("GET", f"{server.url}/healthcheck").status == 200


def test_a_server_ends_when_its_directory_is_taken_away(tmp_path: Path) -> None:
    with DevServer.start(tmp_path / "data") as server:
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        assert server._process is not None
        assert server._process.wait(10) == 0


def test_a_setting_that_cannot_be_applied_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match=r"unknown setting 'nonsense.key'.* slo"):
        DevServer.start(tmp_path, settings={"nonsense.key": "1"})
    assert not is_served(tmp_path)


def test_somebody_elses_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for get in (DevServer.start, DevServer.share):
        with pytest.raises(DevServerError, match="is not empty"):
            get(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for get in (DevServer.start, DevServer.share):
        with pytest.raises(DevServerError, match="cannot be the data directory"):
            get(tmp_path / "file" / "data")


def test_a_directory_in_use_is_refused_by_naming_its_owner(server: DevServer) -> None:
    with pytest.raises(DevServerError, match=f"in use by pid {server.pid}"):
        DevServer.start(server.log.parent)


def test_a_taken_port_is_refused(server: DevServer, tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match="cannot listen"):
        DevServer.start(tmp_path, port=urlsplit(server.url).port or 0)


def test_a_file_system_without_extended_attributes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(DevServerError, match="keeps no extended attributes"):
        DataDirectory.open(tmp_path).prepare()


@pytest.mark.parametrize(
    ("module", "settings", "remedy"),
    [
        ("swift", {}, r'pip install "flask-fs-swift\[dev\]"'),
        ("keystonemiddleware", {"auth": "keystone"}, "pip install keystonemiddleware"),
    ],
)
def test_a_missing_module_is_named_with_its_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    settings: dict[str, str],
    remedy: str,
) -> None:
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{module}'\")"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DevServerError, match=f"No module named '{module}'; {remedy}"):
        DevServer.start(tmp_path / "data", settings=settings)


def test_a_server_that_is_too_slow_is_given_up(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    lock = Lock.attempt(directory.server_lock)
    assert lock is not None
    with pytest.raises(DevServerError, match="did not answer within"):
        DevServer.start(tmp_path, timeout=1.5)
    lock.let_go()
    assert not is_held(directory.start_lock)


def test_it_listens_on_loopback_alone(server: DevServer) -> None:
    port = urlsplit(server.url).port
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if state == "0A" and address.endswith(f":{port:04X}"):
            assert socket.inet_ntoa(bytes.fromhex(address[:8])[::-1]) == "127.0.0.1"
            return
    pytest.fail("it does not listen")


def test_a_users_process_does_not_import_eventlet_or_swift() -> None:
    program = """
import sys
import flask_fs_swift.devserver
print(sorted({"eventlet", "swift"} & {name.partition(".")[0] for name in sys.modules}))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout == b"[]\n"


def test_a_log_that_has_grown_large_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for size, begin in ((0, 0), (16 * 2**20, 16 * 2**20), (16 * 2**20 + 1, 0)):
        with log.open("wb") as file:
            file.truncate(size)
        assert spawning._log_begin(log) == begin
        assert log.stat().st_size == begin
