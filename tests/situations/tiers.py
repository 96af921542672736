"""Two tiers: written and read at once, while SQLite is locked, while greenlets are killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from flask_fs_swift import ALL, FS, DatabaseError, Get, Put, Storage
from flask_fs_swift.tiered.database import _NoTurn, _Turns

from . import here
from .downloads import assert_no_thread_is_left
from .swift import POOL_SIZE, assert_all_is_back, faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift import Pool

CROWD = 8
ROUNDS = 3
TICKS = 20
LARGE = 5000

HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def storage(**settings: object) -> Iterator[tuple[Storage, Pool]]:
    """Lend a storage whose small files are in the database of the test, or in SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("situations", instance_path=folder)
        app.config.update(
            FS_BACKEND="tiered",
            FS_TIERED_THRESHOLD=1000,
            FS_TIERED_DATABASE=here.facts.get("database"),
            FS_SWIFT_AUTHURL=here.facts["auth_url"],
            FS_SWIFT_USER=here.facts["user"],
            FS_SWIFT_KEY=here.facts["key"],
            FS_SWIFT_AUTH_VERSION="1",
            FS_SWIFT_CREATE_CONTAINER=True,
            FS_SWIFT_POOL_SIZE=POOL_SIZE,
            FS_SWIFT_POOL_TIMEOUT=50,
        )
        app.config.update({f"FS_{key.upper()}": value for key, value in settings.items()})
        files = Storage(f"s{secrets.token_hex(6)}", ALL)
        fs = FS(app, files)
        [pool] = app.extensions["flask_fs_swift"].pools
        files = files.bound(app)
        yield files, pool
        fs.close(app, 10)
        assert_all_is_back(pool)
        assert_no_thread_is_left()


def backend_of(files: Storage) -> Any:
    return files._mount().backend


def database_of(files: Storage) -> Any:
    return backend_of(files)._rows._database


def assert_nothing_is_used(files: Storage) -> None:
    """Check that no connection and no turn is somebody's, when nobody does anything."""
    backend_of(files).recovery.wait()
    database = database_of(files)
    assert database._used == 0
    assert not database._turns._taken
    assert not database._turns._waiting
    if not database._is_sqlite:
        assert database._engine.pool.checkedout() == 0


def every_byte_comes_back() -> None:
    with storage(tiered_lease=0.3) as (files, _):

        def work(who: int) -> None:
            for number in range(ROUNDS):
                content = os.urandom(LARGE if (who + number) % 3 == 0 else 10)
                files.write(f"own/{who}", content, overwrite=True)
                here.breathe()
                assert files.read(f"own/{who}") == content
                files.write("shared", content, overwrite=True)
                assert len(files.read("shared")) in {LARGE, 10}

        here.at_once([partial(work, who) for who in range(CROWD)])
        assert len(list(files.list_files())) == CROWD + 1
        puts = [Put(f"many/{n}", os.urandom(LARGE if n % 5 == 0 else 10)) for n in range(30)]
        assert all(outcome.error is None for outcome in files.many(puts))
        gets = [Get(f"many/{n}") for n in range(30)]
        assert all(outcome.error is None for outcome in files.many(gets))
        assert_nothing_is_used(files)
        revisions = backend_of(files)._rows.by_revision("")
        assert set(backend_of(files)._blobs.names("", "", "")) == {
            stored.revision for stored in revisions
        }


def the_lease_of_a_slow_write_is_kept() -> None:
    with storage(tiered_lease=0.6) as (files, _):
        files.write("warm", b"")
        faults().add("slow_upload", method="PUT", path="/revisions/", seconds=0.6)
        ticks: list[float] = []
        done: list[bool] = []

        def write() -> None:
            try:
                files.write("large", bytes(3 * 1024 * 1024))
            finally:
                done.append(True)

        def others() -> None:
            while not done:
                # As another process would: what is alive is not taken over.
                assert backend_of(files).recovery.run().abandoned == 0
                files.write("small", b"small", overwrite=True)
                ticks.append(time.monotonic())
                here.nap()

        here.at_once([write, others])
        # Without patching a socket lets no greenlet run; the lease is a matter of a thread's.
        assert len(ticks) >= (1 if here.name == here.GREENLETS else 5)
        assert files.info("large").size == 3 * 1024 * 1024
        assert_nothing_is_used(files)
    faults().clear()


@contextlib.contextmanager
def locked(files: Storage) -> Iterator[None]:
    """Hold the lock of the writers as another process does."""
    path = database_of(files)._url.database
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def others_run_while_another_process_writes() -> None:
    with storage() as (files, _):
        files.write("small", b"old")
        files.write("large", bytes(LARGE))
        ticks: list[float] = []
        is_locked = True

        def tick() -> None:
            while is_locked:
                ticks.append(time.monotonic())
                here.nap()

        def read() -> None:
            while is_locked:
                assert files.read("small") == b"old"
                assert len(files.read("large")) == LARGE
                here.nap()

        def let_go() -> None:
            nonlocal is_locked
            here.until(lambda: len(ticks) > TICKS)
            stop.close()
            is_locked = False

        stop = contextlib.ExitStack()
        stop.enter_context(locked(files))
        writes: list[Callable[[], object]] = [
            partial(files.write, f"{n}", b"new") for n in range(5)
        ]
        here.at_once([*writes, tick, read, let_go])
        pauses = [after - before for before, after in pairwise(ticks)]
        assert max(pauses) < 2, max(pauses)
        assert len(list(files.list_files())) == 7
        assert_nothing_is_used(files)


def who_is_killed_leaves_no_turn_and_no_connection() -> None:
    """Wherever it is: waiting for a turn, for the lock, for Swift, between two of them."""
    import gevent

    # Who is killed while Python connects leaves a socket to the garbage collector.
    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
    with storage(swift_retries=1) as (files, _):
        files.write("kept", b"kept")

        def work(who: int) -> None:
            for number in range(12):
                files.write(f"{who}", bytes(LARGE if number % 4 == 0 else 10), overwrite=True)
                files.read(f"{who}")

        for round_ in range(12):
            crowd = [gevent.spawn(work, who) for who in range(6)]
            gevent.sleep(0.003 * round_)
            if round_ % 2:
                gevent.killall(crowd)
            else:
                for greenlet in crowd:
                    gevent.sleep(0.001 * round_)
                    greenlet.kill()
        for number in range(10):
            with contextlib.suppress(gevent.Timeout), gevent.Timeout(0.001 * number):
                work(number)
        assert_nothing_is_used(files)
        files.write("kept", b"new", overwrite=True)
        assert files.read("kept") == b"new"
        backend = backend_of(files)
        backend.recovery.wait()
        with contextlib.ExitStack() as stack:
            if database_of(files)._is_sqlite:
                # Those who wait for another process are killed, and it is the next one's turn.
                stack.enter_context(locked(files))
                waiting = [gevent.spawn(files.write, f"w{n}", b"") for n in range(3)]
                gevent.sleep(0.05)
                gevent.killall(waiting, block=False)
                gevent.sleep(0.01)
            else:
                waiting = []
        gevent.joinall(waiting)
        assert_nothing_is_used(files)
        files.write("last", b"")


def turns_are_taken_in_order() -> None:
    turns = _Turns()
    order: list[int] = []
    held: list[bool] = []

    def take(number: int) -> None:
        with turns.one(30):
            assert not held, "two at once"
            held.append(True)
            order.append(number)
            here.breathe()
            here.nap()
            held.pop()

    with turns.one(1):
        tasks = []
        for number in range(20):
            tasks.append(here.Spawned(partial(take, number)))
            here.until(lambda number=number: len(turns._waiting) == number + 1)  # type: ignore[misc]
    for task in tasks:
        task.result()
    assert order == sorted(order)
    assert not turns._taken


def a_turn_is_waited_for_no_longer_than_asked() -> None:
    turns = _Turns()

    def wait(seconds: float) -> float:
        began = time.monotonic()
        try:
            with turns.one(seconds):
                raise AssertionError("there was none")
        except _NoTurn:
            return time.monotonic() - began

    with turns.one(1):
        waited = here.at_once([partial(wait, 0.0), partial(wait, 0.2), partial(wait, 0.4)])
        assert not turns._waiting
    assert waited[0] < 0.2 <= waited[1] + 0.01 < 2
    assert not turns._taken
    with turns.one(0):
        pass


def turns_survive_time_outs_that_race() -> None:
    """Some wait as long as the others hold: what is passed to who has left is passed on."""
    turns = _Turns()
    holders: list[bool] = []
    taken: list[bool] = []

    def work(nap: Callable[[], None], who: int) -> None:
        for number in range(60):
            try:
                with turns.one(0.0005 * ((who * 7 + number) % 5)):
                    holders.append(True)
                    assert len(holders) == 1
                    taken.append(True)
                    nap()
                    assert len(holders) == 1
                    holders.pop()
            except _NoTurn:
                nap()

    here.at_once(
        [partial(work, here.nap, who) for who in range(8)],
        beside=[partial(work, here.native_nap, who) for who in range(3)],
    )
    assert taken
    assert not turns._taken
    assert not turns._waiting


def who_is_killed_while_waiting_passes_the_turn_on() -> None:
    import gevent

    turns = _Turns()
    for number in range(200):
        got: list[int] = []

        def take(who: int, got: list[int] = got) -> None:
            with turns.one(10):
                got.append(who)
                gevent.sleep(0)

        with turns.one(10):
            crowd = [gevent.spawn(take, who) for who in range(4)]
            gevent.sleep(0)
            if number % 3 == 0:
                crowd[0].kill(block=False)
        if number % 3 == 1:  # Its turn has come, and it has not run yet.
            crowd[0].kill(block=False)
        if number % 3 == 2:
            gevent.sleep(0)
            crowd[number % 4].kill(block=number % 2 == 0)
        gevent.joinall(crowd, timeout=5)
        assert len(got) >= 3, (number, got)
        assert not turns._taken
        assert not turns._waiting


def the_end_of_the_program_is_not_delayed() -> None:
    """What waits to be deleted is in the rows; no more of it is begun than is being done."""
    folder = Path(tempfile.mkdtemp())
    app = Flask("situations", instance_path=str(folder))
    app.config.update(
        FS_BACKEND="tiered",
        FS_TIERED_THRESHOLD=1000,
        FS_SWIFT_AUTHURL=here.facts["auth_url"],
        FS_SWIFT_USER=here.facts["user"],
        FS_SWIFT_KEY=here.facts["key"],
        FS_SWIFT_AUTH_VERSION="1",
        FS_SWIFT_CREATE_CONTAINER=True,
    )
    files = Storage(f"s{secrets.token_hex(6)}", ALL)
    FS(app, files)
    files = files.bound(app)
    for number in range(30):
        files.write(f"{number}", bytes(LARGE))
    backend_of(files).recovery.wait()
    faults().add("delay", method="DELETE", path="/revisions/", times=-1, seconds=1)
    for number in range(30):
        files.delete(f"{number}")
    Path(here.facts["mark"]).write_text(str(time.time()))


def native_threads_write_beside_greenlets() -> None:
    with storage() as (files, _):

        def work(breathe: Callable[[], None], who: str) -> None:
            for number in range(10):
                content = os.urandom(LARGE if number % 4 == 0 else 10)
                files.write(who, content, overwrite=True)
                breathe()
                assert files.read(who) == content

        here.at_once(
            [partial(work, here.breathe, f"here/{n}") for n in range(4)],
            beside=[partial(work, here.native_breath, f"there/{n}") for n in range(3)],
        )
        assert_nothing_is_used(files)


def a_database_that_is_locked_for_long_is_an_error() -> None:
    from flask_fs_swift.tiered import database as module

    module.BUSY = 0.2
    with storage(swift_retries=1) as (files, _):
        files.write("small", b"old")
        database_of(files).close()
        failed = []

        def write() -> None:
            try:
                files.write("small", b"new", overwrite=True)
            except DatabaseError as error:
                failed.append(error)

        with locked(files):
            here.at_once([write] * 3)
            assert files.read("small") == b"old"
        assert [(error.filename, error.maybe_applied) for error in failed] == [("small", False)] * 3
        assert_nothing_is_used(files)
    assert threading.active_count() < 10
