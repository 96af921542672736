"""A forked child, and its parent: neither loses what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from .children import Child
from .seeing import database_of, recovery_of

if TYPE_CHECKING:
    from conftest import MakeStorage
    from sqlalchemy import Connection

    from flask_fs_swift import Storage

LARGE = os.urandom(5000)

# Python 3.12 and later warn, rightly, of forks beside other threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def files(request: pytest.FixtureRequest, make_tiered: MakeStorage) -> Storage:
    settings: dict[str, Any] = {"tiered_threshold": 1000, "swift_deadline": 10}
    if request.param == "postgresql":
        settings["tiered_database"] = request.getfixturevalue("postgresql")
    files = make_tiered(**settings)
    files.write("parent/0", b"small")
    files.write("parent/large", LARGE)
    return files


def test_what_a_child_writes_is_not_lost_when_its_parent_closes(files: Storage) -> None:
    """Its connection is its own: the parent's locks are not its, nor its log the parent's."""

    def write() -> None:
        files.write("child/0", b"small")
        files.write("child/large", LARGE)

    child = Child(write, lambda: files.write("child/1", b"after"))
    child.go_on()
    files.write("parent/1", b"beside")
    database_of(files).close()
    child.go_on()
    assert sorted(files.list_files()) == [
        *["child/0", "child/1", "child/large"],
        *["parent/0", "parent/1", "parent/large"],
    ]
    child.end()
    assert files.read("child/1") == b"after"
    assert files.read("child/large") == LARGE


def test_what_a_parent_writes_is_not_lost_when_its_child_ends(files: Storage) -> None:
    children = [Child(lambda: files.write(f"child/{os.getpid()}", LARGE)) for _ in range(3)]
    for number, child in enumerate(children):
        child.go_on()
        files.write(f"parent/between/{number}", b"small")
        child.end()
        files.write(f"parent/after/{number}", b"small")
    assert len(list(files.list_files())) == 2 + 3 + 6


def test_a_child_that_is_forked_in_the_middle_of_a_transaction_can_write(files: Storage) -> None:
    """The fork waits until the transaction has ended: its locks would seem the child's."""
    begun, over = threading.Event(), threading.Event()

    def work(connection: Connection, _lost: bool) -> None:
        connection.execute(text("UPDATE fs_objects SET size = size WHERE container = 'none'"))
        begun.set()
        assert over.wait(10)

    thread = threading.Thread(target=database_of(files).transact, args=[work])
    thread.start()
    assert begun.wait(10)
    threading.Timer(0.2, over.set).start()
    child = Child(lambda: files.write("child/0", b"small"))
    child.go_on()
    thread.join()
    child.end()
    assert files.read("child/0") == b"small"


def test_threads_go_on_beside_many_forks(files: Storage) -> None:
    stop = threading.Event()
    written: list[str] = []
    failures: list[BaseException] = []

    def write(who: int) -> None:
        try:
            while not stop.is_set():
                name = f"thread/{who}/{len(written)}"
                files.write(name, b"small", overwrite=True)
                written.append(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[who]) for who in range(3)]
    for thread in threads:
        thread.start()
    for number in range(8):
        child = Child(partial(files.write, f"child/{number}", b"small"))
        child.go_on()
        child.end()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    names = set(files.list_files())
    assert names >= {*written, *(f"child/{number}" for number in range(8))}


def test_a_child_has_no_connection_of_its_parent(files: Storage) -> None:
    recovery_of(files).wait()

    def look() -> None:
        database = database_of(files)
        assert database._engine is None
        files.read("parent/0")
        assert database._engine is not None

    child = Child(look)
    child.go_on()
    child.end()
    assert files.read("parent/0") == b"small"


def test_a_program_may_be_ended_by_sub_processes_too(files: Storage) -> None:
    """They are not forks of Python's: nothing waits for them, and they wait for nothing."""
    with database_of(files)._gate:
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        assert time.monotonic() - began < 10
