"""Answers: where each ends, what of it is believed, and what is refused."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift import http1
from flask_fs_swift.http1 import LONGEST_CHUNK_LINE, LONGEST_HEAD, Malformed
from flask_fs_swift.transport import LONGEST_ERROR, MOST_INTERIM, Response

from .scripted import OK, PATIENCE, answer, then, wait_for_the_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.transport import Transport

    from .conftest import Play
    from .scripted import Caller

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(got: Response) -> bytes:
    return got.read()


def read_in_pieces(got: Response) -> bytes:
    return b"".join(iter(lambda: got.read(3), b""))


def readinto(got: Response) -> bytes:
    room = bytearray(5)
    content = b""
    while count := got.readinto(memoryview(room)):
        content += room[:count]
    return content


READERS = [read, read_in_pieces, readinto]


def get(transport: Transport, method: str = "GET") -> Response:
    return transport.request(method, "/v1/AUTH_test/c/o")


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# Where an answer ends.


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("said", "content"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 \r\ncontent-length: \t 2 \t\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n", b""),
        (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (CHUNKED + b"b;name=value;other\r\nhello world\r\n0;last\r\n\r\n", b"hello world"),
        (CHUNKED + b"B \r\nhello world\r\n000\r\n\r\n", b"hello world"),
        (CHUNKED + b"0b\r\nhello world\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"hello world"),
        (CHUNKED + b"0\r\n\r\n", b""),
        (CHUNKED.replace(b"chunked", b"Chunked") + b"2\r\nok\r\n0\r\n\r\n", b"ok"),
    ],
)
def test_an_answer_ends_where_it_says_and_the_next_follows(
    play: Play, read: Callable[[Response], bytes], said: bytes, content: bytes
) -> None:
    server, transport = play(then(answer(said), answer(*byte_by_byte(said)), answer(OK)))
    for _ in range(2):
        assert read(get(transport)) == content
    assert get(transport).read() == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize("read", READERS)
def test_an_answer_without_a_length_ends_with_its_connection(
    play: Play, read: Callable[[Response], bytes]
) -> None:
    server, transport = play(
        answer(b"HTTP/1.1 200 OK\r\n\r\nhello ", b"world"),
        answer(OK),
    )
    assert read(get(transport)) == b"hello world"
    assert get(transport).read() == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("headers", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_to_head_has_no_content_whatever_it_says(play: Play, headers: bytes) -> None:
    server, transport = play(
        then(
            answer(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"),
            answer(OK),
        )
    )
    got = get(transport, "HEAD")
    assert got.read() == b""
    assert got.readinto(memoryview(bytearray(5))) == 0
    assert get(transport).read() == b"ok"
    assert server.connections == 1


def test_interim_answers_are_passed_over(play: Play) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    _, transport = play(answer(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + OK))
    got = get(transport)
    assert (got.status, got.getheader("link"), got.read()) == (200, None, b"ok")


def test_a_body_of_megabytes_arrives_whole(play: Play) -> None:
    content = bytes(range(256)) * 20_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
    pieces = [content[at : at + 70_000] for at in range(0, len(content), 70_000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    _, transport = play(
        then(
            answer(head, content),
            answer(CHUNKED, chunks, b"0\r\n\r\n"),
            answer(head, content),
        )
    )
    assert get(transport).read() == content
    assert get(transport).read() == content
    assert readinto_large(get(transport)) == content


def readinto_large(got: Response) -> bytes:
    content = bytearray(6_000_000)
    view = memoryview(content)
    filled = 0
    while count := got.readinto(view[filled:]):
        filled += count
    return bytes(content[:filled])


# What an answer says.


def test_headers_are_found_by_any_case_and_joined_where_they_repeat(play: Play) -> None:
    _, transport = play(
        answer(
            b"HTTP/1.1 200 Very Fine\r\nX-A: 1\r\nx-a:  2 \r\nX-Empty:\r\nContent-Length: 0\r\n\r\n"
        )
    )
    got = get(transport)
    assert (got.status, got.reason) == (200, "Very Fine")
    assert got.getheader("X-a") == "1, 2"
    assert got.getheader("x-empty") == ""
    assert got.getheader("absent", "default") == "default"
    assert got.headers["CONTENT-LENGTH"] == "0"
    assert dict(got.getheaders())["x-a"] == "1, 2"


@pytest.mark.parametrize(
    ("sent", "read"), [("Grüße".encode(), "Grüße"), ("Grüße".encode("latin-1"), "Grüße")]
)
def test_headers_are_utf_8_and_latin_1_where_they_are_not(
    play: Play, sent: bytes, read: str
) -> None:
    _, transport = play(
        answer(b"HTTP/1.1 200 OK\r\nX-A: " + sent + b"\r\nContent-Length: 0\r\n\r\n")
    )
    assert get(transport).getheader("x-a") == read


def test_names_of_headers_may_be_utf_8_as_swifts_metadata(play: Play) -> None:
    named = "X-Object-Meta-Größe: 1\r\nContent-Length: 0\r\n"
    # A Kelvin sign: a letter that becomes "k" when it is made small.
    disguised = "Lin\u212a: 2\r\n"
    _, transport = play(answer(b"HTTP/1.1 200 OK\r\n", (named + disguised + "\r\n").encode()))
    assert get(transport).fields == {
        "x-object-meta-größe": "1",
        "content-length": "0",
        "lin\u212a": "2",
    }


# What is no answer.


def head_with(*lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b""))


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
        "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(),
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n",
        b"<html>\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
        head_with(b"no colon"),
        head_with(b": no name"),
        head_with(b"A : blank before the colon"),
        head_with(b" A: folded"),
        head_with(b"A: 1", b" folded"),
        head_with(b"A\0: b"),
        head_with(b"A: b\0"),
        head_with(b"A: b\rSet: c"),
        head_with(b"A: b\nSet: c"),
        head_with(b"Content-Length: 2", b"Content-Length: 3"),
        head_with(b"Content-Length: 2", b"Content-Length: 2"),
        head_with(b"Content-Length: 2, 2"),
        head_with(b"Content-Length: -1"),
        head_with(b"Content-Length: +2"),
        head_with(b"Content-Length: 0x2"),
        head_with(b"Content-Length: 1_0"),
        head_with("Content-Length: ٢".encode()),
        head_with(b"Content-Length:"),
        head_with(b"Content-Length: 2 2"),
        head_with(b"Content-Length: 99999999999999999999"),
        head_with(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        head_with(b"Transfer-Encoding: gzip, chunked"),
        head_with(b"Transfer-Encoding: chunked, chunked"),
        head_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        head_with(b"Transfer-Encoding: identity"),
        head_with("Transfer-Encoding: chun\u212aed".encode()),
        head_with(b"Transfer-Encoding:"),
        head_with(b"A: " + b"b" * LONGEST_HEAD),
        b"HTTP/1.1 200 " + b"O" * (LONGEST_HEAD + 1) + b"K\r\n\r\n",
        b"A" * (3 * LONGEST_HEAD),
    ],
)
def test_what_is_no_answer_is_refused_and_its_connection_closed(play: Play, said: bytes) -> None:
    server, transport = play(
        then(answer(said + b"ok"), wait_for_the_end),
        answer(OK),
    )
    with pytest.raises(Malformed) as raised:
        get(transport).read()
    assert len(str(raised.value)) < 200, "what a stranger said is not repeated at length"
    assert get(transport).read() == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        b"x\r\nok",
        b"\r\nok",
        b"-2\r\nok",
        b"+2\r\nok",
        b"0x2\r\nok",
        b"2_0\r\nok",
        b" 2\r\nok",
        b"2 2\r\nok",
        b"2\nok\n0\n\n\r\n",
        b"2;a\0b\r\nok\r\n0\r\n\r\n",
        b"12345678901234567\r\nok",
        b"2\r\nok0\r\n\r\n",
        b"2\r\nokay\r\n0\r\n\r\n",
        b"2\r\no\r\n0\r\n\r\n",
        b"2;" + b"a" * (LONGEST_CHUNK_LINE + 1) + b"\r\nok\r\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\n" + b"A: b\r\n" * (LONGEST_HEAD // 3) + b"\r\n",
        b"2\r\nok\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"2\r\nok\r\n0\r\nA: b\n\r\n\r\n",
        b"2\r\nok\r\n0\r\nA: \0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_what_are_no_chunks_is_refused_and_its_connection_closed(
    play: Play, read: Callable[[Response], bytes], said: bytes
) -> None:
    server, transport = play(
        then(answer(CHUNKED + said), wait_for_the_end),
        answer(OK),
    )
    with pytest.raises(Malformed):
        read(get(transport))
    assert get(transport).read() == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello worl",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5",
        CHUNKED + b"5\r\nhell",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n",
    ],
)
def test_an_answer_that_ends_early_is_an_error(
    play: Play, read: Callable[[Response], bytes], said: bytes
) -> None:
    _, transport = play(answer(said), answer(OK))
    got = get(transport)
    with pytest.raises(Malformed):
        read(got)
    assert get(transport).read() == b"ok"


@pytest.mark.parametrize("said", [b"", b"H", OK[:20], OK[:-4]])
def test_an_answer_that_ends_within_its_head_is_an_error(play: Play, said: bytes) -> None:
    _, transport = play(answer(said), answer(OK))
    with pytest.raises(ConnectionError):
        get(transport)
    assert get(transport).read() == b"ok"


def test_interim_answers_do_not_go_on_for_ever(play: Play) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" * MOST_INTERIM
    _, transport = play(answer(interim + OK))
    with pytest.raises(Malformed, match="interim"):
        get(transport)


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 99999999"])
def test_no_more_is_read_of_an_error_than_anybody_shows(play: Play, framing: bytes) -> None:
    endless = [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 200
    server, transport = play(
        answer(b"HTTP/1.1 500 Oh\r\n" + framing + b"\r\n\r\n", *endless),
        answer(OK),
    )
    got = get(transport)
    assert len(got.read()) == LONGEST_ERROR
    assert get(transport).read() == b"ok"
    assert server.connections == 2


def test_names_of_headers_that_differ_each_time_fill_no_memory(play: Play) -> None:
    answers = [
        head_with(*(b"X-%d-%d: 1" % (n, m) for m in range(300)), b"Content-Length: 0")
        for n in range(5)
    ]
    _, transport = play(then(*map(answer, answers)))
    for _ in answers:
        assert len(get(transport).fields) == 301
    assert len(http1._received) <= http1._MOST_NAMES


# An answer and its connection.


@pytest.mark.parametrize(
    "connection", [b"close", b"Close", b"keep-alive, close", b"foo\r\nConnection: close"]
)
def test_a_connection_that_is_announced_to_close_is_not_used_again(
    play: Play, connection: bytes
) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: " + connection + b"\r\n\r\nok"
    server, transport = play(
        then(answer(said), wait_for_the_end),
        answer(OK),
    )
    assert get(transport).read() == b"ok"
    assert get(transport).read() == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("connection", "connections"), [(b"", 2), (b"Connection: keep-alive\r\n", 1)]
)
def test_http_1_0_closes_unless_it_says_otherwise(
    play: Play, connection: bytes, connections: int
) -> None:
    said = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n" + connection + b"\r\nok"
    server, transport = play(*[then(answer(said), answer(said))] * connections)
    assert get(transport).read() == b"ok"
    assert get(transport).read() == b"ok"
    transport.close()
    assert server.connections == connections


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("split", [0, 20, len(OK) - 2, len(OK)])
def test_what_follows_an_answer_is_never_the_next_one(play: Play, split: int) -> None:
    """Over TLS the rest of a record that was partly read is on no socket any more."""
    both = OK + FORGED
    server, transport = play(then(answer(both[:split], both[split:]), wait_for_the_end), answer(OK))
    first = get(transport)
    if split:
        # The second piece is there when the content is read.
        time.sleep(0.02)
    assert first.read() == b"ok"
    assert get(transport).read() == b"ok"
    assert server.connections == 2


def test_http_1_0_has_no_chunks_that_another_answer_could_follow(play: Play) -> None:
    said = (
        CHUNKED.replace(b"1.1", b"1.0")[:-2] + b"Connection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    server, transport = play(then(answer(said), wait_for_the_end), answer(OK))
    assert get(transport).read() == b"ok"
    assert get(transport).read() == b"ok"
    assert server.connections == 2


def test_what_follows_later_is_never_the_next_answer(play: Play) -> None:
    was_read, said = Event(), Event()

    def say_more(caller: Caller) -> None:
        caller.answer(OK)
        was_read.wait(PATIENCE)
        caller.say(FORGED)
        said.set()
        caller.wait_for_the_end()

    server, transport = play(say_more, answer(OK))
    assert get(transport).read() == b"ok"
    was_read.set()
    assert said.wait(PATIENCE)
    assert get(transport).read() == b"ok"
    assert server.connections == 2


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection(play: Play) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    server, transport = play(
        then(answer(long), wait_for_the_end),
        then(answer(long), wait_for_the_end),
        answer(OK),
    )
    got = get(transport)
    assert got.read(10) == b"x" * 10
    got.close()
    assert got.read() == got.read(10) == b""
    second = get(transport)
    assert second.read(10) == b"x" * 10
    assert get(transport).read() == b"ok", "an answer that was left lying about is not read on"
    assert server.connections == 3


def test_an_old_answer_that_is_closed_leaves_the_next_one_alone(play: Play) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    _, transport = play(then(answer(long), wait_for_the_end), answer(long))
    old = get(transport)
    new = get(transport)
    old.close()
    assert new.read() == b"x" * 1000


def test_an_answer_is_over_with_its_last_byte(play: Play) -> None:
    _, transport = play(then(answer(OK), answer(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")))
    for _ in range(2):
        got = get(transport)
        assert not got.is_over()
        assert got.read(2) == b"ok"
        assert got.is_over()
        assert got.read(2) == b""


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_the_server_closed_is_noticed_before_a_request(
    play: Play, how: str
) -> None:
    was_read = Event()

    def answer_and_leave(caller: Caller) -> None:
        caller.answer(OK)
        assert was_read.wait(PATIENCE)
        if how == "reset":
            caller.reset()

    server, transport = play(answer_and_leave, answer(OK))
    assert get(transport).read() == b"ok"
    was_read.set()
    server.wait_until_closed()
    assert get(transport).read() == b"ok"
    assert server.connections == 2
