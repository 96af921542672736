"""Long content: put so that a broken connection costs what was under way, and no more."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from flask_fs_swift.api.client.connections import Line
from flask_fs_swift.api.client.failures import (
    AnswerBroken,
    AnswerLost,
    RequestError,
    ServerBusy,
    ServerFailed,
    UploadClosed,
)
from flask_fs_swift.api.client.operations import Put
from flask_fs_swift.api.client.session import Client
from flask_fs_swift.api.client.usecase import Usecase
from flask_fs_swift.errors import StreamBroken

from .rawserver import RawServer
from .rawuploads import Fault, Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.api.client.session import Session

    Begin = Callable[..., tuple[RawServer, Session]]

LONG = 100_000
CONTENT = os.urandom(LONG)
BROKEN: Fault = ("break", 0)
BUSY: Fault = ("status", 503)
PLAIN = Usecase("reports", "none", resumable_from=LONG)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return a server of some uploads, and a session there, that pauses briefly."""
    with ExitStack() as stack:

        def session(
            store: Uploads, usecase: Usecase = PLAIN, **options: Any
        ) -> tuple[RawServer, Session]:
            server = RawServer(store, breaks=store.breaks)
            stack.callback(server.close)
            options = {"resume_pauses": (0.01, 0.02), **options}
            client = stack.enter_context(Client(server.url, **options))
            return server, client.session(usecase, org=42)

        yield session


def file_at_7(folder: Any) -> Any:
    path = folder / "content"
    path.write_bytes(b"before " + CONTENT)
    file = path.open("rb")
    file.seek(7)
    return file


SOURCES: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda _: CONTENT,
    "memoryview": lambda _: memoryview(bytearray(CONTENT)).cast("I"),
    "file": file_at_7,
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("key", ["a/ b%é", None])
def test_long_content_is_sent_in_one_request_after_another(
    begin: Begin, tmp_path: Any, source: str, key: str | None
) -> None:
    store = Uploads()
    server, session = begin(store)
    content = SOURCES[source](tmp_path)
    stored = session.put(content, key, metadata={"build": "7 é"}, content_type="text/plain")
    assert stored == key or (key, stored) == (None, "made")
    created, sent = server.requests
    assert (created.method, created.target.split("?")[1]) == (
        "PUT" if key else "POST",
        "upload_type=resumable",
    )
    assert created.headers["upload-length"] == str(LONG)
    assert created.headers["x-snme-build"] == "7 %C3%A9"
    assert sent.target.endswith("?session=s%2F0%3D")
    assert sent.headers["upload-offset"] == "0"
    assert sent.headers["content-length"] == str(LONG)
    assert "transfer-encoding" not in sent.headers
    assert store.objects[stored][1] == CONTENT
    if isinstance(content, io.IOBase):
        assert content.read() == b""
        content.close()


@pytest.mark.parametrize(
    ("size", "usecase", "requests"),
    [(LONG - 1, LONG, 1), (LONG, LONG, 2), (LONG, "never", 1), (0, 0, 1), (1, 0, 2)],
)
def test_content_is_long_from_a_size_on(
    begin: Begin, size: int, usecase: Any, requests: int
) -> None:
    server, session = begin(Uploads(), Usecase("reports", "none", resumable_from=usecase))
    session.put(CONTENT[:size], "a")
    assert len(server.requests) == requests
    server, session = begin(Uploads(), Usecase("reports", "none"))
    session.put(CONTENT[:size], "a", resumable_from=usecase)
    session.put(iter([CONTENT]), "a", resumable_from=0)
    assert len(server.requests) == requests + 1


@pytest.mark.parametrize("size", [-1, 1.5, "always", True])
def test_a_size_is_a_number_of_bytes(begin: Begin, size: Any) -> None:
    with pytest.raises(ValueError, match="resumable_from"):
        Usecase("reports", resumable_from=size)
    server, session = begin(Uploads())
    with pytest.raises(ValueError, match="resumable_from"):
        session.put(b"x", "a", resumable_from=size)
    assert server.requests == []


def test_a_broken_connection_costs_what_was_under_way(begin: Begin, tmp_path: Any) -> None:
    store = Uploads([("break", 60_000), ("break", 15_000)], granularity=1000)
    server, session = begin(store)
    with file_at_7(tmp_path) as file:
        session.put(file, "a")
    assert store.objects["a"][1] == CONTENT
    assert store.steps == [(0, 60_000), (60_000, 15_000), (75_000, 25_000)]
    asked = [each for each in server.requests if each.headers.get("upload-offset") == "*"]
    assert [(each.body, each.headers["content-length"]) for each in asked] == [(b"", "0")] * 2
    assert store.cancelled == []


def test_the_server_may_keep_less_than_came(begin: Begin) -> None:
    store = Uploads([("break", 60_999)], granularity=25_000)
    begin(store)[1].put(CONTENT, "a")
    assert store.steps == [(0, 60_999), (50_000, 50_000)]
    assert store.objects["a"][1] == CONTENT


def test_a_server_that_takes_only_some_is_sent_the_rest_at_once(begin: Begin) -> None:
    class Sips(Uploads):
        def _take(self, upload: Any, body: bytes) -> None:
            super()._take(upload, body[:40_000])

    store = Sips()
    server, session = begin(store, resume_pauses=())
    session.put(CONTENT, "a")
    assert [offset for offset, _ in store.steps] == [0, 40_000, 80_000]
    assert len(server.requests) == 4


def test_a_lost_last_answer_is_recognised(begin: Begin) -> None:
    store = Uploads(["lost"])
    server, session = begin(store)
    assert session.put(CONTENT, "a") == "a"
    assert [each.headers.get("upload-offset") for each in server.requests] == [None, "0", "*"]


@pytest.mark.parametrize(
    ("faults", "queries"),
    [
        ([BROKEN, ("break", 10_000), BUSY, BUSY], []),
        ([("break", 10_000), ("break", 10_000), ("break", 10_000)], [BUSY, None, BUSY, None]),
    ],
)
def test_each_step_forward_has_two_more_tries(
    begin: Begin, faults: list[Fault], queries: list[Fault | None]
) -> None:
    store = Uploads(faults, queries)
    begin(store)[1].put(CONTENT, "a")
    assert store.objects["a"][1] == CONTENT


@pytest.mark.parametrize(
    ("faults", "kind", "maybe"),
    [
        ([("break", 10)] + [("status", 503)] * 3, ServerBusy, False),
        ([("break", 0)] * 3, AnswerLost, True),
        ([("status", 400)], RequestError, False),
        ([("status", 500)], ServerFailed, True),
        ([("status", 410)], UploadClosed, False),
    ],
)
def test_what_comes_no_further_is_cancelled(
    begin: Begin, faults: list[Any], kind: type[RequestError], maybe: bool
) -> None:
    store = Uploads(faults)
    _, session = begin(store)
    with pytest.raises(kind) as caught:
        session.put(CONTENT, "a")
    assert type(caught.value) is kind
    assert (caught.value.key, caught.value.maybe_applied) == ("a", maybe)
    assert store.cancelled == ["s/0="]
    assert store.objects == {}
    assert not store.faults


def test_what_was_lost_and_cannot_be_asked_for_may_have_been_stored(begin: Begin) -> None:
    store = Uploads(["lost"], [("status", 503)] * 2)
    with pytest.raises(ServerBusy) as caught:
        begin(store)[1].put(CONTENT, "a")
    assert caught.value.maybe_applied


def test_a_server_that_takes_nothing_is_given_up(begin: Begin) -> None:
    class Deaf(Uploads):
        def _take(self, upload: Any, body: bytes) -> None:
            """Take nothing."""

    store = Deaf()
    with pytest.raises(AnswerBroken, match="no further than 0 of 100000 bytes"):
        begin(store)[1].put(CONTENT, "a")
    assert (len(store.steps), store.cancelled) == (3, ["s/0="])


@pytest.mark.parametrize("said", [None, "many", "-1", "100001", "9" * 5000, "\xb2"])
def test_an_answer_says_how_much_there_is(begin: Begin, said: str | None) -> None:
    class Mumbles(Uploads):
        def _resume(self, request: Any, token: str) -> None:
            if request.method == "DELETE":
                super()._resume(request, token)
            else:
                request.answer(204, {} if said is None else {"upload-offset": said})

    store = Mumbles()
    session = begin(store)[1]
    with pytest.raises(AnswerBroken, match="how much"):
        session.put(CONTENT, "a")
    assert store.cancelled == ["s/0="]


@pytest.mark.parametrize("creation", [501, 500, 403, 404, 302])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_where_no_upload_can_be_created_content_is_put_as_ever(
    begin: Begin, tmp_path: Any, creation: int, compression: Any
) -> None:
    store = Uploads(creation=creation)
    server, session = begin(store, Usecase("reports", compression, resumable_from=0))
    with file_at_7(tmp_path) as file:
        assert session.put(file, "a") == "a"
    body = store.objects["a"][1]
    assert (zstandard.decompress(body, LONG) if compression == "zstd" else body) == CONTENT
    assert server.requests[1].headers["content-length"] == str(len(body))
    assert len(server.requests) == 2


def test_an_empty_object_of_a_server_without_uploads_is_filled(begin: Begin) -> None:
    class Knows0(Uploads):
        def _create(self, request: Any, key: str) -> None:
            self.put(key, request.headers, request.body)
            request.answer(200, {}, b'{"key": "made1"}')

    store = Knows0()
    assert begin(store)[1].put(CONTENT) == "made1"
    assert {key: body for key, (_, body) in store.objects.items()} == {"made1": CONTENT}


def test_an_upload_of_another_key_is_none(begin: Begin) -> None:
    class Mistakes(Uploads):
        def _create(self, request: Any, key: str) -> None:
            super()._create(request, f"not {key}")

    store = Mistakes()
    assert begin(store)[1].put(CONTENT, "a") == "a"
    assert set(store.objects) == {"a"}


TEXT = b"".join(b"line %d\n" % number for number in range(40_000))


@pytest.mark.parametrize("faults", [[], [("break", 20_000)], ["lost"]])
def test_compressed_content_is_resumed_as_it_was_compressed(begin: Begin, faults: Any) -> None:
    store = Uploads(faults)
    server, session = begin(store, Usecase("reports", resumable_from=0))
    file = io.BytesIO(TEXT)
    assert session.put(file, "a") == "a"
    with session.get("a") or pytest.fail("absent") as found:
        assert found.read() == TEXT
    assert server.requests[0].headers["upload-length"] == str(len(store.objects["a"][1]))
    assert file.read() == b""


def test_where_there_is_no_room_content_is_compressed_on_its_way(
    begin: Begin, tmp_path: Any
) -> None:
    server, session = begin(
        Uploads(), Usecase("reports", resumable_from=0), spool_dir=tmp_path / "absent"
    )
    noise = os.urandom(5 * 1024 * 1024)
    file = io.BytesIO(b"before" + noise)
    file.seek(6)
    assert session.put(file, "a") == "a"
    with session.get("a") or pytest.fail("absent") as found:
        assert found.read() == noise
    assert server.requests[0].headers["transfer-encoding"] == "chunked"


def test_temporary_files_are_where_they_are_wanted(
    begin: Begin, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    session = begin(Uploads(), Usecase("reports", resumable_from=0), spool_dir=tmp_path)[1]
    assert session.put(os.urandom(5 * 1024 * 1024), "a") == "a"
    assert list(tmp_path.iterdir()) == []


def test_content_that_becomes_shorter_is_not_stored(begin: Begin) -> None:
    class Shrinks(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return b"" if self.tell() >= 60_000 else super().read(size)

    store = Uploads()
    with pytest.raises(StreamBroken) as caught:
        begin(store)[1].put(Shrinks(CONTENT), "a")
    assert caught.value.expected == LONG
    assert (store.objects, store.cancelled) == ({}, ["s/0="])


def test_what_long_content_raises_is_raised(begin: Begin) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    store = Uploads()
    for usecase in (PLAIN, Usecase("reports", resumable_from=0)):
        with pytest.raises(OSError, match="the disk is gone"):
            begin(store, usecase)[1].put(Broken(CONTENT), "a")
    assert (store.objects, store.cancelled) == ({}, ["s/0="])


def test_what_cannot_be_sent_is_refused_before_it_is_compressed(begin: Begin) -> None:
    class Unread(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            pytest.fail("it was read")

    server, session = begin(Uploads(), Usecase("reports", resumable_from=0))
    for options in ({"key": ""}, {"metadata": {"build_id": "7"}}, {"origin": "a\nb"}):
        with pytest.raises(ValueError):
            session.put(Unread(CONTENT), **options)
    assert server.requests == []


def test_many_resumes_what_is_long(begin: Begin) -> None:
    store = Uploads([("break", 50_000)])
    server, session = begin(store)
    puts = [Put(b"short", "a"), Put(CONTENT, "b"), Put(CONTENT, "c", resumable_from="never")]
    assert [each.error for each in session.many(puts, concurrency=1)] == [None] * 3
    assert store.steps == [(0, 50_000), (50_000, 50_000)]
    assert [each.target.split("/")[2] for each in server.requests].count("objects:batch") == 2
    assert store.objects["b"][1] == store.objects["c"][1] == CONTENT


def test_who_leaves_many_waits_for_no_pause(begin: Begin) -> None:
    asked = threading.Event()

    class Tells(Uploads):
        def breaks(self, request: Any) -> int | None:
            if request.headers.get("upload-offset") == "0":
                asked.set()
            return super().breaks(request)

    store = Tells([("break", 0)] * 9)
    session = begin(store, resume_pauses=(1000.0,))[1]
    with session.many([Put(b"x", "a"), Put(CONTENT, "b")]) as results:
        next(results)
        assert asked.wait(20)
    assert store.cancelled == ["s/0="]
    assert len(store.steps) == 1


def test_pauses_are_no_less_than_nothing() -> None:
    refused: list[dict[str, Any]] = [{"resume_pauses": [-1]}, {"token_lifetime": 0}]
    for wrong in refused:
        with pytest.raises(ValueError):
            Client("http://files.example", **wrong)


def test_pauses_are_those_of_published_clients(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    def pause(_: Line, seconds: float) -> bool:
        paused.append(seconds)
        return True

    monkeypatch.setattr(Line, "pause", pause)
    session = begin(Uploads([("break", 0)] * 3), resume_pauses=(2.0, 4.0))[1]
    with pytest.raises(AnswerLost):
        session.put(CONTENT, "a")
    first, second = paused
    assert 2 <= first <= 2.5
    assert 4 <= second <= 5
