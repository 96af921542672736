"""The service on Swift and in two tiers: what files do there otherwise than in memory."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.api.server.batches import LONGEST_INSERT
from flask_fs_swift.api.server.stored import description_of
from flask_fs_swift.api.wire import closing

from .served import serving
from .test_batches import BOUNDARY, TYPE, done, op
from .test_service import KEYS, expires, patched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.api.keys import KeyPair
    from flask_fs_swift.devserver import Faults

    from .served import Served


@pytest.fixture(params=["swift", "tiered"])
def files(
    request: pytest.FixtureRequest, make_storage: MakeStorage, make_tiered: MakeStorage
) -> Storage:
    if request.param == "swift":
        return make_storage(pool_size=4, segment_size=1_000_000)
    return make_tiered(
        tiered_threshold=1000,
        tiered_recovery_interval=0,
        swift_pool_size=4,
        swift_segment_size=1_000_000,
    )


@pytest.fixture
def served(files: Storage, key_pairs: dict[str, KeyPair]) -> Iterator[Served]:
    with serving("werkzeug", key_pairs, files) as service:
        yield service


def test_keys_and_descriptions(served: Served) -> None:
    filename = "%C3%A4" * 60
    for path in KEYS:
        served.put(path, path.encode(), X_Sn_Filename=filename, X_Snme_Long="x" * 600)
    for path in KEYS:
        answer = served.ask("GET", served.at(path))
        assert answer.body == path.encode()
        assert answer.headers["x-sn-filename"] == filename
        assert answer.headers["x-snme-long"] == "x" * 600


def test_more_than_swift_keeps_beside_an_object_is_refused(served: Served) -> None:
    answer = served.ask("PUT", served.at("k"), b"x", X_Snme_Long="x" * 5000)
    assert answer.status == 400
    assert served.ask("GET", served.at("k")).status == 404


def test_large_objects_ranges_and_deadlines(served: Served, files: Storage) -> None:
    content = bytes(range(256)) * 20_000
    served.put("large", content, X_Sn_Expiration="ttl:1d")
    answer = served.ask("GET", served.at("large"), Range="bytes=999990-1000009")
    assert (answer.status, answer.body) == (206, content[999_990:1_000_010])
    assert patched(served, "large", {"after": "3d", "from": "creation"}).status == 204
    assert served.ask("GET", served.at("large")).body == content
    [name] = files.list_files()
    info = files.info(name)
    assert info.is_manifest
    assert info.expires is not None
    assert 0 <= (info.expires - expires(served, "large")).total_seconds() < 5


def test_idle_objects_are_told_to_nobody(served: Served, files: Storage) -> None:
    served.put("idle", X_Sn_Expiration="tti:8d")
    before = expires(served, "idle")
    assert patched(served, "idle", {"after": "9d", "from": "now"}).status == 204
    assert expires(served, "idle") > before
    [name] = files.list_files()
    assert files.info(name).expires is None


def test_a_body_that_breaks_off_leaves_nothing(served: Served, files: Storage) -> None:
    with served.connect() as connection:
        head = (
            f"PUT /v1/{served.at('k')} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
            f"x-os-auth: Bearer {served.token()}\r\n\r\n"
        )
        connection.sendall(head.encode() + b"x" * 6_000_000)
    assert served.ask("GET", served.at("k")).status == 404
    assert list(files.list_files()) == []


def test_a_batch(served: Served) -> None:
    writes = [op("insert", f"k{number}", b"%d" % number) for number in range(40)]
    reads = [op("get", f"k{number}") for number in range(40)]
    deletes = [op("delete", f"k{number}") for number in range(40)]
    answers = done(served, [*writes, *reads, *deletes, *reads])
    assert len(answers) == 160
    assert [answers[40 + number].body for number in range(40)] == [
        b"%d" % number for number in range(40)
    ]
    assert {answers[80 + number].status for number in range(40)} == {"204 No Content"}
    assert {answers[120 + number].status for number in range(40)} == {"404 Not Found"}


def test_answers_are_sent_while_others_are_still_asked_for(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair], swift_faults: Faults
) -> None:
    files = make_storage(pool_size=1)
    with serving("werkzeug", key_pairs, files) as served:
        served.put("k", bytes(LONGEST_INSERT))
        swift_faults.forget()
        batch = b"".join([*[op("get", "k")] * 40, closing(BOUNDARY)])
        head = (
            f"POST /v1/objects:batch/test/org=1/ HTTP/1.1\r\nHost: x\r\n"
            f"x-os-auth: Bearer {served.token()}\r\n"
            f"Content-Type: {TYPE}\r\nContent-Length: {len(batch)}\r\n\r\n"
        )
        with served.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            connection.sendall(head.encode() + batch)
            assert connection.recv(1000)
            # What is not received fills a buffer of some megabytes, and then nothing is done.
            assert sum(asked.method == "GET" for asked in swift_faults.requests()) < 30


def test_who_finds_no_connection_is_told_to_come_again(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair]
) -> None:
    files = make_storage(pool_size=1, pool_timeout=0.2)
    with serving("werkzeug", key_pairs, files) as served:
        served.put("k", bytes(3_000_000))
        with files.read_chunks(next(files.list_files())):
            answer = served.ask("GET", served.at("k"))
            assert (answer.status, "retry-after" in answer.headers) == (429, False)
            batch = served.ask(
                "POST",
                "objects:batch/test/org=1/",
                op("get", "k"),
                Content_Type=TYPE,
            )
            assert batch.status == 429
        assert served.ask("GET", served.at("k")).status == 200


def test_a_client_that_leaves_keeps_no_connection(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair]
) -> None:
    files = make_storage(pool_size=1, pool_timeout=5)
    with serving("werkzeug", key_pairs, files) as served:
        served.put("k", bytes(20_000_000))
        for _ in range(2):
            with served.connect() as connection:
                head = (
                    f"GET /v1/{served.at('k')} HTTP/1.1\r\nHost: x\r\n"
                    f"x-os-auth: Bearer {served.token()}\r\n\r\n"
                )
                connection.sendall(head.encode())
                assert connection.recv(1000)
        assert served.ask("GET", served.at("k"), Range="bytes=0-9").status == 206


def test_reading_moves_a_deadline_over_the_only_connection(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair]
) -> None:
    files = make_storage(pool_size=1, pool_timeout=0.2)
    with serving("werkzeug", key_pairs, files) as served:
        served.put("k", bytes(3_000_000), X_Sn_Expiration="tti:2s")
        [name] = files.list_files()
        first = description_of(files.info(name)).expires
        time.sleep(0.7)
        assert len(served.ask("GET", served.at("k")).body) == 3_000_000
        end = time.monotonic() + 2
        while description_of(files.info(name)).expires == first:
            assert time.monotonic() < end
