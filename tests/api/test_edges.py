"""The service at its edges: clients that are slow or leave, storages that fail, URLs used again.

With the other tests of this folder it goes through the tables of the protocol, over raw HTTP.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import until

from flask_fs_swift.api.presigned import presign
from flask_fs_swift.api.wire import closing

from .served import serving
from .test_batches import BOUNDARY, PREFIX, TYPE, done, framed, op
from .test_service import patched, raw, request_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.api.keys import KeyPair
    from flask_fs_swift.devserver import Faults

    from .served import Served

MIB = 1024 * 1024


@pytest.fixture
def files(make_storage: MakeStorage) -> Storage:
    """A storage whose only connection is soon missed."""
    return make_storage(pool_size=1, pool_timeout=2, retries=1)


@pytest.fixture
def on_swift(files: Storage, key_pairs: dict[str, KeyPair]) -> Iterator[Served]:
    with serving("werkzeug", key_pairs, files) as served:
        yield served


# Clients that are slow, and that leave.


def test_a_client_that_writes_slowly_holds_no_connection(on_swift: Served) -> None:
    on_swift.put("other")
    with on_swift.connect() as connection:
        connection.sendall(request_head(on_swift, "PUT", "slow", "Content-Length: 3000000"))
        for _ in range(3):
            connection.sendall(b"x")
            assert on_swift.ask("GET", on_swift.at("other")).body == b"content"
        connection.sendall(b"x" * 2_999_997)
        assert b" 200 " in connection.recv(4096)
    assert on_swift.ask("HEAD", on_swift.at("slow")).headers["x-sn-size"] == "3000000"


def test_a_client_that_writes_bytes_one_by_one_is_understood(one_server: Served) -> None:
    body = op("insert", "dripped", b"content") + closing(BOUNDARY)
    path = f"POST /v1/objects:batch/{one_server.usecase}/org=1/ HTTP/1.1\r\nHost: x\r\n"
    head = (
        f"{path}x-os-auth: Bearer {one_server.token()}\r\nContent-Type: {TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    sent = head.encode() + body
    answer = raw(one_server, *(sent[at : at + 1] for at in range(len(sent))))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"201 Created" in answer


def test_what_has_begun_of_a_batch_is_done_though_its_client_leaves(server: Served) -> None:
    for key in ("begun", "cut"):
        server.ask("DELETE", server.at(key))
    head = (
        f"POST /v1/objects:batch/{server.usecase}/org=1/ HTTP/1.1\r\nHost: x\r\n"
        f"x-os-auth: Bearer {server.token()}\r\nContent-Type: {TYPE}\r\nContent-Length: 9999999\r\n"
    )
    # Nothing begins before so much has come in.
    filler = op("insert", "filler", b"x" * MIB)
    whole = op("insert", "begun", b"1") + filler + op("insert", "cut", b"x" * 99_999)
    with server.connect() as connection:
        connection.sendall(head.encode() + b"\r\n" + whole[:-1])
    until(lambda: server.ask("GET", server.at("begun")).status == 200)
    assert server.ask("GET", server.at("cut")).status == 404


def test_who_leaves_a_batch_while_it_is_answered_keeps_no_connection(on_swift: Served) -> None:
    on_swift.put("large", bytes(4 * MIB))
    body = op("get", "large") * 4 + closing(BOUNDARY)
    head = (
        f"POST /v1/objects:batch/test/org=1/ HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\n"
        f"x-os-auth: Bearer {on_swift.token()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with on_swift.connect() as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert on_swift.ask("GET", on_swift.at("large")).status == 200
    until(lambda: framed(on_swift, op("head", "large") + closing(BOUNDARY)).status == 200)


# Storages that fail.


def test_an_operation_that_fails_is_one_answer_of_its_batch(
    on_swift: Served, swift_faults: Faults
) -> None:
    on_swift.put("there")
    swift_faults.add("status", method="PUT", path="bad", body="secret", times=-1, drain=True)
    swift_faults.add("status", method="GET", path="there", status=403, body="secret")
    answers = done(
        on_swift,
        [
            op("insert", "good", b"1"),
            op("insert", "bad", b"2"),
            op("get", "there"),
            op("insert", "better", b"3"),
        ],
    )
    statuses = [answers[index].status[:3] for index in range(4)]
    assert statuses == ["201", "500", "500", "201"]
    for index in (1, 2):
        headers = {PREFIX + "index", PREFIX + "status", "content-disposition"}
        assert answers[index].headers.keys() == headers
        assert json.loads(answers[index].body) == {"detail": "the storage failed"}


def test_a_read_that_breaks_is_never_a_whole_answer(on_swift: Served, swift_faults: Faults) -> None:
    on_swift.put("k", bytes(3 * MIB))
    swift_faults.add("reset_body", method="GET", path="/k", bytes=2 * MIB, times=1)
    swift_faults.add("status", method="GET", path="/k", status=503, times=-1)
    answer = raw(on_swift, request_head(on_swift, "GET", "k", "Connection: close"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: 3145728" in head
    assert len(body) < 3 * MIB
    swift_faults.clear()
    assert len(on_swift.ask("GET", on_swift.at("k")).body) == 3 * MIB


# Pre-signed URLs, used again and changed.


def test_a_signed_url_may_be_used_again_and_not_be_changed(one_server: Served) -> None:
    one_server.put("one", b"signed")
    now = time.time()
    target = presign(one_server.key, "GET", f"/v1/{one_server.at('one')}", now, 60)
    path, _, query = target.partition("?")
    pieces = query.split("&")
    later = presign(one_server.key, "GET", f"/v1/{one_server.at('one')}", now + 5, 60)
    [moved] = [each for each in later.partition("?")[2].split("&") if "stamp" in each]

    def status(*pieces: str, method: str = "GET") -> int:
        return one_server.ask(method, f"{path}?{'&'.join(pieces)}", token=None).status

    for method in ("GET", "HEAD", "GET"):
        assert status(*pieces, method=method) == 200
    assert status(*reversed(pieces)) == 200
    assert status("", *pieces, "") == 200
    assert status(*[each.replace("os_duration=60", "os_duration=61") for each in pieces]) == 401
    assert status(*pieces, "os_duration=600") in {400, 401}
    assert (
        status(*[moved.rpartition("?")[2] if "stamp" in each else each for each in pieces]) == 401
    )
    assert status(*pieces, "os_auth=x") == 401
    assert status(*[each for each in pieces if "os_duration" not in each]) == 400


# Rows of the protocol's tables.


def test_nothing_of_a_request_chooses_another_form_of_the_object(server: Served) -> None:
    server.put("stored", b"not even zstd", Content_Encoding="zstd")
    answer = server.ask(
        "GET",
        server.at("stored"),
        Accept_Encoding="gzip",
        Accept="text/html",
        If_None_Match="*",
        If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT",
        If_Range="nothing",
    )
    assert (answer.status, answer.body) == (200, b"not even zstd")
    assert answer.headers["content-encoding"] == "zstd"
    assert answer.headers["content-disposition"] == "attachment"


def test_what_only_servers_say_is_not_read(one_server: Served) -> None:
    one_server.put("said", X_Sn_Size="many", X_Sn_Time_Created="x", X_Sn_Time_Expires="y")
    first = one_server.ask("HEAD", one_server.at("said")).headers
    assert first["x-sn-size"] == "7"
    assert "x-sn-time-expires" not in first
    one_server.put("said")
    again = one_server.ask("HEAD", one_server.at("said")).headers
    assert again["x-sn-time-created"] > first["x-sn-time-created"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "objects/test/org=1/k?a=%FF", {}, 400),
        ("GET", "objects/test/org=1;org/k", {}, 400),
        ("PUT", "objects/test/org=1/k", {"X-Snme-A": "\xe9"}, 400),
        ("PUT", "objects/test/org=1/" + "x" * 1100, {}, 400),
        ("POST", "objects:batch/test/org=1/k", {"Content-Type": TYPE}, 404),
        ("GET", "objects:batch/test/org=1/", {}, 405),
        ("DELETE", "health", {}, 405),
    ],
)
def test_what_is_wrong_is_said(
    one_server: Served, method: str, path: str, headers: dict[str, Any], status: int
) -> None:
    given = {name.replace("-", "_"): value for name, value in headers.items()}
    body = b"" if method in {"PUT", "POST"} else None
    assert one_server.ask(method, path, body, **given).status == status


def test_a_batch_is_refused_as_a_whole_to_who_has_no_token(one_server: Served) -> None:
    body = op("get", "k") + closing(BOUNDARY)
    for token, status in ((None, 400), ("garbage", 401)):
        answer = one_server.ask(
            "POST", "objects:batch/test/org=1/", body, token=token, Content_Type=TYPE
        )
        assert answer.status == status
        assert answer.headers["content-type"] == "application/json"


def test_an_absent_object_is_not_extended(one_server: Served) -> None:
    answer = patched(one_server, "absent", {"after": "1d", "from": "now"})
    assert (answer.status, answer.body) == (404, b"")
    too_long = b'{"extend_expiry": "%s"}' % (b"x" * 70_000)
    answer = one_server.ask(
        "PATCH", one_server.at("absent"), too_long, Content_Type="application/json"
    )
    assert answer.status == 413
