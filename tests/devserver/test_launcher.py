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
from urllib.parse import urlsplit

import pytest

from flask_fs_swift.devserver import DevServer, DevServerError
from flask_fs_swift.devserver.datadir import DataDirectory
from flask_fs_swift.devserver.locks import Lock, is_held

from .client import Client, ask, wait_until


def is_served(data: Path) -> bool:
    return is_held(DataDirectory(data).server_lock)


def test_a_server_answers_as_soon_as_it_is_started(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        client = Client(server)
        assert client("PUT", "/container").status == 201
        assert client("PUT", "/container/object", b"abc").status == 201
        assert client("GET", "/container/object").body == b"abc"


def test_its_facts_lead_to_it_and_to_nobody_else(server: DevServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert server.auth_url == f"{server.url}/auth/v1.0"
    assert (server.user, server.key) == ("test:tester", "testing")
    assert server.storage_url == f"{server.url}/v1/AUTH_test"
    assert server.log.exists()
    os.kill(server.pid, 0)


def test_two_servers_have_two_ports(server: DevServer, tmp_path: Path) -> None:
    with DevServer.start(tmp_path, faults=False) as other:
        assert other.url != server.url


def test_what_was_stored_survives_a_crash_on_the_same_port(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        Client(server)("PUT", "/container")
        Client(server)("PUT", "/container/object", b"abc")
        server.kill()
    with DevServer.start(tmp_path, port=urlsplit(server.url).port or 0) as again:
        assert again.url == server.url
        assert again.pid != server.pid
        assert Client(again)("GET", "/container/object").body == b"abc"


def test_a_server_that_was_stopped_is_gone(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        pass
    assert not is_served(tmp_path)
    assert not DataDirectory(tmp_path).ready_file.exists()
    with pytest.raises(ConnectionRefusedError):
        ask("GET", server.url)


def test_stopping_and_killing_twice_is_fine(tmp_path: Path) -> None:
    server = DevServer.start(tmp_path)
    server.stop()
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


def test_settings_reach_swift(tmp_path: Path) -> None:
    settings = {
        "constraints.max_file_size": "10",
        "constraints.container_listing_limit": "2",
        "slo.max_manifest_segments": "7",
        "tempauth.token_life": "100",
        "proxy-server.node_timeout": "20",
        "DEFAULT.client_timeout": "50",
    }
    with DevServer.start(tmp_path, settings=settings) as server:
        client = Client(server)
        client("PUT", "/container")
        assert client("PUT", "/container/a", bytes(10)).status == 201
        assert client("PUT", "/container/b", bytes(11)).status == 413
        assert client("GET", "/container?limit=3").status == 412
        assert b'"max_manifest_segments": 7' in ask("GET", f"{server.url}/info").body


@pytest.mark.parametrize("name", ["nonsense.key", "key", "nonsense"])
def test_an_unknown_setting_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DevServerError, match=f"unknown setting '{name}'.*slo"):
        DevServer.start(tmp_path, settings={name: "1"})
    assert not is_served(tmp_path)


def test_secrets_among_the_settings_are_not_on_the_command_line(tmp_path: Path) -> None:
    with DevServer.start(tmp_path, settings={"tempauth.user_a_b": "s3cret"}) as server:
        assert b"s3cret" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()


def test_the_data_can_be_read_by_nobody_else(tmp_path: Path) -> None:
    with DevServer.start(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


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


def test_a_large_log_is_begun_anew(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path)
    with directory.log.open("wb") as log:
        log.truncate(17 * 2**20)
    with DevServer.start(tmp_path):
        assert directory.log.stat().st_size < 2**20


def test_a_server_without_faults_has_no_control_endpoint(tmp_path: Path) -> None:
    with DevServer.start(tmp_path, faults=False) as server:
        with pytest.raises(DevServerError, match="start one with faults=True"):
            server.faults.clear()
        assert ask("GET", f"{server.url}/__devserver__/requests").status != 200


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
