"""Single objects over HTTP, below each server."""

from __future__ import annotations

import json
import socket
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .served import Answer, Served

KEYS = {
    "/lead": "/lead",
    "a//b": "a//b",
    "trail/": "trail/",
    "a/../b": "a/../b",
    ".": ".",
    "..": "..",
    "line%0Abreak": "line\nbreak",
    "100%25": "100%",
    "%2525": "%25",
    "a+b%20c": "a+b c",
    "a%3Fb%23c": "a?b#c",
    "%C3%A9": "é",
    "a%2Fb": "a/b",
    "a:b@c;d=e": "a:b@c;d=e",
    "back%5Cslash": "back\\slash",
}


def chunks(*blocks: bytes) -> Iterator[bytes]:
    yield from blocks


@pytest.mark.parametrize("path", KEYS)
def test_a_key_is_what_was_sent(server: Served, path: str) -> None:
    answer = server.put(path, path.encode())
    assert answer.json == {"key": KEYS[path]}
    assert server.ask("GET", server.at(path)).body == path.encode()


def test_keys_that_look_alike_are_many(server: Served) -> None:
    for path in KEYS:
        server.put(f"many/{path}", path.encode())
    assert [server.ask("GET", server.at(f"many/{path}")).body for path in KEYS] == [
        path.encode() for path in KEYS
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_describes_an_object_comes_in_lower_case(server: Served, method: str) -> None:
    server.put(
        "described",
        b"bytes",
        Content_Type="text/x-test",
        Content_Encoding="zstd",
        X_Sn_Origin="here 100%25",
        X_Sn_Filename="v%C3%A4l.txt",
        X_Sn_Expiration="ttl: 1 days",
        X_Snme_My_Key="v%C3%A4lue",
        X_Sn_Time_Created="nonsense",
    )
    answer = server.ask(method, server.at("described"))
    assert answer.status == 200
    expected = {
        "content-type": "text/x-test",
        "content-encoding": "zstd",
        "content-length": "5",
        "x-sn-origin": "here 100%25",
        "x-sn-filename": "v%C3%A4l.txt",
        "x-sn-expiration": "ttl:1d",
        "x-snme-my-key": "v%C3%A4lue",
        "x-sn-size": "5",
        "accept-ranges": "bytes",
        "content-disposition": "attachment; filename=\"v_l.txt\"; filename*=UTF-8''v%C3%A4l.txt",
    }
    assert answer.headers.items() >= expected.items()
    assert {"x-sn-time-created", "x-sn-time-expires"} <= answer.headers.keys()
    assert answer.body == (b"bytes" if method == "GET" else b"")


def test_a_server_chooses_the_key_of_a_post(server: Served) -> None:
    for path in ("objects/test/org=1/", "objects/test/org=1"):
        answer = server.ask("POST", path, b"posted")
        assert answer.status == 201
        assert server.ask("GET", server.at(answer.json["key"])).body == b"posted"


def test_bodies_come_in_chunks_or_sized_or_empty(server: Served) -> None:
    large = bytes(range(256)) * 4096 * 6
    for body in (b"", b"x", large):
        for sent in (body, chunks(body[:7], body[7:]) if body else chunks()):
            server.ask("PUT", server.at("body"), sent, chunked=not isinstance(sent, bytes))
            assert server.ask("GET", server.at("body")).body == body
    assert server.ask("GET", server.at("body")).headers["x-sn-size"] == str(len(large))


def test_a_replaced_object_keeps_nothing(server: Served) -> None:
    server.put("replaced", b"1", X_Sn_Filename="old")
    server.put("replaced", b"2")
    answer = server.ask("GET", server.at("replaced"))
    assert (answer.body, "x-sn-filename" in answer.headers) == (b"2", False)


def test_a_deleted_object_is_absent_and_may_be_deleted_again(server: Served) -> None:
    server.put("deleted")
    for _ in range(2):
        answer = server.ask("DELETE", server.at("deleted"))
        assert (answer.status, answer.body) == (204, b"")
    for method in ("GET", "HEAD"):
        answer = server.ask(method, server.at("deleted"), Range="bytes=0-")
        assert (answer.status, answer.body) == (404, b"")


def test_places_do_not_see_each_other(server: Served) -> None:
    server.put("mine")
    token = server.token(scopes=(("org", "*"),))
    assert server.ask("GET", "objects/test/org=2/mine", token=token).status == 404
    assert server.ask("GET", "objects/test/_/mine").status == 404


RANGES = {
    "bytes=0-3": (206, b"0123", "bytes 0-3/10"),
    "Bytes=4-": (206, b"456789", "bytes 4-9/10"),
    "bytes=-3": (206, b"789", "bytes 7-9/10"),
    "bytes=8-99": (206, b"89", "bytes 8-9/10"),
    "bytes=-99": (206, b"0123456789", "bytes 0-9/10"),
    "bytes=0-9": (206, b"0123456789", "bytes 0-9/10"),
    "bytes=0-1,3-4": (200, b"0123456789", None),
    "bytes=10-": (416, None, "bytes */10"),
    "lines=0-3": (400, None, None),
    "bytes=a-b": (400, None, None),
    "bytes=3-1": (400, None, None),
    "bytes=-0": (400, None, None),
}


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_a_part_of_what_is_stored(server: Served, asked: str) -> None:
    server.put("digits", b"0123456789")
    status, body, range_ = RANGES[asked]
    answer = server.ask("GET", server.at("digits"), Range=asked)
    assert (answer.status, answer.headers.get("content-range")) == (status, range_)
    if body is not None:
        assert answer.body == body
        assert answer.headers["content-length"] == str(len(body))
    if status < 400:
        assert answer.headers["x-sn-size"] == "10"


def test_nothing_is_a_part_of_an_empty_object(server: Served) -> None:
    server.put("empty", b"")
    answer = server.ask("GET", server.at("empty"), Range="bytes=0-")
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */0")
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Encoding", "gzip"),
        ("Content-Type", "no type"),
        ("X-Sn-Expiration", "soon"),
        ("X-Sn-Filename", "%FF"),
        ("X-Snme-A", "x" * 8150),
    ],
)
def test_a_wrong_description_is_refused_and_nothing_stored(
    server: Served, header: str, value: str
) -> None:
    given: dict[str, Any] = {header: value}
    answer = server.ask("PUT", server.at("refused"), b"x", **given)
    assert answer.status == 400
    assert answer.json["detail"]
    assert answer.headers["content-type"] == "application/json"
    assert server.ask("GET", server.at("refused")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "objects:other/test/_/k", 404),
        ("POST", "objects/test/_/k", 405),
        ("PUT", "objects/test/_/", 405),
        ("OPTIONS", "objects/test/_/k", 405),
        ("GET", "objects/t/_/k", 400),
        ("GET", "objects/test/a=/k", 400),
        ("GET", "objects/test/a.b=c/k", 400),
        ("GET", "objects/test/_/%FF", 400),
        ("GET", "objects/test/_/%zz", 400),
        ("PUT", "objects/test/_/k?upload_type=other", 501),
        ("PUT", "/v2/objects/test/_/k", 404),
    ],
)
def test_what_is_not_there_is_said_shortly(
    server: Served, method: str, path: str, status: int
) -> None:
    answer = server.ask(method, path, b"" if method in {"PUT", "POST"} else None)
    assert answer.status == status
    if status in {404, 405} and path[0] != "/":
        assert answer.body == b""


def test_an_object_lives_until_its_deadline(server: Served) -> None:
    server.put("brief", X_Sn_Expiration="ttl:200ms")
    server.put("never", X_Sn_Expiration="tti:0s")
    assert server.ask("GET", server.at("brief")).status == 200
    time.sleep(0.25)
    for key in ("brief", "never"):
        assert server.ask("GET", server.at(key)).status == 404
        assert server.ask("GET", server.at(key), Range="bytes=99-").status == 404
        assert server.ask("HEAD", server.at(key)).status == 404
        assert patched(server, key, {"after": "1d", "from": "now"}).status == 404


def expires(server: Served, key: str) -> datetime:
    text = server.ask("HEAD", server.at(key)).headers["x-sn-time-expires"]
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def patched(server: Served, key: str, extension: object) -> Answer:
    body = json.dumps({"extend_expiry": extension})
    return server.ask("PATCH", server.at(key), body, Content_Type="application/json")


def test_asking_for_an_object_moves_the_deadline_of_its_idleness(server: Served) -> None:
    server.put("idle", X_Sn_Expiration="tti:1s")
    time.sleep(0.5)
    before = expires(server, "idle")
    after = expires(server, "idle")
    assert timedelta(seconds=0.4) < after - before < timedelta(seconds=1)
    assert server.ask("GET", server.at("idle")).body == b"content"


@pytest.mark.parametrize("kind", ["ttl", "tti"])
def test_a_deadline_is_extended_and_never_shortened(server: Served, kind: str) -> None:
    server.put("extended", X_Sn_Expiration=f"{kind}:1d", X_Sn_Filename="kept")
    now = datetime.now(timezone.utc)
    created = server.ask("HEAD", server.at("extended")).headers["x-sn-time-created"]
    assert patched(server, "extended", {"after": "2d", "from": "creation"}).status == 204
    first = expires(server, "extended")
    assert abs(first - now - timedelta(days=2)) < timedelta(seconds=5)
    assert patched(server, "extended", {"after": "1h", "from": "now"}).status == 204
    assert expires(server, "extended") == first
    at = (now + timedelta(days=3)).isoformat()
    assert patched(server, "extended", {"at": at}).status == 204
    answer = server.ask("GET", server.at("extended"))
    assert answer.headers["x-sn-filename"] == "kept"
    assert answer.headers["x-sn-time-created"] == created
    length = answer.headers["x-sn-expiration"]
    assert length == ("tti:1d" if kind == "tti" else length)
    assert length.startswith("ttl:3d" if kind == "ttl" else "tti:1d") or "2d 23h" in length
    assert answer.body == b"content"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{}", "text/plain", 415),
        ("{", "application/json", 400),
        ("{}", "application/json", 422),
        ('{"extend_expiry": {"at": "soon"}}', "application/json", 422),
        ('{"extend_expiry": {"after": "1d"}}', "application/json", 422),
        ('{"extend_expiry": {"after": "1d", "from": "now", "x": ""}}', "application/json", 422),
        ('{"extend_expiry": {"after": "9d", "from": "now"}, "x": 1}', "application/json", 422),
        ('{"extend_expiry": {"after": "1d", "from": "now"}}', "application/json", 409),
    ],
)
def test_a_wrong_extension_is_refused(
    server: Served, body: str, content_type: str, status: int
) -> None:
    server.put("forever")
    answer = server.ask("PATCH", server.at("forever"), body, Content_Type=content_type)
    assert answer.status == status


def test_a_usecase_says_how_its_objects_expire(server: Served) -> None:
    token = server.token(usecase="brief", scopes=())

    def put(expiration: str) -> int:
        return server.ask(
            "PUT", "objects/brief/_/k", b"x", token=token, X_Sn_Expiration=expiration
        ).status

    assert [put(each) for each in ("ttl:1d", "ttl:2d", "tti:1h", "manual")] == [200, 400, 400, 400]
    body = '{"extend_expiry": {"after": "2d", "from": "now"}}'
    answer = server.ask(
        "PATCH", "objects/brief/_/k", body, token=token, Content_Type="application/json"
    )
    assert answer.status == 400


def test_health_is_told_to_anybody(server: Served) -> None:
    for path in ("health", "ready"):
        answer = server.ask("GET", path, token=None)
        assert (answer.status, answer.body) == (200, b"OK")
    # Probes are not counted; a request before them may still be ending when its answer is here.
    until(lambda: b"_running 0\n" in server.ask("GET", "keda", token=None).body)


def raw(server: Served, *sent: bytes, end: bool = False) -> bytes:
    with server.connect() as connection:
        for each in sent:
            connection.sendall(each)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while block := connection.recv(65536):
                answer += block
        except (ConnectionError, TimeoutError):
            pass
        return answer


def request_head(server: Served, method: str, key: str, *headers: str) -> bytes:
    lines = [
        f"{method} /v1/{server.at(key)} HTTP/1.1",
        "Host: test",
        f"x-os-auth: Bearer {server.token()}",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", b"40000\r\nhello"),
        ("Transfer-Encoding: chunked", b"zz\r\n"),
        ("Content-Length: 100", b"hello"),
    ],
)
def test_a_body_that_breaks_off_is_not_stored(server: Served, header: str, body: bytes) -> None:
    answer = raw(server, request_head(server, "PUT", "broken", header), body, end=True)
    assert not answer or answer.split()[1] in {b"400", b"500"}
    assert server.ask("GET", server.at("broken")).status == 404


@pytest.mark.parametrize("coding", ["gzip, chunked", "Chunked"])
def test_what_is_compressed_on_its_way_is_not_stored(server: Served, coding: str) -> None:
    head = request_head(server, "PUT", "coded", f"Transfer-Encoding: {coding}", "Connection: close")
    server.ask("DELETE", server.at("coded"))
    answer = raw(server, head, b"1\r\nx\r\n0\r\n\r\n")
    is_plain = coding == "Chunked"
    assert answer.split()[1] == (b"200" if is_plain else b"501")
    assert server.ask("GET", server.at("coded")).status == (200 if is_plain else 404)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_what_follows_a_refused_body_is_no_request(server: Served, size: int) -> None:
    head = request_head(
        server, "PUT", "early", "Transfer-Encoding: chunked", "Content-Encoding: gzip"
    )
    inner = request_head(server, "PUT", "smuggled", "Content-Length: 1") + b"x"
    body = inner + b" " * size
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    after = request_head(server, "GET", "early", "Connection: close")
    try:
        answer = raw(server, head, chunk, after, end=True)
    except ConnectionError:
        answer = b"HTTP/1.1 400"  # It was closed before all was sent.
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert server.ask("GET", server.at("smuggled")).status == 404


def test_underscores_in_names_are_lost_on_the_way(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(
            request_head(server, "PUT", "scored", "x-snme-build_id: 7", "Content-Length: 0")
        )
        assert b" 200 " in connection.recv(4096)
    answer = server.ask("HEAD", server.at("scored"))
    assert not any(name.startswith("x-snme") for name in answer.headers)
