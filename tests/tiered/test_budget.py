"""What each verb of two tiers costs: requests to Swift, queries and transactions."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from flask_fs_swift import Delete

from .seeing import database_of, recovery_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import Faults

SMALL = b"small"
LARGE = os.urandom(5000)
LONG = os.urandom(3_000_000)
#: So that three of these make one long file.
SEGMENTS: dict[str, Any] = {"swift_segment_size": 1024 * 1024, "tiered_threshold": 1000}


class Meter:
    """Counts what calls cost. Lives as long as a test."""

    def __init__(self, files: Storage, faults: Faults) -> None:
        self._files = files
        self._faults = faults
        self._statements: list[str] = []
        engine = database_of(files)._engine_now()
        event.listen(engine, "before_cursor_execute", self._note)
        event.listen(engine, "commit", lambda _: self._statements.append("COMMIT"))

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self._statements.append(statement.split(maxsplit=1)[0])

    def costs(self, call: Callable[[], object]) -> tuple[list[str], int, int]:
        """Return the requests of a call, its queries and how many transactions it committed.

        Of the last two, what was done when it returned.
        """
        recovery_of(self._files).wait()
        self._statements.clear()
        self._faults.forget()
        call()
        statements = self._statements.copy()
        recovery_of(self._files).wait()
        requests = [
            request.method
            for request in self._faults.requests()
            if not request.path.startswith("/auth")
        ]
        return requests, statements.count("SELECT"), statements.count("COMMIT")


@pytest.fixture(params=["sqlite", "postgresql"])
def files(
    request: pytest.FixtureRequest, make_tiered: MakeStorage, swift_faults: Faults
) -> Storage:
    assert swift_faults
    settings = dict(SEGMENTS)
    if request.param == "postgresql":
        settings["tiered_database"] = request.getfixturevalue("postgresql")
    files = make_tiered(**settings)
    files.write("small", SMALL)
    files.write("large", LARGE)
    files.delete("large")  # So it is known that there are no segments.
    files.write("large", LARGE)
    recovery_of(files).wait()
    return files


@pytest.fixture
def meter(files: Storage, swift_faults: Faults) -> Meter:
    return Meter(files, swift_faults)


def test_a_small_file_costs_swift_nothing_and_one_transaction(files: Storage, meter: Meter) -> None:
    costs = meter.costs
    assert costs(lambda: files.write("a", SMALL)) == ([], 1, 1)
    assert costs(lambda: files.write("a", SMALL, overwrite=True)) == ([], 1, 1)
    assert costs(lambda: files.set_metadata("a", {"a": "b"})) == ([], 1, 1)
    assert costs(lambda: files.read("a")) == ([], 1, 0)
    assert costs(lambda: files.info("a")) == ([], 1, 0)
    assert costs(lambda: files.exists("absent")) == ([], 1, 0)
    assert costs(lambda: list(files.list_files())) == ([], 1, 0)
    assert costs(lambda: files.copy("a", "b")) == ([], 2, 1)
    assert costs(lambda: files.delete("a")) == ([], 1, 1)


def test_what_is_said_of_a_large_file_costs_swift_nothing(files: Storage, meter: Meter) -> None:
    costs = meter.costs
    assert costs(lambda: files.info("large")) == ([], 1, 0)
    assert costs(lambda: files.exists("large")) == ([], 1, 0)
    assert costs(lambda: files.set_metadata("large", {"a": "b"})) == ([], 1, 1)
    assert costs(lambda: list(files.list_files())) == ([], 1, 0)


def test_a_large_file_is_read_by_one_query_and_one_request(files: Storage, meter: Meter) -> None:
    assert meter.costs(lambda: files.read("large")) == (["GET"], 1, 0)
    assert meter.costs(lambda: files.read("large", start=5, end=9)) == (["GET"], 1, 0)
    assert meter.costs(lambda: list(files.read_chunks("large"))) == (["GET"], 1, 0)


def test_a_large_write_commits_twice(files: Storage, meter: Meter) -> None:
    requests, _, commits = meter.costs(lambda: files.write("a", LARGE))
    assert (requests, commits) == (["PUT"], 2)
    requests, _, commits = meter.costs(lambda: files.write("a", LARGE, overwrite=True))
    assert commits >= 2
    assert requests[0] == "PUT"
    requests, _, commits = meter.costs(lambda: files.copy("a", "b"))
    assert (requests, commits) == (["COPY", "HEAD"], 2)


def test_a_large_write_sends_what_swift_alone_is_sent_and_one_deletion(
    files: Storage, meter: Meter, make_storage: MakeStorage, swift_faults: Faults
) -> None:
    alone = make_storage(segment_size=SEGMENTS["swift_segment_size"])
    alone.write("a", LARGE)

    def of_swift_alone(call: Callable[[], object]) -> list[str]:
        swift_faults.forget()
        call()
        return [request.method for request in swift_faults.requests()]

    assert meter.costs(lambda: files.write("a", LARGE, overwrite=True))[0] == ["PUT"]
    assert meter.costs(lambda: files.write("a", LARGE, overwrite=True))[0] == ["PUT", "DELETE"]
    for name, content in {"large": LARGE, "b": LONG, "c": LONG}.items():
        plain = of_swift_alone(partial(alone.write, name, content, overwrite=True))
        requests, _, _ = meter.costs(partial(files.write, name, content, overwrite=True))
        if "DELETE" in requests:
            requests.remove("DELETE")
        assert len(requests) <= len(plain), (requests, plain)
        assert set(requests) <= set(plain)


def test_where_there_are_segments_a_deletion_looks_for_them(files: Storage, meter: Meter) -> None:
    files.write("long", LONG)
    requests, _, _ = meter.costs(lambda: files.delete("large"))
    assert requests[0] == "DELETE"
    assert len(requests) <= 4
    requests, _, _ = meter.costs(lambda: files.delete("long"))
    assert requests.count("DELETE") == 1 + 3
    assert len(requests) <= 1 + 3 + 3


def test_a_deletion_of_a_large_file_is_one_transaction_and_one_request(
    files: Storage, meter: Meter
) -> None:
    requests, _, commits = meter.costs(lambda: files.delete("large"))
    assert requests == ["DELETE"]
    assert commits >= 1


def test_many_deletions_are_one_transaction(files: Storage, meter: Meter) -> None:
    for number in range(20):
        files.write(f"many/{number}", SMALL)
    names = [f"many/{number}" for number in range(20)]

    def delete() -> None:
        assert all(one.error is None for one in files.many([Delete(name) for name in names]))

    requests, _, commits = meter.costs(delete)
    assert (requests, commits) == ([], 1)
