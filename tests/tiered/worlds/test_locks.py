"""Transactions that overlap: one stops before any of its statements, another runs meanwhile.

Only in PostgreSQL do they: those of SQLite that write take turns.
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from situations.here import until
from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from flask_fs_swift.tiered.changelog import ChangeLog

from .conftest import POSTGRESQL, QUICK
from .operations import COPY, NAME, OPERATIONS, explains, outcome, prepared
from .steps import LEASE, TestedDatabase, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .operations import Before, Outcome

NAMES = [
    "small put",
    "large put",
    "small create",
    "large create",
    "delete",
    "complete",
    "abort",
    "recover",
]
PATIENCE = 20.0  # seconds


class Stopping:
    """Stops one thread before one of the statements that it sends."""

    def __init__(self, statements: int) -> None:
        self._left = statements
        self._thread: int | None = None
        self.has_come = threading.Event()
        self.may_go = threading.Event()
        #: Whether there was such a statement.
        self.has_stopped = False

    def here(self) -> None:
        """Stop the calling thread."""
        self._thread = threading.get_ident()

    def over(self) -> None:
        """Stop nobody any more."""
        self._thread = None
        self.has_come.set()

    def __call__(self, *_args: object) -> None:
        if threading.get_ident() != self._thread:
            return
        self._left -= 1
        if self._left < 0:
            self._thread = None
            self.has_stopped = True
            self.has_come.set()
            assert self.may_go.wait(PATIENCE)


@pytest.fixture(scope="module")
def named() -> Iterator[tuple[TestedDatabase, str]]:
    """A database, and what its connections are called."""
    if POSTGRESQL is None:
        pytest.skip("TIERED_TEST_DATABASE names no PostgreSQL")
    name = f"locks-{secrets.token_hex(4)}"
    url = make_url(POSTGRESQL).update_query_dict({"application_name": name})
    database = TestedDatabase(url.render_as_string(hide_password=False), QUICK)
    database.create_tables()
    yield database, name
    database.close()


def is_waiting(database: TestedDatabase, name: str) -> bool:
    """Tell whether a transaction waits for another's lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = :name AND wait_event_type = 'Lock'"
    )
    return bool(database.read(lambda one: one.execute(query, {"name": name}).scalar()))


def do(world: World, name: str, before: Before, stopping: Stopping | None) -> tuple[str, Outcome]:
    host = world.host()
    if stopping is not None:
        stopping.here()
    try:
        seen = outcome(OPERATIONS[name], host, before)
        host.work_off()
    finally:
        if stopping is not None:
            stopping.over()
    return name, seen


def overlap(world: World, name: str, one: str, other: str, start: str, statements: int) -> bool:
    """Stop one operation at a statement, and run another; tell whether there was such a one."""
    before = prepared(world, start, upload=bool({"complete", "abort"}.intersection([one, other])))
    stopping = Stopping(statements)
    engine = world.database._engine_now()
    event.listen(engine, "before_cursor_execute", stopping)
    event.listen(engine, "commit", stopping)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(do, world, one, before, stopping)
            assert stopping.has_come.wait(PATIENCE)
            second = threads.submit(do, world, other, before, None)
            until(lambda: second.done() or is_waiting(world.database, name))
            stopping.may_go.set()
            seen = [first.result(PATIENCE), second.result(PATIENCE)]
    finally:
        stopping.may_go.set()
        event.remove(engine, "before_cursor_execute", stopping)
        event.remove(engine, "commit", stopping)
    assert world.dangling() == set()
    world.expire_leases(uploads=True)
    host = world.recovered()
    left = {NAME: host.read(NAME), COPY: host.read(COPY)}
    assert explains(before.start, seen, left), (seen, left)
    return stopping.has_stopped


@pytest.mark.parametrize("start", [pytest.param("absent", marks=pytest.mark.large), "large"])
@pytest.mark.parametrize("other", NAMES)
@pytest.mark.parametrize("one", NAMES)
def test_transactions_that_overlap_are_as_one_after_the_other(
    named: tuple[TestedDatabase, str], one: str, other: str, start: str
) -> None:
    database, name = named
    lasting = -1.0 if "recover" in {one, other} else LEASE
    statements = 0
    has_stopped = True
    while has_stopped:
        world = World(database, lease=lasting, lifetime=lasting)
        has_stopped = overlap(world, name, one, other, start, statements)
        world.forget()
        statements += 1
    assert statements > 1


def test_nobody_adopts_what_another_writes(named: tuple[TestedDatabase, str]) -> None:
    """Wherever the one stops who adopts it: there is one owner, and who writes is the owner."""
    database, name = named
    statements = 0
    has_stopped = True
    while has_stopped:
        log = ChangeLog(database, secrets.token_hex(8))
        assert log.adopt(["k"], "first", LEASE, overwrite=True)
        stopping = Stopping(statements)
        engine = database._engine_now()
        event.listen(engine, "before_cursor_execute", stopping)
        event.listen(engine, "commit", stopping)

        def adopt(log: ChangeLog = log, stopping: Stopping = stopping) -> set[str]:
            stopping.here()
            try:
                return log.adopt(["k"], "second", LEASE, overwrite=True)
            finally:
                stopping.over()

        try:
            with ThreadPoolExecutor(2) as threads:
                adopting = threads.submit(adopt)
                assert stopping.has_come.wait(PATIENCE)
                writing = threads.submit(log.turn_into, "write", "k", "first")
                until(lambda: writing.done() or is_waiting(database, name))  # noqa: B023
                stopping.may_go.set()
                assert writing.result(PATIENCE) is not bool(adopting.result(PATIENCE))
        finally:
            stopping.may_go.set()
            event.remove(engine, "before_cursor_execute", stopping)
            event.remove(engine, "commit", stopping)
        assert log.abandon("k")
        has_stopped = stopping.has_stopped
        statements += 1
    assert statements > 3
