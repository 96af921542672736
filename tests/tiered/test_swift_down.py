"""While Swift fails, small files are written and read, and no large one is half there."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import FS, SwiftUnavailable, UploadClosed

from .seeing import (
    assert_nothing_is_left,
    backend_of,
    blobs,
    change,
    column,
    let_time_pass,
    open_changes,
    pointed_at,
    recovery_of,
    retired,
)
from .sides import sides_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults

OLD, NEW = os.urandom(5000), os.urandom(6000)

#: Every way in which Swift may be down.
DOWN: dict[str, dict[str, Any]] = {
    "503": {"action": "status", "status": 503},
    "reset": {"action": "reset"},
    "hang": {"action": "hang"},
}


@pytest.fixture
def files(make_tiered: MakeStorage, swift_faults: Faults) -> Storage:
    """A storage with a small and a large file, both old, which is not patient."""
    files = make_tiered(
        tiered_threshold=1000,
        tiered_recovery_interval=0,
        swift_retries=1,
        swift_timeout=0.2,
    )
    files.write("large", OLD)
    files.write("small", b"old")
    swift_faults.forget()
    return files


def fail(faults: Faults, how: str, method: str = ".*") -> None:
    rule = dict(DOWN[how])
    faults.add(rule.pop("action"), method=method, path="/v1/", times=-1, **rule)


#: What needs Swift before it commits, and by which requests.
LARGE: dict[str, tuple[str, Callable[[Storage], object]]] = {
    "write over a large one": ("PUT", lambda files: files.write("large", NEW, overwrite=True)),
    "write over a small one": ("PUT", lambda files: files.write("small", NEW, overwrite=True)),
    "create": ("PUT", lambda files: files.write("new", NEW)),
    "copy": ("COPY", lambda files: files.copy("large", "small", overwrite=True)),
    "look at a copy": ("HEAD", lambda files: files.copy("large", "small", overwrite=True)),
    "move": ("COPY", lambda files: files.move("large", "new")),
    "start": ("PUT", lambda files: files.start_upload("large", overwrite=True)),
    "read": ("GET", lambda files: files.read("large")),
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("step", LARGE)
def test_what_needs_swift_fails_and_leaves_what_there_was(
    files: Storage, swift_faults: Faults, step: str, how: str
) -> None:
    method, act = LARGE[step]
    fail(swift_faults, how, method)
    with pytest.raises(SwiftUnavailable) as raised:
        act(files)
    assert raised.value.filename in {"large", "small", "new"}
    assert not raised.value.maybe_applied
    assert "revisions/" not in str(raised.value)
    swift_faults.clear()
    recovery_of(files).wait()
    assert (files.read("large"), files.read("small")) == (OLD, b"old")
    assert sorted(files.list_files()) == ["large", "small"]
    let_time_pass(files)
    recovery_of(files).run()
    assert_nothing_is_left(files)


@pytest.mark.parametrize("how", DOWN)
def test_small_files_are_as_ever(files: Storage, swift_faults: Faults, how: str) -> None:
    fail(swift_faults, how)
    files.write("small", b"new", overwrite=True)
    files.write("other", b"new")
    files.set_metadata("small", {"a": "b"})
    files.set_metadata("large", {"a": "b"})
    assert files.read("small") == b"new"
    assert files.info("small").metadata == files.info("large").metadata == {"a": "b"}
    assert sorted(files.list_files()) == ["large", "other", "small"]
    files.copy("small", "copy")
    files.move("copy", "moved")
    files.delete("moved")
    files.delete("other")
    assert sorted(files.list_files()) == ["large", "small"]
    assert files.exists("large")


@pytest.mark.parametrize("how", DOWN)
def test_what_is_to_be_deleted_waits_until_swift_is_back(
    files: Storage, swift_faults: Faults, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    [old] = pointed_at(files)
    fail(swift_faults, how, "DELETE")
    files.write("large", b"small now", overwrite=True)
    recovery_of(files).wait()
    assert retired(files) == {old} <= blobs(files)
    due = "SELECT due - since FROM fs_retired WHERE container = :container AND failures > 0"
    pauses = []
    for count in range(1, 4):
        assert [record.name for record in caplog.records if old in record.getMessage()] == [
            "flask_fs_swift.tiered.recovery"
        ] * count
        pauses += column(files, due)
        assert recovery_of(files).run().left == 0  # It is not due.
        change(files, "UPDATE fs_retired SET due = 0, since = 0 WHERE container = :container")
        change(files, "UPDATE fs_retired SET since = due WHERE container = :container")
        assert recovery_of(files).run().left == 1
        assert retired(files) == {old}
    failures = "SELECT failures FROM fs_retired WHERE container = :container"
    assert sum(column(files, failures)) == 4
    swift_faults.clear()
    let_time_pass(files)
    assert recovery_of(files).run().deleted == 1
    assert_nothing_is_left(files)
    assert files.read("large") == b"small now"


def test_the_pauses_grow_up_to_an_hour(files: Storage) -> None:
    pauses = [backend_of(files)._rows.retired.not_deleted("r", failures) for failures in range(20)]
    assert pauses[:3] == [5, 10, 20]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3600


def test_an_upload_survives_the_absence_of_swift(files: Storage, swift_faults: Faults) -> None:
    upload = files.start_upload("large", overwrite=True)
    part = upload.put_part(1, NEW)
    fail(swift_faults, "503")
    for act in (lambda: upload.put_part(2, NEW), lambda: upload.complete([part])):
        with pytest.raises(SwiftUnavailable) as raised:
            act()
        assert raised.value.filename == "large"
        assert "revisions/" not in str(raised.value)
    swift_faults.clear()
    assert files.read("large") == OLD
    upload.complete([part])
    assert files.read("large") == NEW
    recovery_of(files).wait()


def test_an_upload_is_aborted_while_swift_is_away(files: Storage, swift_faults: Faults) -> None:
    upload = files.start_upload("large", overwrite=True)
    upload.put_part(1, NEW)
    fail(swift_faults, "503")
    with pytest.raises(SwiftUnavailable):
        upload.abort()
    swift_faults.clear()
    recovery_of(files).wait()
    assert open_changes(files) == set()
    let_time_pass(files)
    recovery_of(files).run()
    assert files.collect_garbage(0) is not None
    assert files.read("large") == OLD
    assert_nothing_is_left(files)


def test_a_retired_blob_is_deleted_by_one_of_many_recoveries(
    files: Storage, swift_faults: Faults
) -> None:
    fail(swift_faults, "503", "DELETE")
    for number in range(8):
        files.write(f"{number}", NEW)
        files.delete(f"{number}")
    recovery_of(files).wait()
    swift_faults.clear()
    let_time_pass(files)
    swift_faults.forget()
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: recovery_of(files).run(), range(4)))
    assert sum(one.deleted for one in done) >= 8
    assert sum(one.left for one in done) == 0
    deletions = [each.path for each in swift_faults.requests() if each.method == "DELETE"]
    assert len(deletions) == len(set(deletions)) == 8
    assert_nothing_is_left(files)


def test_recoveries_of_expired_leases_and_files_at_once_do_no_harm(files: Storage) -> None:
    log = backend_of(files)._rows.log
    for number in range(20):
        files.write(f"expiring/{number}", NEW if number % 4 == 0 else b"x", expires_after=1000)
    for _ in range(3):
        upload = files.start_upload("large", overwrite=True)
        upload.put_part(1, NEW)
    assert len(open_changes(files)) == 3
    change(files, "UPDATE fs_objects SET expires = 1 WHERE expires > 0 AND container = :container")
    let_time_pass(files)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: recovery_of(files).run(), range(4)))
    assert sum(one.expired for one in done) >= 20
    assert log.expired() == []
    assert sorted(files.list_files()) == ["large", "small"]
    assert files.read("large") == OLD
    assert_nothing_is_left(files)


def test_one_of_all_processes_recovers_at_a_time(
    files: Storage, postgresql: str, make_tiered: MakeStorage
) -> None:
    other = make_tiered(tiered_database=postgresql)
    for log in (backend_of(files)._rows.log, backend_of(other)._rows.log):
        log.claim_recovery("a", 0)
        with ThreadPoolExecutor(8) as threads:
            claimed = list(threads.map(lambda n, log=log: log.claim_recovery(f"{n}", 60), range(8)))
        assert sum(claimed) == 1
        assert not log.claim_recovery("a", 60)


def test_a_verb_recovers_once_in_an_interval(make_tiered: MakeStorage) -> None:
    files = make_tiered(tiered_threshold=1000, tiered_recovery_interval=1000)
    files.write("large", OLD)
    recovery_of(files).wait()
    upload = files.start_upload("other")
    part = upload.put_part(1, NEW)
    change(files, "UPDATE fs_changes SET lease = 0 WHERE kind = 'upload'")
    files.read("large")
    recovery_of(files).wait()
    assert len(open_changes(files)) == 1, "it was not time"
    recovery_of(files)._next = 0
    files.read("large")
    recovery_of(files).wait()
    assert len(open_changes(files)) == 1, "it was not the turn of this process"
    change(files, "UPDATE fs_changes SET lease = 0 WHERE kind = 'recovery'")
    recovery_of(files)._next = 0
    files.read("large")
    recovery_of(files).wait()
    assert open_changes(files) == set()
    with pytest.raises(UploadClosed):
        upload.complete([part])


def test_who_recovers_may_do_so_again_when_it_looks_again(make_tiered: MakeStorage) -> None:
    """Were the interval another's by then, a lone process would recover every other time."""
    files = make_tiered(tiered_recovery_interval=1000)
    files.exists("absent")
    recovery_of(files).wait()
    claim = "SELECT lease - started FROM fs_changes WHERE kind = 'recovery'"
    [seconds] = column(files, f"{claim} AND container = :container")
    assert 800 < seconds < 999


def test_what_a_cleaner_cannot_foresee_does_not_end_all_cleaning(
    files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = recovery_of(files)

    def fail() -> None:
        raise LookupError

    monkeypatch.setattr("threading.excepthook", lambda _: None)
    recovery._begin([fail])
    recovery.wait()
    files.delete("large")
    recovery.wait()
    assert blobs(files) == set()


class _Stuck:
    """Blobs whose deletion takes until it may go on."""

    def __init__(self) -> None:
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def purge(self, _name: str) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(30)


def test_closing_waits_for_a_deletion_no_longer_than_it_may(
    swift_server: DevServer,
    swift_settings: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = _Stuck()
    with sides_of(swift_server, swift_settings, tmp_path) as sides:
        sides.files.write("large", OLD)
        monkeypatch.setattr(sides.backend.recovery, "_blobs", stuck)
        sides.files.delete("large")
        assert stuck.has_begun.wait(30)
        assert not FS().close(sides.app, timeout=0.01)
        stuck.may_go_on.set()
        assert FS().close(sides.app)
