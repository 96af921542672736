"""Runs of deletes in few requests: nothing is taken for removed that may be there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient
from hypothesis import given
from hypothesis import strategies as st

from flask_fs_swift import (
    AuthFailed,
    ContainerNotFound,
    Delete,
    Get,
    InvalidName,
    Put,
    SwiftBackend,
    SwiftUnavailable,
)
from flask_fs_swift.bulk import just_before
from flask_fs_swift.capabilities import Capabilities

from .test_many import by_index

if TYPE_CHECKING:
    from collections.abc import Collection

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults

widths = pytest.mark.parametrize("concurrency", [1, None])
COUNT = 12
NAMES = [f"{number:03}" for number in range(COUNT)]


@pytest.fixture
def filled(swift_files: Storage, swift_faults: Faults) -> Storage:
    """A storage with some files; what it asked for until now is forgotten."""
    assert all(not o.error for o in swift_files.many(Put(name, name) for name in NAMES))
    swift_files.delete("absent")  # So it is known that there are no large objects.
    swift_faults.forget()
    return swift_files


def kinds(faults: Faults) -> list[str]:
    """Return what was asked for, in order."""
    found = []
    for request in faults.requests():
        if request.method == "POST":
            found.append("bulk")
        elif request.path == "/info":
            found.append("info")
        elif request.method == "GET":
            found.append("list")
        else:
            found.append(request.method)
    return found


def delete(files: Storage, names: Collection[str], concurrency: int | None = None) -> None:
    """Delete files; there is one outcome for each, none twice, and no error."""
    outcomes = list(files.many(map(Delete, names), concurrency))
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(names)))
    assert [outcome.error for outcome in outcomes] == [None] * len(names)
    assert sorted(outcome.value for outcome in outcomes) == sorted(names)


@widths
def test_a_run_is_a_listing_and_one_request(
    filled: Storage, swift_faults: Faults, concurrency: int | None
) -> None:
    delete(filled, NAMES, concurrency)
    assert kinds(swift_faults) == ["info", "list", "bulk"]
    assert list(filled.list_files()) == []


def test_what_swift_can_do_is_asked_once(filled: Storage, swift_faults: Faults) -> None:
    delete(filled, NAMES[:4])
    delete(filled, NAMES[4:8])
    delete(filled, NAMES[8:])
    assert kinds(swift_faults) == ["info", *["list", "bulk"] * 3]


@pytest.mark.parametrize("count", [1, 2])
def test_few_are_removed_one_by_one(filled: Storage, swift_faults: Faults, count: int) -> None:
    delete(filled, NAMES[:count])
    assert kinds(swift_faults) == ["DELETE"] * count


def test_a_folder_takes_a_fortieth_of_the_requests(
    swift_files: Storage, swift_faults: Faults
) -> None:
    names = [f"many/{number}" for number in range(200)]
    assert all(not o.error for o in swift_files.many(Put(name, b"") for name in names))
    swift_faults.forget()
    assert swift_files.delete_prefix("many/") == 200
    assert len(swift_faults.requests()) <= 5, kinds(swift_faults)
    assert list(swift_files.list_files()) == []


def test_other_operations_keep_their_place_among_runs(
    filled: Storage, swift_faults: Faults
) -> None:
    operations = [
        Get("000"), *map(Delete, NAMES), Get("000"), Put("001", b"new"), Delete("002"),
        *map(Delete, NAMES[4:10]), Put("000", b"newer"), Get("001"),
    ]  # fmt: skip
    for concurrency in (1, None):
        for outcome in filled.many(Put(name, name, overwrite=True) for name in NAMES):
            assert outcome.error is None
        swift_faults.forget()
        outcomes = by_index(filled.many(operations, concurrency))
        assert len(outcomes) == len(operations)
        assert outcomes[0].value == b"000"
        assert outcomes[COUNT + 1].error is not None
        assert outcomes[-1].value == b"new"
        assert list(filled.list_files()) == ["000", "001"]
        assert kinds(swift_faults).count("bulk") == 1, "the absent ones are not listed"


def test_duplicates_are_outcomes_of_their_own(filled: Storage) -> None:
    names = [NAMES[number % 7] for number in range(100)]
    delete(filled, names)
    delete(filled, names, 1)


# An answer is read in one way, however many workers there are.
@pytest.mark.parametrize("concurrency", [pytest.param(1, marks=pytest.mark.large), None])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        json.dumps({"Number Deleted": COUNT, "Number Not Found": 0}),
        json.dumps({"Number Deleted": COUNT - 1, "Number Not Found": 0, "Errors": []}),
        json.dumps({"Number Deleted": COUNT + 1, "Number Not Found": 0, "Errors": []}),
        json.dumps({"Number Deleted": 0, "Number Not Found": 0, "Errors": []}),
        json.dumps(
            {"Number Deleted": COUNT - 1, "Number Not Found": 0, "Errors": [["/c/x", "500"]]}
        ),
        json.dumps({"Number Deleted": COUNT, "Number Not Found": 0, "Errors": "nonsense"}),
        json.dumps({"Number Deleted": f"{COUNT}", "Number Not Found": "", "Errors": []}),
        json.dumps({"Number Deleted": COUNT, "Number Not Found": 0, "Errors": []})[:-5],
    ],
)
def test_an_answer_that_does_not_add_up_removes_nothing_by_itself(
    filled: Storage, swift_faults: Faults, body: str, concurrency: int | None
) -> None:
    """Swift was not asked: only what was asked for singly is gone."""
    swift_faults.add("status", method="POST", path="bulk-delete", status=200, body=body)
    delete(filled, NAMES, concurrency)
    assert kinds(swift_faults) == ["info", "list", "bulk", *["DELETE"] * COUNT]
    assert list(filled.list_files()) == []


def test_a_name_that_is_reported_is_asked_for_singly(filled: Storage, swift_faults: Faults) -> None:
    container = filled.name
    failed = [[f"/{container}/003", "503 Service Unavailable"], [f"{container}/01%31", "409"]]
    body = json.dumps({"Number Deleted": COUNT - 5, "Number Not Found": 3, "Errors": failed})
    swift_faults.add("status", method="POST", path="bulk-delete", status=200, body=body)
    delete(filled, NAMES)
    singly = [request.path[-3:] for request in swift_faults.requests()][3:]
    assert sorted(singly) == ["003", "011"]


@pytest.mark.parametrize("gone", [0, 1])
def test_tokens_that_are_refused_within_an_answer_are_an_error_of_each(
    filled: Storage, swift_faults: Faults, gone: int
) -> None:
    failed = [[f"{filled.name}/{name}", "401 Unauthorized"] for name in NAMES[gone:]]
    body = json.dumps({"Number Deleted": gone, "Number Not Found": 0, "Errors": failed})
    swift_faults.add("status", method="POST", path="bulk-delete", status=200, body=body, times=-1)
    outcomes = list(filled.many(map(Delete, NAMES)))
    assert {type(outcome.error) for outcome in outcomes} == {AuthFailed}
    assert {getattr(outcome.error, "maybe_applied", None) for outcome in outcomes} == {gone > 0}
    assert [kind for kind in kinds(swift_faults) if kind != "list"] == ["info", *["bulk"] * 3]


def test_names_of_every_kind_are_removed_together(filled: Storage, swift_faults: Faults) -> None:
    names = ["a b", "100%", "報告", "+", "/x", "a//b", "?", "#"]
    assert all(not o.error for o in filled.many(Put(name, b"x") for name in names))
    swift_faults.forget()
    delete(filled, names)
    assert kinds(swift_faults) == ["info", "list", "bulk"]
    assert sorted(filled.list_files()) == NAMES


def test_a_swift_without_it_is_asked_one_by_one(filled: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", path="^/info", status=200, body='{"swift": {}}')
    delete(filled, NAMES)
    assert kinds(swift_faults) == ["info", *["DELETE"] * COUNT]


silent = pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, "") for status in (401, 403, 404, 405)),
        *((200, body) for body in ("", "[]", "3", "nonsense", "<html>Welcome</html>")),
    ],
)


@silent
def test_a_swift_that_does_not_tell_is_asked_one_by_one_and_its_token_is_kept(
    filled: Storage, swift_faults: Faults, status: int, body: str
) -> None:
    tokens: Any = filled._mount().backend._login.tokens  # type: ignore[attr-defined]
    token = tokens._token
    swift_faults.add("status", path="^/info", status=status, body=body, times=-1)
    delete(filled, NAMES)
    assert kinds(swift_faults) == ["info", *["DELETE"] * COUNT]
    assert tokens._token is token


@silent
def test_a_swift_that_does_not_tell_is_given_large_files(
    make_storage: Any, swift_faults: Faults, status: int, body: str
) -> None:
    files = make_storage(segment_size=1024 * 1024)
    swift_faults.add("status", path="^/info", status=status, body=body, times=-1)
    assert files.write("large", bytes(2 * 1024 * 1024 + 1)).size == 2 * 1024 * 1024 + 1
    assert len(files.read("large")) == 2 * 1024 * 1024 + 1


def test_a_swift_that_cannot_tell_now_is_asked_again(
    make_storage: Any, swift_faults: Faults
) -> None:
    files = make_storage(retries=0)
    for _ in range(2):
        assert all(not o.error for o in files.many(Put(name, b"x") for name in NAMES))
        swift_faults.forget()
        swift_faults.add("status", path="^/info", status=503)
        delete(files, NAMES)
        swift_faults.clear()
    assert kinds(swift_faults)[0] == "info"


@pytest.mark.parametrize("status", [400, 405, 413, 501])
def test_a_swift_that_refuses_the_request_is_asked_one_by_one(
    make_storage: Any, swift_faults: Faults, status: int
) -> None:
    files = make_storage(retries=0)
    assert all(not o.error for o in files.many(Put(name, b"x") for name in NAMES))
    swift_faults.add("status", method="POST", path="bulk-delete", status=status)
    if status == 501:
        outcomes = list(files.many(map(Delete, NAMES)))
        assert {type(outcome.error) for outcome in outcomes} == {SwiftUnavailable}
        return
    delete(files, NAMES)
    assert list(files.list_files()) == []


@widths
def test_a_swift_that_fails_is_an_error_of_each(
    make_storage: Any, swift_faults: Faults, concurrency: int | None
) -> None:
    files = make_storage(retries=1)
    assert all(not o.error for o in files.many(Put(name, b"x") for name in NAMES))
    swift_faults.add("after_status", method="POST", path="bulk-delete", status=503, times=-1)
    outcomes = by_index(files.many(map(Delete, NAMES), concurrency))
    assert len(outcomes) == COUNT
    for name, outcome in zip(NAMES, outcomes, strict=True):
        assert isinstance(outcome.error, SwiftUnavailable)
        assert (outcome.error.filename, outcome.error.maybe_applied) == (name, True)
        assert outcome.error.http_status == 503


@widths
def test_a_swift_that_fails_after_the_first_part_of_a_run_is_asked_one_by_one_for_the_rest(
    make_storage: Any, swift_faults: Faults, concurrency: int | None
) -> None:
    files = make_storage(retries=0)
    assert all(not o.error for o in files.many(Put(name, b"x") for name in NAMES))
    files.delete("absent")  # So it is known that there are no large objects.
    swift_faults.forget()
    limits = {"bulk_delete": {"max_deletes_per_request": 5, "max_failed_deletes": 1000}}
    swift_faults.add("status", path="^/info", status=200, body=json.dumps(limits))
    swift_faults.add("status", method="POST", path="bulk-delete", status=503, skip=1)
    swift_faults.add("status", method="DELETE", path=f"{files.name}/009$", status=503)
    outcomes = by_index(files.many(map(Delete, NAMES), concurrency))
    assert [outcome.index for outcome in outcomes] == list(range(COUNT))
    assert [outcome.index for outcome in outcomes if outcome.error] == [9]
    assert isinstance(outcomes[9].error, SwiftUnavailable)
    assert outcomes[9].error.filename == "009"
    assert kinds(swift_faults) == ["info", "list", "bulk", "bulk", *["DELETE"] * (COUNT - 5)]
    assert list(files.list_files()) == ["009"]


def test_an_answer_that_is_lost_is_asked_for_again(filled: Storage, swift_faults: Faults) -> None:
    swift_faults.add("after_reset", method="POST", path="bulk-delete")
    delete(filled, NAMES)
    assert kinds(swift_faults) == ["info", "list", "bulk", "bulk"]


def test_a_container_that_is_absent_is_an_error_of_each(make_storage: Any) -> None:
    files = make_storage(create_container=False)
    outcomes = list(files.many(map(Delete, NAMES)))
    assert {type(outcome.error) for outcome in outcomes} == {ContainerNotFound}


def test_what_the_listing_does_not_have_is_asked_for_singly(
    filled: Storage, swift_faults: Faults
) -> None:
    """It may be new, and large."""
    swift_faults.add("stale_listing", path=filled.name, names=["004", "005"], times=-1)
    delete(filled, NAMES)
    singly = [
        request.path[-3:] for request in swift_faults.requests() if request.method == "DELETE"
    ]
    assert sorted(singly) == ["004", "005"]


def test_large_objects_go_singly(
    filled: Storage, swift_faults: Faults, swift_server: DevServer
) -> None:
    other: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    manifest = json.dumps([{"path": f"{filled.name}/000"}])
    other.put_object(filled.name, "0071", manifest, query_string="multipart-manifest=put")
    other.close()
    swift_faults.forget()
    delete(filled, [*NAMES, "0071"])
    singly = [
        request.path[-4:] for request in swift_faults.requests() if request.method == "DELETE"
    ]
    assert singly == ["0071"]
    assert kinds(swift_faults).count("bulk") == 1


@widths
def test_names_that_are_none_are_outcomes_of_their_own(
    filled: Storage, swift_faults: Faults, concurrency: int | None
) -> None:
    names = [*NAMES[:5], "", "..", "\n", "\ud800", "x" * 2000, *NAMES[5:10]]
    outcomes = by_index(filled.many(map(Delete, names), concurrency))
    assert [type(outcome.error) for outcome in outcomes] == [
        *[type(None)] * 5, *[InvalidName] * 5, *[type(None)] * 5,
    ]  # fmt: skip
    assert kinds(swift_faults) == ["info", "list", "bulk"]


def test_what_lies_far_apart_is_not_looked_for_page_by_page(
    make_storage: Any, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_fs_swift.container.PAGE", 10)
    files = make_storage()
    names = [f"{number:04}" for number in range(100)]
    assert all(not o.error for o in files.many(Put(name, b"") for name in names))
    files.delete("absent")  # So it is known that there are no large objects.
    swift_faults.forget()
    delete(files, names[::20])
    assert kinds(swift_faults).count("list") <= 2
    delete(files, names)
    assert list(files.list_files()) == []


def test_a_run_ends_at_the_limits_of_swift(filled: Storage, swift_faults: Faults) -> None:
    limits = {"bulk_delete": {"max_deletes_per_request": 5, "max_failed_deletes": 1000}}
    swift_faults.add("status", path="^/info", status=200, body=json.dumps(limits))
    delete(filled, NAMES)
    assert kinds(swift_faults) == ["info", "list", "bulk", "bulk", "bulk"]


def test_a_run_is_no_longer_than_failures_it_may_have(
    filled: Storage, swift_faults: Faults
) -> None:
    limits = {"bulk_delete": {"max_deletes_per_request": 1000, "max_failed_deletes": 6}}
    swift_faults.add("status", path="^/info", status=200, body=json.dumps(limits))
    delete(filled, NAMES)
    assert kinds(swift_faults) == ["info", "list", "bulk", "bulk"]


def test_runs_that_are_pulled_slowly_are_not_waited_for(filled: Storage) -> None:
    from flask_fs_swift import batch

    batch_patience, batch.RUN_PATIENCE = batch.RUN_PATIENCE, -1.0
    try:
        delete(filled, NAMES)
    finally:
        batch.RUN_PATIENCE = batch_patience


def test_a_storage_in_the_background_of_none_is_discarded_from(filled: Storage) -> None:
    backend = filled._mount().backend
    assert isinstance(backend, SwiftBackend)
    backend.discard(NAMES[:3])
    assert len(list(filled.list_files())) == COUNT - 3


@pytest.mark.parametrize("value", [None, "10", True, 0, -1, 2.5, [], {}])
def test_a_limit_that_is_none_is_swifts_default(value: object) -> None:
    said = Capabilities({"bulk_delete": {"max_deletes_per_request": value}})
    limits = said.bulk_delete
    assert limits is not None
    assert (limits.max_deletes, limits.max_failed) == (10_000, 1000)


def test_capabilities_are_sections() -> None:
    said = Capabilities({"slo": {"max_manifest_segments": 7}, "bulk_delete": "nonsense"})
    assert "slo" in said
    assert "tempurl" not in said
    assert said.section("slo") == {"max_manifest_segments": 7}
    assert said.section("tempurl") == said.section("bulk_delete") == {}
    assert said.number("slo", "max_manifest_segments", 1000) == 7
    assert said.number("slo", "absent", 1000) == 1000
    assert said.bulk_delete is not None
    assert Capabilities({}).bulk_delete is None


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5))
def test_just_before_a_name_is_before_it_and_after_its_predecessors(name: str) -> None:
    before = just_before(name)
    assert before.encode() < name.encode()
    assert not before.startswith(name)
    if name[-1] > "\x21":
        assert before.encode() > name[:-1].encode()
