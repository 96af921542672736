"""Segments go in bulk: none is taken for removed that may be there, and none is lost."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from large import A_MANIFEST, MARKER, Beside, asked, assert_whole

from flask_fs_swift import Delete, Forbidden, Put, Storage, SwiftBackend, SwiftError, bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import MakeStorage

    from flask_fs_swift.devserver import Faults

SEGMENT = 1000
#: How many segments a file has in most of these tests.
COUNT = 6
MANY = 12
GONE = 0.3  # seconds; more than a request takes


@pytest.fixture
def files(make_storage: MakeStorage) -> Storage:
    """A storage whose container is there."""
    files = make_storage(segment_size=SEGMENT, retries=1)
    files.write("other.txt", b"")
    return files


def content(segments: int = COUNT) -> bytes:
    return os.urandom(segments * SEGMENT)


def orphaned(files: Storage, seen: Beside, segments: int = COUNT) -> list[str]:
    """Store a large object, have another program delete it, and return its segments."""
    files.write("a.bin", content(segments))
    names = seen.segments()
    seen.connection.delete_object(files.name, "a.bin")
    return names


def deletes(faults: Faults) -> list[str]:
    """Return the requests that remove segments, in order."""
    return [each for each in asked(faults) if each in {"POST bulk", "DELETE segment"}]


def names_deleted(faults: Faults) -> list[str]:
    """Return the names of the segments that were asked for one by one, sorted."""
    found = [each.path for each in faults.requests() if each.method == "DELETE"]
    return sorted(path.partition("_segments/")[2] for path in found if "_segments/" in path)


def sweeper_of(files: Storage) -> Any:
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    return backend.multipart.sweeper


# What it costs.


def replace_by_small(files: Storage, _faults: Faults) -> None:
    files.write("a.bin", b"small", overwrite=True)


def replace_by_large(files: Storage, _faults: Faults) -> None:
    files.write("a.bin", content(MANY), overwrite=True)


def delete(files: Storage, _faults: Faults) -> None:
    files.delete("a.bin")


def delete_in_a_batch(files: Storage, _faults: Faults) -> None:
    assert [outcome.error for outcome in files.many([Delete("a.bin")])] == [None]


def collect(files: Storage, _faults: Faults) -> None:
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    backend._container.delete("a.bin")  # As another program does it.
    assert len(files.collect_garbage(0)) == MANY


def fail(files: Storage, faults: Faults) -> None:
    faults.add("status", method="PUT", path=A_MANIFEST, status=403)
    with pytest.raises(Forbidden):
        files.write("b.bin", content(MANY))


def abort(files: Storage, _faults: Faults) -> None:
    upload = files.start_upload("b.bin")
    for number in range(1, MANY + 1):
        upload.put_part(number, b"%d" % number)
    upload.abort()


@pytest.mark.parametrize(
    "verb",
    [replace_by_small, replace_by_large, delete, delete_in_a_batch, collect, fail, abort],
    ids=lambda verb: verb.__name__,
)
def test_many_segments_take_one_request(
    files: Storage, seen: Beside, swift_faults: Faults, verb: Callable[[Storage, Faults], None]
) -> None:
    files.write("a.bin", content(MANY))
    swift_faults.forget()
    verb(files, swift_faults)
    assert deletes(swift_faults) == ["POST bulk"]
    assert len(seen.segments()) == (MANY if verb in {replace_by_large, fail, abort} else 0)


def test_what_a_delete_of_many_segments_asks(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    files.write("a.bin", content(MANY))
    swift_faults.forget()
    files.delete("a.bin")
    sweep = ["GET segments", "GET segments", "GET marker", "HEAD object"]
    assert asked(swift_faults) == ["DELETE object", *sweep, "POST bulk"]
    assert seen.entries() == []


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (3, 3), (4, 4), (10, 4)])
def test_few_segments_go_one_by_one_and_nobody_asks_what_swift_can_do(
    make_storage: MakeStorage, swift_faults: Faults, width: int, expected: int
) -> None:
    files = make_storage(segment_size=SEGMENT, segment_concurrency=width)
    files.write("other.txt", b"")
    sweeper = sweeper_of(files)
    for count in (expected, expected + 1):
        swift_faults.forget()
        sweeper.delete(f"{'0' * 64}/{'0' * 32}/000001/{number}" for number in range(count))
        singly = ["DELETE segment"] * count
        assert asked(swift_faults) == (singly if count == expected else ["GET info", "POST bulk"])


def test_a_name_that_is_told_twice_is_removed_once(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    names = orphaned(files, seen)
    swift_faults.forget()
    sweeper_of(files).delete([*names, *names])
    assert deletes(swift_faults) == ["POST bulk"]
    assert seen.segments() == []


def test_of_a_manifest_only_the_list_goes(files: Storage, seen: Beside) -> None:
    kept = orphaned(files, seen)
    put = seen.connection.put_object
    lists = [f"manifest{number}" for number in range(COUNT)]
    for name in lists:
        body = json.dumps([{"path": f"{seen.container}/{each}"} for each in kept])
        put(seen.container, name, body, query_string=A_MANIFEST)
    assert len(seen.segments()) == len(kept) + len(lists)
    sweeper_of(files).delete(lists)
    assert seen.segments() == kept


# How many at a time.


@pytest.mark.parametrize("of", ["uploads", "markers"])
@pytest.mark.parametrize("width", [1, 3])
def test_a_collection_looks_at_several_uploads_at_a_time(
    make_storage: MakeStorage, swift_faults: Faults, width: int, of: str
) -> None:
    files = make_storage(segment_size=SEGMENT, segment_concurrency=width)
    for number in range(6):
        if of == "uploads":
            files.write(f"{number}.bin", content(2))
        else:
            files.start_upload(f"{number}.bin")
    swift_faults.forget()
    swift_faults.add("delay", method="GET", path=MARKER, seconds=GONE, times=-1)
    assert files.collect_garbage(0) == []
    times = [r.time for r in swift_faults.requests() if re.search(MARKER, r.path)]
    assert len(times) == 6
    assert max(sum(t <= other < t + GONE for other in times) for t in times) == width


def test_orphans_are_told_in_the_order_of_their_names(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    """Not in that in which their uploads were looked at; and removed together."""
    for number in range(4):
        files.write(f"{number}.bin", content(3))
        seen.connection.delete_object(files.name, f"{number}.bin")
    swift_faults.add("delay", method="GET", path=MARKER)
    names = seen.segments()
    swift_faults.forget()
    assert [each.name for each in files.collect_garbage(0)] == names
    assert deletes(swift_faults) == ["POST bulk"]
    assert seen.entries() == []


# What Swift can do.


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_swift_that_offers_no_bulk_delete_is_asked_one_by_one(
    files: Storage, seen: Beside, swift_faults: Faults, status: int
) -> None:
    """Nor one that does not say what it can do."""
    files.write("a.bin", content())
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    backend._inquiry._known = None
    swift_faults.forget()
    swift_faults.add("status", path="^/info", status=status, body='{"swift": {}}', times=-1)
    files.delete("a.bin")
    assert deletes(swift_faults) == ["DELETE segment"] * COUNT
    assert seen.segments() == []


@pytest.mark.parametrize("status", [400, 403, 405, 413])
def test_a_swift_that_refuses_the_request_is_asked_one_by_one(
    files: Storage, seen: Beside, swift_faults: Faults, status: int
) -> None:
    files.write("a.bin", content())
    swift_faults.forget()
    swift_faults.add("status", method="POST", path="bulk-delete", status=status)
    files.delete("a.bin")
    assert deletes(swift_faults) == ["POST bulk", *["DELETE segment"] * COUNT]
    assert seen.segments() == []


# Failures.


@pytest.mark.parametrize("action", ["status", "after_status", "reset", "after_reset", "truncate"])
def test_a_bulk_delete_whose_answer_is_lost_is_repeated(
    files: Storage, seen: Beside, swift_faults: Faults, action: str
) -> None:
    """Also where the first one did all of it: what is absent counts as removed."""
    orphans = orphaned(files, seen)
    swift_faults.forget()
    swift_faults.add(action, method="POST", path="bulk-delete", bytes=20)
    assert [each.name for each in files.collect_garbage(0)] == orphans
    assert deletes(swift_faults) == ["POST bulk"] * 2
    assert seen.entries() == []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Number Deleted": COUNT, "Number Not Found": 0, "Errors": []})[:-5],
        json.dumps({"Number Deleted": COUNT - 1, "Number Not Found": 0, "Errors": []}),
        json.dumps({"Number Deleted": 0, "Number Not Found": 0, "Errors": []}),
        json.dumps({"Number Deleted": COUNT - 1, "Number Not Found": 0, "Errors": [["/c/x", ""]]}),
    ],
)
def test_an_answer_that_does_not_add_up_is_not_believed(
    files: Storage, seen: Beside, swift_faults: Faults, body: str
) -> None:
    """Swift was not asked: only what was asked for one by one is gone."""
    files.write("a.bin", content())
    swift_faults.forget()
    swift_faults.add("status", method="POST", path="bulk-delete", status=200, body=body)
    files.delete("a.bin")
    assert deletes(swift_faults) == ["POST bulk", *["DELETE segment"] * COUNT]
    assert seen.segments() == []


@pytest.mark.parametrize("singly", [True, False])
def test_what_a_bulk_delete_reports_is_asked_for_singly(
    files: Storage, seen: Beside, swift_faults: Faults, singly: bool
) -> None:
    """And left to the next collection where that fails, too."""
    orphans = orphaned(files, seen)
    failed = orphans[2:4]
    for name in {*orphans} - {*failed}:
        seen.delete(name)
    errors = [[f"/{seen.container}/{name}", "503 Service Unavailable"] for name in failed]
    body = {"Number Deleted": COUNT - 2, "Number Not Found": 0, "Errors": errors}
    swift_faults.forget()
    swift_faults.add("status", method="POST", path="bulk-delete", status=200, body=json.dumps(body))
    if not singly:
        swift_faults.add("status", method="DELETE", path="_segments/", times=-1)
        with pytest.raises(SwiftError):
            sweeper_of(files).delete(orphans)
        swift_faults.clear()
        assert seen.segments() == failed
        assert [each.name for each in files.collect_garbage(0)] == failed
    else:
        sweeper_of(files).delete(orphans)
        assert names_deleted(swift_faults) == failed
    assert seen.segments() == []


def test_a_token_that_was_revoked_is_renewed(
    files: Storage, seen: Beside, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swift says so of each name, in an answer with status 200."""
    orphans = orphaned(files, seen)
    ask = bulk.Bulk._ask

    def ask_unknown(self: bulk.Bulk, names: Any) -> Any:
        swift_faults.revoke_tokens()
        swift_faults.forget()
        return ask(self, names)

    monkeypatch.setattr(bulk.Bulk, "_ask", ask_unknown)
    assert [each.name for each in files.collect_garbage(0)] == orphans
    assert deletes(swift_faults) == ["POST bulk"] * 2
    seen.connection.token = None
    assert seen.entries() == []


def test_a_bulk_delete_that_fails_in_the_middle_is_finished_singly(
    files: Storage, seen: Beside, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 4)
    files.write("a.bin", content(10))
    names = seen.segments()
    swift_faults.forget()
    swift_faults.add("status", method="POST", path="bulk-delete", skip=1, times=-1)
    files.delete("a.bin")
    assert deletes(swift_faults) == ["POST bulk"] * 3 + ["DELETE segment"] * 6
    assert names_deleted(swift_faults) == names[4:]
    assert seen.segments() == []


@pytest.fixture(params=["status", "after_status", "reset", "after_reset", "truncate"])
def failing(request: pytest.FixtureRequest, swift_faults: Faults) -> Iterator[bool]:
    """Let every bulk delete fail; tell whether Swift does it all the same."""
    swift_faults.add(request.param, method="POST", path="bulk-delete", times=-1, bytes=20)
    yield request.param not in {"status", "reset"}
    swift_faults.clear()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_sweep_whose_bulk_delete_fails_is_left_to_a_collection(
    files: Storage,
    seen: Beside,
    swift_faults: Faults,
    caplog: pytest.LogCaptureFixture,
    failing: bool,
    replaced: bool,
) -> None:
    new = content()
    files.write("a.bin", content())
    old = seen.segments()
    if replaced:
        files.write("a.bin", new, overwrite=True)
    else:
        files.delete("a.bin")
    assert "left for a collection" in caplog.text
    swift_faults.clear()
    expected = [] if failing else old
    assert [each.name for each in files.collect_garbage(0)] == expected
    if replaced:
        assert_whole(files, seen, "a.bin", new)
    else:
        assert not files.exists("a.bin")
        assert seen.entries() == []


def test_a_collection_whose_bulk_delete_fails_says_so_and_can_be_repeated(
    files: Storage, seen: Beside, swift_faults: Faults, failing: bool
) -> None:
    orphans = orphaned(files, seen)
    with pytest.raises(SwiftError) as caught:
        files.collect_garbage(0)
    assert caught.value.maybe_applied
    swift_faults.clear()
    assert seen.segments() == ([] if failing else orphans)
    files.collect_garbage(0)
    assert seen.entries() == []


def test_a_failed_write_whose_bulk_delete_fails_is_left_to_a_collection(
    files: Storage,
    seen: Beside,
    swift_faults: Faults,
    caplog: pytest.LogCaptureFixture,
    failing: bool,
) -> None:
    old = content()
    files.write("a.bin", old)
    swift_faults.add("status", method="PUT", path=A_MANIFEST, status=403)
    with pytest.raises(Forbidden):
        files.write("a.bin", content(), overwrite=True)
    swift_faults.clear()
    assert "left for a collection" in caplog.text
    assert len(seen.markers()) == 1
    assert len(files.collect_garbage(0)) == (0 if failing else COUNT)
    assert_whole(files, seen, "a.bin", old)


def test_an_abort_whose_bulk_delete_fails_is_repeated(
    files: Storage, seen: Beside, swift_faults: Faults, failing: bool
) -> None:
    upload = files.start_upload("a.bin")
    for number in range(COUNT):
        upload.put_part(number + 1, b"%d" % number)
    with pytest.raises(SwiftError) as caught:
        upload.abort()
    # It has ended, and some of its segments may be left.
    assert (caught.value.filename, caught.value.maybe_applied) == ("a.bin", True)
    swift_faults.clear()
    assert len(seen.segments()) == (0 if failing else COUNT)
    upload.abort()
    assert seen.segments() == []


def test_large_files_that_are_removed_together_leave_nothing(
    files: Storage, seen: Beside, swift_faults: Faults
) -> None:
    names = [f"folder/{number}" for number in range(5)]
    assert all(not o.error for o in files.many(Put(name, content()) for name in names))
    swift_faults.forget()
    assert files.delete_prefix("folder/") == len(names)
    assert deletes(swift_faults) == ["POST bulk"] * len(names)
    assert seen.entries() == []
