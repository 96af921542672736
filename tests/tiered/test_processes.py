"""Many processes on one storage, some of them killed: every file is whole, nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import QUICK
from flask import Flask

from flask_fs_swift import ALL, FS, FileExists, LeaseLost, Storage

from . import crowd
from .children import Child
from .seeing import (
    assert_nothing_is_left,
    backend_of,
    change,
    let_time_pass,
    recovery_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift.devserver import Faults

LARGE = os.urandom(5000)

# Python 3.12 and later warn, rightly, of forks beside other threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(
    request: pytest.FixtureRequest,
    make_tiered: MakeStorage,
    swift_settings: dict[str, Any],
    tmp_path: Path,
) -> dict[str, Any]:
    """What the processes of a crowd are told."""
    config = {
        **swift_settings,
        **QUICK,
        "FS_BACKEND": "tiered",
        "FS_TIERED_THRESHOLD": 1000,
        "FS_TIERED_LEASE": 5,
        "FS_TIERED_RECOVERY_INTERVAL": 1,
        "FS_SWIFT_DEADLINE": 60,
    }
    if request.param == "postgresql":
        config["FS_TIERED_DATABASE"] = request.getfixturevalue("postgresql")
    assert make_tiered
    return {"config": config, "container": f"t{os.urandom(6).hex()}", "folder": str(tmp_path)}


@pytest.fixture
def files(settings: dict[str, Any]) -> Iterator[Storage]:
    """The storage of a crowd, here."""
    files, fs, app = crowd.storage(settings, settings["folder"])
    files.write("warm", LARGE)  # Now there is a container.
    files.write("warm", b"", overwrite=True)
    yield files
    assert fs.close(app, timeout=5)


class Member:
    """A process of the crowd. Lives until it is killed or has done all."""

    def __init__(self, settings: dict[str, Any], seed: int, count: int, told: int | None) -> None:
        self.is_victim = told is not None
        told_all = {**settings, "seed": seed, "count": count, "told": told}
        folder = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, crowd.__file__, json.dumps(told_all)],
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self, after: float) -> int:
        """Kill it, if it is to be, some seconds after it has got so far; return how it ended."""
        if self.is_victim:
            self.hear("told")
            time.sleep(after)
            self._process.kill()
        self._process.communicate()
        return self._process.returncode


def run_crowd(files: Storage, settings: dict[str, Any], count: int, victims: int) -> None:
    """Let four processes write, of which some are killed, while others read; then look at it."""
    members = [
        Member(settings, seed, count, count // 3 if seed < victims else None) for seed in range(4)
    ]
    for member in members:
        member.hear("ready")
    stop = threading.Event()

    def look(number: int) -> int:
        seen = 0
        while not stop.is_set():
            seen += crowd.read(files, f"name/{(seen + number) % crowd.NAMES}")
            listed = list(files.list_files())
            assert listed == sorted(set(listed))
        return seen

    with ThreadPoolExecutor(8) as threads:
        looking = [threads.submit(look, number) for number in range(2)]
        for member in members:
            member.begin()
        ended = [threads.submit(member.end, 0.05 * n) for n, member in enumerate(members)]
        codes = [each.result(300) for each in ended]
        stop.set()
        assert [each.result() for each in looking]
    assert codes == [-9] * victims + [0] * (4 - victims)
    assert_all_is_well(files)


def assert_all_is_well(files: Storage) -> None:
    for name in files.list_files():
        if name != "warm":
            assert crowd.is_whole(files.read(name)), name
    recovery_of(files).wait()
    for _ in range(2):  # What landed late is deleted a day later.
        let_time_pass(files)
        recovery_of(files).run()
    assert_nothing_is_left(files)
    for name in files.list_files():
        files.read(name)


def test_a_crowd_leaves_whole_files_and_no_orphans(
    files: Storage, settings: dict[str, Any]
) -> None:
    run_crowd(files, settings, 30, victims=0)


def test_what_is_killed_leaves_whole_files_and_no_orphans(
    files: Storage, settings: dict[str, Any]
) -> None:
    run_crowd(files, settings, 40, victims=2)


@pytest.mark.large
@pytest.mark.timeout(600)
def test_a_thousand_writers_of_ten_names(files: Storage, settings: dict[str, Any]) -> None:
    for victims in (0, 1, 2, 3):
        run_crowd(files, settings, 250, victims)


@pytest.mark.parametrize("size", [10, 5000])
def test_one_of_all_processes_creates(files: Storage, size: int) -> None:
    """In each of several rounds, however they race."""
    rounds = 5

    def create(number: int) -> None:
        content = os.urandom(size - 4) + number.to_bytes(4, "big")
        try:
            files.write(f"created/{number}", content, overwrite=False)
        except FileExists:
            return
        files.write(f"winner/{number}/{os.getpid()}", b"")

    children = [Child(*[partial(create, number) for number in range(rounds)]) for _ in range(5)]
    for _ in range(rounds):
        for child in children:
            child.begin()
        for child in children:
            child.wait()
    for child in children:
        child.end()
    winners = [name.split("/")[1] for name in files.list_files() if name.startswith("winner/")]
    assert sorted(winners) == sorted(map(str, range(rounds)))
    assert_all_is_created(files, rounds)


def assert_all_is_created(files: Storage, rounds: int) -> None:
    for number in range(rounds):
        assert files.read(f"created/{number}")[-4:] == number.to_bytes(4, "big")
    let_time_pass(files)
    recovery_of(files).run()
    assert_nothing_is_left(files)


def test_one_of_all_threads_creates(files: Storage) -> None:
    def create(number: int) -> bool:
        try:
            files.write("created", LARGE if number % 2 else b"small", overwrite=False)
        except FileExists:
            return False
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(create, range(12))) == 1


# Leases.


def in_app(settings: dict[str, Any], **more: object) -> tuple[Storage, FS, Flask]:
    config = {**settings["config"], **{f"FS_{key.upper()}": value for key, value in more.items()}}
    app = Flask("crowd", instance_path=settings["folder"])
    app.config.update(config)
    storage = Storage(settings["container"], ALL)
    fs = FS(app, storage)
    return storage.bound(app), fs, app


def test_a_write_that_takes_longer_than_its_lease_is_left_alone(
    files: Storage, settings: dict[str, Any], swift_faults: Faults
) -> None:
    slow, fs, app = in_app(settings, tiered_lease=0.6)
    swift_faults.add("slow_upload", method="PUT", path="/revisions/", seconds=0.5)
    content = os.urandom(4 * 1024 * 1024)
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(slow.write, "slow", content)
        while not writing.done():
            assert recovery_of(files).run().abandoned == 0
            time.sleep(0.05)
        writing.result()
    assert files.read("slow") == content
    assert fs.close(app)


def once(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 100_000] for at in range(0, len(content), 100_000))


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_write_that_is_taken_over_is_written_anew(
    files: Storage,
    settings: dict[str, Any],
    swift_faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    *,
    repeatable: bool,
) -> None:
    """Its heart cannot reach the database, and another process recovers."""
    slow, fs, app = in_app(settings, tiered_lease=0.3, tiered_recovery_interval=0)
    log = backend_of(slow)._rows.log
    monkeypatch.setattr(log, "renew", lambda *_: True)  # Nobody hears of it.
    swift_faults.add("slow_upload", method="PUT", path="/revisions/", seconds=0.5)
    content = os.urandom(3 * 1024 * 1024)
    raw = content if repeatable else once(content)
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(slow.write, "slow", raw)
        abandoned = 0
        while not writing.done():
            abandoned += recovery_of(files).run().abandoned
            time.sleep(0.02)
        writing.result()
    assert abandoned
    assert files.read("slow") == content
    assert fs.close(app)
    for _ in range(2):
        let_time_pass(files)
        recovery_of(files).run()
    assert_nothing_is_left(files)


def test_a_write_that_is_taken_over_again_and_again_is_given_up(
    files: Storage, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("slow", b"old")
    slow, fs, app = in_app(settings)
    blobs_of_slow = backend_of(slow)._blobs
    put = type(blobs_of_slow).put

    def put_and_lose(*arguments: Any, **keywords: Any) -> Any:
        info = put(*arguments, **keywords)
        let_time_pass(files)
        assert recovery_of(files).run().abandoned == 1
        return info

    monkeypatch.setattr(type(blobs_of_slow), "put", put_and_lose)
    with pytest.raises(LeaseLost) as raised:
        slow.write("slow", LARGE, overwrite=True)
    assert (raised.value.filename, raised.value.maybe_applied) == ("slow", False)
    assert files.read("slow") == b"old"
    assert fs.close(app)
    let_time_pass(files)
    recovery_of(files).run()
    assert_nothing_is_left(files)


# A locked SQLite is in test_database.py.
@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_heart_that_cannot_reach_the_database_beats_on(
    files: Storage, settings: dict[str, Any], swift_faults: Faults
) -> None:
    slow, fs, app = in_app(settings, tiered_lease=0.9, swift_retries=0)
    swift_faults.add("slow_upload", method="PUT", path="/revisions/", seconds=0.7)
    content = os.urandom(3 * 1024 * 1024)
    name = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%fs_changes%'"
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(slow.write, "slow", content)
        while not writing.done():
            change(files, f"{name} AND pid <> pg_backend_pid() AND application_name <> 'x'")
            time.sleep(0.25)
        writing.result()
    assert files.read("slow") == content
    assert fs.close(app)
