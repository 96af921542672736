"""Uploads that outlive their connection, over HTTP, below each server and on each backend."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from situations.here import until

from flask_fs_swift.api.keys import READ
from flask_fs_swift.api.server import multipart, resumable
from flask_fs_swift.api.server.resumable import LONGEST, SMALLEST_GRAIN, grain_of
from flask_fs_swift.errors import DatabaseError
from flask_fs_swift.tiered.rows import Rows
from flask_fs_swift.upload import MAX_PARTS

from .served import Served, serving
from .test_multipart import at, begin
from .test_service import KEYS, chunks

if TYPE_CHECKING:
    from socket import socket

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.api.keys import KeyPair
    from flask_fs_swift.devserver import Faults

    from .served import Answer

MIB = 1024 * 1024
GRAIN = SMALLEST_GRAIN
CONTENT = os.urandom(2 * GRAIN + 1000)
SIZE = len(CONTENT)


class Session:
    """A session of a key, from the outside."""

    def __init__(self, served: Served, key: str = "k", size: int = SIZE, **headers: Any) -> None:
        path = f"{served.at(key)}?upload_type=resumable"
        answer = served.ask("PUT", path, b"", Upload_Length=str(size), **headers)
        assert answer.status == 200, answer
        self.said = answer.json
        self.path = f"{served.at(key)}?session={self.said['session']}"
        self.served = served

    def put(self, offset: object, body: Any = b"", **headers: Any) -> Answer:
        return self.served.ask("PUT", self.path, body, Upload_Offset=str(offset), **headers)

    def held(self) -> int:
        answer = self.put("*")
        assert (answer.status, answer.body) == (204, b"")
        return int(answer.headers["upload-offset"])

    def cancel(self) -> int:
        return self.served.ask("DELETE", self.path).status

    def connected(self, offset: int, size: int) -> socket:
        """Begin a chunk whose content is sent by somebody else."""
        connection = self.served.connect()
        head = (
            f"PUT /v1/{self.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Upload-Offset: {offset}\r\nContent-Length: {size}\r\n"
            f"x-os-auth: Bearer {self.served.token()}\r\n\r\n"
        )
        connection.sendall(head.encode())
        return connection


# All of it.


def test_an_upload_outlives_its_connection(server: Served) -> None:
    session = Session(server, "whole", X_Sn_Filename="a%0D%0Ab")
    assert session.said.keys() == {"key", "session", "granularity"}
    assert (session.said["key"], session.said["granularity"]) == ("whole", GRAIN)
    assert session.held() == 0
    with session.connected(0, SIZE) as connection:
        connection.sendall(CONTENT[: GRAIN + 100])
    until(lambda: session.held() == GRAIN)
    assert server.ask("GET", server.at("whole")).status == 404
    answer = session.put(GRAIN, CONTENT[GRAIN:])
    assert (answer.status, answer.json) == (201, {"key": "whole"})
    stored = server.ask("GET", server.at("whole"))
    assert stored.body == CONTENT
    assert stored.headers["x-sn-filename"] == "a%0D%0Ab"
    for again in (session.put("*"), session.put(GRAIN, CONTENT[GRAIN:]), session.put(SIZE)):
        assert (again.status, again.json) == (201, {"key": "whole"})


def test_the_server_chooses_a_key(one_server: Served) -> None:
    path = "objects/test/org=1/?upload_type=resumable"
    said = one_server.ask("POST", path, b"", Upload_Length="1").json
    path = f"{one_server.at(said['key'])}?session={said['session']}&upload_type=resumable"
    assert one_server.ask("PUT", path, b"x", Upload_Offset="0").status == 201
    assert one_server.ask("GET", one_server.at(said["key"])).body == b"x"


@pytest.mark.parametrize("path", KEYS)
def test_keys_of_every_kind(one_server: Served, path: str) -> None:
    answer = Session(one_server, path, 4).put(0, b"four")
    assert (answer.status, answer.json) == (201, {"key": KEYS[path]})
    assert one_server.ask("GET", one_server.at(path)).body == b"four"


def test_on_each_backend(on_backend: Served, files: Storage) -> None:
    """Chunk by chunk, with what does not belong there in between."""
    session = Session(on_backend, X_Snme_A="b")
    assert session.put(0, CONTENT[: GRAIN + 5]).headers["upload-offset"] == str(GRAIN)
    for offset in (0, 5, GRAIN + 5, 2 * GRAIN, SIZE):
        answer = session.put(offset)
        assert (answer.status, answer.headers["upload-offset"]) == (409, str(GRAIN))
    assert session.put(GRAIN).headers["upload-offset"] == str(GRAIN)
    answer = session.put(GRAIN, CONTENT[GRAIN : 2 * GRAIN])
    assert (answer.status, answer.headers["upload-offset"]) == (204, str(2 * GRAIN))
    assert session.held() == 2 * GRAIN
    assert session.put(2 * GRAIN, CONTENT[2 * GRAIN :]).status == 201
    answer = on_backend.ask("GET", on_backend.at("k"))
    assert (answer.body, answer.headers["x-snme-a"]) == (CONTENT, "b")
    assert session.put("*").status == 201
    assert session.cancel() == 410
    assert files.collect_garbage(0) == []
    assert on_backend.ask("GET", on_backend.at("k")).body == CONTENT
    cancelled = Session(on_backend)
    assert cancelled.put(0, CONTENT[:GRAIN]).status == 204
    assert cancelled.cancel() == 204
    for answer in (cancelled.put("*"), cancelled.put(GRAIN, CONTENT[GRAIN:])):
        assert (answer.status, answer.body) == (404, b"")
    assert cancelled.cancel() == 404
    assert files.collect_garbage(0) == []
    assert on_backend.ask("GET", on_backend.at("k")).body == CONTENT


def test_another_worker_of_another_host_goes_on(
    swift_files: Storage,
    swift_settings: dict[str, object],
    swift_faults: Faults,
    key_pairs: dict[str, KeyPair],
) -> None:
    """It has nothing but the storage, and asks for no listing."""
    swift_files.write("there", b"")
    swift_faults.add("status", method="GET", path="_segments[?]", status=403, times=-1)
    config = {**swift_settings, "FS_BACKEND": "swift", "FILES_FS_CONTAINER": swift_files.name}
    with (
        serving("werkzeug", key_pairs, swift_files) as here,
        serving("gthread", key_pairs, None, None, **config) as there,
    ):
        session = Session(here)
        with session.connected(0, SIZE) as connection:
            connection.sendall(CONTENT[: GRAIN + 1])
            session.served = there
            until(lambda: session.held() == GRAIN)
        assert session.put(GRAIN, CONTENT[GRAIN:]).status == 201
        session.served = here
        assert session.put("*").status == 201
        assert here.ask("GET", here.at("k")).body == CONTENT


# What is refused.


@pytest.mark.parametrize(
    ("method", "key", "query", "headers", "body", "status"),
    [
        ("PUT", "k", "resumable", {}, b"", 400),
        ("PUT", "k", "resumable", {"Upload_Length": "-1"}, b"", 400),
        ("PUT", "k", "resumable", {"Upload_Length": "x"}, b"", 400),
        ("PUT", "k", "resumable", {"Upload_Length": "0"}, b"", 400),
        ("PUT", "k", "resumable", {"Upload_Length": str(LONGEST + 1)}, b"", 413),
        ("PUT", "k", "resumable", {"Upload_Length": "1"}, b"x", 400),
        ("PUT", "k", "resumable", {"Upload_Length": "1", "X_Sn_Expiration": "soon"}, b"", 400),
        ("PUT", "k", "other", {"Upload_Length": "1"}, b"", 501),
        ("POST", "k", "resumable", {"Upload_Length": "1"}, b"", 405),
        ("PUT", "", "resumable", {"Upload_Length": "1"}, b"", 405),
    ],
)
def test_a_wrong_beginning_is_refused(
    one_server: Served,
    method: str,
    key: str,
    query: str,
    headers: dict[str, Any],
    body: bytes,
    status: int,
) -> None:
    path = f"{one_server.at(key)}?upload_type={query}"
    assert one_server.ask(method, path, body, **headers).status == status
    assert one_server.ask("GET", one_server.at("k")).status == 404


@pytest.mark.parametrize(
    ("offset", "body", "status"),
    [
        (None, b"x", 400),
        ("x", b"x", 400),
        ("-1", b"x", 400),
        ("*", b"x", 400),
        ("0", chunks(b"x"), 400),
        ("0", bytes(1000), 400),
        (str(SIZE - 1), b"xx", 400),
        (str(SIZE), b"x", 400),
        (str(2 * GRAIN), CONTENT[2 * GRAIN :], 409),
        ("1", b"x", 409),
        (str(SIZE), b"", 409),
    ],
)
def test_a_wrong_chunk_is_refused(
    one_server: Served, offset: str | None, body: Any, status: int
) -> None:
    session = Session(one_server, "refused")
    headers = {} if offset is None else {"Upload_Offset": offset}
    is_chunked = not isinstance(body, bytes)
    answer = one_server.ask("PUT", session.path, body, chunked=is_chunked, **headers)
    assert (answer.status, bool(answer.json["detail"])) == (status, True)
    assert ("upload-offset" in answer.headers) == (status == 409)
    assert session.held() == 0


def test_a_session_means_nothing_elsewhere(on_backend: Served) -> None:
    session = Session(on_backend)
    own: str = session.said["session"]
    token = on_backend.token(scopes=(("org", "*"),))
    last = own[-1]
    alike = own[:-1] + chr(ord(last) + 1)  # The same bytes, were it not for the bits left over.
    for used, path in (
        (token, f"objects/test/org=1/other?session={own}"),
        (token, f"objects/test/org=2/k?session={own}"),
        (on_backend.token(usecase="other"), f"objects/other/org=1/k?session={own}"),
        *(
            (token, f"objects/test/org=1/k?session={wrong}")
            for wrong in ("", "x", alike, own + "=", "..%2F" + own, "%C3%A9" * 11, "A" * 22)
        ),
        (token, f"objects/test/org=1/k?session={begin(on_backend)}"),
    ):
        for offset, body in (("*", b""), ("0", CONTENT)):
            answer = on_backend.ask("PUT", path, body, token=used, Upload_Offset=offset)
            assert (answer.status, answer.body) == (404, b""), path
        assert on_backend.ask("DELETE", path, token=used).status == 404
    assert session.put(0, CONTENT).status == 201


def test_all_of_it_needs_to_write(one_server: Served) -> None:
    session = Session(one_server)
    path = f"{one_server.at('k')}?upload_type=resumable"
    elsewhere = one_server.token(scopes=(("org", "2"),))
    for token in (one_server.token({READ}), elsewhere, one_server.token(usecase="other")):
        for method, target in (("PUT", path), ("PUT", session.path), ("DELETE", session.path)):
            answer = one_server.ask(
                method, target, b"", token=token, Upload_Length="1", Upload_Offset="*"
            )
            assert answer.status == 403
    assert one_server.ask("PUT", session.path, b"", token=None).status == 400
    assert session.held() == 0


def test_more_than_may_be_stored_is_not_begun(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair]
) -> None:
    with serving("werkzeug", key_pairs, make_storage(max_size=1000)) as served:
        path = f"{served.at('k')}?upload_type=resumable"
        assert served.ask("PUT", path, b"", Upload_Length="1001").status == 413
        assert Session(served, size=1000).put(0, bytes(1000)).status == 201


# What breaks, and what comes at once.


def test_of_two_chunks_at_once_one_goes_on(on_backend: Served) -> None:
    """Nobody waits for a connection that may be dead; who is overtaken learns how far it is."""
    session = Session(on_backend)
    with session.connected(0, SIZE) as first:
        first.sendall(CONTENT[: GRAIN + 7])
        until(lambda: session.held() == GRAIN)
        assert session.put(0).headers["upload-offset"] == str(GRAIN)
        answer = session.put(GRAIN, CONTENT[GRAIN : 2 * GRAIN])
        assert answer.headers["upload-offset"] == str(2 * GRAIN)
        first.sendall(CONTENT[GRAIN + 7 :])
        answered = first.recv(4096)
        assert answered.split()[1] == b"409"
        assert f"upload-offset: {2 * GRAIN}\r\n".encode() in answered
    assert session.put(2 * GRAIN, CONTENT[2 * GRAIN :]).status == 201
    assert on_backend.ask("GET", on_backend.at("k")).body == CONTENT


def test_who_is_overtaken_at_the_end_learns_that_it_is_done(on_backend: Served) -> None:
    session = Session(on_backend)
    with session.connected(0, SIZE) as first:
        first.sendall(CONTENT[: GRAIN + 7])
        until(lambda: session.held() == GRAIN)
        assert session.put(GRAIN, CONTENT[GRAIN:]).status == 201
        first.sendall(CONTENT[GRAIN + 7 :])
        assert first.recv(4096).split()[1] == b"201"


def test_whoever_sends_all_of_it_at_once_stores_it_once(on_backend: Served) -> None:
    session = Session(on_backend)
    together = threading.Barrier(4)

    def send(_: int) -> int:
        together.wait(10)
        try:
            return session.put(0, CONTENT).status
        except ConnectionError:
            return 409  # It was answered before it had sent everything.

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(send, range(4)))
    assert statuses <= {201, 409}
    until(lambda: session.put("*").status == 201)
    assert on_backend.ask("GET", on_backend.at("k")).body == CONTENT


def test_a_chunk_of_a_cancelled_session_comes_to_nothing(on_backend: Served) -> None:
    session = Session(on_backend)
    with session.connected(0, SIZE) as first:
        first.sendall(CONTENT[: GRAIN + 7])
        until(lambda: session.held() == GRAIN)
        assert session.cancel() == 204
        first.sendall(CONTENT[GRAIN + 7 :])
        assert first.recv(4096).split()[1] == b"404"
    assert on_backend.ask("GET", on_backend.at("k")).status == 404


def test_a_session_ends_until_its_object_is_there(
    tiered_files: Storage, key_pairs: dict[str, KeyPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts are joined already, and then the database fails."""

    def fail(*_: object) -> NoReturn:
        raise DatabaseError("as the test says")

    with serving("werkzeug", key_pairs, tiered_files) as served:
        session = Session(served)
        with monkeypatch.context() as patching:
            patching.setattr(Rows, "compare_and_write", fail)
            assert session.put(0, CONTENT).status == 500
        assert session.cancel() == 204
        assert session.put("*").status == 404
        assert served.ask("GET", served.at("k")).status == 404


@pytest.mark.parametrize("ahead", [1, resumable.AHEAD])
def test_what_comes_faster_than_it_is_stored_waits(
    swift_files: Storage,
    swift_faults: Faults,
    key_pairs: dict[str, KeyPair],
    monkeypatch: pytest.MonkeyPatch,
    ahead: int,
) -> None:
    monkeypatch.setattr(resumable, "AHEAD", ahead)
    with serving("werkzeug", key_pairs, swift_files) as served:
        session = Session(served)
        swift_faults.add("delay", method="PUT", path="/receipts/", seconds=0.2, times=-1)
        assert session.put(0, CONTENT).status == 201
        assert served.ask("GET", served.at("k")).body == CONTENT


@pytest.mark.parametrize("action", ["status", "after_status"])
def test_what_is_held_is_joined_when_it_is_asked_for(
    make_storage: MakeStorage, swift_faults: Faults, key_pairs: dict[str, KeyPair], action: Any
) -> None:
    """The storage failed when all was held, or nobody knows whether it did."""
    files = make_storage(retries=0)
    with serving("werkzeug", key_pairs, files) as served:
        session = Session(served)
        for fault in (
            ("uploads/", "multipart-manifest=put") if action == "status" else ("uploads/",)
        ):
            swift_faults.add(action, method="PUT", path=fault, status=503)
        assert session.put(0, CONTENT).status == 500
        swift_faults.clear()
        assert session.put(SIZE).status == 201
        assert session.put("*").status == 201
        assert served.ask("GET", served.at("k")).body == CONTENT


def test_what_was_lost_cannot_be_gone_on_with(
    swift_files: Storage, key_pairs: dict[str, KeyPair], swift_faults: Faults
) -> None:
    with serving("werkzeug", key_pairs, swift_files) as served:
        session = Session(served)
        swift_faults.add(
            "status", method="PUT", path="multipart-manifest=put", status=400, times=-1
        )
        assert session.put(0, CONTENT).status == 410
        swift_faults.clear()
        assert session.put("*").status == 201


def test_what_was_abandoned_is_cleared(
    on_backend: Served, files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Session(on_backend, "kept")
    assert kept.put(0, CONTENT[:GRAIN]).status == 204
    monkeypatch.setattr(multipart, "LIFETIME", 0)
    over = Session(on_backend, "over")
    for answer in (over.put("*"), over.put(0, CONTENT)):
        assert answer.status == 404
    part = at(on_backend, "multipart:parts", upload_id=begin(on_backend), part_number=1)
    assert on_backend.ask("PUT", part, b"x").status == 404
    files.collect_garbage(0)
    assert [upload.filename[-4:] for upload in files.list_uploads()] == ["kept"]
    assert kept.put(GRAIN, CONTENT[GRAIN:]).status == 201


def test_a_grain_is_as_small_as_the_parts_allow() -> None:
    assert [grain_of(size) for size in (1, 256 * MIB, MAX_PARTS * GRAIN)] == [GRAIN] * 3
    for size in (MAX_PARTS * GRAIN + 1, 10**12 + 1, LONGEST):
        grain = grain_of(size)
        assert grain % MIB == 0
        assert -(-size // grain) <= MAX_PARTS
