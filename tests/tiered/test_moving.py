"""Moving into two tiers and out of them: nothing is lost, and it can be begun again."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import FileNotFound, SwiftUnavailable
from flask_fs_swift.swift import SwiftBackend
from flask_fs_swift.tiered import moving
from flask_fs_swift.tiered.changelog import Change, ChangeLog
from flask_fs_swift.tiered.recovery import Recovery
from flask_fs_swift.tiered.rows import New, Rows, Write

from .sides import SEGMENT, THRESHOLD, Killed, Sides, described, die, sides_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_fs_swift import ObjectInfo
    from flask_fs_swift.devserver import DevServer, Faults

LARGE = os.urandom(2 * SEGMENT + 5)
MIDDLE = os.urandom(THRESHOLD + 1)
OURS = f"revisions/{'a' * 64}/{'b' * 32}"


@pytest.fixture
def sides(
    swift_server: DevServer, swift_settings: dict[str, object], tmp_path: Path
) -> Iterator[Sides]:
    with sides_of(swift_server, swift_settings, tmp_path) as found:
        yield found


@pytest.fixture
def short(
    swift_server: DevServer, swift_settings: dict[str, object], tmp_path: Path
) -> Iterator[Sides]:
    """The same, with leases that end soon."""
    with sides_of(swift_server, swift_settings, tmp_path, lease=0.2) as found:
        yield found


def move_in(sides: Sides, *, inline: bool = False) -> dict[str, str]:
    return {one.name: one.outcome for one in sides.backend.moving_in.run(inline=inline)}


def move_out(sides: Sides, *, overwrite: bool = False) -> dict[str, str]:
    return {one.name: one.outcome for one in sides.backend.moving_out.run(overwrite=overwrite)}


def fill(files: Any) -> dict[str, bytes]:
    """Store one file of each kind; return their content."""
    contents = {
        "dir/ü.txt": b"small",
        "empty": b"",
        "expiring": b"soon gone",
        "large": LARGE,
        "large-expiring": LARGE[::-1],
        "middle": MIDDLE,
        "said": b"described",
        "said-large": MIDDLE[::-1],
    }
    for name, content in contents.items():
        more: dict[str, Any] = {}
        if "expiring" in name:
            more["expires_after"] = 5000
        if "said" in name:
            more.update(
                metadata={"Owner": "50% Grüße "},
                cache_control="max-age=60",
                content_disposition="attachment; filename*=UTF-8''%e2%82%ac.txt",
                content_type="text/x-said",
            )
        files.write(name, content, **more)
    return contents


def assert_holds(files: Any, contents: dict[str, bytes], infos: dict[str, ObjectInfo]) -> None:
    assert sorted(files.list_files()) == sorted(contents)
    for name, content in contents.items():
        assert files.read(name) == content
        info = files.info(name)
        assert described(info) == described(infos[name])
        expires = infos[name].expires
        if expires is None:
            assert info.expires is None
        else:
            assert info.expires is not None
            assert abs((info.expires - expires).total_seconds()) <= 2


@pytest.mark.parametrize("inline", [False, True])
def test_a_container_is_taken_over_as_it_is(sides: Sides, inline: bool) -> None:
    contents = fill(sides.plain)
    infos = {name: sides.plain.info(name) for name in contents}
    before = sides.outside.names()
    assert move_in(sides, inline=inline) == dict.fromkeys(contents, "moved")
    assert_holds(sides.files, contents, infos)
    for name in contents:
        assert sides.files.info(name).modified == infos[name].modified
        assert sides.files.info(name).etag == infos[name].etag
    in_rows = {name for name, at in sides.revisions().items() if at is None}
    small = {name for name, content in contents.items() if len(content) <= THRESHOLD}
    assert in_rows == (small if inline else set())
    assert sides.outside.names() == [name for name in before if name not in in_rows]
    assert sides.changes() == []
    assert sides.retired() == set()
    assert list(sides.backend.checking.run()) == []


def test_what_is_taken_over_is_not_asked_for_again(sides: Sides, swift_faults: Faults) -> None:
    contents = fill(sides.plain)
    move_in(sides)
    swift_faults.forget()
    assert move_in(sides) == dict.fromkeys(contents, "there")
    asked = [one.method for one in swift_faults.requests() if not one.path.startswith("/auth")]
    assert asked == ["GET", "GET"]  # Two pages, of which the second is empty.
    move_in(sides, inline=True)
    assert sides.revisions()["said"] is None
    assert sides.outside.names() == ["large", "large-expiring", "middle", "said-large"]
    assert move_in(sides, inline=True) == dict.fromkeys(sides.outside.names(), "there")


def test_pages_and_batches_follow_each_other(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "PAGE", 7)
    monkeypatch.setattr(moving, "BATCH", 3)
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        sides.outside.put(name, name.encode())
    for name in names[:9]:
        sides.files.write(name, name)
    outcomes = move_in(sides)
    assert outcomes == dict.fromkeys(names[:9], "there") | dict.fromkeys(names[9:], "moved")
    assert [sides.files.read(name) for name in names] == [name.encode() for name in names]


def test_names_that_no_file_has_are_told_and_left_alone(sides: Sides) -> None:
    odd = ["a\nb", "x\x1b[2J", "\x85"]
    for name in odd:
        sides.outside.put(name, b"odd")
    sides.outside.put(OURS, b"whose?")
    sides.outside.put("revisions/readme", b"theirs")
    before = sides.outside.names()
    assert move_in(sides, inline=True) == {
        **dict.fromkeys(odd, "refused"),
        OURS: "unknown",
        "revisions/readme": "moved",
    }
    assert sides.outside.names() == [name for name in before if name != "revisions/readme"]
    assert list(sides.files.list_files()) == ["revisions/readme"]


def test_our_own_blobs_are_no_files(sides: Sides) -> None:
    sides.files.write("large", LARGE)
    upload = sides.files.start_upload("part")
    upload.put_part(1, b"part")
    assert len(sides.outside.blobs()) == 1
    assert move_in(sides, inline=True) == {}
    sides.files.delete("large")
    sides.backend.recovery.wait()
    assert move_in(sides, inline=True) == {}
    upload.abort()


def test_a_file_that_is_there_already_is_told_if_it_is_another(sides: Sides) -> None:
    sides.outside.put("same", b"same")
    sides.outside.put("other", b"theirs")
    sides.files.write("same", "same")
    sides.files.write("other", "ours")
    assert move_in(sides) == {"same": "there", "other": "exists"}
    assert sides.files.read("other") == b"ours"
    assert sides.outside.read("other") == b"theirs"


def test_a_listing_that_lags_brings_nothing_back(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sides.plain)
    listed = list(sides.plain.list_infos())
    move_in(sides)
    for name in ("dir/ü.txt", "large", "middle"):
        sides.files.delete(name)
    sides.files.write("said", "newer")
    sides.backend.recovery.wait()
    monkeypatch.setattr(SwiftBackend, "list", lambda *_: iter(listed))
    outcomes = move_in(sides)
    assert {name for name, outcome in outcomes.items() if outcome == "gone"} == {
        "dir/ü.txt", "large", "middle", "said",
    }  # fmt: skip
    assert not sides.files.exists("large")
    assert sides.files.read("said") == b"newer"
    assert sides.changes() == []


@pytest.mark.parametrize("inline", [False, True])
def test_a_file_that_is_written_meanwhile_wins(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, inline: bool
) -> None:
    """Between the second step and the commit."""
    for name in ("small", "large", "untouched"):
        sides.outside.put(name, b"old")
    original = SwiftBackend.newest

    def newest(self: SwiftBackend, name: str) -> ObjectInfo | None:
        found = original(self, name)
        if name in {"small", "large"}:
            sides.files.write(name, b"new" if name == "small" else LARGE)
        return found

    monkeypatch.setattr(SwiftBackend, "newest", newest)
    assert move_in(sides, inline=inline) == {
        "small": "exists", "large": "exists", "untouched": "moved",
    }  # fmt: skip
    assert sides.files.read("small") == b"new"
    assert sides.files.read("large") == LARGE
    assert sides.outside.read("small") == sides.outside.read("large") == b"old"


def test_a_file_that_is_written_while_it_moves_into_its_row_wins(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("written", "deleted", "set", "kept")
    for name in names:
        sides.outside.put(name, b"old")
    original = moving.MovingIn._content

    def content(self: moving.MovingIn, info: ObjectInfo) -> bytes:
        if info.name == "written":
            sides.files.write("written", "new")
        elif info.name == "deleted":
            sides.files.delete("deleted")
        sides.backend.recovery.wait()
        data = original(self, info)
        if info.name == "set":
            sides.files.set_metadata("set", {"a": "b"})
        return data

    monkeypatch.setattr(moving.MovingIn, "_content", content)
    assert move_in(sides, inline=True) == {
        "written": "there", "deleted": "there", "set": "there", "kept": "moved",
    }  # fmt: skip
    assert sides.files.read("written") == b"new"
    assert not sides.files.exists("deleted")
    assert sides.files.info("set").metadata == {"a": "b"}
    assert sides.revisions() == {"written": None, "set": "set", "kept": None}
    assert sides.outside.names() == ["set"]


DEATHS_IN = [
    (ChangeLog, "adopt", False, 1),
    (ChangeLog, "adopt", True, 1),
    (SwiftBackend, "newest", True, 3),
    (Rows, "compare_and_write", False, 1),
    (Rows, "compare_and_write", True, 1),
    (Rows, "compare_and_write", False, 2),
    (Rows, "compare_and_write", True, 2),
    (Recovery, "delete", False, 1),
    (SwiftBackend, "delete", True, 1),
]


@pytest.mark.parametrize(("owner", "verb", "after", "call"), DEATHS_IN)
@pytest.mark.parametrize("inline", [pytest.param(False, marks=pytest.mark.large), True])
def test_moving_in_goes_on_after_a_crash(
    sides: Sides,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    verb: str,
    after: bool,
    call: int,
    inline: bool,
) -> None:
    contents = fill(sides.plain)
    infos = {name: sides.plain.info(name) for name in contents}
    before = sides.outside.names()
    monkeypatch.setattr(moving, "LEASE", 0.0)
    revive = die(monkeypatch, owner, verb, after=after, call=call)
    try:
        move_in(sides, inline=inline)
    except Killed:
        pass
    else:
        assert not inline
    revive()
    if not inline:
        assert sides.outside.names() == before
    time.sleep(0.01)
    recovered = sides.backend.recovery.run()
    assert recovered.left == 0
    assert sides.changes() == []
    if not inline:
        assert recovered.deleted == 0
        assert sides.outside.names() == before
    move_in(sides, inline=inline)
    assert_holds(sides.files, contents, infos)
    assert list(sides.backend.checking.run()) == []


def test_an_adoption_that_dies_is_struck_and_nothing_is_deleted(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = fill(sides.plain)
    monkeypatch.setattr(moving, "LEASE", 0.0)
    revive = die(monkeypatch, Rows, "compare_and_write", after=False)
    with pytest.raises(Killed):
        move_in(sides)
    revive()
    assert sorted(sides.changes()) == sorted(("adoption", name) for name in contents)
    time.sleep(0.01)
    recovered = sides.backend.recovery.run()
    assert (recovered.abandoned, recovered.deleted) == (len(contents), 0)
    assert sides.retired() == set()
    for name, content in contents.items():
        assert sides.plain.read(name) == content


def test_two_move_in_at_once(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH", 5)
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        sides.outside.put(name, name.encode())
    outcomes: list[dict[str, str]] = []
    together = threading.Barrier(3)

    def run(inline: bool) -> None:
        together.wait()
        outcomes.append(move_in(sides, inline=inline))

    threads = [threading.Thread(target=run, args=(inline,)) for inline in (False, True, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {outcome for one in outcomes for outcome in one.values()} <= {
        "moved", "there", "gone", "held",
    }  # fmt: skip
    assert len(outcomes) == 3
    move_in(sides)
    assert [sides.files.read(name) for name in names] == [name.encode() for name in names]
    assert sides.changes() == []
    assert list(sides.backend.checking.run()) == []


def test_of_two_adoptions_the_later_counts(sides: Sides) -> None:
    """The earlier one was long away: what it has seen of the object may be gone."""
    log = sides.backend.moving_in._rows.log
    rows = sides.backend.moving_in._rows
    sides.outside.put("a", b"a")
    info = sides.plain.info("a")
    assert log.adopt(["a"], "one", 60, overwrite=False) == {"a"}
    assert log.adopt(["a"], "other", 60, overwrite=False) == {"a"}
    new = New(info, revision="a")
    [written] = rows.compare_and_write(Write("a", new, overwrite=False, owner="one"))
    assert written.result == "fenced"
    assert not log.abandon("a", owner="one")
    assert not log.turn_into("write", "a", "one")
    [written] = rows.compare_and_write(Write("a", new, overwrite=False, owner="other"))
    assert written.result == "done"
    assert log.adopt(["a"], "third", 60, overwrite=True) == set()


def test_nobody_adopts_what_is_being_written(sides: Sides) -> None:
    log = sides.backend.moving_in._rows.log
    assert log.adopt(["a"], "one", 60, overwrite=True) == {"a"}
    assert log.turn_into("write", "a", "one")
    assert log.adopt(["a"], "other", 60, overwrite=True) == set()
    assert log.enter(Change("a", "a", "adoption"), "other", 60) is None
    assert log.turn_into("adoption", "a", "one")
    assert log.adopt(["a"], "other", 60, overwrite=True) == {"a"}


def test_what_has_become_an_objects_is_never_a_write(sides: Sides) -> None:
    """A database may let both happen at once: a write that fails would delete what is needed."""
    log = sides.backend.moving_in._rows.log
    sides.outside.put("a", b"a")
    move_in(sides)
    sides.sql("UPDATE fs_objects SET revision = 'b'")
    assert log.adopt(["a"], "one", 60, overwrite=True) == {"a"}
    sides.sql("UPDATE fs_objects SET revision = 'a'")
    assert not log.turn_into("write", "a", "one")
    assert sides.changes() == [("adoption", "a")]
    assert log.abandon("a", owner="one")
    assert sides.retired() == set()


def test_a_file_that_was_moved_in_is_replaced_once_and_its_name_comes_back(sides: Sides) -> None:
    fill(sides.plain)
    move_in(sides)
    sides.files.write("large", "small now")
    sides.files.delete("middle")
    sides.files.write("said", LARGE)
    sides.backend.recovery.wait()
    names = sides.outside.names()
    assert not {"large", "middle", "said"} & set(names)
    assert sides.retired() == set()
    segments = sides.outside.connection.get_container(f"{sides.outside.container}_segments")[1]
    assert not [one for one in segments if one["name"].startswith(_segments_of("large"))]
    for name in ("large", "middle"):
        sides.outside.put(name, b"back")
    assert move_in(sides) | {"large": "exists", "middle": "moved"} == move_in(sides) | {
        "large": "exists", "middle": "moved",
    }  # fmt: skip
    assert sides.backend.recovery.run().deleted == 0
    assert sides.files.read("middle") == sides.outside.read("large") == b"back"
    assert sides.files.read("large") == b"small now"


def _segments_of(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def test_what_cannot_be_read_stays_in_swift(sides: Sides, swift_faults: Faults) -> None:
    for name in ("bad", "good"):
        sides.outside.put(name, b"content")
    move_in(sides)
    swift_faults.add("corrupt", method="GET", path="/bad$", times=100)
    found = {one.name: one for one in sides.backend.moving_in.run(inline=True)}
    assert (found["bad"].outcome, found["good"].outcome) == ("failed", "moved")
    assert "bad" in str(found["bad"].error)
    swift_faults.clear()
    assert sides.files.read("bad") == b"content"
    assert move_in(sides, inline=True) == {"bad": "moved"}


def test_an_object_that_is_another_than_its_row_says_stays(sides: Sides) -> None:
    sides.outside.put("a", b"one")
    move_in(sides)
    sides.outside.put("a", b"another")
    assert move_in(sides, inline=True) == {"a": "failed"}
    assert sides.outside.read("a") == b"another"


def test_one_that_fails_stops_nobody_and_many_stop_all(
    sides: Sides, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "PATIENCE", 5)
    monkeypatch.setattr(moving, "WIDTH", 1)
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        sides.outside.put(name, name.encode())
    swift_faults.add("status", method="HEAD", path="/0[0-3]$", status=500, times=1000)
    outcomes = move_in(sides)
    assert [name for name in names if outcomes[name] == "failed"] == names[:4]
    swift_faults.clear()
    for name in names[4:]:
        sides.files.delete(name)
    swift_faults.add("status", method="HEAD", status=500, times=1000)
    for number in range(30, 40):
        sides.outside.put(f"{number}", b"new")
    with pytest.raises(SwiftUnavailable):
        move_in(sides)
    swift_faults.clear()
    move_in(sides)
    assert sides.files.read("00") == b"00"
    assert sides.changes() == []


def test_a_foreign_large_object_keeps_its_segments(sides: Sides) -> None:
    connection, container = sides.outside.connection, sides.outside.container
    connection.put_container(f"{container}_theirs")
    for number in range(3):
        connection.put_object(f"{container}_theirs", f"x/{number}", b"part")
    sides.outside.put("dynamic", b"", X_Object_Manifest=f"{container}_theirs/x/")
    assert move_in(sides, inline=True) == {"dynamic": "moved"}
    assert sides.files.read("dynamic") == b"partpartpart"
    assert move_in(sides, inline=True) == {"dynamic": "there"}
    sides.files.delete("dynamic")
    sides.backend.recovery.wait()
    assert sides.outside.names() == []
    assert len(connection.get_container(f"{container}_theirs")[1]) == 3


# Out.


def test_everything_is_given_back(sides: Sides) -> None:
    contents = fill(sides.files)
    infos = {name: sides.files.info(name) for name in contents}
    assert move_out(sides) == dict.fromkeys(contents, "moved")
    assert_holds(sides.plain, contents, infos)
    assert_holds(sides.files, contents, infos)
    for name in contents:
        assert sides.files.info(name).modified == infos[name].modified
    assert sides.outside.names() == sorted(contents)
    assert sides.revisions() == {name: name for name in contents}
    assert sides.changes() == []
    assert sides.retired() == set()
    assert list(sides.backend.checking.run()) == []
    assert move_out(sides) == dict.fromkeys(contents, "there")
    # There is no trace of us, but what says by whom an object was created.
    assert sides.outside.headers("said")["X-Object-Meta-Owner"] == "50%25%20Gr%C3%BC%C3%9Fe%20"


def test_what_rows_say_is_given_back_and_not_what_their_blobs_do(sides: Sides) -> None:
    sides.files.write("large", LARGE, metadata={"old": "1", "kept": "2"}, cache_control="no-store")
    sides.files.write("middle", MIDDLE, metadata={"old": "1"}, expires_after=5000)
    sides.files.copy("large", "copy")
    for name in ("large", "middle", "copy"):
        sides.files.set_metadata(name, {"old": None, "new": "ü"})
    move_out(sides)
    assert sides.plain.info("large").metadata == {"kept": "2", "new": "ü"}
    assert sides.plain.info("copy").metadata == {"kept": "2", "new": "ü"}
    assert sides.plain.info("middle").metadata == {"new": "ü"}
    assert sides.plain.info("large").cache_control == "no-store"
    assert sides.plain.info("middle").expires is not None
    assert sides.plain.read("large") == sides.plain.read("copy") == LARGE


def test_out_and_in_again_and_out(sides: Sides) -> None:
    contents = fill(sides.files)
    infos = {name: sides.files.info(name) for name in contents}
    move_out(sides)
    sides.sql("DELETE FROM fs_objects")
    assert move_in(sides, inline=True) == dict.fromkeys(contents, "moved")
    assert_holds(sides.files, contents, infos)
    sides.files.write("empty", "no more")
    contents["empty"] = b"no more"
    infos["empty"] = sides.files.info("empty")
    assert set(move_out(sides).values()) == {"moved", "there"}
    assert_holds(sides.plain, contents, infos)


def test_what_others_have_stored_is_replaced_only_with_permission(sides: Sides) -> None:
    for name in ("a", "b", "large"):
        sides.outside.put(name, b"theirs")
    theirs = {"content_type": "x/y", "content_language": "de", "x_delete_at": "4000000000"}
    sides.outside.put("same", b"same", X_Object_Meta_Who="them", **theirs)
    sides.files.write("a", "ours")
    sides.files.write("large", LARGE)
    sides.files.write("same", "same", metadata={"who": "us"}, content_type="text/plain")
    assert move_out(sides) == {"a": "exists", "large": "exists", "same": "moved"}
    assert sides.outside.read("a") == sides.outside.read("large") == b"theirs"
    assert sides.files.read("a") == b"ours"
    assert sides.plain.info("same").metadata == {"who": "us"}
    assert sides.plain.info("same").content_type == "text/plain"
    assert sides.plain.info("same").expires is None
    assert sides.outside.headers("same")["Content-Language"] == "de"
    assert sides.changes() == []
    assert sides.retired() == set()
    outcomes = move_out(sides, overwrite=True)
    assert outcomes == {"a": "moved", "large": "moved", "same": "there"}
    assert sides.plain.read("a") == b"ours"
    assert sides.plain.read("large") == LARGE
    assert sides.plain.read("b") == b"theirs"


def test_an_object_that_comes_just_before_ours_is_not_deleted(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ChangeLog.turn_into

    def turn_into(self: ChangeLog, kind: Any, revision: str, owner: str) -> bool:
        if kind == "write":
            sides.outside.put(revision, b"theirs")
        return original(self, kind, revision, owner)

    sides.files.write("a", "ours")
    sides.files.write("large", LARGE)
    monkeypatch.setattr(ChangeLog, "turn_into", turn_into)
    assert move_out(sides) == {"a": "exists", "large": "exists"}
    sides.backend.recovery.run()
    assert sides.outside.read("a") == sides.outside.read("large") == b"theirs"
    assert sides.files.read("a") == b"ours"
    assert sides.changes() == []


@pytest.mark.parametrize("new", [b"newer", LARGE[::-1]])
@pytest.mark.parametrize("old", [b"old", LARGE])
def test_a_file_that_is_written_while_it_moves_out_is_given_back_as_it_is_then(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes
) -> None:
    sides.files.write("a", old)
    original = moving.MovingOut._placed
    times = 0

    def placed(self: moving.MovingOut, *args: Any) -> ObjectInfo | None:
        nonlocal times
        found = original(self, *args)
        times += 1
        if times == 1:
            sides.files.write("a", new)
            sides.backend.recovery.wait()
        return found

    monkeypatch.setattr(moving.MovingOut, "_placed", placed)
    assert move_out(sides) == {"a": "moved"}
    assert sides.plain.read("a") == sides.files.read("a") == new
    assert sides.outside.names() == ["a"]
    assert list(sides.backend.checking.run()) == []


def test_a_file_that_is_deleted_while_it_moves_out_is_gone(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.files.write("a", b"small")
    sides.files.write("b", LARGE)
    original = moving.MovingOut._put

    def put(self: moving.MovingOut, stored: Any, overwrite: bool) -> None:
        sides.files.delete(stored.info.name)
        sides.backend.recovery.wait()
        original(self, stored, overwrite)

    monkeypatch.setattr(moving.MovingOut, "_put", put)
    assert move_out(sides) == {"a": "gone", "b": "gone"}
    assert sides.outside.names() == []
    assert sides.changes() == []


def test_a_blob_that_is_lost_is_told(sides: Sides) -> None:
    sides.files.write("a", LARGE)
    sides.files.write("b", b"small")
    sides.outside.delete(sides.revisions()["a"] or "")
    found = {one.name: one for one in sides.backend.moving_out.run()}
    assert (found["a"].outcome, found["b"].outcome) == ("failed", "moved")
    assert isinstance(found["a"].error, FileNotFound)
    assert sides.outside.names() == ["b"]


def test_a_file_that_expires_while_it_moves_out_is_gone(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.files.write("a", "small", expires_after=5000)
    original = moving.MovingOut._put

    def put(self: moving.MovingOut, stored: Any, overwrite: bool) -> None:
        expires = datetime.fromtimestamp(time.time() - 5, timezone.utc)
        sides.sql("UPDATE fs_objects SET expires = :at", at=expires.timestamp())
        original(self, replace(stored, info=replace(stored.info, expires=expires)), overwrite)

    monkeypatch.setattr(moving.MovingOut, "_put", put)
    assert move_out(sides) == {"a": "gone"}
    assert sides.outside.names() == []


DEATHS_OUT = [
    (ChangeLog, "adopt", False, 1),
    (ChangeLog, "adopt", True, 2),
    (SwiftBackend, "newest", True, 1),
    (ChangeLog, "turn_into", True, 1),
    (SwiftBackend, "place", True, 1),
    (SwiftBackend, "copy", True, 1),
    (SwiftBackend, "restate", True, 2),
    (Rows, "compare_and_write", False, 1),
    (Rows, "compare_and_write", True, 1),
    (Rows, "compare_and_write", True, 5),
    (Recovery, "delete", False, 2),
]


@pytest.mark.parametrize(("owner", "verb", "after", "call"), DEATHS_OUT)
def test_moving_out_goes_on_after_a_crash(
    short: Sides, monkeypatch: pytest.MonkeyPatch, owner: type, verb: str, after: bool, call: int
) -> None:
    contents = fill(short.files)
    infos = {name: short.files.info(name) for name in contents}
    revive = die(monkeypatch, owner, verb, after=after, call=call)
    with pytest.raises(Killed):
        move_out(short)
    revive()
    assert_holds(short.files, contents, infos)
    time.sleep(0.3)
    assert set(move_out(short).values()) <= {"moved", "there"}
    assert_holds(short.plain, contents, infos)
    assert short.outside.names() == sorted(contents)
    assert short.changes() == []
    assert list(short.backend.checking.run()) == []


def test_two_move_out_at_once(sides: Sides) -> None:
    contents = {f"{number:02}": os.urandom(3 + number * 100) for number in range(20)}
    for name, content in contents.items():
        sides.files.write(name, content)
    outcomes: list[dict[str, str]] = []
    together = threading.Barrier(3)

    def run() -> None:
        together.wait()
        outcomes.append(move_out(sides))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {outcome for one in outcomes for outcome in one.values()} <= {"moved", "there", "held"}
    move_out(sides)
    for name, content in contents.items():
        assert sides.plain.read(name) == sides.files.read(name) == content
    assert sides.outside.names() == sorted(contents)
    assert list(sides.backend.checking.run()) == []


def test_readers_and_writers_go_on_while_files_move_in_and_out(sides: Sides) -> None:
    names = [f"{number:02}" for number in range(12)]
    size = THRESHOLD // 2
    for number, name in enumerate(names):
        sides.files.write(name, bytes([0]) * size * (1 + 3 * (number % 2)))
    over = threading.Event()
    errors: list[BaseException] = []
    last: dict[str, bytes] = {}

    def work(mine: list[str]) -> None:
        turn = 0
        try:
            while not over.is_set():
                turn += 1
                for name in mine:
                    content = bytes([turn % 250]) * size * (1 + 3 * (turn % 2))
                    sides.files.write(name, content)
                    last[name] = content
                    assert sides.files.read(name) == content
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(names[at::4],)) for at in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert set(move_out(sides).values()) <= {"moved", "there", "held"}
        assert set(move_in(sides, inline=True).values()) <= {"moved", "there", "gone", "held"}
        assert list(sides.backend.checking.run()) == []
    over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    sides.backend.recovery.wait()
    move_out(sides)
    for name, content in last.items():
        assert sides.plain.read(name) == content
    assert sides.outside.names() == names


def test_when_a_file_expires_is_given_back_to_the_second(sides: Sides) -> None:
    sides.files.write("small", "x", expires_after=5000)
    expires = sides.files.info("small").expires
    assert expires is not None
    move_out(sides)
    at = int(sides.outside.headers("small")["X-Delete-At"])
    assert 0 <= at - expires.timestamp() < 1
    assert sides.plain.info("small").expires == datetime.fromtimestamp(at, timezone.utc)
