"""Requests: what is sent, what is refused before it is, and content on its way."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift import FSError, StreamBroken
from flask_fs_swift.blocks import BLOCK
from flask_fs_swift.http1 import Malformed
from flask_fs_swift.transport import EXPECT_WAIT, WITH_HEAD, NotConnected, Transport

from .scripted import CREATED, OK, answer, then, wait_for_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Play
    from .scripted import Caller, Script

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\n\r\nno way"
UNEXPECTED = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

LARGE = bytes(range(256)) * 12_000


def put(
    transport: Transport, content: bytes | io.BytesIO | Iterator[bytes] | None, **headers: object
) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    got = transport.putrequest("/v1/AUTH_test/c/o", content, named)
    got.read()
    return got.status


def stored(size: int) -> Script:
    """Take a request, asking for its content where that is expected."""

    def script(caller: Caller) -> None:
        if b"expect: 100-continue" in caller.head():
            caller.say(CONTINUE)
        caller.receive(size)
        caller.say(CREATED)

    return script


def stored_without_asking(caller: Caller) -> None:
    caller.head()
    caller.receive(len(LARGE))
    caller.say(CREATED)


def dechunked(data: bytes) -> bytes:
    content = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        content += data[:size]
        if not size:
            assert data == b"\r\n"
            return content
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]


# What is sent.


def test_a_request_is_what_http_asks_for_and_no_more(play: Play) -> None:
    server, transport = play(answer(OK))
    transport.request("GET", "/v1/a/c/%C3%A4?format=json", headers={"X-Auth-Token": b"secret"})
    host = server.url.split("//")[1].encode()
    assert server.heads() == [
        b"GET /v1/a/c/%C3%A4?format=json HTTP/1.1\r\n"
        b"host: " + host + b"\r\naccept-encoding: identity\r\n"
        b"x-auth-token: secret\r\nuser-agent: flask-fs-swift"
    ]


def test_nobody_else_says_which_host_is_meant(play: Play) -> None:
    server, transport = play(answer(CREATED))
    put(transport, None, Host="elsewhere")
    assert b"elsewhere" not in server.heads()[0]


def test_headers_are_numbers_text_and_bytes_and_none_is_left_out(play: Play) -> None:
    server, transport = play(answer(CREATED))
    put(transport, None, X_Number=7, X_Text="Grüße", X_Bytes="Ä".encode(), X_None=None)
    lines = server.heads()[0].decode().split("\r\n")
    assert {"x-number: 7", "x-text: Grüße", "x-bytes: Ä"} <= set(lines)
    assert not any(line.startswith("x-none") for line in lines)


@pytest.mark.parametrize("size", [0, 1, WITH_HEAD, WITH_HEAD + 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_content_of_any_size_arrives_with_its_length(play: Play, size: int) -> None:
    content = (LARGE * 2)[:size]
    server, transport = play(stored(size), stored(size))
    assert put(transport, content) == 201
    transport.close()
    assert put(transport, io.BytesIO(content), Content_Length=str(size)) == 201
    for head in server.heads():
        assert b"\r\ncontent-length: %d\r\n" % size in head + b"\r\n"
        assert b"transfer-encoding" not in head
        assert (b"expect: 100-continue" in head) == (size > BLOCK)
    assert server.contents() == [content, content]


def test_content_of_unknown_length_arrives_in_chunks(play: Play) -> None:
    blocks = [b"a", b"", b"bc" * 70_000, LARGE]

    def script(caller: Caller) -> None:
        caller.answer(CONTINUE)
        caller.receive_chunks()
        caller.say(CREATED)

    server, transport = play(script)
    assert put(transport, iter(blocks)) == 201
    (head,), (received,) = server.heads(), server.contents()
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert dechunked(received) == b"".join(blocks)


def test_no_content_has_no_length_where_nobody_expects_content(play: Play) -> None:
    server, transport = play(then(answer(OK), answer(CREATED)))
    transport.request("GET", "/").read()
    transport.request("POST", "/").read()
    transport.close()
    got, posted = server.heads()
    assert b"content-length" not in got
    assert b"content-length: 0" in posted


# What is refused before anything is sent.


@pytest.mark.parametrize(
    "value",
    ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\r\n\r\nGET / HTTP/1.1", "a\0b", "a\n"],
)
@pytest.mark.parametrize("kind", [str, str.encode])
def test_a_header_that_would_end_its_line_is_refused(
    play: Play, value: str, kind: Callable[[str], object]
) -> None:
    server, transport = play(answer(CREATED))
    with pytest.raises(FSError, match="nothing"):
        put(transport, b"content", X_Object_Meta_A=kind(value))
    assert put(transport, None) == 201, "the connection is as good as before"
    (head,) = server.heads()
    assert b"evil" not in head.lower()


@pytest.mark.parametrize(
    "name", ["X-A\r\nX-Evil", "X-A: 1\r\nX-Evil", "X A", "X-A:", "", "X\0A", "X-A\n"]
)
def test_a_name_of_a_header_that_is_none_is_refused(play: Play, name: str) -> None:
    _, transport = play()
    with pytest.raises(FSError):
        transport.request("GET", "/", headers={name: "1"})


def test_a_header_that_is_no_unicode_is_refused(play: Play) -> None:
    _, transport = play()
    with pytest.raises(FSError) as raised:
        transport.request("GET", "/", headers={"X-A": "\udc80", "X-Auth-Token": "secret"})
    assert raised.value.__cause__ is None
    assert "secret" not in repr(raised.value)


@pytest.mark.parametrize(
    "target",
    [
        "/a b",
        "/a\tHTTP/1.1",
        "/a\x0bb",
        "/a\x7f",
        "",
        "/a\r\nX-Evil: 1",
        "/a\n",
        "/ä",
        "/a HTTP/1.1\r\n\r\nGET /b",
        "/a\0",
    ],
)
def test_a_target_that_would_end_its_line_is_refused(play: Play, target: str) -> None:
    _, transport = play()
    with pytest.raises(FSError):
        transport.request("GET", target)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "3"},
        {"Content-Length": "6"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "+5"},
        {"Content-Length": "5\r\n"},
    ],
)
def test_headers_that_contradict_the_content_are_refused(
    play: Play, headers: dict[str, str]
) -> None:
    _, transport = play()
    with pytest.raises(FSError):
        transport.putrequest("/", b"12345", headers)


@pytest.mark.parametrize(("content", "error"), [(b"x" * 9, StreamBroken), (b"x" * 11, FSError)])
def test_content_that_is_not_as_long_as_promised_ends_the_connection(
    play: Play, content: bytes, error: type[FSError]
) -> None:
    server, transport = play(
        then(answer(), wait_for_the_end),
        answer(CREATED),
    )
    with pytest.raises(error):
        put(transport, iter([content[:5], content[5:]]), Content_Length=10)
    assert put(transport, None) == 201
    assert len(server.contents()[0]) <= 10, "nothing of it can pass for another request"


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "five"}, {"X-A": b"\xff"}, {"X-A": "\ud800"}]
)
def test_headers_without_a_meaning_are_refused(play: Play, headers: dict[str, object]) -> None:
    _, transport = play()
    with pytest.raises(FSError, match="nothing"):
        transport.putrequest("/", b"12345", headers)
    with pytest.raises(FSError, match="nothing"):
        transport.putrequest("/", "\ud800", {})


def test_an_error_in_the_content_is_raised_and_the_connection_closed(play: Play) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("the disk is gone")

    server, transport = play(
        then(answer(CONTINUE), wait_for_the_end),
        answer(CREATED),
    )
    with pytest.raises(RuntimeError, match="the disk is gone"):
        put(transport, broken())
    assert put(transport, None) == 201
    assert server.connections == 2


# 100-continue.


def test_a_refusal_costs_no_content(play: Play) -> None:
    server, transport = play(
        then(answer(REFUSED), wait_for_the_end),
        answer(CREATED),
    )
    got = transport.putrequest("/", LARGE, {})
    assert (got.status, got.read()) == (413, b"no way")
    assert put(transport, None) == 201
    assert server.contents() == [b""], "no content was sent"


def test_a_server_that_ignores_the_expectation_is_waited_for_once(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_fs_swift.transport.EXPECT_WAIT", 0.3)

    server, transport = play(then(stored_without_asking, stored_without_asking))
    start = time.monotonic()
    assert put(transport, LARGE) == 201
    assert time.monotonic() - start >= 0.3
    assert put(transport, LARGE) == 201
    first, second = server.heads()
    assert b"expect" in first
    assert b"expect" not in second
    assert server.contents() == [LARGE, LARGE]


def test_the_content_is_not_held_back_for_long() -> None:
    assert EXPECT_WAIT <= 5.0, "seconds, per connection to a server that does not know it"


def test_a_continue_that_comes_late_is_no_answer(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_fs_swift.transport.EXPECT_WAIT", 0.05)

    def late(caller: Caller) -> None:
        caller.head()
        caller.receive(len(LARGE))
        caller.say(CONTINUE, CREATED)
        caller.answer(OK)

    _, transport = play(late)
    assert put(transport, LARGE) == 201
    assert transport.request("GET", "/").read() == b"ok"


def test_an_expectation_that_fails_is_dropped_and_the_request_sent_again(play: Play) -> None:
    server, transport = play(then(answer(UNEXPECTED), wait_for_the_end), stored_without_asking)
    assert put(transport, LARGE) == 201
    first, second = server.heads()
    assert b"expect" in first
    assert b"expect" not in second
    assert server.contents() == [b"", LARGE]


@pytest.mark.parametrize("taken", [300_000, 20 * len(LARGE)])
def test_an_expectation_that_fails_too_late_stores_no_half(
    play: Play, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """What is left of content that passes once would be a whole and shorter object."""
    monkeypatch.setattr("flask_fs_swift.transport.EXPECT_WAIT", 0.05)

    def hesitate(caller: Caller) -> None:
        caller.head()
        caller.receive(taken)
        caller.say(UNEXPECTED)
        if taken == 300_000:
            caller.wait_for_the_end()

    server, transport = play(hesitate, stored_without_asking)
    assert put(transport, iter([LARGE] * 20), Content_Length=20 * len(LARGE)) == 417
    server.wait_until_closed()
    assert put(transport, LARGE) == 201
    first, second = server.heads()
    assert b"expect" in first
    assert b"expect" not in second


def test_bytes_are_sent_again_however_late_the_expectation_fails(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_fs_swift.transport.EXPECT_WAIT", 0.05)

    def hesitate(caller: Caller) -> None:
        caller.head()
        caller.receive(len(LARGE))
        caller.say(UNEXPECTED)

    server, transport = play(then(hesitate, stored_without_asking))
    assert put(transport, LARGE) == 201
    assert server.contents() == [LARGE, LARGE]


def test_a_success_before_the_content_was_wanted_is_none(play: Play) -> None:
    _, transport = play(then(answer(CREATED), wait_for_the_end))
    with pytest.raises(Malformed, match="before the content was sent"):
        put(transport, LARGE)


# Answers that come while content is being sent.


def endless(sent: list[int]) -> Iterator[bytes]:
    """Content that would take for ever, and is counted."""
    while True:
        yield LARGE[:65536]
        sent[0] += 65536
        assert sent[0] < 1 << 30, "nobody listened"


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
def test_an_early_error_ends_the_sending(play: Play, closing: bytes) -> None:
    said = b"HTTP/1.1 507 Full\r\n" + closing + b"Content-Length: 4\r\n\r\nfull"

    def full(caller: Caller) -> None:
        caller.answer(CONTINUE)
        caller.receive(300_000)
        caller.say(said)
        caller.wait_for_the_end()

    server, transport = play(full, answer(CREATED))
    got = transport.putrequest("/", endless([0]), {})
    assert (got.status, got.read()) == (507, b"full")
    assert put(transport, None) == 201, "over another connection: this one is in mid-request"
    assert server.connections == 2


def test_an_error_of_a_server_that_stops_listening_is_read(play: Play) -> None:
    def full(caller: Caller) -> None:
        caller.answer(CONTINUE)
        caller.receive(300_000)
        caller.say(b"HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull")
        caller.stop_listening()

    _, transport = play(full)
    got = transport.putrequest("/", endless([0]), {})
    assert (got.status, got.read()) == (507, b"full")


def test_an_early_success_is_an_error(play: Play) -> None:
    def too_soon(caller: Caller) -> None:
        caller.answer(CONTINUE)
        caller.receive(300_000)
        caller.say(CREATED)
        caller.wait_for_the_end()

    _, transport = play(too_soon)
    with pytest.raises(Malformed, match="before the content was sent"):
        put(transport, endless([0]))


def test_a_server_that_dies_while_it_is_sent_to_is_an_error(play: Play) -> None:
    def die(caller: Caller) -> None:
        caller.answer(CONTINUE)
        caller.receive(300_000)
        caller.reset()

    server, transport = play(die, answer(CREATED))
    with pytest.raises(OSError) as raised:
        put(transport, endless([0]))
    assert not isinstance(raised.value, NotConnected), "some of it was sent"
    assert put(transport, None) == 201
    assert server.connections == 2


@pytest.mark.parametrize("address", ["127.0.0.1:99999", ".example", "127.0.0.1:port", "a" * 64])
def test_an_address_that_is_none_was_sent_nothing(address: str) -> None:
    transport = Transport(f"http://{address}/v1/a", tls=None, timeout=5.0)
    with pytest.raises(NotConnected):
        transport.request("GET", "/v1/a")


def test_where_nobody_listens_nothing_was_sent(play: Play) -> None:
    server, _ = play()
    assert server.heads() == []
    transport = Transport(server.url.replace("https", "http"), tls=None, timeout=5.0)
    with pytest.raises(NotConnected):
        put(transport, b"content")
