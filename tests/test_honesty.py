"""Errors that say what happened, also when one failure follows another."""

from __future__ import annotations

import gc
import io
import os
import ssl
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_fs_swift import (
    ALL,
    FS,
    AllExcept,
    ConfigError,
    FileExists,
    InvalidName,
    ObjectChanged,
    Storage,
    StreamBroken,
    SwiftError,
    SwiftUnavailable,
    UnauthorizedFileType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Event
    from flask_fs_swift.devserver import Faults

MIB = 1024 * 1024
LONG = os.urandom(5 * MIB + 17)


@pytest.fixture
def files(swift_files: Storage, swift_faults: Faults) -> Storage:
    """A storage whose container exists, with one file."""
    swift_files.write("old.txt", b"old")
    swift_faults.forget()
    return swift_files


@pytest.mark.parametrize("outer", [ConnectionRefusedError, ssl.SSLCertVerificationError])
def test_an_exception_that_the_caller_handles_is_not_taken_for_ours(
    files: Storage, swift_faults: Faults, outer: type[OSError]
) -> None:
    swift_faults.add("after_reset", method="PUT")
    try:
        raise outer
    except OSError:
        files.write("a.txt", b"mine")
    assert files.read("a.txt") == b"mine"


@pytest.mark.parametrize("raw", [bytes, io.BytesIO, lambda data: iter([data[:1], data[1:]])])
def test_a_time_out_is_for_a_piece_and_not_for_the_content(
    make_storage: MakeStorage, swift_faults: Faults, raw: Any
) -> None:
    """The whole takes several times as long as TIMEOUT; something moves all the time."""
    files = make_storage(timeout=2.0, retries=0)
    files.write("warm.txt", b"")
    swift_faults.add("slow_upload", method="PUT", path="a.bin", seconds=0.15)
    began = time.monotonic()
    files.write("a.bin", raw(LONG * 6))
    assert time.monotonic() - began > 3


@pytest.mark.parametrize("action", ["truncate", "reset_body", "stall"])
def test_a_read_goes_on_where_it_broke(
    make_storage: MakeStorage, swift_faults: Faults, action: str
) -> None:
    files = make_storage(timeout=0.5, retries=1)
    files.write("a.bin", LONG)
    swift_faults.forget()
    swift_faults.add(action, method="GET", bytes=1_000_000, seconds=2, times=5)
    assert files.read("a.bin") == LONG
    assert len(swift_faults.requests()) == 6


def test_a_copy_of_a_source_that_changes_is_refused_and_deletes_nothing(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(etag_mismatch_policy="raise_and_delete")
    files.write("a.txt", b"old")
    files.write("b.txt", b"kept")
    swift_faults.add("etag", method="HEAD", path="/a.txt", value="0" * 32)
    with pytest.raises(ObjectChanged):
        files.copy("a.txt", "b.txt", overwrite=True)
    assert files.read("b.txt") == b"kept"


def test_a_source_that_fails_after_a_lost_answer_may_have_been_stored(
    files: Storage, swift_faults: Faults
) -> None:
    class Shrinking(io.BytesIO):
        sent = 0

        def seek(self, offset: int, whence: int = 0, /) -> int:
            if offset == 0 and whence == 0:
                self.sent += 1
                if self.sent == 2:
                    self.truncate(MIB)
            return super().seek(offset, whence)

    swift_faults.add("after_status", method="PUT")
    with pytest.raises(StreamBroken) as caught:
        files.write("a.bin", Shrinking(LONG), overwrite=True)
    assert caught.value.maybe_applied
    assert caught.value.filename == "a.bin"
    assert files.read("a.bin") == LONG


def test_a_source_keeps_the_cause_of_what_it_raises(files: Storage) -> None:
    cause = ZeroDivisionError()

    def source() -> Iterator[bytes]:
        yield LONG
        raise RuntimeError("source") from cause

    with pytest.raises(RuntimeError, match="source") as caught:
        files.write("a.bin", source())
    assert caught.value.__cause__ is cause


def test_a_deletion_that_cannot_be_confirmed_may_have_been_done(
    files: Storage, make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files.write("a.txt", b"x")
    stranger = make_storage(create_container=False)
    stranger._mount().backend._container.name = files.name  # type: ignore[attr-defined]
    swift_faults.add("after_reset", method="DELETE")
    swift_faults.add("status", method="HEAD", times=-1)
    with pytest.raises(SwiftUnavailable) as caught:
        stranger.delete("a.txt")
    assert (caught.value.maybe_applied, caught.value.filename) == (True, "a.txt")


def test_a_create_that_cannot_be_settled_may_have_been_stored(
    files: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("after_reset", method="PUT")
    swift_faults.add("status", method="HEAD", times=-1)
    with pytest.raises(SwiftUnavailable) as caught:
        files.write("a.txt", b"mine")
    assert (caught.value.maybe_applied, caught.value.filename) == (True, "a.txt")


def test_no_attempt_begins_after_the_deadline(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(deadline=0.3)
    swift_faults.forget()
    swift_faults.add("delay", path="^/auth", seconds=0.25)
    swift_faults.add("status", method="PUT", status=429, headers={"Retry-After": "0"}, times=-1)
    with pytest.raises((SwiftUnavailable, SwiftError)) as caught:
        files.write("a.txt", b"x")
    assert not caught.value.maybe_applied


def test_a_file_that_is_opened_and_dropped_tells_no_hook(make_storage: MakeStorage) -> None:
    events: list[Event] = []
    files = make_storage(on_event=events.append)
    files.write("a.bin", LONG)
    for mode in ("rb", "r"):
        events.clear()
        file: Any = files.open("a.bin", mode)
        del file
        gc.collect()
        assert [event.operation for event in events] == ["checkout"]
    assert files._mount().backend.pool.stats().lent == 0  # type: ignore[attr-defined]


def test_none_reads_all(swift_files: Storage) -> None:
    swift_files.write("a.txt", b"content")
    with swift_files.read_chunks("a.txt") as stream:
        assert stream.read(None) == b"content"


@pytest.mark.parametrize("size", [0, None, 1.5])
def test_a_chunk_size_is_looked_at_before_anything_is_sent(
    files: Storage, swift_faults: Faults, size: Any
) -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        files.read_chunks("old.txt", size)
    assert swift_faults.requests() == []


def test_an_answer_that_no_swift_gives_is_an_error_of_ours(
    files: Storage, swift_faults: Faults
) -> None:
    page = {"Content-Type": "application/json; charset=utf-8"}
    swift_faults.add("status", method="GET", status=200, body="<html>", headers=page)
    with pytest.raises(SwiftError, match="cannot be read"):
        list(files.list_files())


def test_an_expiry_beyond_all_calendars_is_no_crash(files: Storage, swift_faults: Faults) -> None:
    far = {"X-Delete-At": "99999999999999", "Last-Modified": "yesterday"}
    swift_faults.add("status", method="HEAD", status=200, headers=far)
    info = files.info("old.txt")
    assert (info.expires, info.modified) == (None, None)
    with pytest.raises(ValueError, match="100 years"):
        files.write("a.txt", b"", expires_after=1e12)
    assert not files.exists("a.txt")


@pytest.mark.parametrize("size", [4 * MIB - 1, 4 * MIB, 4 * MIB + 1])
def test_four_mebibytes_are_held_and_one_byte_more_is_spooled(
    files: Storage, swift_faults: Faults, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled: list[Any] = []

    def temporary_file(**options: Any) -> Any:
        spooled.append(file := real(**options))
        return file

    real = tempfile.TemporaryFile
    monkeypatch.setattr("flask_fs_swift.intake.tempfile.TemporaryFile", temporary_file)
    swift_faults.add("status", method="PUT", drain=True)
    blocks = (bytes(min(MIB, size - start)) for start in range(0, size, MIB))
    assert files.write("a.bin", blocks).size == size
    assert len(spooled) == (size > 4 * MIB)
    assert all(file.closed for file in spooled)


def memory(storage: Storage, **config: Any) -> Storage:
    app = Flask("tests")
    app.config.update(FS_BACKEND="memory", **config)
    FS(app, storage)
    return storage.bound(app)


def test_extensions_may_be_written_with_a_dot_or_in_capitals() -> None:
    files = memory(Storage("files", ALL), FILES_FS_DENY=("EXE", ".bin"))
    others = memory(Storage("files", AllExcept(["EXE", ".bin"])))
    only = memory(Storage("files", (".TXT",)))
    for storage in (files, others, only):
        for name in ("a.exe", "a.bin", "a.EXE"):
            with pytest.raises(UnauthorizedFileType):
                storage.save(io.BytesIO(b""), name)
        storage.save(io.BytesIO(b""), "a.txt")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("data:text/html,x.png", "image/png"),
        ("data:é/é,x.png", "image/png"),
        ("ab://[x", "application/octet-stream"),
        ("a.b/c", "application/octet-stream"),
        ("a.txt", "text/plain"),
    ],
)
def test_a_name_chooses_its_content_type_by_its_extension_alone(name: str, kind: str) -> None:
    files = memory(Storage("files", ALL))
    assert files.write(name, b"").content_type == kind


def test_a_name_is_never_another_host() -> None:
    files = memory(Storage("files", ALL), FILES_FS_URL="/")
    assert files.url("/evil.example/x") == "/%2Fevil.example/x"
    assert files.url("a//b") == "/a//b"


def test_a_bound_storage_is_still_of_its_class() -> None:
    class Logged(Storage):
        def exists(self, filename: str) -> bool:
            return not super().exists(filename)

    files = memory(Logged("files", ALL))
    files.write("a", b"x")
    assert not files.exists("a")


@pytest.mark.parametrize("metadata", [{"b a d": None}, {"fs-nonce": None}, {"a": 7}])
def test_metadata_is_looked_at_before_anything_is_sent(
    files: Storage, swift_faults: Faults, memory_files: Storage, metadata: Any
) -> None:
    memory_files.write("old.txt", b"")
    for storage in (files, memory_files):
        with pytest.raises(ValueError, match="metadata"):
            storage.set_metadata("old.txt", metadata)
    assert swift_faults.requests() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FS_SWIFT_TOKEN_CACHE", "redis://:s3cret@host/0"),
        ("FS_SWIFT_AUTHURL", "user:s3cret@keystone:5000/v3"),
    ],
)
def test_an_address_with_a_password_is_not_repeated(
    swift_settings: dict[str, Any], key: str, value: str
) -> None:
    app = Flask("tests")
    app.config.update(swift_settings)
    app.config[key] = value
    with pytest.raises(ConfigError) as caught:
        FS(app, Storage("files"))
    assert "s3cret" not in str(caught.value)


def test_delete_prefix_goes_on_past_a_name_that_it_refuses(
    files: Storage, swift_faults: Faults
) -> None:
    for name in ("fo/a", "fo/z"):
        files.write(name, b"")
    entry = '{"name": "%s", "bytes": 0, "hash": "x", "content_type": "a/b", "last_modified": "%s"}'
    moment = "2026-01-01T00:00:00.000000"
    page = ", ".join(entry % (name, moment) for name in ("fo/\\n", "fo/a", "fo/z"))
    kind = {"Content-Type": "application/json; charset=utf-8"}
    swift_faults.add("status", method="GET", status=200, body=f"[{page}]", headers=kind)
    with pytest.raises(InvalidName):
        files.delete_prefix("fo/")
    assert not files.exists("fo/a")
    assert not files.exists("fo/z")


def test_what_is_somebody_elses_is_still_said_to_exist(files: Storage) -> None:
    with pytest.raises(FileExists) as caught:
        files.write("old.txt", b"new")
    assert not caught.value.maybe_applied
