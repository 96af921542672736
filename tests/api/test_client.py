"""A client's requests, one at a time."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import zstandard
from auth.certificates import Authority

from flask_fs_swift.api.client import compression
from flask_fs_swift.api.client.compression import Expansion, compressed, longest
from flask_fs_swift.api.client.failures import (
    AnswerBroken,
    AnswerLost,
    Denied,
    ExpiryNotExtended,
    ObjectNotFound,
    RequestError,
    ServerBusy,
    ServerFailed,
    TooMuchContent,
    Unreachable,
)
from flask_fs_swift.api.client.session import Client, Session
from flask_fs_swift.api.client.usecase import Usecase
from flask_fs_swift.api.expiration import Expiration
from flask_fs_swift.api.keys import READ, Key, SigningKey
from flask_fs_swift.api.presigned import verify_presigned
from flask_fs_swift.api.tokens import verify_token

from .rawserver import RawServer, Request, Store
from .rawuploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask_fs_swift.events import Event

    Serve = Callable[[Callable[[Request], None]], RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(handler: Callable[[Request], None]) -> RawServer:
            server = RawServer(handler)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def connect() -> Iterator[Callable[..., Session]]:
    with ExitStack() as stack:

        def session(server: RawServer | str, usecase: Any = "reports", **options: Any) -> Session:
            url = server if isinstance(server, str) else server.url
            client = stack.enter_context(Client(url, **options))
            return client.session(usecase, org=42, project=7)

        yield session


Connect = "Callable[..., Session]"


def of(session: Session, key: str, **options: Any) -> bytes:
    found = session.get(key, **options)
    assert found is not None
    with found:
        return found.read()


def status(code: int, body: bytes = b"") -> Callable[[Request], None]:
    return lambda request: request.answer(code, {}, body)


class Blocks(io.RawIOBase):
    """A file that nobody can tell the length of."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._content.read(size)


CONTENT = os.urandom(100_000) + b"text" * 50_000
SOURCES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENT,
    "bytearray": lambda: bytearray(CONTENT),
    "memoryview": lambda: memoryview(CONTENT).cast("I"),
    "file": lambda: io.BytesIO(CONTENT),
    "unsized": lambda: Blocks(CONTENT),
    "blocks": lambda: iter([CONTENT[:7], b"", CONTENT[7:]]),
}


@pytest.mark.parametrize("method", ["zstd", "none"])
@pytest.mark.parametrize("source", SOURCES)
def test_content_comes_back(serve: Serve, connect: Any, source: str, method: Any) -> None:
    store = Store()
    server = serve(store)
    session = connect(server, Usecase("reports", method))
    assert session.put(SOURCES[source](), "a/b c%é") == "a/b c%é"
    assert of(session, "a/b c%é") == CONTENT
    put = server.requests[0]
    assert put.headers["transfer-encoding"] == "chunked"
    assert put.target == "/v1/objects/reports/org=42;project=7/a/b%20c%25%C3%A9"
    assert (put.headers.get("content-encoding") == "zstd") == (method == "zstd")
    assert (len(put.body) < len(CONTENT)) == (method == "zstd")
    assert server.connections == 1


def test_an_empty_object_and_one_without_a_key(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    session = connect(server)
    key = session.put(b"")
    assert (server.requests[0].method, server.requests[0].target[-1]) == ("POST", "/")
    assert of(session, key) == b""


def test_what_is_absent_is_none(serve: Serve, connect: Any) -> None:
    session = connect(serve(Store()))
    assert session.get("a") is None
    assert session.head("a") is None
    session.delete("a")


def test_everything_that_is_said_of_an_object(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    session = connect(server, Usecase("reports", expiration=Expiration("ttl", timedelta(days=1))))
    session.put(b"x", "a", content_type="text/plain", origin="välue 100%", filename='r"é.pdf',
                metadata={"Build-Id": "7 é\t8"})  # fmt: skip
    headers = server.requests[0].headers
    assert headers["x-sn-expiration"] == "ttl:1d"
    assert headers["x-sn-origin"] == "v%C3%A4lue 100%25"
    found = session.head("a")
    assert found is not None
    assert (found.origin, found.filename) == ("välue 100%", 'r"é.pdf')
    assert found.custom == {"build-id": "7 é\t8"}
    assert (found.compression, found.content_type) == ("zstd", "text/plain")
    assert found.created is not None
    with session.get("a") as fetched:
        assert fetched.description.compression is None
    session.put(b"x", "b", expiration=Expiration(), compression="none")
    assert "x-sn-expiration" not in server.requests[-1].headers
    session.delete("a")
    assert session.get("a") is None


WRONG: list[dict[str, Any]] = [
    {"origin": "a\r\nx-evil: 1"},
    {"filename": "a\n"},
    {"metadata": {"a": " b"}},
    {"metadata": {"a": "b\0"}},
    {"metadata": {"a": "b\x7f"}},
    {"metadata": {"a b": "c"}},
    {"metadata": {"a:b": "c"}},
    {"metadata": {"build_id": "7"}},
    {"metadata": {"a": "1", "A": "2"}},
    {"metadata": {"a": "b" * 9000}},
    {"content_type": "text/plain\r\nx: y"},
    {"compression": "gzip"},
    {"precompressed": "gzip"},
    {"key": ""},
    {"key": "\ud800"},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    serve: Serve, connect: Any, options: dict[str, Any]
) -> None:
    server = serve(Store())
    with pytest.raises(ValueError):
        connect(server).put(b"x", **options)
    assert server.requests == []


@pytest.mark.parametrize("content", ["text", io.StringIO("text"), None, 5])
def test_text_is_no_content(connect: Any, content: Any) -> None:
    with pytest.raises(TypeError):
        connect("http://127.0.0.1:1").put(content, "a")


def test_where_no_handshake_succeeds_nothing_was_sent(connect: Any, tmp_path: Path) -> None:
    server = RawServer(Store(), context=Authority(tmp_path, "unknown").server())
    with closing(server), socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        for url in server.url, silent_url:
            session = connect(url, connect_timeout=0.5, connect_retries=1)
            with pytest.raises(Unreachable) as caught:
                session.put(b"x", "a")
            assert not caught.value.maybe_applied
    assert (server.requests, server.connections) == ([], 2)


def test_precompressed_content_is_sent_as_it_is(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    session = connect(server)
    frames = zstandard.compress(b"one ") + zstandard.compress(b"two")
    session.put(frames, "a", precompressed="zstd")
    assert server.requests[0].body == frames
    assert of(session, "a") == b"one two"
    assert of(session, "a", decompress=False) == frames


def test_a_static_token_is_sent_as_it_is(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    session = connect(server, token="abc.def.ghi")
    session.head("a")
    assert server.requests[0].headers["x-os-auth"] == "Bearer abc.def.ghi"
    assert session.object_url("a/ b") == f"{server.url}/v1/objects/reports/org=42;project=7/a/%20b"
    for call in (partial(session.object_url, lifetime=60), session.presigned_url):
        with pytest.raises(ValueError, match="no key to sign with"):
            call("a")


@pytest.fixture
def pair() -> tuple[SigningKey, Key]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    everything = frozenset({READ, "object.write", "object.delete"})
    return SigningKey("k", private), Key("k", (private.public_key(),), everything)


def test_every_request_has_a_token_of_its_own(
    serve: Serve, connect: Any, pair: tuple[SigningKey, Key]
) -> None:
    server = serve(Store())
    session = connect(server, key=pair[0], permissions=[READ])
    session.head("a")
    token = server.requests[0].headers["x-os-auth"].removeprefix("Bearer ")
    authority = verify_token(token, {"k": pair[1]}, time.time())
    assert authority.allows(READ, "reports", [("org", "42"), ("project", "7")])
    assert not authority.allows("object.write", "reports", [])
    with pytest.raises(Exception, match="expired"):
        verify_token(token, {"k": pair[1]}, time.time() + 125)


def test_urls_that_read(connect: Any, pair: tuple[SigningKey, Key]) -> None:
    session = connect("https://files.example/base/", key=pair[0])
    url = urlsplit(session.presigned_url("a b", lifetime=60))
    assert url.path == "/base/v1/objects/reports/org=42;project=7/a%20b"
    target = f"{url.path}?{url.query}"
    verify_presigned("HEAD", target, {"k": pair[1]}, time.time())
    token = urlsplit(session.object_url("a", lifetime=60)).query.removeprefix("os_auth=")
    assert verify_token(token, {"k": pair[1]}, time.time()).permissions == {READ}


def test_expiry_is_extended_in_one_of_three_ways(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    session = connect(server)
    session.put(b"x", "a")
    at = datetime(2027, 1, 2, tzinfo=timezone.utc)
    session.extend_expiry("a", at=at)
    session.extend_expiry("a", from_now=timedelta(days=30))
    session.extend_expiry("a", from_creation=timedelta(hours=3))
    assert [json.loads(each.body)["extend_expiry"] for each in server.requests[1:]] == [
        {"at": "2027-01-02T00:00:00.000000Z"},
        {"after": "30d", "from": "now"},
        {"after": "3h", "from": "creation"},
    ]
    with pytest.raises(ObjectNotFound):
        session.extend_expiry("b", at=at)
    for wrong in ({}, {"at": at, "from_now": timedelta(1)}, {"at": at.replace(tzinfo=None)}):
        with pytest.raises(ValueError):
            session.extend_expiry("a", **wrong)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(400, RequestError), (401, Denied), (403, Denied), (409, ExpiryNotExtended),
     (429, ServerBusy), (500, ServerFailed), (503, ServerBusy), (302, RequestError)],
)  # fmt: skip
def test_an_error_has_its_status_and_its_body(
    serve: Serve, connect: Any, code: int, kind: type[RequestError]
) -> None:
    body = b'{"detail": "no", "causes": ["why"]}'
    server = serve(status(code, body))
    session = connect(server)
    calls: list[Callable[[], object]] = [
        lambda: session.put(b"x", "a"),
        lambda: session.get("a"),
        lambda: session.delete("a"),
        lambda: session.extend_expiry("a", from_now=timedelta(1)),
    ]
    for call in calls:
        with pytest.raises(kind, match="no: why") as caught:
            call()
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.body, caught.value.key) == (code, body, "a")
        assert caught.value.maybe_applied == (kind is ServerFailed)
    with pytest.raises(kind):
        session.head("a")
    assert (len(server.requests), server.connections) == (5, 1)


def test_nothing_is_sent_where_nobody_listens(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        connect(f"http://127.0.0.1:{port}", connect_retries=1).put(b"x", "a")
    assert not caught.value.maybe_applied


def nothing(_: Request) -> None:
    """Answer nothing."""


def test_a_silent_server_is_given_up(serve: Serve, connect: Any) -> None:
    server = serve(nothing)
    with pytest.raises(AnswerLost) as caught:
        connect(server, read_timeout=0.1).put(b"x", "a")
    assert caught.value.maybe_applied
    assert len(server.requests) == 1


def test_a_server_may_take_content_as_slowly_as_it_may_answer(connect: Any) -> None:
    content = bytes(8 * 1024 * 1024)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as requests:
            for _ in range(2):
                time.sleep(0.4)  # Longer than it may take to connect.
                while requests.readline() != b"\r\n":
                    pass
                came = 0
                while size := int(requests.readline(), 16):
                    came += len(requests.read(size + 2)) - 2
                assert (came, requests.readline()) == (len(content), b"\r\n")
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"key": "a"}')

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        serving = thread.submit(serve, listener)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        session = connect(url, Usecase("reports", "none"), connect_timeout=0.1)
        assert [session.put(content, "a") for _ in range(2)] == ["a", "a"]
        serving.result()


@pytest.mark.parametrize(
    "body", [b"", b"7", b"{}", b'{"key": 5}', b'{"key": "other"}', b"[" * 9999]
)
def test_an_answer_to_a_put_names_the_key(serve: Serve, connect: Any, body: bytes) -> None:
    with pytest.raises(AnswerBroken):
        connect(serve(status(200, body))).put(b"x", "a")


def test_what_the_content_raises_is_raised_and_nothing_is_stored(
    serve: Serve, connect: Any
) -> None:
    store = Store()

    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        connect(serve(store)).put(broken(), "a")
    with pytest.raises(TypeError):
        connect(serve(store)).put(iter(["text"]), "a")


def cut_short(request: Request) -> None:
    request.answer(200, {"content-length": "100"}, b"x" * 99)
    request.connection.shutdown(socket.SHUT_RDWR)


def cut_chunk(request: Request) -> None:
    request.begin()
    request.chunk(b"x" * 99)
    request.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("handler", [cut_short, cut_chunk])
@pytest.mark.parametrize("size", [-1, 7])
def test_no_answer_ends_short_in_silence(
    serve: Serve, connect: Any, handler: Callable[[Request], None], size: int
) -> None:
    found = connect(serve(handler)).get("a")
    with pytest.raises(AnswerLost):
        sum(iter(lambda: len(found.read(size)), 0))
    assert found.closed


def test_a_broken_description_is_no_answer(serve: Serve, connect: Any) -> None:
    session = connect(serve(lambda request: request.answer(200, {"x-sn-size": "many"}, b"x")))
    for call in (session.get, session.head):
        with pytest.raises(AnswerBroken, match="x-sn-size"):
            call("a")


def test_an_object_is_a_file(serve: Serve, connect: Any) -> None:
    session = connect(serve(Store()))
    session.put(b"one\ntwo\n" * 30_000, "a")
    assert sum(1 for _ in io.BufferedReader(session.get("a"))) == 60_000
    found = session.get("a")
    assert b"one".startswith(found.read(3))
    assert found.read(0) == b""
    found.close()
    found.close()
    with pytest.raises(ValueError):
        found.read(1)


# Compression.


def expanded(frames: bytes, limit: int | None = None, step: int = 7) -> bytes:
    file = io.BytesIO(frames)
    expansion = Expansion(lambda size: file.read(min(size, step)), limit)
    blocks = []
    while block := expansion.read(1000):
        assert len(block) <= 1000 + 16
        blocks.append(block)
    assert expansion.read(1000) == b""
    return b"".join(blocks)


def test_what_is_cut_off_in_a_frame_is_told_from_what_ends_with_one() -> None:
    frames = b"".join(compressed([b"text " * 1000, os.urandom(100)])) + zstandard.compress(b"x")
    whole = {0, len(frames) - len(zstandard.compress(b"x")), len(frames)}
    for end in range(len(frames) + 1):
        if end in whole:
            expanded(frames[:end])
        else:
            with pytest.raises(AnswerBroken):
                expanded(frames[:end])
    with pytest.raises(AnswerBroken):
        expanded(frames + b"garbage")


def test_a_bomb_does_not_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zstandard.compress(bytes(50_000_000))
    with pytest.raises(TooMuchContent):
        expanded(bomb, 1_000_000, len(bomb))
    monkeypatch.setattr(compression, "HARMLESS", 1_000_000)
    monkeypatch.setattr(compression, "RATIO", 100)
    with pytest.raises(TooMuchContent):
        expanded(bomb)
    assert len(expanded(zstandard.compress(bytes(900_000)))) == 900_000
    assert len(expanded(zstandard.compress(bytes(1_000)), 1_000)) == 1_000


def test_a_bomb_of_a_server_ends_its_reading(serve: Serve, connect: Any) -> None:
    session = connect(serve(Store()))
    session.put(bytes(5_000_000), "a")
    with pytest.raises(TooMuchContent) as caught:
        of(session, "a", limit=1_000_000)
    assert caught.value.key == "a"


def test_the_longest_frame_is_what_zstd_promises() -> None:
    assert longest(1_044_496) == 1_048_576
    for size in (0, 1, 100, 131_071, 131_072, 1_000_000):
        assert len(zstandard.compress(os.urandom(size))) <= longest(size)


# What a client is made of.


@pytest.mark.parametrize(
    "url", ["files.example", "ftp://files.example", "http://", "http://a:b@c", "http://a/?b=c"]
)
def test_a_server_has_a_url(url: str) -> None:
    with pytest.raises(ValueError):
        Client(url)


@pytest.mark.parametrize(
    "options",
    [{"token": "a\r\nb"}, {"token": "a", "key": ("k", "x")}, {"pool_size": 0},
     {"permissions": ["all"]}, {"key": ("k", "no pem")}],
)  # fmt: skip
def test_a_client_is_refused_what_it_cannot_use(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Client("http://files.example", **options)


def test_a_place_has_a_name() -> None:
    client = Client("http://files.example")
    for wrong in ("a", "a/b", ""):
        with pytest.raises(ValueError):
            client.session(wrong)
    for value in (None, "", "a.b"):
        with pytest.raises(ValueError):
            client.session("reports", org=value)  # type: ignore[arg-type]
    assert client.session("reports").object_url("k").endswith("/v1/objects/reports/_/k")


def test_every_request_has_the_headers_of_its_client(serve: Serve, connect: Any) -> None:
    server = serve(Store())
    connect(server).head("a")
    assert server.requests[-1].headers["user-agent"] == "flask-fs-swift"
    own = {"User-Agent": "reports/2", "x-trace": "7", "x-os-auth": "mine"}
    connect(server, headers=own, token="t").head("a")
    headers = server.requests[-1].headers
    assert (headers["user-agent"], headers["x-trace"]) == ("reports/2", "7")
    assert headers["x-os-auth"] == "Bearer t"
    wrong: list[dict[str, str]] = [{"a": "b\r\nc: d"}, {"a b": "c"}, {"a": "é"}, {"a": " b"}]
    for each in wrong:
        with pytest.raises(ValueError, match="header"):
            Client("http://files.example", headers=each)


def test_tokens_live_as_long_as_is_said(
    serve: Serve, connect: Any, pair: tuple[SigningKey, Key]
) -> None:
    server = serve(Store())
    session = connect(server, key=pair[0], token_lifetime=600, permissions=[READ])
    session.head("a")
    sent = server.requests[0].headers["x-os-auth"].removeprefix("Bearer ")
    for token in (sent, session.mint_token()):
        verify_token(token, {"k": pair[1]}, time.time() + 590)
        with pytest.raises(Exception, match="expired"):
            verify_token(token, {"k": pair[1]}, time.time() + 670)
    verify_token(session.mint_token(lifetime=60), {"k": pair[1]}, time.time() + 50)
    with pytest.raises(ValueError, match=r"no permission object\.write"):
        session.mint_token([READ, "object.write"])


def test_what_is_compressed_is_told_in_both_sizes(serve: Serve, connect: Any) -> None:
    told: list[Event] = []
    session = connect(serve(Uploads()), Usecase("reports"), on_event=told.append)
    session.put(iter([bytes(5000), bytes(5000)]), "a")
    session.put(bytes(10_000), "b", resumable_from=0)
    session.start_upload("c").put_part(1, bytes(10_000))
    session.put(b"as it is", "d", compression="none")
    puts = [each for each in told if each.operation != "start_upload"]
    assert [each.bytes for each in puts] == [10_000, 10_000, 10_000, 8]
    assert puts[3].compressed is None
    for each in puts[:3]:
        assert each.compressed is not None
        assert 0 < each.compressed < 100


def test_every_operation_is_told_with_its_bytes_and_its_end(serve: Serve, connect: Any) -> None:
    told: list[Event] = []
    session = connect(serve(Uploads()), Usecase("reports", "none"), on_event=told.append)
    session.put(iter([b"one", b"two"]), "a")
    session.put(b"long", "b", resumable_from=0)
    of(session, "a")
    session.head("a")
    session.delete("a")
    session.extend_expiry("b", from_now=timedelta(1))
    with pytest.raises(ObjectNotFound):
        session.extend_expiry("a", from_now=timedelta(1))
    upload = session.start_upload("c")
    upload.put_part(1, b"part")
    upload.list_parts()
    upload.complete()
    upload.abort()
    assert [(each.operation, each.bytes, each.outcome) for each in told] == [
        ("put", 6, "ok"),
        ("put", 4, "ok"),
        ("get", 0, "ok"),
        ("head", 0, "ok"),
        ("delete", 0, "ok"),
        ("extend_expiry", 0, "ok"),
        ("extend_expiry", 0, "ObjectNotFound"),
        ("start_upload", 0, "ok"),
        ("put_part", 4, "ok"),
        ("list_parts", 0, "ok"),
        ("complete_upload", 0, "ok"),
        ("abort_upload", 0, "ok"),
    ]
    assert {each.storage for each in told} == {"reports"}
