"""A PostgreSQL that goes away and comes back: calls wait for it, or say that they could not."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from flask_fs_swift import DatabaseError, Storage
from flask_fs_swift.config import RetrySettings
from flask_fs_swift.tiered.database import Database

from .postgres import Postgres, binary
from .seeing import assert_nothing_is_left, database_of, let_time_pass, recovery_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

LARGE = os.urandom(5000)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of the tests' own."""
    if binary("postgres") is None:
        pytest.skip("PostgreSQL is not installed")
    # Not below pytest's own folder, which each run closes again to everybody else.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "data")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def files(server: Postgres, make_tiered: MakeStorage) -> Storage:
    """A patient storage in that server, with a small and a large file."""
    files = make_tiered(
        tiered_database=server.url,
        tiered_threshold=1000,
        tiered_recovery_interval=0,
        swift_backoff=0.1,
        swift_retries=10,
    )
    database_of(files).create_tables()
    files.write("small", b"old")
    files.write("large", LARGE)
    return files


def test_a_server_that_is_down_is_an_error(
    files: Storage, server: Postgres, make_tiered: MakeStorage
) -> None:
    impatient = make_tiered(tiered_database=server.url, tiered_threshold=1000, swift_retries=1)
    server.stop()
    try:
        for act in (
            lambda: impatient.read("small"),
            lambda: impatient.write("small", b"new", overwrite=True),
            lambda: impatient.write("small", LARGE, overwrite=True),
            lambda: impatient.delete("small"),
        ):
            with pytest.raises(DatabaseError) as raised:
                act()
            assert (raised.value.filename, raised.value.maybe_applied) == ("small", False)
    finally:
        server.start()
    assert (files.read("small"), files.read("large")) == (b"old", LARGE)
    recovery_of(impatient).wait()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_calls_wait_for_a_server_that_starts_again(
    files: Storage, server: Postgres, how: str
) -> None:
    def write(number: int) -> None:
        for round_ in range(8):
            content = os.urandom(5000 if (number + round_) % 3 == 0 else 10)
            files.write(f"{number}", content, overwrite=True)
            assert files.read(f"{number}") == content

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, number) for number in range(4)]
        time.sleep(0.3)
        getattr(server, how)()
        time.sleep(0.2)
        server.start()
        for each in writing:
            each.result(60)
    recovery_of(files).wait()
    for _ in range(2):
        let_time_pass(files)
        recovery_of(files).run()
    assert_nothing_is_left(files)


def test_sessions_that_are_ended_in_the_middle_are_begun_again(files: Storage) -> None:
    """Ended by an administrator, at any moment: of a query, of a transaction, of its COMMIT."""
    admin = Database(
        database_of(files)._url.render_as_string(), RetrySettings(), width=1, create=False
    )
    stop = threading.Event()
    end = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    ended = []

    def disturb() -> None:
        while not stop.wait(0.15):
            ended.append(admin.read(lambda c: c.execute(end).scalar_one()))

    def write(number: int) -> None:
        for round_ in range(15):
            content = os.urandom(5000 if (number + round_) % 4 == 0 else 10)
            files.write(f"{number}", content, overwrite=True)
            assert files.read(f"{number}") == content

    with ThreadPoolExecutor(5) as threads:
        disturbing = threads.submit(disturb)
        try:
            list(threads.map(write, range(4)))
        finally:
            stop.set()
        disturbing.result()
    admin.close()
    assert sum(ended) > 3
    recovery_of(files).wait()
    for _ in range(2):
        let_time_pass(files)
        recovery_of(files).run()
    assert_nothing_is_left(files)
