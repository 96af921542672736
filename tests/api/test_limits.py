"""The limits over HTTP: what is refused, how, in which order, and that nothing of it is left."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from situations.here import NativeTask, until

from flask_fs_swift import ConfigError, Storage
from flask_fs_swift.api.expiration import Policy
from flask_fs_swift.api.keys import READ
from flask_fs_swift.api.places import Place
from flask_fs_swift.api.server import blueprint
from flask_fs_swift.api.server.blueprint import objectstore
from flask_fs_swift.api.server.gate import Gate
from flask_fs_swift.api.server.limits import Limits

from .held import Held, held_files
from .served import serving
from .test_batches import TYPE, done, op

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift.api.keys import KeyPair

    from .served import Answer, Served

BATCH = "objects:batch/test/org=1/"
#: Bytes; more than there is room for between a server and a client that does not read.
LARGE = 9_000_000


@pytest.fixture
def files() -> Held:
    return held_files()


class Serve:
    """Serves files with limits, on a clock that stands still for their rates."""

    def __init__(self, pairs: dict[str, KeyPair], files: Held) -> None:
        self._pairs = pairs
        self._files = files

    @contextmanager
    def __call__(self, files: Storage | None = None, /, **limits: object) -> Iterator[Served]:
        settings = {f"FS_SERVICE_{name.upper()}": value for name, value in limits.items()}
        with serving("werkzeug", self._pairs, files or self._files, None, **settings) as served:
            yield served


@pytest.fixture
def serve(key_pairs: dict[str, KeyPair], files: Held, monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setattr(blueprint, "Gate", partial(Gate, clock=lambda: 0.0))
    return Serve(key_pairs, files)


def metrics(served: Served) -> dict[str, int]:
    text = served.ask("GET", "keda", token=None).body.decode()
    return {
        name: int(value)
        for name, value in re.findall(r"^objectstore_(\S+) (\d+)$", text, re.MULTILINE)
    }


def wait_until_idle(served: Served) -> None:
    """Return when no request runs; then nothing holds anything."""
    until(lambda: metrics(served)["requests_running"] == 0)
    found = metrics(served)
    busy = ["operations_running", "operations_bulk", "operations_queued", "pool_lent"]
    assert {name: found.get(name, 0) for name in busy} == dict.fromkeys(busy, 0)


def refused(served: Served, name: str) -> int:
    return metrics(served).get(f'refused_total{{limit="{name}"}}', 0)


def assert_text(answer: Answer, status: int) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert answer.body
    assert "retry-after" not in {name.lower() for name in answer.headers}


def assert_json(answer: Answer, status: int) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json["detail"]
    assert "retry-after" not in {name.lower() for name in answer.headers}


# Requests at once.


def test_one_request_too_many_is_503_and_probes_are_not_counted(serve: Serve, files: Held) -> None:
    with serve(in_flight=2) as served:
        with files.shut():
            asked = [NativeTask(lambda: served.ask("HEAD", served.at("k"))) for _ in range(2)]
            files.wait_for(2)
            for token in (None, ""):  # Nobody is asked who they are.
                answer = served.ask("PUT", served.at("k"), b"x", token=token)
                assert (answer.status, answer.body) == (503, b"")
                assert "retry-after" not in {name.lower() for name in answer.headers}
            for probe in ("health", "ready", "keda"):
                assert served.ask("GET", probe, token=None).status == 200
            assert metrics(served)["requests_running"] == 2
            assert refused(served, "in_flight") == 2
        assert {task.result().status for task in asked} == {404}
        wait_until_idle(served)
        assert served.ask("HEAD", served.at("k")).status == 404


def test_a_request_is_in_flight_until_its_answer_was_sent(serve: Serve) -> None:
    with serve(in_flight=1, operations=1) as served:
        served.put("k", bytes(LARGE))
        wait_until_idle(served)
        with reading(served):
            # The permit came back when there was something to send.
            until(lambda: metrics(served)["operations_running"] == 0)
            assert metrics(served)["requests_running"] == 1
            assert served.ask("HEAD", served.at("k")).status == 503
        wait_until_idle(served)


# Killswitches.

SWITCHES = [
    ({"usecase": "test"}, True),
    ({"usecase": "other"}, False),
    ({"scopes": {"org": "1"}}, True),
    ({"scopes": {"org": "1", "project": "7"}}, False),
    ({"kinds": ["write"]}, True),
    ({"kinds": ["read", "delete"]}, False),
]


@pytest.mark.parametrize(("switch", "stops"), SWITCHES)
def test_what_is_switched_off_is_403(
    serve: Serve, files: Held, switch: dict[str, object], stops: bool
) -> None:
    with serve(killswitches=[switch], report_only=True) as served:
        answer = served.ask("PUT", served.at("k"), b"x")
        if not stops:
            assert answer.status == 200
            return
        assert_text(answer, 403)
        assert refused(served, "killswitches") == 1
        assert list(files.list_files()) == []


def test_in_a_batch_only_what_is_switched_off_is_refused(serve: Serve) -> None:
    parts = [op("insert", "k", b"x"), op("get", "k"), op("delete", "k")]
    with serve(killswitches=[{"kinds": ["write", "delete"]}]) as served:
        answers = done(served, parts)
        assert [answers[index].status[:3] for index in range(3)] == ["403", "404", "403"]
    with serve(killswitches=[{"usecase": "test"}]) as served:
        assert_text(served.ask("POST", BATCH, b"".join(parts), Content_Type=TYPE), 403)


# Rates.

ELSEWHERE = {
    "requests": None,
    "usecase_requests": "objects/other/org=1/k",
    "scope_requests": "objects/test/org=2/k",
    "bytes": None,
    "usecase_bytes": "objects/other/org=1/k",
    "scope_bytes": "objects/test/org=2/k",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_more_than_passes_in_a_second_is_429(serve: Serve, name: str) -> None:
    limits: dict[str, Any] = {name: 1}
    with serve(**limits) as served:
        served.put("k", b"more than one byte")
        assert_text(served.ask("GET", served.at("k")), 429)
        batch = served.ask("POST", BATCH, op("get", "k"), Content_Type=TYPE)
        assert_text(batch, 429)
        assert refused(served, name) == 2
        elsewhere = ELSEWHERE[name]
        if elsewhere is not None:
            token = served.token(usecase=elsewhere.split("/")[1], scopes=(("org", "*"),))
            assert served.ask("GET", elsewhere, token=token).status == 404


def test_bytes_are_counted_in_both_directions_and_not_where_none_are_sent(
    serve: Serve, files: Held
) -> None:
    files.write(Place.of("test", [("org", 1)]).name_of("k"), bytes(600_000))
    with serve(bytes=900_000) as served:
        for _ in range(5):
            assert served.ask("HEAD", served.at("k")).status == 200
        assert len(served.ask("GET", served.at("k")).body) == 600_000
        wait_until_idle(served)
        assert done(served, [op("get", "k")])[0].status == "200 OK"
        wait_until_idle(served)
        assert_text(served.ask("GET", served.at("k")), 429)
    with serve(bytes=900_000) as served:
        for expected in (200, 200, 429):
            assert served.ask("PUT", served.at("k"), bytes(600_000)).status == expected


def test_who_is_refused_has_no_bytes_counted(serve: Serve) -> None:
    with serve(usecase_requests=1, bytes=100) as served:
        served.put("k", b"x")
        assert_text(served.ask("PUT", served.at("k"), bytes(100_000)), 429)
        token = served.token(usecase="other")
        assert served.ask("GET", "objects/other/org=1/k", token=token).status == 404


def test_what_is_read_of_a_refused_body_is_not_counted(serve: Serve) -> None:
    with serve(bytes=100) as served:
        for _ in range(2):
            wrong = served.ask("PUT", served.at("k"), bytes(100_000), Content_Encoding="gzip")
            assert_json(wrong, 400)
        served.put("k")


def test_a_batch_is_one_request_and_each_of_its_operations_one_more(serve: Serve) -> None:
    with serve(requests=4) as served:
        answers = done(served, [op("get", "k"), op("nothing"), *[op("get", "k")] * 4])
        statuses = [answers[index].status[:3] for index in range(6)]
        # What asks for nothing is not counted.
        assert statuses == ["404", "400", "404", "404", "429", "429"]
        assert b'"detail"' in answers[4].body
        assert refused(served, "requests") == 2


def test_what_is_only_reported_is_done(
    serve: Serve, files: Held, caplog: pytest.LogCaptureFixture
) -> None:
    limits: dict[str, Any] = {"requests": 1, "in_flight": 1, "operations": 1}
    with serve(report_only=True, **limits) as served:
        with files.shut():
            asked = [NativeTask(lambda: served.ask("HEAD", served.at("k"))) for _ in range(2)]
            files.wait_for(2)
        assert {task.result().status for task in asked} == {404}
        assert [refused(served, name) for name in limits] == [1, 1, 1]
        wait_until_idle(served)
    assert "over the limit requests" in caplog.text


# Operations.


def test_one_operation_too_many_is_429(serve: Serve, files: Held) -> None:
    with serve(operations=1, queue_timeout=0.05) as served:
        with files.shut():
            asked = NativeTask(lambda: served.ask("HEAD", served.at("k")))
            files.wait_for(1)
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                assert served.ask(method, served.at("k")).status == 429
            assert_json(served.ask("POST", "objects/test/org=1/", b"x"), 429)
            # A batch is done, and of its operations none.
            answers = done(served, [op("get", "k"), op("nothing"), op("insert", "k", b"x")])
            statuses = [answers[index].status for index in range(3)]
            assert statuses == ["429 Too Many Requests", "400 Bad Request", "429 Too Many Requests"]
            assert refused(served, "operations") == 7
        assert asked.result().status == 404
        wait_until_idle(served)
        assert done(served, [op("insert", "k", b"x")])[0].status == "201 Created"
        assert served.ask("GET", served.at("k")).body == b"x"
        wait_until_idle(served)


def test_so_many_wait_for_an_operation_to_end(serve: Serve, files: Held) -> None:
    with serve(operations=1, queue=1, queue_timeout=20) as served:
        with files.shut():
            asked = [NativeTask(lambda: served.ask("HEAD", served.at("k"))) for _ in range(2)]
            until(lambda: metrics(served)["operations_queued"] == 1)
            assert served.ask("HEAD", served.at("k")).status == 429
        assert {task.result().status for task in asked} == {404}
        wait_until_idle(served)
    with serve(operations=1, queue=1, queue_timeout=0.05) as served, files.shut():
        asked = [NativeTask(lambda: served.ask("HEAD", served.at("k"))) for _ in range(2)]
        until(lambda: refused(served, "operations") == 1)


def test_a_batch_leaves_operations_to_the_others(serve: Serve, files: Held) -> None:
    limits: dict[str, Any] = {"operations": 5, "bulk_ceiling": 0.4, "queue_timeout": 20}
    with serve(**limits) as served:
        with files.shut():
            batch = NativeTask(lambda: done(served, [op("head", str(n)) for n in range(9)]))
            files.wait_for(2)
            assert served.ask("GET", served.at("k")).status == 404
            found = metrics(served)
            assert (found["operations_most"], found["operations_bulk"]) == (5, 2)
        assert len(batch.result()) == 9
        assert files.most == 2
        wait_until_idle(served)


def test_a_window_is_there_at_once_or_the_batch_is_429(serve: Serve, files: Held) -> None:
    limits: dict[str, Any] = {"operations": 3, "bulk_policy": "window", "bulk_share": 0.5}
    with serve(**limits) as served:
        with files.shut():
            batches = []
            for running in (2, 3):  # Half of three, and half of the one that was left.
                parts = [op("head", f"{running}-{n}") for n in range(5)]
                batches.append(NativeTask(partial(done, served, parts)))
                files.wait_for(running)
            assert_json(served.ask("POST", BATCH, op("get", "k"), Content_Type=TYPE), 429)
            assert served.ask("GET", served.at("k")).status == 429
        assert [len(batch.result()) for batch in batches] == [5, 5]
        assert files.most == 3
        wait_until_idle(served)


# The order.


def test_checks_come_in_their_order(
    files: Held, key_pairs: dict[str, KeyPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has two faults, and is told of the first."""
    monkeypatch.setattr("api.served.POLICIES", {"test": Policy(longest={"ttl": timedelta(days=1)})})
    wrong: dict[str, Any] = {"X_Sn_Expiration": "soon"}
    long: dict[str, Any] = {"X_Sn_Expiration": "ttl:9d"}

    def put(served: Served, path: str = "objects/test/org=1/k", **how: Any) -> Any:
        return served.ask("PUT", path, b"x", **how).status

    serve = Serve(key_pairs, files)
    off: dict[str, Any] = {"killswitches": [{}]}
    with serve(in_flight=0) as served:
        assert put(served, "nothing", token=None) == 503
    with serve(**off, requests=0.0001) as served:
        assert put(served, "objects/t/org=1/k", token=None) == 400  # The token: as text it is JSON.
        assert put(served, "objects/t/org=1/k", token="x") == 401
        assert put(served, "objects/t/org=1/k") == 400
        assert [put(served) for _ in range(3)] == [403] * 3  # And counts for no rate.
    with serve(requests=0.0001) as served:
        assert put(served, **wrong) == 400
        assert put(served, **wrong) == 429
        assert served.ask("GET", served.at("k"), Range="lines=1").status == 429
        assert served.ask("GET", f"{served.at('k')}?a=%FF").status == 429
    with serve(operations=0) as served:
        reader = served.token([READ])
        assert put(served, token=reader, **wrong) == 400
        assert put(served, token=reader, **long) == 400
        assert put(served, token=reader) == 403
        assert put(served) == 429
        assert served.ask("GET", served.at("absent")).status == 429


def test_an_operation_is_checked_in_the_same_order(serve: Serve) -> None:
    with serve(requests=2, operations=0) as served:
        reader = served.token([READ])
        parts = [
            op("insert", "k", b"x", x_sn_expiration="soon"),
            op("insert", "k", b"x"),
            op("insert", "k", b"x"),
        ]
        answers = done(served, parts, token=reader)
        assert [answers[index].status[:3] for index in range(3)] == ["400", "403", "429"]


# Probes.


def test_probes_may_be_outside_too(files: Held) -> None:
    for path, base in (("/", ""), ("/of/it/", "/of/it")):
        app = Flask("probed")
        app.register_blueprint(
            objectstore(files, limits=Limits(in_flight=0), probes=path), url_prefix="/v1"
        )
        client = app.test_client()
        for probe in ("health", "ready", "keda"):
            for where in (base, "/v1"):
                assert client.get(f"{where}/{probe}").status_code == 200
                assert client.put(f"{where}/{probe}").status_code == 405
    app = Flask("plain")
    app.register_blueprint(objectstore(files), url_prefix="/v1")
    assert app.test_client().get("/health").status_code == 404


def test_every_metric_says_what_it_is(make_storage: MakeStorage, serve: Serve) -> None:
    with serve(make_storage(pool_size=7), operations=3, requests=1) as served:
        served.put("k")
        served.ask("GET", served.at("k"))
        wait_until_idle(served)
        lines = served.ask("GET", "keda", token=None).body.decode().splitlines()
        names = [line.split()[0].partition("{")[0] for line in lines if line[0] != "#"]
        kinds = ["gauge", "counter", "counter", *["gauge"] * 7]
        assert [line for line in lines if line.startswith("# TYPE")] == [
            f"# TYPE {name} {kind}" for name, kind in zip(names, kinds, strict=True)
        ]
        assert [line.split()[2] for line in lines if line.startswith("# HELP")] == names
        assert metrics(served) == {
            "requests_running": 0,
            "requests_total": 2,
            'refused_total{limit="requests"}': 1,
            "operations_most": 3,
            "operations_running": 0,
            "operations_bulk": 0,
            "operations_queued": 0,
            "pool_size": 7,
            "pool_lent": 0,
            "pool_waiting": 0,
        }


def test_a_wrong_setting_is_refused_when_the_service_is_registered(files: Held) -> None:
    app = Flask("wrong")
    app.config["FS_SERVICE_OPERATIONS"] = "many"
    with pytest.raises(ConfigError, match="FS_SERVICE_OPERATIONS"):
        app.register_blueprint(objectstore(files), url_prefix="/v1")
    # Those that were given are all there are.
    given = objectstore(files, limits=Limits(), name="given")
    app.register_blueprint(given, url_prefix="/v1")


# What is left.


@contextmanager
def reading(served: Served, sent: bytes | None = None) -> Iterator[None]:
    """Be a client that reads the beginning of an answer, and leaves."""
    with served.connect() as connection:
        connection.sendall(sent or head_of(served, "GET", served.at("k")))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        yield


def head_of(served: Served, method: str, path: str, *lines: str) -> bytes:
    head = [f"{method} /v1/{path} HTTP/1.1", "Host: x", f"x-os-auth: Bearer {served.token()}"]
    return "\r\n".join([*head, *lines, "", ""]).encode()


def leave_in_the_middle(served: Served) -> None:
    """Break off in a get, in a put, and in both directions of a batch."""
    with reading(served):
        pass
    content = f"Content-Type: {TYPE}"
    inserts = b"".join(op("insert", f"left-{n}", bytes(50_000)) for n in range(40))
    for sent in (
        head_of(served, "PUT", served.at("left"), "Content-Length: 9000000") + bytes(2_000_000),
        head_of(served, "POST", BATCH, content, "Content-Length: 9000000") + inserts,
    ):
        with served.connect() as connection:
            connection.sendall(sent)
    gets = op("get", "k") * 3
    whole = head_of(served, "POST", BATCH, content, f"Content-Length: {len(gets)}") + gets
    with reading(served, whole):
        pass


LIMITS: dict[str, Any] = {
    "FS_SERVICE_OPERATIONS": 2,
    "FS_SERVICE_QUEUE": 1,
    "FS_SERVICE_QUEUE_TIMEOUT": 0.05,
    "FS_SERVICE_IN_FLIGHT": 6,
    "FS_SERVICE_BYTES": 1e9,
    "FS_SERVICE_SCOPE_REQUESTS": 1e6,
}


@pytest.mark.parametrize(("kind", "policy"), [("gthread", "window"), ("gevent", "permits")])
def test_whatever_becomes_of_requests_nothing_is_left(
    key_pairs: dict[str, KeyPair], kind: str, policy: str
) -> None:
    with serving(kind, key_pairs, FS_SERVICE_BULK_POLICY=policy, **LIMITS) as served:
        served.put("k", bytes(LARGE))
        wait_until_idle(served)

        def visit(number: int) -> Any:
            if number % 3 == 0:
                parts = [op("insert", f"{number}-{n}", b"x") for n in range(20)]
                body = b"".join([*parts, op("get", "absent"), op("nothing")])
                return served.ask("POST", BATCH, body, Content_Type=TYPE).status
            if number % 3 == 1:
                return served.ask("PUT", served.at("k2"), bytes(100_000)).status
            return served.ask("GET", served.at("absent"), Range="lines=0").status

        for task in [NativeTask(partial(visit, number)) for number in range(30)]:
            assert task.result() in {200, 400, 404, 429, 503}
        leave_in_the_middle(served)
        wait_until_idle(served)
        assert served.ask("GET", served.at("k"), Range="bytes=0-9").status == 206


def test_on_swift_neither_permits_nor_connections_are_left(
    make_storage: MakeStorage, serve: Serve
) -> None:
    files = make_storage(pool_size=3, pool_timeout=0.5)
    with serve(files, operations=2, queue_timeout=0.5) as served:
        served.put("k", bytes(LARGE))
        leave_in_the_middle(served)
        until(lambda: metrics(served)["pool_lent"] == 0)
        wait_until_idle(served)
        end = time.monotonic() + 20
        while served.ask("GET", served.at("k"), Range="bytes=0-9").status != 206:
            assert time.monotonic() < end
