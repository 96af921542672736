"""Patience: every wait ends, however slowly the bytes drip."""

from __future__ import annotations

import socket
import time
from threading import Event
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.concurrency import Deadline
from flask_fs_swift.transport import MOST_INTERIM, NotConnected, Transport

from .scripted import OK, answer, then, wait_for_the_end

if TYPE_CHECKING:
    from .conftest import Play
    from .scripted import Caller, Script

SHORT = 0.3  # seconds


def drip(*pieces: bytes) -> Script:
    """Say something, and then a byte again and again, well within any time-out."""

    def script(caller: Caller) -> None:
        caller.answer(*pieces)
        while True:
            caller.say(b"x")
            time.sleep(SHORT / 10)

    return script


def assert_ends_soon(transport: Transport, *, kind: type[OSError] = TimeoutError) -> None:
    start = time.monotonic()
    with pytest.raises(kind):
        transport.request("GET", "/").read()
    assert time.monotonic() - start < 20 * SHORT


@pytest.mark.parametrize(
    "said", [b"", OK[:10], OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no"]
)
def test_a_server_that_falls_silent_is_given_up(play: Play, said: bytes) -> None:
    server, transport = play(
        then(answer(said), wait_for_the_end),
        answer(OK),
        timeout=SHORT,
    )
    assert_ends_soon(transport)
    transport.close()
    assert transport.request("GET", "/").read() == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-A: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n",
    ],
)
def test_a_server_that_drips_is_given_up(play: Play, said: bytes) -> None:
    _, transport = play(drip(said), timeout=SHORT)
    assert_ends_soon(transport)
    transport.close()


def test_interim_answers_that_drip_are_given_up(play: Play) -> None:
    def script(caller: Caller) -> None:
        caller.head()
        while True:
            caller.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            time.sleep(SHORT / 10)

    _, transport = play(script, timeout=SHORT)
    assert_ends_soon(transport, kind=OSError)


def test_the_patience_with_interim_answers_is_one_for_all(play: Play) -> None:
    """Each comes in two pieces, and neither is late by itself."""

    def script(caller: Caller) -> None:
        caller.head()
        for _ in range(MOST_INTERIM - 1):
            caller.say(b"HTTP/1.1 103 Early Hints")
            time.sleep(SHORT / 2)
            caller.say(b"\r\n\r\n")
        caller.say(OK)

    _, transport = play(script, timeout=SHORT)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        transport.request("GET", "/")
    assert time.monotonic() - start < 4 * SHORT


def test_a_deadline_that_is_longer_than_the_time_out_is_granted(play: Play) -> None:
    def slowly(caller: Caller) -> None:
        caller.head()
        for at in range(len(OK)):
            caller.say(OK[at : at + 1])
            time.sleep(SHORT / 10)

    _, transport = play(slowly, timeout=SHORT)
    transport.limit(SHORT, Deadline(60))
    assert transport.request("GET", "/").read() == b"ok"


def test_a_body_that_is_read_in_pieces_may_take_its_time(play: Play) -> None:
    def slowly(caller: Caller) -> None:
        caller.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            caller.say(b"x")
            time.sleep(SHORT / 10)

    _, transport = play(slowly, timeout=SHORT)
    got = transport.request("GET", "/")
    assert b"".join(iter(lambda: got.read(5), b"")) == b"x" * 20


def test_the_time_out_is_of_the_next_request(play: Play) -> None:
    _, transport = play(then(answer(OK), answer(), wait_for_the_end), timeout=60.0)
    assert transport.request("GET", "/").read() == b"ok"
    transport.limit(SHORT)
    assert_ends_soon(transport)


def test_a_server_that_does_not_take_what_is_sent_is_given_up(play: Play) -> None:
    done = Event()

    def deaf(caller: Caller) -> None:
        caller.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        done.wait(60)

    _, transport = play(deaf, timeout=SHORT)
    try:
        with pytest.raises(OSError, match="timed out"):
            transport.putrequest("/", bytes(64 << 20), {})
    finally:
        done.set()


def test_a_server_that_accepts_nobody_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # A backlog of none holds one or two; the next ones wait for ever.
        filling = [socket.socket() for _ in range(4)]
        for raw in filling:
            raw.setblocking(False)
            raw.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(NotConnected):
            Transport(url, tls=None, timeout=SHORT).request("GET", "/")
        assert time.monotonic() - start < 20 * SHORT
        for raw in filling:
            raw.close()
