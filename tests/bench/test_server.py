"""The benchmark's own Swift answers as a Swift does."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from bench.fast_server import FastServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPMessage
    from pathlib import Path

    Answer = tuple[int, HTTPMessage, bytes]

FILES = "/v1/AUTH_test/files/"
DATA = bytes(range(256)) * 1000
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastServer]:
    assert shutil.which("cc"), "the benchmark needs a C compiler"
    with FastServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def connection(server: FastServer) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    yield connection
    connection.close()


def ask(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterator[bytes] | None = None,
    **headers: str,
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"X-Auth-Token": "any", **named})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_it_authenticates_and_names_its_own_address(
    server: FastServer, connection: HTTPConnection
) -> None:
    status, headers, _ = ask(connection, "GET", "/auth/v1.0", X_Auth_User="a:b", X_Auth_Key="c")
    assert status == 200
    assert headers["X-Storage-Url"] == f"{server.url}/v1/AUTH_test"
    assert headers["X-Auth-Token"]


def test_without_a_token_nothing_is_answered(connection: HTTPConnection) -> None:
    assert ask(connection, "HEAD", FILES + "s10", X_Auth_Token="any")[0] == 200
    connection.request("HEAD", FILES + "s10")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 401


@pytest.mark.parametrize("size", [0, 1, 55, 56, 64, 1024, 3_000_000])
def test_an_object_has_the_size_that_it_is_called_and_its_md5(
    connection: HTTPConnection, size: int
) -> None:
    status, headers, body = ask(connection, "GET", f"{FILES}folder/s{size}")
    assert (status, len(body)) == (200, size)
    assert headers["Etag"] == hashlib.md5(body).hexdigest()
    _, described, nothing = ask(connection, "HEAD", f"{FILES}folder/s{size}")
    assert described["Content-Length"] == str(size)
    assert not nothing


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("10-19", 10, 19), ("90-", 90, 99), ("-5", 95, 99), ("95-200", 95, 99)],
)
def test_a_range_is_that_part_of_the_object(
    connection: HTTPConnection, asked: str, first: int, last: int
) -> None:
    _, _, whole = ask(connection, "GET", FILES + "s100")
    status, headers, part = ask(connection, "GET", FILES + "s100", Range=f"bytes={asked}")
    assert (status, part) == (206, whole[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/100"


def test_a_range_behind_the_end_is_refused(connection: HTTPConnection) -> None:
    assert ask(connection, "GET", FILES + "s100", Range="bytes=100-")[0] == 416


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_names_are_absent(connection: HTTPConnection, method: str) -> None:
    assert ask(connection, method, FILES + "sizes.txt")[0] == 404


def test_a_write_is_answered_with_the_etag_that_was_sent(connection: HTTPConnection) -> None:
    status, headers, _ = ask(connection, "PUT", FILES + "new", DATA, ETag="0123" * 8)
    assert (status, headers["Etag"]) == (201, "0123" * 8)


def test_a_write_without_one_is_answered_with_the_md5(connection: HTTPConnection) -> None:
    assert ask(connection, "PUT", FILES + "new", DATA)[1]["Etag"] == MD5


def test_a_write_that_asks_for_no_hash_gets_none(connection: HTTPConnection) -> None:
    assert ask(connection, "PUT", FILES + "unhashed-new", DATA)[1]["Etag"] == "0" * 32


def test_a_write_may_come_in_chunks_of_any_size(connection: HTTPConnection) -> None:
    chunks = (DATA[at : at + 777] for at in range(0, len(DATA), 777))
    status, headers, _ = ask(connection, "PUT", FILES + "new", chunks)
    assert (status, headers["Etag"]) == (201, MD5)
    assert ask(connection, "HEAD", FILES + "s1")[0] == 200


def test_who_expects_100_is_told_to_continue_before_the_body(server: FastServer) -> None:
    head = f"PUT {FILES}new HTTP/1.1\r\nX-Auth-Token: any\r\nContent-Length: 3\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(65536).startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_head_may_come_byte_by_byte_and_the_next_one_with_it(server: FastServer) -> None:
    request = f"HEAD {FILES}s1 HTTP/1.1\r\nX-Auth-Token: any\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        for byte in request[:-1]:
            sock.sendall(bytes([byte]))
        sock.sendall(request[-1:] + request)
        seen = b""
        while seen.count(b"\r\n\r\n") < 2:
            seen += sock.recv(65536)
    assert seen.count(b"HTTP/1.1 200 OK") == 2


def test_a_listing_has_pages_that_follow_each_other(connection: HTTPConnection) -> None:
    names: list[str] = []
    while True:
        marker = names[-1].replace("/", "%2F") if names else ""
        query = f"?format=json&limit=400&marker={marker}&prefix=ignored"
        page = json.loads(ask(connection, "GET", f"/v1/AUTH_test/c1000{query}")[2])
        if not page:
            break
        names += [entry["name"] for entry in page]
    assert len(names) == len(set(names)) == 1000
    assert names == sorted(names)


def test_a_listing_without_a_limit_ends_where_swift_ends_it(connection: HTTPConnection) -> None:
    assert len(json.loads(ask(connection, "GET", "/v1/AUTH_test/c20000")[2])) == 10_000


def test_a_container_can_be_made_and_asked_for(connection: HTTPConnection) -> None:
    assert ask(connection, "PUT", "/v1/AUTH_test/files")[0] == 201
    assert ask(connection, "HEAD", "/v1/AUTH_test/files")[0] == 204


def test_a_delete_always_succeeds(connection: HTTPConnection) -> None:
    assert ask(connection, "DELETE", FILES + "s1")[0] == 204


def test_the_account_for_tls_ends_every_connection(connection: HTTPConnection) -> None:
    status, headers, _ = ask(connection, "HEAD", "/v1/AUTH_close/files/s1")
    assert (status, headers["Connection"]) == (200, "close")


def test_it_counts_connections_authentications_and_requests(
    server: FastServer, connection: HTTPConnection
) -> None:
    before = server.stats()
    ask(connection, "GET", "/auth/v1.0", X_Auth_User="a:b")
    ask(connection, "HEAD", FILES + "s1")
    now = server.stats()
    # Each question for them is a connection and a request too.
    assert now["connections"] - before["connections"] == 2
    assert now["authentications"] - before["authentications"] == 1
    assert now["requests"] - before["requests"] == 3
    assert 0 < now["sent"] - before["sent"] < 3000
    ask(connection, "GET", FILES + "s1000000")
    assert 1_000_000 < server.stats()["sent"] - now["sent"] < 1_003_000


def test_it_serves_a_file_that_is_there_when_it_is_asked_for(
    server: FastServer, connection: HTTPConnection
) -> None:
    assert ask(connection, "GET", FILES + "archive")[0] == 404
    server.archive.write_bytes(DATA)
    status, headers, body = ask(connection, "GET", FILES + "archive")
    assert (status, body) == (200, DATA)
    _, ranged, part = ask(connection, "GET", FILES + "archive", Range="bytes=-1000")
    assert part == DATA[-1000:]
    assert ranged["Etag"] == headers["Etag"]
    assert ask(connection, "HEAD", FILES + "archive")[1]["Content-Length"] == str(len(DATA))


def test_it_ends_with_its_with_block(tmp_path: Path) -> None:
    with FastServer(tmp_path) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize("count", [1, 2, 10_000])
def test_a_bulk_delete_counts_its_lines(connection: HTTPConnection, count: int) -> None:
    body = "\n".join(f"files/{number:05}" for number in range(count)).encode()
    for _ in range(2):
        status, _, answer = ask(connection, "POST", "/v1/AUTH_test?bulk-delete", body)
        told = json.loads(answer)
        assert (status, told["Number Deleted"], told["Errors"]) == (200, count, [])
    assert "bulk_delete" in json.loads(ask(connection, "GET", "/info")[2])


def test_answers_to_requests_of_objects_come_late_where_that_is_asked_for(tmp_path: Path) -> None:
    with FastServer(tmp_path, delay=50) as server:
        connections = [HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(20)]
        for method, path, late in (
            ("PUT", FILES + "a", 1),
            ("GET", FILES + "s10", 1),
            ("GET", "/info", 0),
        ):
            began = time.monotonic()
            for each in connections:
                each.request(method, path, b"x" if method == "PUT" else None, {"X-Auth-Token": "a"})
            for each in connections:
                assert each.getresponse().read() is not None
            took = time.monotonic() - began
            assert 0.05 * late <= took < 0.5, "they wait at the same time"
        for each in connections:
            each.close()
