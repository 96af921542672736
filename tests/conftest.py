"""What the tests share: an application, its storages, and the Swift that they are in."""

from __future__ import annotations

import gc
import os
import re
import secrets
from collections import Counter
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
ON_POSTGRESQL = re.compile(r"tests/(test_contract|many/test_many|tiered/(?!worlds/test_crashes))")


#: Tests of many cases that differ little: of so many, one is tried each time, the rest on request.
CAMPAIGNS = {
    "many/test_bulk_delete.py::test_an_answer_that_does_not_add_up_removes_nothing_by_itself": 4,
    "test_download.py::test_a_large_object_that_changes_meanwhile_is_an_error": 3,
    "test_garbage.py::test_a_killed_write_is_settled_by_a_collection": 2,
    "test_large_objects.py::test_two_versions_of_a_large_object_are_never_mixed": 3,
    "test_large_writes.py::test_a_request_that_fails_for_good_leaves_what_was": 3,
    "test_large_writes.py::test_content_longer_than_a_segment_is_a_large_object": 3,
    "test_uploads.py::test_a_part_that_is_another_is_refused": 3,
    "test_uploads.py::test_an_answer_that_is_lost_changes_nothing": 2,
    "tiered/test_moving.py::test_moving_in_goes_on_after_a_crash": 2,
    "tiered/test_moving.py::test_moving_out_goes_on_after_a_crash": 3,
    "tiered/worlds/test_locks.py::test_transactions_that_overlap_are_as_one_after_the_other": 3,
    "tiered/worlds/test_schedules.py::"
    "test_two_operations_in_every_order_are_as_one_after_the_other": 2,
}
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
    """Leave to ``-m large`` what was tried on SQLite, and is no different on PostgreSQL."""
    counts: Counter[str] = Counter()
    for item in items:
        if "postgresql" in item.name and not ON_POSTGRESQL.match(item.nodeid):
            item.add_marker(pytest.mark.large)
        name = _path(item).partition("[")[0]
        if counts[name] % CAMPAIGNS.get(name, 1):
            item.add_marker(pytest.mark.large)
        counts[name] += 1
    items.sort(key=_rank)


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
