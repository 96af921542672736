"""The databases that the two tiers are tested over, and worlds in them."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from flask_fs_swift.config import RetrySettings

from .steps import TestedDatabase, World

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A PostgreSQL that others may use at the same time; without it SQLite has to do.
POSTGRESQL = os.environ.get("TIERED_TEST_DATABASE")

QUICK = RetrySettings(backoff=0.001)


class MakeWorld(Protocol):
    """Makes a world whose rows are gone after the test."""

    def __call__(self, **settings: Any) -> World: ...


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other at once."""
    monkeypatch.setattr("flask_fs_swift.retry.pause", lambda _seconds: None)


@pytest.fixture(autouse=True)
def ids(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Ids come in an order: what is done again is done in the same order, whatever is sorted."""
    numbers = itertools.count(1)
    monkeypatch.setattr("flask_fs_swift.tiered.backend.new_id", lambda: f"{next(numbers):032x}")
    monkeypatch.setattr("flask_fs_swift.tiered.uploads.new_id", lambda: f"{next(numbers):032x}")
    return numbers


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedDatabase]:
    """A SQLite that waits for no disk."""
    path = tmp_path_factory.mktemp("tiered") / "tiered.sqlite3"
    database = TestedDatabase(f"sqlite:///{path}", QUICK)
    database.create_tables()
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[TestedDatabase]:
    """A PostgreSQL that somebody runs."""
    if POSTGRESQL is None:
        pytest.skip("TIERED_TEST_DATABASE names no PostgreSQL")
    database = TestedDatabase(POSTGRESQL, QUICK)
    database.create_tables()
    yield database
    database.close()


def _worlds(database: TestedDatabase) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(database, **settings))
        return made[-1]

    yield make
    for world in made:
        world.forget()


@pytest.fixture
def make_world(sqlite: TestedDatabase) -> Iterator[MakeWorld]:
    """Worlds in SQLite and in memory."""
    yield from _worlds(sqlite)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world in SQLite and in memory."""
    return make_world()


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRESQL else ["sqlite"])
def make_any_world(request: pytest.FixtureRequest) -> Iterator[MakeWorld]:
    """Worlds in each database that there is."""
    yield from _worlds(request.getfixturevalue(request.param))
