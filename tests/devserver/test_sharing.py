"""A shared server: one for all, as long as there is one who uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.devserver import DevServer, DevServerError
from flask_fs_swift.devserver.datadir import DataDirectory
from flask_fs_swift.devserver.locks import Lock, is_held

from .client import Client, ask, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = """
import pathlib, sys
from flask_fs_swift.devserver import DevServer
server = DevServer.share(pathlib.Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.read()
"""
GREENLETS = """
from gevent import monkey; monkey.patch_all()
import pathlib, sys
import gevent
from flask_fs_swift.devserver import DevServer
data = pathlib.Path(sys.argv[1])
joined = [gevent.spawn(DevServer.share, data) for _ in range(5)]
print({greenlet.get(timeout=20).pid for greenlet in joined} != {0})
print(len({greenlet.get().pid for greenlet in joined}))
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory whose server, if it has one, ends with the test."""
    data = tmp_path / "data"
    yield data
    directory = DataDirectory(data)
    if data.exists() and is_held(directory.server_lock):
        server = DevServer.share(data)
        server.kill()
        server.stop()


class User:
    """Another process that uses a shared server."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def server_pid(self) -> int:
        """Wait until it has joined."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def another_user(data: Path) -> Iterator[User]:
    command = [sys.executable, "-c", USER, str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield User(process)
        process.kill()


def is_served(data: Path) -> bool:
    return is_held(DataDirectory(data).server_lock)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def answers(server: DevServer) -> bool:
    return ask("GET", f"{server.url}/healthcheck").status == 200


def test_ten_processes_at_once_have_one_server(data: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(another_user(data)) for _ in range(10)]
        assert len({user.server_pid() for user in users}) == 1
    wait_until(lambda: not is_served(data))


def test_threads_at_once_have_one_server(data: Path) -> None:
    with ThreadPoolExecutor(5) as pool:
        servers = list(pool.map(DevServer.share, [data] * 5))
    assert len({server.pid for server in servers}) == 1
    servers[0].stop()
    wait_until(lambda: not is_served(data))


def test_greenlets_at_once_have_one_server(data: Path) -> None:
    command = [sys.executable, "-c", GREENLETS, str(data)]
    run = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert run.stdout.split() == [b"True", b"1"]


def test_a_server_outlives_the_process_that_started_it(data: Path) -> None:
    with another_user(data) as starter:
        pid = starter.server_pid()
        server = DevServer.share(data)
    assert server.pid == pid
    assert answers(server)
    assert DevServer.share(data).pid == pid


def test_a_server_ends_soon_after_its_last_user_was_killed(data: Path) -> None:
    with another_user(data) as user:
        user.server_pid()
    begin = time.monotonic()
    wait_until(lambda: not is_served(data))
    assert time.monotonic() - begin < 2
    assert not DataDirectory(data).ready_file.exists()


def test_a_forked_child_keeps_the_server_alive(data: Path) -> None:
    reader, writer = os.pipe()
    server = DevServer.share(data)
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)  # until the parent lets it go
        os._exit(0 if answers(server) else 1)
    os.close(reader)
    server.stop()
    server.stop()
    ends = threading.Event()
    assert not ends.wait(0.5)  # five times as long as an unused server lives
    assert is_served(data)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: not is_served(data))


def test_a_forked_child_can_join_again_after_its_parent_has_left(data: Path) -> None:
    server = DevServer.share(data)
    child = os.fork()
    if not child:
        os._exit(0 if DevServer.share(data).pid == server.pid else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_next_user_finds_the_data_of_the_last(data: Path) -> None:
    first = DevServer.share(data)
    Client(first)("PUT", "/container")
    first.stop()
    wait_until(lambda: not is_served(data))
    second = DevServer.share(data)
    assert second.pid != first.pid
    assert Client(second)("HEAD", "/container").status == 204


def test_a_killed_server_is_started_again_on_its_port(data: Path) -> None:
    first = DevServer.share(data)
    first.kill()
    second = DevServer.share(data)
    assert (second.pid != first.pid, second.url) == (True, first.url)
    assert answers(first)


def test_a_killed_server_whose_port_is_taken_is_started_on_another(data: Path) -> None:
    first = DevServer.share(data)
    first.kill()
    port = int(first.url.rpartition(":")[2])
    with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler):
        second = DevServer.share(data)
    assert second.url != first.url
    assert answers(second)


def test_who_joins_while_a_server_is_told_to_end_gets_another(data: Path) -> None:
    first = DevServer.share(data)
    os.kill(first.pid, signal.SIGTERM)
    wait_until(lambda: not DataDirectory(data).ready_file.exists())
    second = DevServer.share(data)
    assert second.pid != first.pid
    assert answers(second)


def test_who_joins_waits_for_a_server_that_ends_for_want_of_users(data: Path) -> None:
    """The test plays the ending server: it holds the users' lock for itself."""
    directory = DataDirectory.open(data)
    users_lock = Lock.attempt(directory.users_lock)
    assert users_lock is not None
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(DevServer.share, data)
        assert not joining.done()
        assert not is_held(directory.start_lock)
        users_lock.let_go()
        assert answers(joining.result())


def test_nobody_is_ever_handed_a_server_that_ends(data: Path) -> None:
    """Leave and join again around the moment at which the server notices."""
    seen = set()
    for gap in (0, 0.03, 0.06, 0.09, 0.12, 0.15):
        server = DevServer.share(data)
        assert answers(server)
        seen.add(server.pid)
        server.stop()
        time.sleep(gap)
        server = DevServer.share(data)
        time.sleep(0.15)  # longer than a server that ends would still answer
        assert answers(server)
        server.stop()
    assert len(seen) > 1


def test_a_second_join_in_a_process_is_cheap(data: Path) -> None:
    DevServer.share(data)
    before = open_files()
    begin = time.monotonic()
    for _ in range(100):
        DevServer.share(data)
    assert time.monotonic() - begin < 1
    assert open_files() == before


def test_a_directory_that_was_removed_and_made_again_has_a_new_server(data: Path) -> None:
    first = DevServer.share(data)
    data.rename(data.with_name("old"))
    second = DevServer.share(data)
    assert second.pid != first.pid
    second.stop()
    wait_until(lambda: not is_served(data))
    wait_until(lambda: not is_served(data.with_name("old")))


def test_a_private_servers_directory_is_not_shared(server: DevServer) -> None:
    with pytest.raises(DevServerError, match="private server"):
        DevServer.share(server.log.parent)


def test_a_shared_server_takes_no_faults(data: Path) -> None:
    server = DevServer.share(data)
    with pytest.raises(DevServerError, match="takes no faults"):
        server.faults.add("status")
    assert ask("GET", f"{server.url}/__devserver__/requests").status != 200


def test_who_joins_while_a_starter_dies_has_a_server_all_the_same(data: Path) -> None:
    directory = DataDirectory(data)
    with another_user(data) as starter:
        wait_until(directory.path.exists)
        wait_until(lambda: is_held(directory.start_lock))
        starter.process.kill()
    assert answers(DevServer.share(data))


def test_who_joins_waits_for_a_start_no_longer_than_he_may(data: Path) -> None:
    directory = DataDirectory.open(data)
    start_lock = Lock.attempt(directory.start_lock)
    assert start_lock is not None
    with pytest.raises(DevServerError, match="held by others"):
        DevServer.share(data, timeout=0.1)
    start_lock.let_go()


def test_facts_that_make_no_sense_are_no_facts(data: Path) -> None:
    directory = DataDirectory.open(data)
    directory.identity_file.write_text('{"hash_suffix": "x"}')
    directory.ready_file.write_text("{")
    assert answers(DevServer.share(data))
