"""Many operations of a client: the eleven points of its contract, and what can go wrong."""

from __future__ import annotations

import gc
import io
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from auth.certificates import Authority
from situations.here import until

from flask_fs_swift.api.client import many
from flask_fs_swift.api.client.extent import SpoolFailed
from flask_fs_swift.api.client.failures import (
    AnswerBroken,
    AnswerLost,
    Denied,
    RequestError,
    ServerBusy,
    ServerFailed,
    TooMuchContent,
    Unreachable,
)
from flask_fs_swift.api.client.operations import UNKNOWN, Delete, Get, Head, Operation, Put, Result
from flask_fs_swift.api.client.session import Client, Session
from flask_fs_swift.api.wire import closing
from flask_fs_swift.errors import StreamBroken

from .rawserver import BOUNDARY, NEXT, Part, RawServer, Request, Store, answer_part
from .test_client import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[[Callable[[Request], None]], RawServer]

PATIENCE = 20.0  # seconds
MIB = 1024 * 1024

widths = pytest.mark.parametrize("width", [1, 2, 5])


@pytest.fixture
def session_of() -> Iterator[Callable[..., Session]]:
    """Serve with a handler until the end of the test; return a session there."""
    with ExitStack() as stack:

        def start(handler: Callable[[Request], None], **options: Any) -> Session:
            server = RawServer(handler)
            stack.callback(server.close)
            client = stack.enter_context(Client(server.url, **options))
            session = client.session("reports", org=42)
            session.server = server  # type: ignore[attr-defined]
            return session

        yield start


def requests(session: Session) -> list[Request]:
    server: RawServer = session.server  # type: ignore[attr-defined]
    return server.requests


def batches(session: Session) -> list[list[Part]]:
    return [each.parts() for each in requests(session) if "objects:batch" in each.target]


def done(session: Session, operations: Any, width: int = 3) -> list[Result]:
    """Return all results by index; of each there is one."""
    results = sorted(session.many(operations, concurrency=width), key=lambda each: each.index)
    assert [each.index for each in results] == list(range(len(results)))
    return results


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "flask-fs-swift"]


# 1. Operations and results.


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is sent when it is full, and not because it has waited."""
    monkeypatch.setattr(many, "PATIENCE", 60.0)
    monkeypatch.setattr(many, "BRIEFLY", 60.0)


@widths
@pytest.mark.usefixtures("unhurried")
def test_all_operations_in_one_batch(session_of: Any, width: int) -> None:
    store = Store()
    session = session_of(store)
    session.put(b"old", "b", filename="b.txt")
    put, made, got, none, head, headless, deleted = done(
        session,
        [Put(b"new", key="a/é", metadata={"build_id": "7"}), Put(b""), Get("b"), Get("c"),
         Head("b"), Head("c"), Delete("c2")],
        width,
    )  # fmt: skip
    assert [len(batch) for batch in batches(session)] == [7]
    assert (put.kind, put.key, put.value) == ("put", "a/é", "a/é")
    assert (made.key, made.value) == ("made1", "made1")
    assert (got.value.read(), got.value.description.filename) == (b"old", "b.txt")
    assert (none.kind, none.key, none.value, none.error) == ("get", "c", None, None)
    assert head.value.compression == "zstd"
    assert (headless.value, headless.error) == (None, None)
    assert (deleted.kind, deleted.value, deleted.error) == ("delete", None, None)
    assert store.objects["a/é"][0]["x-snme-build_id"] == "7"


@pytest.mark.parametrize("width", [0, -1, 11, 1.5, None])
def test_a_wrong_concurrency_is_raised_at_once(session_of: Any, width: Any) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        session_of(Store()).many([], concurrency=width)


@widths
def test_what_the_input_raises_comes_after_the_results_of_what_it_gave(
    session_of: Any, width: int
) -> None:
    def broken() -> Iterator[Operation]:
        yield Put(b"x", "a")
        yield Get("a")
        raise OSError("the list is gone")

    results = session_of(Store()).many(broken(), concurrency=width)
    assert {next(results).index, next(results).index} == {0, 1}
    with pytest.raises(OSError, match="the list is gone"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_a_foreign_type_is_raised(session_of: Any) -> None:
    results = session_of(Store()).many([Get("a"), "b"])
    assert next(results).index == 0
    with pytest.raises(TypeError, match="not str"):
        next(results)


def test_nothing_to_do_is_done_without_a_request(session_of: Any) -> None:
    session = session_of(Store())
    assert done(session, []) == []
    assert requests(session) == []


# 2. Exactly one result per operation.


def mangled(kind: str, parts: list[Part]) -> list[bytes]:
    """Return the parts of an answer in which the one of operation 2 is wrong."""
    answers = [part.good() for part in parts]
    good = {"x-sn-batch-operation-kind": "delete", "x-sn-batch-operation-key": parts[2].key or ""}
    wrong = {
        "missing": b"",
        "without index": answer_part(None, "204 No Content", good),
        "index out of range": answer_part(99, "204 No Content", good),
        "index no number": answer_part("-1", "204 No Content", good),
        "index of another": answer_part(1, "204 No Content", good),
        "bad status": answer_part(2, "fine", good),
        "no status": answer_part(2, None, good),
        "status out of range": answer_part(2, "999 What", good),
        "another key": answer_part(2, "204 No Content", {"x-sn-batch-operation-key": "z"}),
        "another kind": answer_part(2, "204 No Content", {"x-sn-batch-operation-kind": "get"}),
        "bad escape": answer_part(2, "204 No Content", {"x-sn-batch-operation-key": "%zz"}),
    }
    return [*answers[:2], wrong[kind], *answers[3:]]


@widths
@pytest.mark.parametrize(
    "kind",
    ["missing", "without index", "index out of range", "index no number", "index of another",
     "bad status", "no status", "status out of range", "another key", "another kind",
     "bad escape"],
)  # fmt: skip
def test_a_wrong_part_is_the_error_of_one_operation(session_of: Any, kind: str, width: int) -> None:
    session = session_of(lambda request: request.batch(mangled(kind, request.parts())))
    results = done(session, [Delete(f"k{number}") for number in range(5)], width)
    assert [each.error is None for each in results] == [True, True, False, True, True]
    assert isinstance(results[2].error, AnswerBroken)
    assert results[2].error.maybe_applied


def test_a_part_that_comes_twice_is_answered_once(session_of: Any) -> None:
    def twice(request: Request) -> None:
        parts = request.parts()
        failed = [part.answer("500 Internal Server Error") for part in parts]
        request.batch([*(part.good() for part in parts), *failed])

    results = done(session_of(twice), [Delete("a"), Delete("b")])
    assert [each.error for each in results] == [None, None]


@pytest.mark.parametrize(
    ("status", "kind"),
    [("403 Forbidden", Denied), ("429 Too Many Requests", ServerBusy),
     ("500 Internal Server Error", ServerFailed), ("413 Too Large", RequestError),
     ("301 Moved", RequestError)],
)  # fmt: skip
def test_an_error_part_is_the_error_of_its_operation(
    session_of: Any, status: str, kind: type[RequestError]
) -> None:
    def handler(request: Request) -> None:
        first, second = request.parts()
        body = b'{"detail": "no"}'
        request.batch([second.good(b"x"), answer_part(first.index, status, {}, body)])

    put, got = done(session_of(handler), [Put(b"x"), Get("b")])
    assert type(put.error) is kind
    assert (put.error.body, put.key) == (b'{"detail": "no"}', UNKNOWN)
    assert got.value.read() == b"x"


def test_one_bad_description_fails_one_operation(session_of: Any) -> None:
    def handler(request: Request) -> None:
        parts = request.parts()
        wrong = [{"x-sn-size": "many"}, {"content-encoding": "br"}, {}]
        request.batch(
            [part.answer("200 OK", each, b"x") for part, each in zip(parts, wrong, strict=True)]
        )

    results = done(session_of(handler), [Get("a"), Get("b"), Get("c")])
    assert [type(each.error) for each in results] == [AnswerBroken, AnswerBroken, type(None)]


@pytest.mark.parametrize("code", [400, 401, 429, 500, 503])
@widths
def test_a_refused_batch_is_the_error_of_each(session_of: Any, code: int, width: int) -> None:
    session = session_of(lambda request: request.answer(code, {}, b"no"))
    results = done(session, [Get("a"), Put(b"x", "b"), Delete("c")], width)
    assert [each.error.status for each in results if isinstance(each.error, RequestError)] == [
        code
    ] * 3
    assert len(requests(session)) == 1


@pytest.mark.parametrize("content_type", ["text/html", "multipart/form-data", ""])
def test_what_is_no_multipart_is_no_answer(session_of: Any, content_type: str) -> None:
    session = session_of(lambda request: request.answer(200, {"content-type": content_type}))
    assert [type(each.error) for each in done(session, [Get("a"), Get("b")])] == [AnswerBroken] * 2


def cut_after(answered: int, *, in_a_part: bool) -> Callable[[Request], None]:
    def handler(request: Request) -> None:
        parts = [part.good(b"content") for part in request.parts()]
        request.begin()
        for part in parts[:answered]:
            request.chunk(part)
        if in_a_part:
            request.chunk(parts[answered][:-4])
        elif answered:
            request.chunk(NEXT)
        request.connection.shutdown(socket.SHUT_RDWR)

    return handler


@widths
@pytest.mark.parametrize("in_a_part", [False, True])
@pytest.mark.parametrize("answered", [0, 1, 3])
def test_a_failure_in_the_middle_concerns_only_what_was_not_answered(
    session_of: Any, answered: int, in_a_part: bool, width: int
) -> None:
    session = session_of(cut_after(answered, in_a_part=in_a_part))
    results = done(session, [Get(f"k{number}") for number in range(5)], width)
    assert [each.error is None for each in results] == [True] * answered + [False] * (5 - answered)
    assert all(isinstance(each.error, AnswerLost) for each in results[answered:])
    assert len(requests(session)) == 1


def test_framing_that_breaks_concerns_only_what_was_not_answered(session_of: Any) -> None:
    def handler(request: Request) -> None:
        first, second, third = request.parts()
        request.batch([first.good(b"x"), NEXT + b"garbage\r\n\r\n", third.good()])
        del second

    results = done(session_of(handler), [Get("a"), Get("b"), Get("c")])
    assert [type(each.error) for each in results] == [type(None), AnswerBroken, AnswerBroken]


def test_an_answer_without_its_closing_boundary_was_cut_off(session_of: Any) -> None:
    def handler(request: Request) -> None:
        request.begin()
        request.chunk(request.parts()[0].good(b"x"))
        request.end()

    first, second = done(session_of(handler), [Get("a"), Get("b")])
    assert first.error is None or isinstance(first.error, AnswerBroken)
    assert isinstance(second.error, AnswerBroken)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    session = Client(f"http://127.0.0.1:{port}", connect_retries=0).session("reports")
    results = done(session, [Put(b"x", "a"), Put(bytes(2 * MIB), "b")])
    assert [type(each.error) for each in results] == [Unreachable] * 2


# 3. Lazy input.


@widths
def test_an_endless_input_is_pulled_as_it_is_needed(session_of: Any, width: int) -> None:
    pulled = count()

    def endless() -> Iterator[Operation]:
        for number in pulled:
            yield Put(b"x", f"k{number}")

    with session_of(Store()).many(endless(), concurrency=width) as results:
        assert len(list(islice(results, 3000))) == 3000
    assert next(pulled) <= 3000 + (width + 1) * 1000


def test_a_slow_input_does_not_keep_results_waiting(session_of: Any) -> None:
    def slow() -> Iterator[Operation]:
        yield Get("a")
        time.sleep(0.3)
        for number in range(100):
            yield Get(f"k{number}")
            time.sleep(0.05)

    began = time.monotonic()
    with session_of(Store()).many(slow()) as results:
        next(results)
        assert time.monotonic() - began < 1.2


# 4. Classification.


def test_what_is_long_or_unsized_has_a_request_of_its_own(session_of: Any) -> None:
    store = Store()
    session = session_of(store)
    content: dict[str, Any] = {
        "small": b"x",
        "file": io.BytesIO(b"file"),
        "largest": bytes(1_044_496),
        "larger": bytes(1_044_497),
        "plain": bytes(MIB),
        "long": bytes(MIB + 1),
        "unsized": Blocks(b"unsized"),
        "blocks": iter([b"blo", b"cks"]),
    }
    results = done(
        session,
        [
            Put(each, name, compression="none" if name in {"plain", "long"} else None)
            for name, each in content.items()
        ],
    )
    assert [each.error for each in results] == [None] * 8
    in_batches = {part.key for batch in batches(session) for part in batch}
    assert in_batches == {"small", "file", "largest", "plain"}
    assert (
        zstandard.ZstdDecompressor().decompressobj().decompress(store.objects["blocks"][1])
        == b"blocks"
    )
    assert store.objects["larger"][0]["content-encoding"] == "zstd"
    assert len(store.objects["larger"][1]) < 1000
    assert store.objects["long"][1] == content["long"]


@pytest.mark.usefixtures("unhurried")
def test_batches_are_bounded(session_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(Store())
    done(session, (Put(b"x", f"k{number}") for number in range(2500)), 1)
    assert [len(batch) for batch in batches(session)] == [1000, 1000, 500]
    monkeypatch.setattr(many, "LARGEST", 2 * MIB)
    requests(session).clear()
    done(session, [Put(bytes(500_000), compression="none") for _ in range(10)], 1)
    assert [len(batch) for batch in batches(session)] == [4, 4, 2]


@pytest.mark.usefixtures("unhurried")
def test_a_server_that_has_nothing_to_do_is_not_kept_waiting(session_of: Any) -> None:
    session = session_of(Store())
    done(session, (Put(b"x", f"k{number}") for number in range(1000)), 3)
    sizes = [len(batch) for batch in batches(session)]
    assert sum(sizes) == 1000
    assert 100 in sizes


@pytest.mark.usefixtures("unhurried")
def test_a_batch_that_reads_is_short(session_of: Any) -> None:
    session = session_of(Store())
    done(session, (Get(f"k{number}") for number in range(1000)), 1)
    assert all(len(each.body) <= 64 * 1024 for each in requests(session))
    assert len(requests(session)) < 5


# 5. Conflicts.


class Checked(Store):
    """A store that answers in any order, and fails where two on one key are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: Counter[tuple[str, bool]] = Counter()
        self.lock = threading.Lock()
        self.conflicts: list[str] = []
        self.random = random.Random(7)

    def __call__(self, request: Request) -> None:
        claims = self.claims(request)
        with self.lock:
            for key, changes in claims:
                others = self.under_way[key, True] + (changes and self.under_way[key, False])
                if others:
                    self.conflicts.append(key)
                self.under_way[key, changes] += 1
        time.sleep(self.random.random() / 1000)
        with self.lock:
            self.under_way.subtract(claims)
            answers = [self.one(part) for part in request.parts()] if self.many(request) else []
        if not self.many(request):
            super().__call__(request)
            return
        self.random.shuffle(answers)
        request.batch(answers)

    def many(self, request: Request) -> bool:
        return "objects:batch" in request.target

    def claims(self, request: Request) -> list[tuple[str, bool]]:
        if not self.many(request):
            return [(request.target.split("/", 5)[5], True)]
        return [
            (part.key, part.kind in {"insert", "delete"}) for part in request.parts() if part.key
        ]


@widths
def test_operations_on_one_key_are_done_in_their_order(session_of: Any, width: int) -> None:
    chosen = random.Random(width)
    store = Checked()
    state: dict[str, bytes] = {}
    operations: list[Operation] = []
    expected: list[bytes | None] = []
    for number in range(400):
        key = f"k{chosen.randrange(12)}"
        kind = chosen.randrange(4)
        expected.append(state.get(key))
        if kind == 0:
            content = b"%d" % number
            operations.append(Put(content if chosen.random() < 0.7 else iter([content]), key))
            state[key] = content
        elif kind == 1:
            operations.append(Delete(key))
            state.pop(key, None)
        else:
            operations.append(Get(key))
    results = done(session_of(store), operations, width)
    for result, wanted in zip(results, expected, strict=True):
        assert result.error is None
        if result.kind == "get":
            assert (result.value.read() if result.value else None) == wanted
    assert store.conflicts == []
    assert set(store.objects) == set(state)


def test_others_overtake_what_waits(session_of: Any) -> None:
    release = threading.Event()

    def handler(request: Request) -> None:
        if "objects:batch" not in request.target:
            assert release.wait(PATIENCE)
        store(request)

    store = Store()
    session = session_of(handler)
    operations = [Put(iter([b"x"]), "a"), Get("a"), Get("b")]
    with session.many(operations, concurrency=2) as results:
        assert next(results).key == "b"
        release.set()
        assert [each.index for each in results] == [0, 1]


@pytest.mark.usefixtures("unhurried")
def test_puts_without_a_key_never_wait(session_of: Any) -> None:
    session = session_of(Store())
    done(session, [Put(b"x") for _ in range(10)])
    assert [len(batch) for batch in batches(session)] == [10]


# 6. Order.


def test_with_one_request_at_a_time_results_are_in_order(session_of: Any) -> None:
    operations = [
        Put(b"x", "a"), Get("a"), Put(iter([b"y"]), "b"), Put(b"x", "c", origin="a\n"),
        Get("b"), *(Head(f"k{number}") for number in range(30)), Delete("a"),
    ]  # fmt: skip
    results = list(session_of(Checked()).many(operations, concurrency=1))
    assert [each.index for each in results] == list(range(len(operations)))
    assert isinstance(results[3].error, ValueError)


# 7. Streaming out.


@widths
def test_the_first_result_comes_before_a_tenth_of_the_answer(session_of: Any, width: int) -> None:
    release = threading.Event()

    def handler(request: Request) -> None:
        answers = [part.good(bytes(10_000)) for part in request.parts()]
        request.begin()
        request.chunk(answers[0] + answers[1][:100])
        assert release.wait(PATIENCE)
        for answer in answers[1:]:
            request.chunk(answer if answer is not answers[1] else answer[100:])
        request.chunk(closing(BOUNDARY))
        request.end()

    with session_of(handler).many([Get(f"k{n}") for n in range(20)], concurrency=width) as results:
        assert next(results).index == 0
        release.set()
        assert sum(1 for _ in results) == 19


def test_nothing_is_read_that_nobody_asks_for(session_of: Any) -> None:
    sent = []

    def handler(request: Request) -> None:
        request.begin()
        for part in request.parts():
            request.chunk(part.good(os.urandom(500_000)))
            sent.append(part.index)
        request.chunk(closing(BOUNDARY))
        request.end()

    with session_of(handler).many([Get(f"k{number}") for number in range(200)]) as results:
        next(results)
        time.sleep(0.3)
        assert len(sent) < 60
        assert sum(1 for _ in results) == 199


def test_a_bomb_in_a_part_is_not_taken_apart_until_it_is_read(session_of: Any) -> None:
    bomb = zstandard.compress(bytes(50 * MIB))

    def handler(request: Request) -> None:
        zstd = {"content-encoding": "zstd"}
        request.batch([part.answer("200 OK", zstd, bomb) for part in request.parts()])

    (result,) = done(session_of(handler), [Get("a", limit=MIB)])
    with pytest.raises(TooMuchContent):
        result.value.read()


# 8. Abandonment, and the normal end.


def test_the_connection_serves_again_after_the_end(session_of: Any) -> None:
    session = session_of(Store())
    for _ in range(3):
        done(session, [Get("a")], 1)
    assert session.server.connections == 1


@widths
def test_closing_waits_for_no_answer(session_of: Any, width: int) -> None:
    gone = threading.Event()

    def handler(request: Request) -> None:
        request.begin()
        request.chunk(request.parts()[0].good(b"x") + NEXT)
        if not request.connection.recv(1):
            gone.set()

    pulled = count()
    operations = (Get(f"k{number}") for number in pulled)
    began = time.monotonic()
    with session_of(handler).many(operations, concurrency=width) as results:
        next(results)
    assert time.monotonic() - began < 5
    assert gone.wait(PATIENCE)
    assert not threads()
    before = next(pulled)
    assert next(results, None) is None
    assert next(pulled) == before + 1


def test_closing_breaks_off_what_is_being_put(session_of: Any) -> None:
    begun = threading.Event()

    def slow() -> Iterator[bytes]:
        while True:
            begun.set()
            yield os.urandom(100_000)

    results = session_of(Store()).many([Put(slow(), "a"), Get("b")])
    assert next(results).key == "b"
    assert begun.wait(PATIENCE)
    results.close()
    assert not threads()


def test_dropping_stops_what_runs(session_of: Any) -> None:
    def handler(request: Request) -> None:
        request.begin()
        request.chunk(request.parts()[0].good(b"x") + NEXT)
        request.connection.recv(1)

    results = session_of(handler).many([Get("a"), Get("b")])
    next(results)
    del results
    gc.collect()
    until(lambda: not threads())


# 9. Retries.


def test_nothing_is_sent_twice(session_of: Any) -> None:
    session = session_of(lambda request: request.connection.shutdown(socket.SHUT_RDWR))
    for operation in (Get("a"), Put(b"x", "a"), Put(iter([b"x"]), "a"), Delete("a")):
        (result,) = done(session, [operation])
        assert isinstance(result.error, AnswerLost)
        assert result.error.maybe_applied
    assert len(requests(session)) == 4


# 10. Encoding.


@widths
def test_what_cannot_be_sent_is_the_error_of_its_operation_alone(
    session_of: Any, width: int
) -> None:
    session = session_of(Store())
    wrong: list[Operation] = [
        Put(b"x", "a", origin="a\r\nx: y"),
        Put(b"x", "a", metadata={"a": " edge"}),
        Put(b"x", "a", metadata={"a b": "c"}),
        Put(b"x", "a", filename="\0"),
        Put(b"x", "a", content_type="no type"),
        Put(iter([b"x"]), "a", metadata={"build_id": "7"}),
        Put("text", "a"),  # type: ignore[arg-type]
        Get(""),
        Get("\ud800"),
    ]
    good: list[Operation] = [Put(b"x", "a\r\n--" + BOUNDARY, origin="é%")]
    results = done(session, [*wrong, *good], width)
    assert [each.error is None for each in results] == [False] * len(wrong) + [True]
    assert all(isinstance(each.error, (ValueError, TypeError)) for each in results[:-1])
    assert [part.key for batch in batches(session) for part in batch] == [good[0].key]


def test_a_file_that_cannot_be_read_fails_alone(session_of: Any) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    session = session_of(Store())
    results = done(session, [Put(b"x", "a"), Put(Broken(b"xyz"), "b"), Put(b"y", "c"), Get("d")])
    assert [type(each.error) for each in results] == [type(None), OSError, type(None), type(None)]
    assert [part.key for part in batches(session)[0]] == ["a", "c", "d"]


def test_a_file_that_reads_little_at_a_time_is_stored_whole_and_a_shorter_one_not(
    session_of: Any,
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 100))

    content = os.urandom(2000)
    slow, shrinks, grows = Slow(content), io.BytesIO(content), io.BytesIO(content)

    def operations() -> Iterator[Put]:
        for key, file in (("slow", slow), ("shrinks", shrinks), ("grows", grows)):
            yield Put(file, key, compression="none")
        shrinks.truncate(500)
        grows.seek(0, io.SEEK_END)
        grows.write(b"more")
        grows.seek(0)

    store = Store()
    results = done(session_of(store), operations())
    assert [type(each.error) for each in results] == [type(None), StreamBroken, type(None)]
    assert {key: body for key, (_, body) in store.objects.items()} == {
        "slow": content,
        "grows": content,
    }


def test_a_part_that_is_long_is_in_a_temporary_file(session_of: Any, tmp_path: Path) -> None:
    store, content = Store(), os.urandom(3 * MIB)
    session = session_of(store, spool_dir=tmp_path)
    lost = session_of(store, spool_dir=tmp_path / "absent")
    session.put(content, "long", compression="none")
    session.put(b"text", "short")
    gets = [Get("long"), Get("short"), Get("long")]
    values = [each.value for each in done(session, gets, 1)]
    assert [value.read() for value in values] == [content, b"text", content]
    results = done(lost, gets, 1)
    assert [type(each.error) for each in results] == [SpoolFailed, type(None), SpoolFailed]
    assert results[1].value.read() == b"text"


def test_a_part_that_is_cut_off_leaves_no_temporary_file_open(session_of: Any) -> None:
    def cut(request: Request) -> None:
        parts = request.parts()
        request.begin()
        request.chunk(parts[0].good(b"x") + parts[1].good(bytes(2 * MIB)))
        request.connection.shutdown(socket.SHUT_RDWR)

    results = done(session_of(cut), [Get("a"), Get("b")], 1)
    assert [type(each.error) for each in results] == [type(None), AnswerLost]
    del results
    gc.collect()  # Which would warn of a file that is open.


# 11. Connections.


def test_as_many_connections_as_requests_at_once_are_kept(session_of: Any) -> None:
    at_once = threading.Barrier(8)

    def handler(request: Request) -> None:
        at_once.wait(PATIENCE)
        store(request)

    store = Store()
    session = session_of(handler, pool_size=8)
    for _ in range(2):
        results = done(session, [Put(iter([b"x"]), f"k{number}") for number in range(8)], 8)
        assert [each.error for each in results] == [None] * 8
    assert session.server.connections == 8


def test_all_of_that_holds_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    store, gone = Store(), threading.Event()

    def handler(request: Request) -> None:
        parts = request.parts() if "objects:batch" in request.target else []
        if [part.key for part in parts] != ["stuck", "never"]:
            store(request)
            return
        request.begin()
        request.chunk(parts[0].good(b"x") + NEXT)
        if not request.connection.recv(1):
            gone.set()

    server = RawServer(handler, context=authority.server())
    try:
        client = Client(server.url, ca_certs=str(authority.file))
        session = client.session("reports")
        content = os.urandom(2 * MIB)
        assert not any(each.error for each in done(session, [Put(content, "a"), Put(b"x", "b")]))
        got = done(session, [Get("a"), Get("b")])
        assert [each.value.read() for each in got] == [content, b"x"]
        began = time.monotonic()
        with session.many([Get("stuck"), Get("never")]) as results:
            assert next(results).error is None
        assert time.monotonic() - began < 5
        assert gone.wait(PATIENCE)
        with pytest.raises(Unreachable):
            Client(server.url, connect_retries=0).session("reports").get("a")
        client.close()
    finally:
        server.close()


# Greenlets.

PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, socket, sys, time
from api.rawserver import NEXT, Store, served
from flask_fs_swift.api.client.session import Client
from flask_fs_swift.api.client.operations import Get, Put

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

def slow(request):
    gevent.sleep(0.1)
    store(request)

def stuck(request):
    request.begin()
    request.chunk(request.parts()[0].good(b"x") + NEXT)
    gevent.sleep(60)

store = Store()
with served(slow) as server, Client(server.url) as client:
    session = client.session("reports")
    ticker = gevent.spawn(tick)
    puts = [Put(iter([b"x"]), f"k{n}") for n in range(10)]
    began = time.monotonic()
    results = list(session.many([*puts, *(Get(f"k{n}") for n in range(10))], concurrency=10))
    assert time.monotonic() - began < 5
    assert [each.error for each in results] == [None] * 20
    assert {each.value.read() for each in results[10:]} == {b"x"}
    assert ticks > 20, ticks
    ticker.kill()
with served(lambda request: None) as server, Client(server.url) as client:
    server.handler = stuck
    began = time.monotonic()
    with client.session("reports").many([Get("a"), Get("b")]) as results:
        next(results)
    assert time.monotonic() - began < 5
    print("good", flush=True)
    import os
    os._exit(0)
"""


def test_it_works_below_greenlets() -> None:
    pytest.importorskip("gevent")
    tests = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", PATCHED],
        cwd=tests,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == "good\n", ended.stderr
