"""Uploads in parts over HTTP, below each server and on each backend."""

from __future__ import annotations

import base64
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import until

from flask_fs_swift.api.keys import READ, WRITE
from flask_fs_swift.hashing import md5_of

from .served import Served, serving
from .test_service import KEYS, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.api.keys import KeyPair
    from flask_fs_swift.devserver import Faults

    from .served import Answer

MIB = 1024 * 1024
JSON = "application/json"


def at(served: Served, resource: str, key: str = "k", **query: object) -> str:
    """Return the target of a resource of uploads."""
    path = served.at(key).replace("objects", f"objects:{resource}", 1)
    return path + "?" + "&".join(f"{name}={value}" for name, value in query.items())


def begin(served: Served, key: str = "k", **headers: Any) -> str:
    answer = served.ask("PUT", at(served, "multipart", key), b"", **headers)
    assert answer.status == 200, answer
    upload_id: str = answer.json["upload_id"]
    return upload_id


def put(served: Served, upload: str, number: int, body: Any, key: str = "k") -> dict[str, Any]:
    path = at(served, "multipart:parts", key, upload_id=upload, part_number=number)
    answer = served.ask("PUT", path, body)
    assert answer.status == 200, answer
    return {"part_number": number, "etag": answer.json["etag"]}


def listed(served: Served, upload: str, key: str = "k", **query: object) -> Any:
    answer = served.ask("GET", at(served, "multipart:parts", key, upload_id=upload, **query))
    assert answer.status == 200, answer
    return answer.json


def complete(served: Served, upload: str, parts: object, key: str = "k", token: str = "") -> Answer:
    path = at(served, "multipart:complete", key, upload_id=upload)
    body = json.dumps({"parts": parts})
    return served.ask("POST", path, body, token=token, Content_Type=JSON)


def completed(served: Served, upload: str, parts: object, key: str = "k") -> Any:
    answer = complete(served, upload, parts, key)
    assert answer.status == 200, answer
    return answer.json


def error_of(served: Served, upload: str, parts: object, key: str = "k") -> str:
    code: str = completed(served, upload, parts, key)["error"]["code"]
    return code


# All of it.


def test_parts_in_any_order_become_an_object(server: Served) -> None:
    upload = begin(server, "whole")
    parts = [put(server, upload, number, b"part %d," % number, "whole") for number in (2, 3, 1)]
    assert server.ask("GET", server.at("whole")).status == 404
    parts.sort(key=lambda part: int(part["part_number"]))
    answer = complete(server, upload, parts, "whole")
    assert answer.json == {"key": "whole"}
    headers = answer.headers
    assert (headers["content-type"], headers["Transfer-Encoding"]) == (JSON, "chunked")
    assert server.ask("GET", server.at("whole")).body == b"part 1,part 2,part 3,"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_server_chooses_a_key(one_server: Served, slash: str) -> None:
    answer = one_server.ask("POST", f"objects:multipart/test/org=1{slash}", b"")
    assert answer.status == 200
    key, upload = answer.json["key"], answer.json["upload_id"]
    assert completed(one_server, upload, [put(one_server, upload, 1, b"x", key)], key) == {
        "key": key
    }
    assert one_server.ask("GET", one_server.at(key)).body == b"x"


@pytest.mark.parametrize("path", KEYS)
def test_keys_of_every_kind(one_server: Served, path: str) -> None:
    upload = begin(one_server, path)
    part = put(one_server, upload, 1, path.encode(), path)
    assert listed(one_server, upload, path)["parts"][0]["size"] == len(path)
    assert completed(one_server, upload, [part], path) == {"key": KEYS[path]}
    assert one_server.ask("GET", one_server.at(path)).body == path.encode()
    abandoned = begin(one_server, path)
    answer = one_server.ask("DELETE", at(one_server, "multipart", path, upload_id=abandoned))
    assert answer.status == 204


def test_on_each_backend(on_backend: Served, files: Storage) -> None:
    """What it is, in what order it came, what is left, and who may go on."""
    upload = begin(on_backend, X_Sn_Filename="a.txt", X_Sn_Expiration="ttl:1d")
    first = put(on_backend, upload, 1, bytes(5 * MIB))
    stale = put(on_backend, upload, 3, b"old")
    last = put(on_backend, upload, 3, b"new")
    assert [part["etag"] for part in listed(on_backend, upload)["parts"]] == [
        first["etag"],
        last["etag"],
    ]
    for parts in ([first, stale], [first, {**last, "part_number": 2}], [{**first, "etag": "x"}]):
        assert error_of(on_backend, upload, parts) == "InvalidPart"
    assert on_backend.ask("GET", on_backend.at("k")).status == 404
    with ThreadPoolExecutor(2) as pool:
        twice = pool.map(lambda _: completed(on_backend, upload, [first, last]), range(2))
    assert list(twice) == [{"key": "k"}] * 2
    assert completed(on_backend, upload, [first, last]) == {"key": "k"}
    answer = on_backend.ask("GET", on_backend.at("k"))
    assert answer.body == bytes(5 * MIB) + b"new"
    assert answer.headers["x-sn-filename"] == "a.txt"
    path = at(on_backend, "multipart:parts", upload_id=upload, part_number=1)
    assert on_backend.ask("PUT", path, b"late").status == 404
    aborted = begin(on_backend)
    put(on_backend, aborted, 1, b"x")
    for _ in range(2):
        path = at(on_backend, "multipart", upload_id=aborted)
        assert on_backend.ask("DELETE", path).status == 204
    path = at(on_backend, "multipart:parts", upload_id=aborted)
    assert on_backend.ask("GET", path).status == 404
    assert error_of(on_backend, aborted, [first]) == "NoSuchUpload"
    assert on_backend.ask("GET", on_backend.at("k")).body == answer.body
    assert list(files.list_uploads()) == []


# What describes the object.


def test_what_describes_an_object_is_fixed_when_its_upload_begins(one_server: Served) -> None:
    upload = begin(
        one_server,
        Content_Type="text/x-test",
        Content_Encoding="zstd",
        X_Sn_Origin="here",
        X_Sn_Filename="v%C3%A4l.txt",
        X_Sn_Expiration="tti:2d",
        X_Snme_My_Key="v%C3%A4lue",
    )
    begun = json.loads(json.dumps(listed(one_server, upload)))
    assert begun == {"parts": [], "is_truncated": False}
    part = put(one_server, upload, 1, b"content")
    [told] = listed(one_server, upload)["parts"]
    stored = datetime.fromisoformat(told["last_modified"])
    assert completed(one_server, upload, [part]) == {"key": "k"}
    headers = one_server.ask("HEAD", one_server.at("k")).headers
    expected = {
        "content-type": "text/x-test",
        "content-encoding": "zstd",
        "x-sn-origin": "here",
        "x-sn-filename": "v%C3%A4l.txt",
        "x-sn-expiration": "tti:2d",
        "x-snme-my-key": "v%C3%A4lue",
        "x-sn-size": "7",
    }
    assert headers.items() >= expected.items()
    created, expires = (
        datetime.fromisoformat(headers[name].replace("Z", "+00:00"))
        for name in ("x-sn-time-created", "x-sn-time-expires")
    )
    assert created < stored
    assert expires - created == timedelta(days=2)


def test_nothing_that_describes_an_object_ends_its_line(one_server: Served) -> None:
    evil = "a%0D%0Aset-cookie: b%00"
    upload = begin(one_server, X_Sn_Filename=evil, X_Sn_Origin=evil, X_Snme_A=evil)
    completed(one_server, upload, [put(one_server, upload, 1, b"x")])
    headers = one_server.ask("GET", one_server.at("k")).headers
    for name in ("x-sn-filename", "x-sn-origin", "x-snme-a"):
        assert headers[name] == evil
    assert not {name.lower() for name in headers} & {"set-cookie"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content_Encoding": "gzip"}, b""),
        ({"Content_Type": "no type"}, b""),
        ({"X_Sn_Expiration": "soon"}, b""),
        ({"X_Sn_Filename": "%FF"}, b""),
        ({}, b"content"),
    ],
)
def test_a_wrong_beginning_is_refused(
    one_server: Served, headers: dict[str, Any], body: bytes
) -> None:
    answer = one_server.ask("PUT", at(one_server, "multipart"), body, **headers)
    assert (answer.status, bool(answer.json["detail"])) == (400, True)


def test_a_usecase_says_how_objects_expire(one_server: Served) -> None:
    token = one_server.token(usecase="brief", scopes=())
    path = "objects:multipart/brief/_/k"
    statuses = [
        one_server.ask("PUT", path, b"", token=token, X_Sn_Expiration=expiration).status
        for expiration in ("ttl:1d", "ttl:2d", "manual")
    ]
    assert statuses == [200, 400, 400]


# Parts.


def test_parts_are_listed_a_page_at_a_time(one_server: Served) -> None:
    upload = begin(one_server)
    for number in (7, 3, 10_000):
        put(one_server, upload, number, b"x" * number)
    first = listed(one_server, upload, max_parts=2)
    assert [part["part_number"] for part in first["parts"]] == [3, 7]
    assert (first["is_truncated"], first["next_part_number_marker"]) == (True, 7)
    second = listed(one_server, upload, max_parts=2, part_number_marker=7)
    assert [part["size"] for part in second["parts"]] == [10_000]
    assert second.keys() == {"parts", "is_truncated"}
    assert not second["is_truncated"]
    assert [part["part_number"] for part in listed(one_server, upload)["parts"]] == [3, 7, 10_000]
    assert listed(one_server, upload, part_number_marker=10_000)["parts"] == []


def test_a_part_that_is_put_again_is_another(one_server: Served) -> None:
    upload = begin(one_server)
    first, second = put(one_server, upload, 1, b"aaa"), put(one_server, upload, 1, b"bbb")
    assert first["etag"] == f'"{md5_of(b"aaa")}"'
    assert first["etag"] != second["etag"]
    assert error_of(one_server, upload, [first]) == "InvalidPart"
    assert completed(one_server, upload, [second]) == {"key": "k"}
    assert one_server.ask("GET", one_server.at("k")).body == b"bbb"


@pytest.mark.parametrize(
    ("md5", "status"),
    [
        (base64.b64encode(bytes.fromhex(md5_of(b"content"))).decode(), 200),
        (base64.b64encode(bytes.fromhex(md5_of(b"other"))).decode(), 400),
        (base64.b64encode(b"short").decode(), 400),
        ("no base64", 400),
    ],
)
def test_a_part_is_what_its_md5_says(one_server: Served, md5: str, status: int) -> None:
    upload = begin(one_server)
    path = at(one_server, "multipart:parts", upload_id=upload, part_number=1)
    assert one_server.ask("PUT", path, b"content", Content_MD5=md5).status == status
    assert len(listed(one_server, upload)["parts"]) == (status == 200)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("upload_id={}", b"x"),
        ("upload_id={}&part_number=0", b"x"),
        ("upload_id={}&part_number=-1", b"x"),
        ("upload_id={}&part_number=x", b"x"),
        ("upload_id={}&part_number=10001", b"x"),
        ("upload_id={}&part_number=" + "9" * 40, b"x"),
        ("upload_id={}&part_number=1", b""),
        ("upload_id={}&part_number=1", chunks(b"x")),
        ("part_number=1", b"x"),
        ("upload_id=&part_number=1", b"x"),
        ("upload_id=/etc&part_number=1", b"x"),
        ("upload_id=a/../b&part_number=1", b"x"),
        ("upload_id=%2E%2E&part_number=1", b"x"),
    ],
)
def test_a_wrong_part_is_refused(one_server: Served, query: str, body: Any) -> None:
    upload = begin(one_server)
    path = at(one_server, "multipart:parts") + query.format(upload)
    answer = one_server.ask("PUT", path, body, chunked=not isinstance(body, bytes))
    assert (answer.status, bool(answer.json["detail"])) == (400, True)
    assert listed(one_server, upload)["parts"] == []


@pytest.mark.parametrize(
    "query", ["max_parts=0", "max_parts=x", "part_number_marker=-1", "part_number_marker=x"]
)
def test_a_wrong_page_is_refused(one_server: Served, query: str) -> None:
    path = at(one_server, "multipart:parts", upload_id=begin(one_server))
    assert one_server.ask("GET", f"{path}&{query}").status == 400


def test_a_part_that_breaks_off_is_not_stored(server: Served) -> None:
    upload = begin(server, "broken")
    path = at(server, "multipart:parts", "broken", upload_id=upload, part_number=1)
    with server.connect() as connection:
        head = (
            f"PUT /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {6 * MIB}\r\n"
            f"x-os-auth: Bearer {server.token()}\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(5 * MIB))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
        assert not answer or answer.split()[1] == b"400"
    assert listed(server, upload, "broken")["parts"] == []


# Who may.


def test_an_upload_means_nothing_elsewhere(on_backend: Served) -> None:
    """Of another key, scope, usecase or made up, an id is nobody's; and of another session."""
    upload = begin(on_backend)
    part = put(on_backend, upload, 1, b"x")
    token = on_backend.token(scopes=(("org", "*"),))
    other = on_backend.token(usecase="other")
    session = on_backend.ask(
        "PUT", on_backend.at("k") + "?upload_type=resumable", b"", Upload_Length="9"
    ).json["session"]
    inner = base64.urlsafe_b64decode(session + "==").hex()
    for place, key, used, id_ in (
        ("test/org=1", "other", token, upload),
        ("test/org=2", "k", token, upload),
        ("test/_", "k", token, upload),
        ("other/org=1", "k", other, upload),
        ("test/org=1", "k", token, "0" * 32),
        ("test/org=1", "k", token, "no-id"),
        ("test/org=1", "k", token, inner),
    ):
        query = f"{place}/{key}?upload_id={id_}"

        def ask(method: str, target: str, body: Any = None, used: str = used) -> Answer:
            return on_backend.ask(method, target, body, token=used, Content_Type=JSON)

        assert ask("PUT", f"objects:multipart:parts/{query}&part_number=1", b"y").status == 404
        assert ask("GET", f"objects:multipart:parts/{query}").status == 404
        body = json.dumps({"parts": [part]})
        answer = ask("POST", f"objects:multipart:complete/{query}", body)
        assert answer.json["error"]["code"] == "NoSuchUpload"
        if id_ != inner:
            assert ask("DELETE", f"objects:multipart/{query}").status == 404
    assert completed(on_backend, upload, [part]) == {"key": "k"}
    assert on_backend.ask("GET", on_backend.at("k")).body == b"x"


def test_all_of_it_needs_to_write(one_server: Served) -> None:
    upload = begin(one_server)
    part = put(one_server, upload, 1, b"x")
    asked = [
        ("POST", "objects:multipart/test/org=1/", b""),
        ("PUT", at(one_server, "multipart"), b""),
        ("PUT", at(one_server, "multipart:parts", upload_id=upload, part_number=1), b"y"),
        ("GET", at(one_server, "multipart:parts", upload_id=upload), None),
        ("DELETE", at(one_server, "multipart", upload_id=upload), None),
    ]
    elsewhere = one_server.token(scopes=(("org", "2"),))
    for token in (one_server.token({READ}), elsewhere, one_server.token(usecase="other")):
        for method, path, body in asked:
            assert one_server.ask(method, path, body, token=token).status == 403
        refused = complete(one_server, upload, [part], token=token)
        assert (refused.status, refused.json["error"]["code"]) == (200, "AccessDenied")
    writer = one_server.token({WRITE})
    assert complete(one_server, upload, [part], token=writer).json == {"key": "k"}


def test_what_is_checked_first_is_told(one_server: Served) -> None:
    """Its sender, the place, what else came, whether it is allowed; and the storage last."""
    reader = one_server.token({READ})
    path = "objects:multipart:parts/{}/org=1/k?upload_id=x&part_number={}"
    told = [
        one_server.ask(method, path.format(usecase, number), b"x", token=token).status
        for method, usecase, number, token in (
            ("PATCH", "t", 0, None),
            ("PUT", "t", 0, "nonsense"),
            ("PUT", "t", 0, reader),
            ("PUT", "test", 0, reader),
            ("PUT", "test", 1, reader),
            ("PUT", "test", 1, ""),
        )
    ]
    assert told == [405, 401, 400, 400, 403, 404]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "objects:multipart/test/org=1/k?upload_id=x", 405),
        ("POST", "objects:multipart/test/org=1/k", 405),
        ("PUT", "objects:multipart/test/org=1/", 405),
        ("DELETE", "objects:multipart/test/org=1/k", 400),
        ("POST", "objects:multipart:parts/test/org=1/k", 405),
        ("GET", "objects:multipart:parts/test/org=1/k", 400),
        ("PUT", "objects:multipart:complete/test/org=1/k", 405),
    ],
)
def test_what_is_not_there_is_said(one_server: Served, method: str, path: str, status: int) -> None:
    body = b"" if method in {"PUT", "POST"} else None
    assert one_server.ask(method, path, body).status == status


# Completion.


@pytest.mark.parametrize(
    ("body", "kind", "query", "status"),
    [
        ('{"parts": []}', "text/plain", "upload_id=x", 415),
        ("{", JSON, "upload_id=x", 400),
        ('{"parts": []}', JSON, "", 400),
        ("[]", JSON, "upload_id=x", 422),
        ('{"parts": {}}', JSON, "upload_id=x", 422),
        ('{"parts": [1]}', JSON, "upload_id=x", 422),
        ('{"parts": [{"part_number": 0, "etag": "x"}]}', JSON, "upload_id=x", 422),
        ('{"parts": [{"part_number": true, "etag": "x"}]}', JSON, "upload_id=x", 422),
        ('{"parts": [{"part_number": 1}]}', JSON, "upload_id=x", 422),
        ('{"parts": [{"etag": "x"}]}', JSON, "upload_id=x", 422),
        ('{"parts": [{"part_number": 1, "etag": 1}]}', JSON, "upload_id=x", 422),
    ],
)
def test_a_completion_that_says_nothing_is_refused_at_once(
    one_server: Served, body: str, kind: str, query: str, status: int
) -> None:
    path = at(one_server, "multipart:complete") + query
    assert one_server.ask("POST", path, body, Content_Type=kind).status == status


def test_what_cannot_be_joined_leaves_the_upload_as_it_was(one_server: Served) -> None:
    upload = begin(one_server, "kept")
    first, second = (put(one_server, upload, number, b"%d" % number, "kept") for number in (1, 2))
    wrong: list[tuple[list[dict[str, Any]], str]] = [
        ([], "InvalidRequest"),
        ([second, first], "InvalidPartOrder"),
        ([first, first], "InvalidPartOrder"),
        ([{**first, "etag": second["etag"]}], "InvalidPart"),
        ([{**first, "etag": '"nonsense"'}], "InvalidPart"),
        ([first, {**second, "part_number": 3}], "InvalidPart"),
        ([{**first, "part_number": 10**30}], "InvalidPart"),
    ]
    for parts, code in wrong:
        assert error_of(one_server, upload, parts, "kept") == code
    assert one_server.ask("GET", one_server.at("kept")).status == 404
    assert len(listed(one_server, upload, "kept")["parts"]) == 2
    assert completed(one_server, upload, [first, second], "kept") == {"key": "kept"}


@pytest.fixture
def slow_joins(swift_files: Storage, swift_faults: Faults) -> Faults:
    """A Swift that needs longer to join the parts of an object than nothing is said."""
    swift_files.write("there", b"")
    swift_faults.add("delay", method="PUT", path="multipart-manifest=put", seconds=1.2, times=-1)
    return swift_faults


@pytest.fixture(params=["werkzeug", "sync", "gthread", "gevent"])
def on_swift(
    request: pytest.FixtureRequest,
    swift_files: Storage,
    swift_settings: dict[str, object],
    key_pairs: dict[str, KeyPair],
) -> Iterator[Served]:
    """A service on Swift, below each server in turn; gunicorn is a process of its own."""
    config = {**swift_settings, "FS_BACKEND": "swift", "FILES_FS_CONTAINER": swift_files.name}
    files = swift_files if request.param == "werkzeug" else None
    with serving(request.param, key_pairs, files, None, **config) as served:
        yield served


def test_who_waits_for_a_completion_is_sent_spaces(
    on_swift: Served, slow_joins: Faults, swift_files: Storage
) -> None:
    """And what was begun runs to its end, also when its client has left."""
    upload = begin(on_swift)
    answer = complete(on_swift, upload, [put(on_swift, upload, 1, b"waited for")])
    assert answer.body.startswith(b" ")
    assert answer.body.strip() == b'{"key": "k"}'
    assert on_swift.ask("GET", on_swift.at("k")).body == b"waited for"
    upload = begin(on_swift)
    body = json.dumps({"parts": [put(on_swift, upload, 1, b"left behind")]}).encode()
    with on_swift.connect() as connection:
        head = (
            f"POST /v1/{at(on_swift, 'multipart:complete', upload_id=upload)} HTTP/1.1\r\n"
            f"Host: x\r\nContent-Length: {len(body)}\r\nContent-Type: {JSON}\r\n"
            f"x-os-auth: Bearer {on_swift.token()}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        assert connection.recv(1) == b"H"
    [name] = [name for name in swift_files.list_files() if name != "there"]
    until(lambda: swift_files.read(name) == b"left behind")
    assert len(slow_joins.requests()) > 2


def test_completions_at_once_have_one_outcome(
    slow_joins: Faults, swift_files: Storage, key_pairs: dict[str, KeyPair]
) -> None:
    with serving("werkzeug", key_pairs, swift_files) as served:
        upload = begin(served)
        parts = [put(served, upload, number, b"%d" % number) for number in (1, 2)]
        together = threading.Barrier(3)

        def ask(_: int) -> Any:
            together.wait(10)
            return completed(served, upload, parts)

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(ask, range(3))) == [{"key": "k"}] * 3
        assert served.ask("GET", served.at("k")).body == b"12"
        assert slow_joins.requests()


@pytest.mark.parametrize("path", ["multipart-manifest=put", "uploads/"])
def test_a_storage_that_fails_is_told_where_the_answer_ends(
    make_storage: MakeStorage, swift_faults: Faults, key_pairs: dict[str, KeyPair], path: str
) -> None:
    """It may have failed when the object was there already."""
    files = make_storage(retries=0)
    with serving("werkzeug", key_pairs, files) as served:
        upload = begin(served)
        part = put(served, upload, 1, b"x")
        swift_faults.add("status", method="PUT", path=path, status=503)
        answer = completed(served, upload, [part])
        assert answer == {"error": {"code": "internal error", "message": "the storage failed"}}
        is_there = path == "uploads/"
        assert served.ask("GET", served.at("k")).status == (200 if is_there else 404)
        assert completed(served, upload, [part]) == {"key": "k"}
