"""Creates from eight processes at once, with failures and lost answers in between."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_fs_swift import ALL, FS, FileExists, Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift.devserver import Faults

PROCESSES = 8
SIZE = 200_000


def content_of(number: int) -> bytes:
    return bytes([number]) * SIZE


def create(settings: dict[str, Any], container: str, filename: str, number: int) -> str:
    """Create a file in a process of its own; answer how that went."""
    app = Flask("creator")
    app.config.update(settings, FS_SWIFT_BACKOFF=0.01)
    storage = Storage(container, ALL)
    fs = FS(app, storage)
    try:
        storage.bound(app).write(filename, content_of(number))
    except FileExists:
        return "exists"
    finally:
        fs.close(app)
    return "created"


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Eight processes that share nothing with this one."""
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("action", [None, "status", "after_status", "reset", "after_reset"])
@pytest.mark.parametrize("there_before", [True, False], ids=["exists", "does not exist"])
def test_eight_processes_create_one_name(
    processes: ProcessPoolExecutor,
    swift_files: Storage,
    swift_settings: dict[str, Any],
    swift_faults: Faults,
    action: str | None,
    there_before: bool,
) -> None:
    swift_files.write("warm.txt", b"")
    if there_before:
        swift_files.write("file.bin", b"old")
    if action is not None:
        swift_faults.add(action, method="PUT", path="file.bin", times=6, skip=2)
    going = [
        processes.submit(create, swift_settings, swift_files.name, "file.bin", number)
        for number in range(PROCESSES)
    ]
    outcomes = [process.result() for process in going]
    swift_faults.clear()
    stored = swift_files.read("file.bin")
    if there_before:
        assert outcomes == ["exists"] * PROCESSES
        assert stored == b"old"
    else:
        # Swift checks the condition before it reads the body: more than one may succeed,
        # and what stays is one of the eight, whole.
        assert "created" in outcomes
        assert stored in [content_of(number) for number in range(PROCESSES)]
