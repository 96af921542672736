"""The gate: what it counts, and what becomes of it without a server."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from werkzeug.wrappers import Response

from flask_fs_swift.api.places import Place
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.server.blueprint import objectstore
from flask_fs_swift.api.server.gate import Gate
from flask_fs_swift.api.server.limits import Killswitch, Limits

if TYPE_CHECKING:
    from flask_fs_swift import Storage

HERE = Place.of("here")


def test_a_request_ends_once() -> None:
    gate = Gate(Limits())
    first, second = gate.enter(), gate.enter()
    first.close()
    first.close()
    assert (gate.stats().running, gate.stats().begun) == (1, 2)
    second.close()
    assert (gate.stats().running, gate.stats().begun) == (0, 2)


def test_who_was_refused_is_not_in_flight() -> None:
    gate = Gate(Limits(in_flight=1))
    ticket = gate.enter()
    for _ in range(2):
        with pytest.raises(Refusal):
            gate.enter()
    assert (gate.stats().running, gate.stats().refused) == (1, {"in_flight": 2})
    ticket.close()
    gate.enter()


def test_a_request_whose_answer_is_dropped_has_ended() -> None:
    gate = Gate(Limits(in_flight=1))
    ticket = gate.enter()
    del ticket
    gc.collect()
    assert gate.stats().running == 0


def test_an_answer_that_the_application_replaces_has_ended(memory_files: Storage) -> None:
    app = Flask("replaced")
    service = objectstore(memory_files, enforce=False, limits=Limits(in_flight=1))
    app.register_blueprint(service, url_prefix="/v1")
    memory_files.write(HERE.name_of("k"), b"x")

    @app.after_request
    def replace(_: Response) -> Response:
        return Response("other")

    client = app.test_client()
    for _ in range(3):
        assert client.get("/v1/objects/here/_/k").data == b"other"
        gc.collect()
    app.after_request_funcs.clear()
    assert client.get("/v1/objects/here/_/k").data == b"x"


def test_a_forked_child_counts_its_own() -> None:
    gate = Gate(Limits(in_flight=1, killswitches=[Killswitch()]))
    ticket = gate.enter()
    with pytest.raises(Refusal):
        gate.admit(HERE, "read")
    with gate._lock:
        gate.after_fork()
    ticket.close()
    assert (gate.stats().running, gate.stats().refused) == (0, {})
    gate.enter()


def test_bytes_are_only_counted_where_they_are_limited() -> None:
    assert Gate(Limits(requests=5)).admit(HERE, "read") is None
    assert Gate(Limits(bytes=5)).admit(HERE, "read") is not None


def test_what_would_not_have_passed_has_no_bytes_counted() -> None:
    gate = Gate(Limits(requests=1, bytes=5, report_only=True), clock=lambda: 0.0)
    assert gate.admit(HERE, "read") is not None
    assert gate.admit(HERE, "read") is None
