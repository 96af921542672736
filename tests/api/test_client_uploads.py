"""Uploads in parts, as a client sends them."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from flask_fs_swift.api.client import calls
from flask_fs_swift.api.client.failures import (
    AnswerBroken,
    AnswerLost,
    InvalidPart,
    PartDamaged,
    RequestError,
    ServerFailed,
    UploadClosed,
)
from flask_fs_swift.api.client.session import Client
from flask_fs_swift.api.client.uploads import Part
from flask_fs_swift.api.client.usecase import Usecase
from flask_fs_swift.api.expiration import Expiration

from .rawserver import RawServer
from .rawuploads import Uploads
from .test_client import CONTENT as ANY_CONTENT
from .test_client import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.api.client.session import Session

    from .rawserver import Request

    Begin = Callable[..., tuple[RawServer, Session]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return a server that is handled like this, and a session there."""
    with ExitStack() as stack:

        def session(
            handler: Callable[[Request], None], usecase: Any = "reports", **options: Any
        ) -> tuple[RawServer, Session]:
            server = RawServer(handler)
            stack.callback(server.close)
            client = stack.enter_context(Client(server.url, **options))
            return server, client.session(usecase, org=42)

        yield session


def of(session: Session, key: str) -> bytes:
    found = session.get(key)
    assert found is not None
    with found:
        return found.read()


@pytest.mark.parametrize("method", ["zstd", "none"])
@pytest.mark.parametrize("source", SOURCES)
def test_parts_of_any_content_become_one_object(begin: Begin, source: str, method: Any) -> None:
    store = Uploads()
    server, session = begin(store, Usecase("reports", method))
    upload = session.start_upload("a/ b%é", metadata={"build": "7 é"}, origin="x")
    second = upload.put_part(2, SOURCES[source]())
    first = upload.put_part(1, b"first ")
    assert store.objects == {}
    assert upload.complete() == "a/ b%é"
    assert of(session, "a/ b%é") == b"first " + ANY_CONTENT
    headers = store.objects["a/ b%é"][0]
    assert (headers["x-snme-build"], headers["x-sn-origin"]) == ("7 %C3%A9", "x")
    assert headers.get("content-encoding") == (None if method == "none" else "zstd")
    started, sent = server.requests[:2]
    assert (started.method, started.headers["content-length"]) == ("PUT", "0")
    place = "reports/org=42/a/%20b%25%C3%A9"
    assert started.target == f"/v1/objects:multipart/{place}"
    query = "upload_id=u%2F0%3D&part_number=2"
    assert sent.target == f"/v1/objects:multipart:parts/{place}?{query}"
    assert "transfer-encoding" not in sent.headers
    assert (first.number, second.number, second.size) == (1, 2, len(sent.body))


def test_what_is_said_at_the_start_is_as_for_a_put(begin: Begin) -> None:
    server, session = begin(Uploads())
    session.start_upload(expiration=Expiration("ttl", timedelta(days=1)), filename="é.txt")
    headers = server.requests[0].headers
    assert (server.requests[0].method, server.requests[0].target[-1]) == ("POST", "/")
    assert (headers["x-sn-expiration"], headers["x-sn-filename"]) == ("ttl:1d", "%C3%A9.txt")
    for wrong in ({"metadata": {"a_b": "1"}}, {"origin": "a\nb"}, {"key": ""}):
        with pytest.raises(ValueError):
            session.start_upload(**wrong)
    assert len(server.requests) == 1


def test_the_server_makes_up_a_key(begin: Begin) -> None:
    store = Uploads()
    upload = begin(store)[1].start_upload()
    upload.put_part(1, b"x")
    assert (upload.key, upload.complete()) == ("made", "made")
    assert "made" in store.objects


def test_precompressed_parts_are_sent_as_they_are(begin: Begin) -> None:
    store = Uploads()
    session = begin(store)[1]
    upload = session.start_upload("a", precompressed="zstd")
    frame = zstandard.compress(b"text")
    upload.put_part(1, frame)
    upload.put_part(2, frame)
    upload.complete()
    assert store.objects["a"][1] == frame * 2
    assert of(session, "a") == b"texttext"


def test_an_upload_goes_on_elsewhere(begin: Begin) -> None:
    store = Uploads()
    server, session = begin(store)
    upload = session.start_upload("a")
    upload.put_part(3, b"three")
    before = len(server.requests)
    other = Client(server.url).session("reports", org=42).resume_upload("a", upload.id)
    assert len(server.requests) == before
    for number in (1, 2, 5, 4):
        other.put_part(number, f" {number} ".encode())
    parts = other.list_parts()
    assert [part.number for part in parts] == [1, 2, 3, 4, 5]
    assert parts[0].modified == datetime(2026, 11, 20, 21, 39, 45, tzinfo=timezone.utc)
    assert len(server.requests) == before + 4 + 3
    other.complete([part for part in reversed(parts) if part.number != 4])
    assert of(session, "a") == b" 1  2 three 5 "
    with pytest.raises(UploadClosed):
        upload.put_part(1, b"x")


def test_an_aborted_upload_is_closed(begin: Begin) -> None:
    upload = begin(Uploads())[1].start_upload("a")
    upload.put_part(1, b"x")
    upload.abort()
    upload.abort()
    calls: list[Callable[[], object]] = [
        partial(upload.put_part, 1, b"x"), upload.list_parts, upload.complete,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(UploadClosed) as caught:
            call()
        assert (caught.value.key, caught.value.maybe_applied) == ("a", False)


def test_a_wrong_part_leaves_the_upload_as_it_was(begin: Begin) -> None:
    store = Uploads()
    session = begin(store)[1]
    upload = session.start_upload("a")
    part = upload.put_part(1, b"x")
    for wrong in ([Part(1, '"0"', 1)], [part, Part(2, part.etag, 1)]):
        with pytest.raises(InvalidPart, match="no such part") as caught:
            upload.complete(wrong)
        assert (caught.value.code, caught.value.maybe_applied) == ("InvalidPart", False)
        assert caught.value.status == 200
    assert store.objects == {}
    upload.complete()
    assert of(session, "a") == b"x"


def test_impossible_parts_are_not_sent(begin: Begin) -> None:
    server, session = begin(Uploads())
    upload = session.start_upload("a")
    for number in (0, -1, True, "1"):
        with pytest.raises(InvalidPart):
            upload.put_part(number, b"x")  # type: ignore[arg-type]
    for parts in ([], None, [Part(1, "e", 1), Part(1, "f", 1)], [Part(0, "e", 1)]):
        with pytest.raises(InvalidPart):
            upload.complete(parts)
    with pytest.raises(TypeError):
        upload.put_part(1, "text")  # type: ignore[arg-type]
    for key, id_ in (("", "x"), ("a", "")):
        with pytest.raises(ValueError):
            session.resume_upload(key, id_)
    assert len(server.requests) == 1


def test_parts_are_put_from_many_threads(begin: Begin) -> None:
    store = Uploads()
    session = begin(store, pool_size=4)[1]
    upload = session.start_upload("a")
    content = [os.urandom(50_000) for _ in range(8)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upload.put_part, range(1, 9), content))
    upload.complete()
    assert of(session, "a") == b"".join(content)


@pytest.mark.parametrize("etag", ['"{}"', "{}"])
def test_a_part_that_is_another_is_damaged(begin: Begin, etag: str) -> None:
    class Damages(Uploads):
        def etag(self, _: bytes) -> str:
            return etag.format("0" * 32)

    upload = begin(Damages())[1].start_upload("a")
    with pytest.raises(PartDamaged):
        upload.put_part(1, b"x")
    with pytest.raises(InvalidPart, match="no parts"):
        upload.complete()


def test_an_etag_may_be_anything(begin: Begin) -> None:
    class Counts(Uploads):
        def etag(self, body: bytes) -> str:
            return f'"etag-1-{len(body)}"'

    session = begin(Counts())[1]
    upload = session.start_upload("a")
    assert upload.put_part(1, b"x").etag.startswith('"etag-1-')
    upload.complete()
    assert of(session, "a") == b"x"


def test_what_content_raises_is_raised_and_no_part_is_sent(begin: Begin) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is gone")

    server, session = begin(Uploads())
    upload = session.start_upload("a", compression="none")
    with pytest.raises(OSError, match="the disk is gone"):
        upload.put_part(1, broken())
    assert len(server.requests) == 1


def test_a_file_is_a_part_from_where_it_is(begin: Begin) -> None:
    server, session = begin(Uploads())
    upload = session.start_upload("a", compression="none")
    file = io.BytesIO(b"before after")
    file.seek(6)
    assert upload.put_part(1, file).size == 6
    assert server.requests[1].body == b" after"
    assert file.read() == b""


# What a server says.


def saying(*answers: bytes) -> Callable[[Request], None]:
    """Return a handler that names an upload, and then answers with this JSON."""
    left = [b'{"key": "a", "upload_id": "u"}', *answers]
    return lambda request: request.answer(200, {}, left.pop(0))


PAGES = [
    b"", b"{}", b"[]", b'{"parts": [], "is_truncated": true}',
    b'{"parts": [], "is_truncated": true, "next_part_number_marker": 0}',
    b'{"parts": [], "is_truncated": true, "next_part_number_marker": "7"}',
    b'{"parts": [{}], "is_truncated": false}', b'{"parts": 5, "is_truncated": false}',
    b'{"parts": [{"part_number": 1, "etag": "e", "size": 1, "last_modified": "now"}]}',
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_list_of_parts_has_an_end_or_says_where_it_goes_on(begin: Begin, page: bytes) -> None:
    upload = begin(saying(page))[1].start_upload("a")
    with pytest.raises(AnswerBroken) as caught:
        upload.list_parts()
    assert not caught.value.maybe_applied


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"5", b'{"key": 5, "upload_id": "u"}', b'{"key": "a"}',
             b'{"key": "b", "upload_id": "u"}', b'{"key": "a", "upload_id": ""}'],
)  # fmt: skip
def test_an_upload_has_a_name(begin: Begin, said: bytes) -> None:
    session = begin(lambda request: request.answer(200, {}, said))[1]
    with pytest.raises(AnswerBroken):
        session.start_upload("a")


COMPLETIONS: list[tuple[bytes, type[RequestError], bool]] = [
    (b"   ", AnswerBroken, True),
    (b"  {}", AnswerBroken, True),
    (b' {"key": "b"}', AnswerBroken, True),
    (b' {"key": "a"} {"key": "a"}', AnswerBroken, True),
    (b' {"error": {"code": "InvalidPartOrder", "message": "m"}}', InvalidPart, False),
    (b' {"error": {"code": "InvalidRequest", "message": "m"}}', RequestError, False),
    (b' {"error": {"code": "NoSuchUpload", "message": "m"}}', UploadClosed, False),
    (b' {"error": {"code": "internal error", "message": "m"}}', ServerFailed, True),
    (b' {"error": "m"}', ServerFailed, True),
    (b' {"key": "a", "padding": "' + b"x" * 70_000 + b'"}', AnswerBroken, True),
]


@pytest.mark.parametrize(("said", "kind", "maybe"), COMPLETIONS)
def test_a_completion_tells_how_it_has_ended(
    begin: Begin, said: bytes, kind: type[RequestError], maybe: bool
) -> None:
    upload = begin(saying(said))[1].start_upload("a")
    with pytest.raises(kind) as caught:
        upload.complete([Part(1, "e", 1)])
    assert type(caught.value) is kind
    assert (caught.value.key, caught.value.maybe_applied) == ("a", maybe)


def test_a_server_may_send_blanks_for_long_but_not_for_ever(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BLANKS", 2 * calls.BLOCK)
    said = json.dumps({"key": "a"}).encode()
    good = begin(saying(b" " * 2 * calls.BLOCK + said))[1].start_upload("a")
    assert good.complete([Part(1, "e", 1)]) == "a"
    endless = begin(saying(b" " * 9 * calls.BLOCK + said))[1].start_upload("a")
    with pytest.raises(AnswerBroken):
        endless.complete([Part(1, "e", 1)])


def test_a_completion_that_was_cut_off_may_have_been_done(begin: Begin) -> None:
    def cut(request: Request) -> None:
        if "complete" not in request.target:
            request.answer(200, {}, b'{"key": "a", "upload_id": "u"}')
            return
        request.answer(200, {"content-length": "100"}, b'  {"key": "a"}')
        request.connection.shutdown(2)

    upload = begin(cut)[1].start_upload("a")
    with pytest.raises(AnswerLost) as caught:
        upload.complete([Part(1, "e", 1)])
    assert caught.value.maybe_applied


def test_no_error_tells_a_token(begin: Begin) -> None:
    session = begin(lambda request: request.answer(500), token="secret.token")[1]
    for call in (session.start_upload, session.resume_upload("a", "secret-id").list_parts):
        with pytest.raises(ServerFailed) as caught:
            call()
        assert "secret" not in f"{caught.value!r} {caught.value}"
    assert "secret" not in repr(session.resume_upload("a", "secret-id"))
