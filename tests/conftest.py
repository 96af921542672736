"""What the tests share: an application, its storages, and the Swift that they are in."""

from __future__ import annotations

import gc
import os
import re
import secrets
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from flask import Flask
from large import SEGMENT, beside

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.config import RetrySettings
from flask_fs_swift.tiered.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from large import Beside

    from flask_fs_swift.devserver import DevServer
    from flask_fs_swift.events import EventHook

pytest_plugins = ["flask_fs_swift.testing"]

#: What speaks HTTP to Swift in this run of the tests: ``native`` or ``requests``.
TRANSPORT = os.environ.get("TEST_TRANSPORT", "native")

#: The URL of a PostgreSQL for the two tiers, which are also tested without one; None: they are not
#: tested with one.
POSTGRESQL = os.environ.get("TIERED_TEST_DATABASE")

#: Retries follow each other at once, so that a test of five takes no seconds.
QUICK = {"FS_SWIFT_BACKOFF": 0.01, "FS_SWIFT_TRANSPORT": TRANSPORT}


#: What is tried on PostgreSQL each time; all the rest, which is nothing but slow, on request.
ON_POSTGRESQL = re.compile(
    r"test_contract|tiered/(worlds/test_(locks|lost)|test_(postgres|database|processes))"
)


#: Where all cases are tried each time, however many.
ALWAYS_WHOLE = re.compile(r"situations/|test_contract|test_layers")
#: What makes a test dear: a Swift, each server below which the service is tried, many worlds.
DEAR = frozenset(("swift_server", "server", "make_world", "make_any_world", "named"))
#: What is tried on request only: it takes long, and shows in more cases what others show.
LONG = re.compile(
    r"situations/test_situations.py::(test_visitors_who_stall_are_given_up|test_parts_are_put_and"
    r"|test_others_run_while_large_content|test_a_batch_outlives)"
    r"|situations/test_tiers.py::(test_a_crowd|test_a_database_that_is_locked_for_long)"
    r"|tiered/test_processes.py::test_a_crowd_leaves"
    r"|tiered/worlds/test_crashes.py::test_a_host_that_dies_leaves_nothing"
    r"|tiered/test_checking.py::test_memory"
    r"|many/test_large_files.py::test_large_files_are_read_into"
)
#: What takes longest, and so begins first: modules are shared out whole.
LONGEST = (
    *("situations/test_situations", "situations/test_tiers", "auth/test_keystone"),
    *("many/test_kills", "test_uploads", "many/test_bulk_delete", "tiered/test_moving"),
    *("test_large_writes", "test_sweeping", "api/test_resumable", "api/test_multipart"),
    *("tiered/test_processes", "tiered/worlds/test_locks", "test_garbage", "devserver/"),
    *("tiered/worlds/", "many/"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``-m large`` what takes long, and is shown in other cases, too."""
    tests: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        path = _path(item)
        if LONG.match(path) or ("postgresql" in item.name and not ON_POSTGRESQL.match(path)):
            item.add_marker(pytest.mark.large)
        elif DEAR.intersection(getattr(item, "fixturenames", ())) and not ALWAYS_WHOLE.match(path):
            tests[path.partition("[")[0]].append(item)
    for test, cases in tests.items():
        for case in _left_out(test, cases):
            case.add_marker(pytest.mark.large)
    items.sort(key=_rank)


def _left_out(test: str, cases: list[pytest.Item]) -> list[pytest.Item]:
    """Return the cases of a test but a quarter of them, and at least two: others for each test."""
    count = len(cases)
    kept = max(2, -(-count // 4))
    begin = zlib.crc32(test.encode())
    chosen = {(number * count // kept + begin) % count for number in range(min(kept, count))}
    return [case for number, case in enumerate(cases) if number not in chosen]


def _rank(item: pytest.Item) -> int:
    found = (rank for rank, start in enumerate(LONGEST) if _path(item).startswith(start))
    return next(found, len(LONGEST))


def _path(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/")


@pytest.fixture(scope="module", autouse=True)
def what_there_is_stays() -> None:
    """Have collections look at what a module has made, and not at thousands of tests."""
    gc.collect()
    gc.freeze()


class MakeStorage(Protocol):
    """Makes a storage of its own, in an application of its own."""

    def __call__(self, *, on_event: EventHook | None = ..., **settings: object) -> Storage: ...


@pytest.fixture
def make_storage(swift_settings: dict[str, object]) -> Iterator[MakeStorage]:
    """Storages on Swift, each in a fresh container; settings are given without FS_SWIFT_."""
    closing: list[Callable[[], object]] = []

    def make(*, on_event: EventHook | None = None, **settings: object) -> Storage:
        app = Flask("tests")
        name = f"t{secrets.token_hex(6)}"
        app.config.update(swift_settings, **QUICK)
        app.config.update({f"FS_SWIFT_{key.upper()}": value for key, value in settings.items()})
        storage = Storage(name, ALL)
        fs = FS(app, storage, on_event=on_event)
        closing.append(lambda: fs.close(app, timeout=5))
        return storage.bound(app)

    yield make
    for close in closing:
        close()


@pytest.fixture
def swift_files(make_storage: MakeStorage) -> Storage:
    """A storage on Swift, in a fresh container."""
    return make_storage()


@pytest.fixture
def memory_files() -> Storage:
    """A storage in memory."""
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    storage = Storage("files", ALL)
    FS(app, storage)
    return storage.bound(app)


@pytest.fixture
def make_tiered(
    swift_settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeStorage]:
    """Storages in two tiers, each in a fresh container and a database of its own.

    Settings are given as ``TIERED_THRESHOLD`` or ``SWIFT_TIMEOUT``, in lower case.
    """
    closing: list[Callable[[], object]] = []

    def make(*, on_event: EventHook | None = None, **settings: object) -> Storage:
        app = Flask("tests", instance_path=str(tmp_path_factory.mktemp("instance")))
        name = f"t{secrets.token_hex(6)}"
        app.config.update(swift_settings, **QUICK)
        app.config["FS_BACKEND"] = "tiered"
        app.config.update({f"FS_{key.upper()}": value for key, value in settings.items()})
        storage = Storage(name, ALL)
        fs = FS(app, storage, on_event=on_event)
        closing.append(lambda: fs.close(app, timeout=5))
        return storage.bound(app)

    yield make
    for close in closing:
        close()


@pytest.fixture
def tiered_files(make_tiered: MakeStorage) -> Storage:
    """A storage in two tiers, with little in the first, so that both are used."""
    return make_tiered(tiered_threshold=1000, tiered_recovery_interval=0)


@pytest.fixture(scope="session")
def postgresql() -> str:
    """The URL of the PostgreSQL of the run, which has the tables."""
    if POSTGRESQL is None:
        pytest.skip("TIERED_TEST_DATABASE names no PostgreSQL")
    # By each process of the run, and all of them at once.
    database = Database(POSTGRESQL, RetrySettings(), width=1, create=False)
    database.create_tables()
    database.close()
    return POSTGRESQL


@pytest.fixture
def tiered_postgresql_files(make_tiered: MakeStorage, postgresql: str) -> Storage:
    """A storage in two tiers, the first of which is PostgreSQL."""
    return make_tiered(
        tiered_database=postgresql, tiered_threshold=1000, tiered_recovery_interval=0
    )


@pytest.fixture(params=["memory", "swift", "tiered", *["tiered-postgresql"] * bool(POSTGRESQL)])
def files(request: pytest.FixtureRequest) -> Any:
    """A storage on each backend in turn."""
    return request.getfixturevalue(f"{request.param.replace('-', '_')}_files")


@pytest.fixture
def files_of_segments(make_storage: MakeStorage) -> Storage:
    """A storage on Swift whose container is there, and whose large objects are small."""
    files = make_storage(segment_size=SEGMENT, retries=2)
    files.write("other.txt", b"")
    return files


@pytest.fixture
def seen(swift_server: DevServer, files: Storage) -> Iterator[Beside]:
    """What is beside the files of a module's own ``files``."""
    yield from beside(swift_server, files)
