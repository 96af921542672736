"""What becomes of a call when Swift, or the network to it, fails: on demand, one by one."""

from __future__ import annotations

import io
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from conftest import TRANSPORT

from flask_fs_swift import (
    ContainerNotFound,
    ETagMismatchError,
    FileExists,
    FileNotFound,
    FileTooLarge,
    Forbidden,
    FSError,
    InvalidName,
    ObjectChanged,
    QuotaExceeded,
    StreamBroken,
    SwiftBackend,
    SwiftError,
    SwiftUnavailable,
)
from flask_fs_swift.hashing import md5_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Pool, Storage
    from flask_fs_swift.devserver import Faults
    from flask_fs_swift.intake import RawContent

MIB = 1024 * 1024
LONG = os.urandom(5 * MIB + 17)


def pool_of(files: Storage) -> Pool:
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    return backend.pool


def asked(faults: Faults) -> list[tuple[str, int | None]]:
    """Return the method and status of every request but authentications, oldest first."""
    return [
        (request.method, request.status)
        for request in faults.requests()
        if not request.path.startswith("/auth")
    ]


def once(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_003):
        yield data[start : start + 100_003]


#: Content of every kind.
REPEATABLE: dict[str, tuple[bytes, Callable[[bytes], RawContent]]] = {
    "empty": (b"", lambda data: data),
    "bytes": (b"content", lambda data: data),
    "long bytes": (LONG, lambda data: data),
    "bytearray": (b"content", bytearray),
    "file": (LONG, io.BytesIO),
    "short iterable": (LONG[:MIB], once),
    "long iterable": (LONG, once),
}

repeatable = pytest.mark.parametrize(("data", "raw"), REPEATABLE.values(), ids=REPEATABLE)


@pytest.fixture
def files(swift_files: Storage, swift_faults: Faults) -> Storage:
    """A storage whose container exists, with one file; nothing is in the log."""
    swift_files.write("old.txt", b"old")
    swift_files.delete("absent")  # So it is known that there are no large objects.
    swift_faults.forget()
    return swift_files


# The budget.


def test_every_verb_takes_one_request(files: Storage, swift_faults: Faults) -> None:
    def spend(verb: Callable[[], object]) -> list[str]:
        swift_faults.forget()
        verb()
        return [method for method, _ in asked(swift_faults)]

    assert spend(lambda: files.write("a.txt", b"content")) == ["PUT"]
    assert spend(lambda: files.write("a.txt", LONG, overwrite=True)) == ["PUT"]
    assert spend(lambda: files.write("b.txt", io.BytesIO(LONG))) == ["PUT"]
    assert spend(lambda: files.save(io.BytesIO(b"x"), "c.txt")) == ["PUT"]
    assert spend(lambda: files.open("d.txt", "w").close()) == ["PUT"]
    assert spend(lambda: files.read("a.txt")) == ["GET"]
    assert spend(lambda: list(files.read_chunks("a.txt"))) == ["GET"]
    assert spend(lambda: files.open("c.txt", "rb").read()) == ["GET"]
    assert spend(lambda: files.open("a.txt", "rb").read()) == ["GET", "GET"]
    assert spend(lambda: files.exists("a.txt")) == ["HEAD"]
    assert spend(lambda: files.exists("absent")) == ["HEAD"]
    assert spend(lambda: files.info("a.txt")) == ["HEAD"]
    assert spend(lambda: files.metadata("a.txt")) == ["HEAD"]
    assert spend(lambda: files.set_metadata("a.txt", {"a": "b"})) == ["HEAD", "POST"]
    assert spend(lambda: files.copy("a.txt", "e.txt", overwrite=True)) == ["COPY"]
    assert spend(lambda: files.copy("a.txt", "f.txt")) == ["HEAD", "COPY"]
    assert spend(lambda: files.move("f.txt", "g.txt", overwrite=True)) == ["COPY", "DELETE"]
    assert spend(lambda: files.delete("g.txt")) == ["DELETE"]
    assert spend(lambda: files.delete("absent")) == ["DELETE"]


def test_a_hundred_reads_open_one_connection_and_authenticate_once(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage()
    files.write("a.txt", b"content", overwrite=True)
    before = pool_of(files).stats().opened
    swift_faults.forget()
    for _ in range(100):
        assert files.read("a.txt") == b"content"
    requests = swift_faults.requests()
    assert [request.method for request in requests] == ["GET"] * 100
    assert len({request.peer_port for request in requests}) == 1
    assert pool_of(files).stats().opened == before


def test_a_missing_file_costs_one_request_and_no_connection(
    files: Storage, swift_faults: Faults
) -> None:
    for _ in range(3):
        with pytest.raises(FileNotFound):
            files.read("absent")
    assert asked(swift_faults) == [("GET", 404)] * 3
    assert len({request.peer_port for request in swift_faults.requests()}) == 1


def test_an_impossible_name_is_refused_without_a_request(
    files: Storage, swift_faults: Faults
) -> None:
    for name in ("", "..", "a/../b", "a\nb", "x" * 1025, "\udcff"):
        for verb in (files.read, files.exists, files.delete, files.info):
            with pytest.raises(InvalidName):
                verb(name)
        with pytest.raises(InvalidName):
            files.write(name, b"")
        with pytest.raises(InvalidName):
            files.copy("old.txt", name)
    assert asked(swift_faults) == []


def test_nothing_is_connected_before_the_first_operation(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    swift_faults.forget()
    files = make_storage()
    assert swift_faults.requests() == []
    assert pool_of(files).stats().opened == 0


# Containers.


def test_a_missing_container_is_not_a_missing_file(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(create_container=False)
    verbs: list[Callable[[], object]] = [
        lambda: files.exists("a"),
        lambda: files.read("a"),
        lambda: files.delete("a"),
        lambda: files.info("a"),
        lambda: files.write("a", b""),
        lambda: files.write("a", once(LONG)),
        lambda: files.copy("a", "b"),
        lambda: files.set_metadata("a", {}),
        lambda: list(files.list_files()),
    ]
    for verb in verbs:
        with pytest.raises(ContainerNotFound, match=f"no container '{files.name}'") as caught:
            verb()
        assert caught.value.http_status == 404
    assert ("PUT", 201) not in asked(swift_faults)


@pytest.mark.parametrize("content", [b"x", LONG, "passing"])
def test_a_container_is_created_at_first_need(
    make_storage: MakeStorage, content: bytes | str
) -> None:
    files = make_storage(create_container=True)
    assert not files.exists("a")
    assert list(files.list_files()) == []
    files.write("a", once(LONG) if content == "passing" else content)
    assert files.read("a") == (LONG if content == "passing" else content)


# Failures that pass, and failures that do not.


@repeatable
def test_a_write_survives_three_failures(
    files: Storage, swift_faults: Faults, data: bytes, raw: Callable[[bytes], RawContent]
) -> None:
    swift_faults.add("status", method="PUT", status=503, times=3, drain=True)
    files.write("a.txt", raw(data))
    assert [status for _, status in asked(swift_faults)] == [503, 503, 503, 201]
    assert files.read("a.txt") == data


@repeatable
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset"},
        {"action": "reset", "bytes": 3},
        {"action": "after_reset"},
        {"action": "after_status", "status": 503},
        {"action": "status", "status": 429, "headers": {"Retry-After": "0"}, "drain": True},
        {"action": "status", "status": 408, "drain": True},
        {"action": "unauthorized"},
    ],
    ids=["reset", "reset mid-body", "answer lost", "503 after commit", "429", "408", "401"],
)
def test_a_create_survives_one_failure_and_knows_its_own_object(
    files: Storage,
    swift_faults: Faults,
    data: bytes,
    raw: Callable[[bytes], RawContent],
    fault: dict[str, object],
) -> None:
    rule = dict(fault)
    swift_faults.add(str(rule.pop("action")), method="PUT", **rule)
    info = files.write("a.txt", raw(data))
    assert info.etag == md5_of(data)
    assert files.read("a.txt") == data
    assert files.info("a.txt").metadata == {}


@pytest.mark.parametrize(
    ("verb", "method", "expected"),
    [
        (lambda files: files.read("old.txt"), "GET", b"old"),
        (lambda files: files.exists("old.txt"), "HEAD", True),
        (lambda files: files.info("old.txt").size, "HEAD", 3),
        (lambda files: list(files.list_files()), "GET", ["old.txt"]),
        (lambda files: files.copy("old.txt", "b", overwrite=True), "COPY", None),
        (lambda files: files.set_metadata("old.txt", {"a": "b"}), "POST", None),
        (lambda files: files.delete("old.txt"), "DELETE", None),
    ],
    ids=["read", "exists", "info", "list", "copy", "set_metadata", "delete"],
)
@pytest.mark.parametrize("action", ["status", "reset", "after_reset", "after_status"])
def test_every_verb_survives_failures_that_pass(
    files: Storage,
    swift_faults: Faults,
    verb: Callable[[Storage], object],
    method: str,
    expected: object,
    action: str,
) -> None:
    swift_faults.add(action, method=method, times=3)
    assert verb(files) == expected
    assert len([1 for used, _ in asked(swift_faults) if used == method]) >= 4


def test_a_delete_whose_answer_was_lost_has_succeeded(files: Storage, swift_faults: Faults) -> None:
    swift_faults.add("after_reset", method="DELETE")
    files.delete("old.txt")
    assert [status for _, status in asked(swift_faults)][1:] == [404]
    assert not files.exists("old.txt")


@pytest.mark.parametrize("action", ["status", "reset", "after_status", "after_reset"])
def test_a_write_that_fails_for_ever_says_that_it_may_have_been_applied(
    files: Storage, swift_faults: Faults, action: str
) -> None:
    swift_faults.add(action, method="PUT", times=-1)
    with pytest.raises(SwiftUnavailable) as caught:
        files.write("old.txt", b"new", overwrite=True)
    error = caught.value
    assert error.filename == "old.txt"
    assert error.maybe_applied
    assert error.__cause__ is not None
    assert len(asked(swift_faults)) == 6
    swift_faults.clear()
    assert files.read("old.txt") == (b"new" if action.startswith("after") else b"old")


def test_a_server_that_cannot_be_reached_has_applied_nothing(files: Storage) -> None:
    files.read("old.txt")
    connection = pool_of(files).checkout()
    connection.discard()
    login = files._mount().backend._login.tokens  # type: ignore[attr-defined]
    token = login._token
    login._token = type(token)("http://127.0.0.1:1/v1/AUTH_test", token.value)
    with pytest.raises(SwiftUnavailable) as caught:
        files.write("old.txt", b"new", overwrite=True)
    assert not caught.value.maybe_applied


def test_exists_never_says_no_when_swift_fails(files: Storage, swift_faults: Faults) -> None:
    for status, error in ((503, SwiftUnavailable), (403, Forbidden), (400, SwiftError)):
        swift_faults.clear()
        swift_faults.add("status", method="HEAD", status=status, times=-1)
        with pytest.raises(error) as caught:
            files.exists("old.txt")
        assert caught.value.http_status == status


def test_an_answer_that_is_final_is_not_asked_for_again(
    files: Storage, swift_faults: Faults
) -> None:
    for status, error in ((400, SwiftError), (403, Forbidden), (413, QuotaExceeded)):
        swift_faults.add("status", method="PUT", status=status, drain=True)
        with pytest.raises(error) as caught:
            files.write("a.txt", b"content")
        assert caught.value.http_status == status
        assert not caught.value.maybe_applied
    assert [status for _, status in asked(swift_faults)] == [400, 403, 413]


def test_a_token_is_not_taken_along_to_another_server(files: Storage, swift_faults: Faults) -> None:
    elsewhere = {"Location": "http://127.0.0.1:1/v1/AUTH_test/files/old.txt"}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        swift_faults.add("status", method=method, status=302, headers=elsewhere, drain=True)
    verbs: list[Callable[[], object]] = [
        lambda: files.read("old.txt"),
        lambda: files.info("old.txt"),
        lambda: files.write("old.txt", b"x"),
        lambda: files.delete("old.txt"),
    ]
    for verb in verbs:
        with pytest.raises(SwiftError) as caught:
            verb()
        assert caught.value.http_status == 302


def test_an_error_names_swifts_own_name_for_the_request(
    files: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("status", method="PUT", status=403, headers={"X-Trans-Id": "tx123"})
    with pytest.raises(Forbidden) as caught:
        files.write("a.txt", b"content")
    assert caught.value.transaction_id == "tx123"


def test_retry_after_is_honoured(files: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", method="GET", status=429, headers={"Retry-After": "1"})
    began = time.monotonic()
    files.read("old.txt")
    assert time.monotonic() - began >= 1


def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(deadline=5)
    files.write("a.txt", b"content")
    swift_faults.add("status", method="GET", status=503, headers={"Retry-After": "60"}, times=-1)
    began = time.monotonic()
    with pytest.raises(SwiftUnavailable):
        files.read("a.txt")
    assert time.monotonic() - began < 2


def test_the_deadline_ends_a_call(make_storage: MakeStorage, swift_faults: Faults) -> None:
    files = make_storage(deadline=0.5, retries=10**6)
    files.write("a.txt", b"content")
    swift_faults.add("status", method="GET", times=-1)
    began = time.monotonic()
    with pytest.raises(SwiftUnavailable):
        files.read("a.txt")
    assert 0.2 < time.monotonic() - began < 3


@pytest.mark.parametrize("setting", [{"timeout": 0.3, "retries": 1}, {"deadline": 0.3}])
def test_a_server_that_never_answers_is_given_up(
    make_storage: MakeStorage, swift_faults: Faults, setting: dict[str, Any]
) -> None:
    files = make_storage(**setting)
    files.write("a.txt", b"content")
    swift_faults.add("hang", method="GET", times=-1)
    began = time.monotonic()
    with pytest.raises(SwiftUnavailable):
        files.read("a.txt")
    assert time.monotonic() - began < 5


# Creates.


def test_a_retried_create_is_not_taken_for_somebody_elses(
    files: Storage, swift_faults: Faults
) -> None:
    """The first answer is lost, and what the second meets is another writer's object."""
    swift_faults.add("reset", method="PUT", path="a.txt", bytes=1)
    swift_faults.add("delay", method="PUT", path="a.txt", seconds=1)
    with ThreadPoolExecutor(1) as threads:
        ours = threads.submit(files.write, "a.txt", b"ours")
        while not any(status is None for _, status in asked(swift_faults)[1:]):
            time.sleep(0.01)
        files.write("a.txt", b"theirs")
        with pytest.raises(FileExists) as caught:
            ours.result()
    assert caught.value.maybe_applied
    assert files.read("a.txt") == b"theirs"


@pytest.mark.parametrize("action", ["status", "after_status", "reset", "after_reset"])
def test_what_exists_is_never_overwritten_whatever_fails(
    files: Storage, swift_faults: Faults, action: str
) -> None:
    swift_faults.add(action, method="PUT", times=6, skip=1)

    def create(number: int) -> None:
        files.write("old.txt", f"new {number}")

    with ThreadPoolExecutor(8) as threads:
        outcomes = [threads.submit(create, number) for number in range(8)]
    assert [type(outcome.exception()) for outcome in outcomes] == [FileExists] * 8
    assert files.read("old.txt") == b"old"


# Integrity on the way up.


@repeatable
def test_a_body_corrupted_on_the_way_up_is_sent_again(
    files: Storage, swift_faults: Faults, data: bytes, raw: Callable[[bytes], RawContent]
) -> None:
    swift_faults.add("corrupt_upload", method="PUT", offset=len(data) // 2)
    files.write("a.txt", raw(data))
    expected = [422, 201] if data else [201]
    assert [status for _, status in asked(swift_faults)] == expected
    assert files.read("a.txt") == data


@pytest.mark.parametrize("policy", ["log", "raise", "raise_and_delete"])
def test_a_body_that_is_always_corrupted_stores_nothing(
    make_storage: MakeStorage, swift_faults: Faults, policy: str
) -> None:
    files = make_storage(etag_mismatch_policy=policy)
    files.write("a.txt", b"old")
    swift_faults.add("corrupt_upload", method="PUT", times=-1)
    with pytest.raises(ETagMismatchError) as caught:
        files.write("a.txt", b"new", overwrite=True)
    assert caught.value.http_status == 422
    assert caught.value.kept is False
    assert files.read("a.txt") == b"old"


def test_a_wrong_etag_in_the_answer_is_logged(
    make_storage: MakeStorage, swift_faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    files = make_storage()
    files.write("b.txt", b"")
    swift_faults.add("etag", method="PUT")
    files.write("a.txt", b"content")
    assert "was stored with ETag" in caplog.text
    assert "d" * 32 in caplog.text
    assert files.read("a.txt") == b"content"


@pytest.mark.parametrize("policy", ["raise", "raise_and_delete"])
@pytest.mark.parametrize("verb", ["write", "copy"])
def test_a_wrong_etag_in_the_answer_raises_and_keeps_what_is_right(
    make_storage: MakeStorage, swift_faults: Faults, policy: str, verb: str
) -> None:
    """Only the answer was wrong: what is stored does not carry the bad ETag."""
    files = make_storage(etag_mismatch_policy=policy)
    files.write("a.txt", b"content")
    swift_faults.add("etag", method="PUT|COPY")
    verbs: dict[str, Callable[[], object]] = {
        "write": lambda: files.write("b.txt", b"content"),
        "copy": lambda: files.copy("a.txt", "b.txt"),
    }
    with pytest.raises(ETagMismatchError) as caught:
        verbs[verb]()
    error = caught.value
    assert (error.expected, error.actual) == (md5_of(b"content"), "d" * 32)
    assert error.kept is True
    assert error.maybe_applied
    assert files.read("b.txt") == b"content"


def test_a_policy_that_deletes_spares_what_another_writer_stored_meanwhile(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(etag_mismatch_policy="raise_and_delete")
    files.write("first", b"")
    swift_faults.forget()
    swift_faults.add("etag", method="PUT", path="a.bin")
    swift_faults.add("delay", method="HEAD", path="a.bin", seconds=1)
    with ThreadPoolExecutor(1) as threads:
        ours = threads.submit(files.write, "a.bin", b"ours")
        while "HEAD" not in [method for method, _ in asked(swift_faults)]:
            time.sleep(0.01)
        files.write("a.bin", b"theirs", overwrite=True)
        error = ours.exception()
    assert isinstance(error, ETagMismatchError)
    assert files.read("a.bin") == b"theirs"


# What is refused.


@pytest.mark.skipif(TRANSPORT == "requests", reason="requests sends what is refused")
@pytest.mark.parametrize("status", [401, 412, 413, 503, 507])
def test_a_refusal_costs_no_content(files: Storage, swift_faults: Faults, status: int) -> None:
    class Counting(io.BytesIO):
        sent = 0

        def seek(self, position: int, whence: int = 0, /) -> int:
            self.sent = 0
            return super().seek(position, whence)

        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            self.sent += len(block)
            return block

    source = Counting(LONG)
    swift_faults.add("status", method="PUT", status=status, times=-1)
    with pytest.raises(FSError):
        files.write("a.bin", source)
    assert source.sent == 0


@pytest.mark.parametrize("size", [999, 1000, 1001])
@pytest.mark.parametrize("raw", [bytes, bytearray, io.BytesIO, once])
def test_max_size_is_exact(
    make_storage: MakeStorage, size: int, raw: Callable[[bytes], RawContent]
) -> None:
    files = make_storage(max_size=1000)
    if size <= 1000:
        assert files.write("a.bin", raw(bytes(size))).size == size
        return
    with pytest.raises(FileTooLarge) as caught:
        files.write("a.bin", raw(bytes(size)))
    assert (caught.value.limit, caught.value.filename) == (1000, "a.bin")
    assert not files.exists("a.bin")


@pytest.mark.parametrize("raw", [bytes, io.BytesIO, once])
def test_max_size_holds_for_long_content(
    make_storage: MakeStorage, raw: Callable[[bytes], RawContent]
) -> None:
    files = make_storage(max_size=5 * MIB)
    with pytest.raises(FileTooLarge):
        files.write("a.bin", raw(LONG))
    assert not files.exists("a.bin")


# Reading.


@pytest.fixture
def long_file(files: Storage, swift_faults: Faults) -> Storage:
    """The same storage with a long file."""
    files.write("a.bin", LONG)
    swift_faults.forget()
    return files


@pytest.mark.parametrize("action", ["truncate", "reset_body"])
@pytest.mark.parametrize("at", [0, 1, 1_000_000, len(LONG) - 1])
def test_a_download_that_breaks_is_resumed(
    long_file: Storage, swift_faults: Faults, action: str, at: int
) -> None:
    swift_faults.add(action, method="GET", bytes=at)
    assert long_file.read("a.bin") == LONG
    swift_faults.add(action, method="GET", bytes=at)
    assert b"".join(long_file.read_chunks("a.bin", 65_536)) == LONG
    assert pool_of(long_file).stats().lent == 0


def test_a_download_that_breaks_again_and_again_is_resumed_while_it_progresses(
    long_file: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("truncate", method="GET", bytes=400_000, times=12)
    assert long_file.read("a.bin") == LONG
    assert len(asked(swift_faults)) == 13


def test_a_download_that_does_not_progress_is_given_up(
    long_file: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("truncate", method="GET", bytes=400_000)
    swift_faults.add("truncate", method="GET", bytes=0, times=-1)
    with pytest.raises(StreamBroken) as caught:
        long_file.read("a.bin")
    assert (caught.value.received, caught.value.expected) == (400_000, len(LONG))
    assert len(asked(swift_faults)) == 6
    assert pool_of(long_file).stats().lent == 0


def test_a_download_is_resumed_only_on_the_same_version(
    long_file: Storage, swift_faults: Faults
) -> None:
    for change in (
        lambda: long_file.write("a.bin", LONG[::-1], overwrite=True),
        lambda: long_file.delete("a.bin"),
    ):
        swift_faults.add("truncate", method="GET", bytes=2_000_000)
        stream = long_file.read_chunks("a.bin", 1_000_000)
        next(stream)
        change()
        with pytest.raises(ObjectChanged):
            list(stream)
    assert pool_of(long_file).stats().lent == 0


def test_a_range_that_is_ignored_is_not_taken_for_the_rest(
    long_file: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("truncate", method="GET", bytes=2_000_000)
    swift_faults.add("status", method="GET", status=200, body="x" * 100, times=-1)
    with pytest.raises(StreamBroken):
        long_file.read("a.bin")


@pytest.mark.parametrize("at", [0, 2_000_000, len(LONG) - 1])
def test_a_flipped_bit_is_never_handed_over_as_a_whole(
    long_file: Storage, swift_faults: Faults, at: int
) -> None:
    swift_faults.add("corrupt", method="GET", offset=at)
    with pytest.raises(ETagMismatchError) as caught:
        long_file.read("a.bin")
    assert caught.value.expected == md5_of(LONG)
    assert caught.value.kept is None
    swift_faults.add("corrupt", method="GET", offset=at)
    stream = long_file.read_chunks("a.bin", 1_000_000)
    received: list[bytes] = []
    with pytest.raises(ETagMismatchError):
        received.extend(stream)
    assert sum(map(len, received)) < len(LONG)
    assert pool_of(long_file).stats().lent == 0
    assert long_file.read("a.bin") == LONG


def test_a_stream_gives_its_connection_back_with_the_last_byte(long_file: Storage) -> None:
    stream = long_file.read_chunks("a.bin", len(LONG))
    assert pool_of(long_file).stats().lent == 1
    next(stream)
    assert pool_of(long_file).stats().lent == 0
    assert pool_of(long_file).stats().idle >= 1


@pytest.mark.parametrize("end", ["close", "with", "drop", "error"])
def test_a_stream_gives_its_slot_back_however_it_ends(
    long_file: Storage, swift_faults: Faults, end: str
) -> None:
    pool = pool_of(long_file)
    discarded = pool.stats().discarded
    if end == "error":
        swift_faults.add("truncate", method="GET", bytes=2_000_000)
    stream = long_file.read_chunks("a.bin", 1000)
    next(stream)
    if end == "close":
        stream.close()
    elif end == "with":
        with stream:
            pass
    elif end == "error":
        swift_faults.add("status", method="GET", times=-1)
        with pytest.raises(StreamBroken):
            list(stream)
    else:
        del stream
    assert (pool.stats().lent, pool.stats().waiting) == (0, 0)
    assert pool.stats().discarded > discarded


def test_a_broken_connection_is_not_lent_again(files: Storage, swift_faults: Faults) -> None:
    pool = pool_of(files)
    files.read("old.txt")
    discarded = pool.stats().discarded
    swift_faults.add("reset", method="GET")
    files.read("old.txt")
    assert pool.stats().discarded == discarded + 1


# Listing.


@pytest.fixture
def listed(files: Storage) -> Storage:
    """A storage with names on several pages."""
    files.delete("old.txt")
    for number in range(7):
        files.write(f"{number}.txt", b"")
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    backend._container._known.page = 3
    return files


NAMES = [f"{number}.txt" for number in range(7)]


def test_a_listing_is_asked_for_page_by_page_until_one_is_empty(
    listed: Storage, swift_faults: Faults
) -> None:
    swift_faults.forget()
    names = listed.list_files()
    assert asked(swift_faults) == []
    assert next(names) == "0.txt"
    assert len(asked(swift_faults)) == 1
    assert pool_of(listed).stats().lent == 0
    assert ["0.txt", *names] == NAMES
    queries = [request.query for request in swift_faults.requests()]
    assert [query.count("marker") for query in queries] == [0, 1, 1, 1]


def test_a_short_page_is_not_the_end(listed: Storage, swift_faults: Faults) -> None:
    swift_faults.add("stale_listing", method="GET", names=["1.txt", "2.txt"])
    assert list(listed.list_files()) == ["0.txt", *NAMES[1:]]


def test_a_listing_survives_failures_in_its_middle(listed: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", method="GET", skip=1, times=3)
    swift_faults.add("truncate", method="GET", skip=1, times=1, bytes=10)
    assert list(listed.list_files()) == NAMES


def test_a_page_that_is_larger_than_the_server_allows_is_asked_for_smaller(
    listed: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("status", method="GET", path="limit=3", status=412, times=-1)
    assert list(listed.list_files()) == NAMES


def test_a_server_that_repeats_itself_does_not_go_on_for_ever(
    listed: Storage, swift_faults: Faults
) -> None:
    page = '[{"name": "0.txt", "bytes": 0, "hash": "x", "content_type": "a/b", '
    page += '"last_modified": "2026-01-01T00:00:00.000000"}]'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    swift_faults.add("status", method="GET", status=200, body=page, headers=headers, times=-1)
    with pytest.raises(SwiftError, match="repeats"):
        list(listed.list_files())


# Errors as values.


def test_an_error_survives_pickling() -> None:
    errors = [
        FileNotFound("gone", filename="a"),
        FileExists("there", filename="a", maybe_applied=True),
        ETagMismatchError("bad", filename="a", expected="x", actual="y", kept=True),
        SwiftUnavailable("down", filename="a", http_status=503, transaction_id="tx"),
        StreamBroken("short", filename="a", received=1, expected=2),
    ]
    for error in errors:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.filename == "a"
        assert vars(copy) == vars(error)
