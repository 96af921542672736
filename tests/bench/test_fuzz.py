"""The fuzz campaign plays what it means to, and finds what is broken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from bench.fuzz import __main__ as command
from bench.fuzz import campaign, oracle
from bench.fuzz.campaign import Tally, run, run_all
from bench.fuzz.generate import case
from bench.fuzz.requests import BadRequest, read_request
from flask_fs_swift import http1, transport
from flask_fs_swift.transport import Response
from flask_fs_swift.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.http1 import Head

SEED = 11
#: Every class that a campaign must come across, or it is about nothing.
CLASSES = {
    "answered",
    "answered after an interim answer",
    "answered, begin",
    "answered, blocks",
    "answered, chunked",
    "answered, close",
    "answered, nothing",
    "answered, read",
    "answered, readinto",
    "answered, sized",
    "connection not reused",
    "connection reused",
    "kept",
    "refused",
    "refused after its head",
    "sent again",
    "streamed",
    "timed out",
}
WRONGS = {
    "broken value",
    "chunks cut off",
    "content cut off",
    "head cut off",
    "head too long",
    "length and chunks",
    "line too long",
    "no chunk size",
    "no header",
    "no length",
    "no status line",
    "no trailer",
    "switches the protocol",
    "too many interim answers",
    "unknown coding",
}


@pytest.fixture(scope="module")
def tally() -> Tally:
    return run(SEED, range(10_000))


def test_the_transport_passes(tally: Tally) -> None:
    assert not tally.found, "\n".join(map(str, tally.findings))


def test_a_campaign_comes_across_everything(tally: Tally) -> None:
    assert not CLASSES - set(tally.classes)
    assert not WRONGS - set(tally.wrongs)


def test_neither_refusals_nor_answers_are_rare(tally: Tally) -> None:
    exchanges = tally.classes["answered"] + tally.classes["refused"]
    assert 0.2 < tally.classes["answered"] / exchanges < 0.8
    assert tally.classes["connection reused"] > 0.2 * tally.classes["answered"]


def test_a_case_is_made_of_its_seed_and_its_index_alone() -> None:
    assert case(3, 5) == case(3, 5)
    assert case(3, 5) != case(3, 6)
    assert case(3, 5).exchanges != case(4, 5).exchanges


def test_several_processes_play_the_same_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "BATCH", 200)
    alone, together = run_all(SEED, 400, 1), run_all(SEED, 400, 2)
    assert together.cases == 400
    assert (alone.classes, alone.wrongs) == (together.classes, together.wrongs)


# What is broken is found.


def found() -> set[str]:
    return set(run(SEED, range(1500)).found)


def changed_heads(monkeypatch: pytest.MonkeyPatch, change: Callable[[Head], object]) -> None:
    def parse_head(data: bytes) -> Head:
        head = http1.parse_head(data)
        change(head)
        return head

    monkeypatch.setattr(transport, "parse_head", parse_head)


def test_it_finds_that_surplus_bytes_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "has_arrived", lambda _: False)
    kinds = found()
    assert "lent again: something follows" in kinds
    assert "lent again: the connection is gone" in kinds


def test_it_finds_that_a_server_is_not_believed_that_it_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed_heads(monkeypatch, lambda head: setattr(head, "may_persist", True))
    assert found() >= {"lent again: the server closes"}


@pytest.mark.parametrize("more", [-1, 1])
def test_it_finds_that_content_is_a_byte_too_short_or_too_long(
    monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    def content_length(head: Head, method: str) -> int | None:
        length = http1.content_length(head, method)
        return length + more if length else length

    monkeypatch.setattr(transport, "content_length", content_length)
    assert found() & {"content cut short", "refused without a reason"}


def test_it_finds_that_an_answer_that_ends_early_is_taken_for_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def took(answer: Response, count: int) -> None:
        if answer._left is not None:
            answer._left -= count or answer._left
        if answer._chunks is None and (not answer._left or not count):
            answer._end()

    monkeypatch.setattr(Response, "_took", took)
    assert "accepted: content cut off" in found()


def test_it_finds_headers_that_are_lost_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed_heads(monkeypatch, lambda head: head.headers.pop("x-dup", None))
    assert found() == {"wrong headers"}


def test_it_finds_wrong_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    changed_heads(monkeypatch, lambda head: setattr(head, "status", head.status ^ 1))
    assert "wrong status" in found()


def test_it_finds_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    changed_heads(monkeypatch, lambda head: head.headers["x-dup"])
    assert "crash: KeyError" in found()


def test_it_finds_cases_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        while True:
            time.sleep(0.001)

    changed_heads(monkeypatch, lambda head: never() if "etag" in head.headers else None)
    monkeypatch.setattr(campaign, "LONGEST_CASE", 0.05)
    assert run(SEED, range(10)).found["hang"]


def test_it_finds_what_is_slipped_into_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def request_head(method: str, target: str, fixed: str, headers: dict[str, Any]) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"{method} {target} HTTP/1.1\r\n{fixed}{lines}\r\n".encode(errors="replace")

    monkeypatch.setattr(transport, "request_head", request_head)
    kinds = found()
    assert {"sent: something follows", "other headers sent"} <= kinds


# The oracle.


def reading(said: bytes, method: str = "GET", *, ended: bool = False) -> oracle.Reading:
    return oracle.read(said, method, ended=ended)


def test_the_oracle_reads_what_is_sized() -> None:
    said = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\na:\t2 \r\n"
    said += b"Content-Length: 2\r\n\r\nokHTTP"
    got = reading(said)
    assert (got.status, got.reason, got.content, got.wrong) == (200, b"OK", b"ok", "")
    assert got.headers == {b"a": b"1, 2", b"content-length": b"2"}
    assert got.holds(said, gone=False) == "something follows"
    assert not got.holds(said[:-4], gone=False)


def test_the_oracle_reads_chunks() -> None:
    said = (
        b'HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n2 ; a="b"\r\nok\r\n00\r\nA: b\r\n\r\n'
    )
    got = reading(said)
    assert (got.content, got.wrong, got.end) == (b"ok", "", len(said))


def test_the_oracle_reads_to_the_end_of_the_connection() -> None:
    said = b"HTTP/1.1 200 OK\r\n\r\nok"
    assert reading(said, ended=True).wrong == ""
    assert reading(said).wrong == "content cut off"
    assert reading(said, ended=True).holds(said, gone=True)


@pytest.mark.parametrize(
    ("head", "last"),
    [
        (b"HTTP/1.1 204 No\r\n", ""),
        (b"HTTP/1.1 204 No\r\nConnection: a,\tCLOSE\r\n", "the server closes"),
        (b"HTTP/1.0 204 No\r\n", "HTTP/1.0"),
        (b"HTTP/1.0 204 No\r\nConnection: Keep-Alive\r\n", ""),
        (
            b"HTTP/1.0 204 No\r\nConnection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n",
            "chunks in HTTP/1.0",
        ),
    ],
)
def test_the_oracle_knows_a_last_answer(head: bytes, last: str) -> None:
    assert reading(head + b"\r\n").last == last


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (b"HTTP/1.1 200 OK\r\n", "head cut off"),
        (b"HTTP/1.1 200 OK\n\n", "head cut off"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 65536 + b"\r\n\r\n", "head too long"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n", "broken value"),
        (b"HTTP/1.1 101 Go\r\n\r\n", "switches the protocol"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 16, "too many interim answers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "no length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "content cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "unknown coding"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
            "length and chunks",
        ),
    ],
)
def test_the_oracle_refuses(said: bytes, wrong: str) -> None:
    assert reading(said).wrong == wrong


@pytest.mark.parametrize(
    ("chunks", "wrong"),
    [
        (b"2\nok\r\n0\r\n\r\n", "no chunk size"),
        (b"2\r\noks\r\n0\r\n\r\n", "line too long"),
        (b"2\r\nok\r\n", "chunks cut off"),
        (b"2;" + b"e" * 1023 + b"\r\nok\r\n0\r\n\r\n", "line too long"),
        (b"0\r\na\r\n\r\n", "no trailer"),
    ],
)
def test_the_oracle_refuses_chunks(chunks: bytes, wrong: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert reading(head + chunks).wrong == wrong


# The strict server.


def test_the_server_reads_one_request() -> None:
    got = read_request(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok")
    assert (got.method, got.target, got.content, got.is_whole) == (b"PUT", b"/a", b"ok", True)
    assert got.headers == {b"host": b"h", b"content-length": b"2"}


def test_the_server_reads_chunks_and_sees_that_some_are_missing() -> None:
    head = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = read_request(head + b"2\r\nok\r\n0\r\n\r\n")
    assert (whole.content, whole.is_whole) == (b"ok", True)
    assert not read_request(head + b"2\r\nok\r\n").is_whole
    assert not read_request(head + b"2\r\no").is_whole


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET /a HTTP/1.1\r\nHost: h\r\n", "the head has no end"),
        (b"GET  HTTP/1.1\r\nHost: h\r\n\r\n", "no request line"),
        (b"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", "no request line"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nb\r\n\r\n", "no header"),
        (b"GET /a HTTP/1.1\r\nHost: h\nb: c\r\n\r\n", "a broken value"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", "twice the same header"),
        (b"GET /a HTTP/1.1\r\nb: c\r\n\r\n", "no host"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET", "something follows"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", "no length"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", "unknown framing"),
    ],
)
def test_the_server_refuses(sent: bytes, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_request(sent)
    assert refused.value.why == why


# The command.


def test_the_command_tells_how_to_play_a_case_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_heads(monkeypatch, lambda head: head.headers["etag"])
    assert command.main(["--count", "3", "--seed", "2"]) == 1
    said = capsys.readouterr().out
    assert "crash: KeyError" in said
    assert "python -m bench.fuzz --seed 2 --case 0\n" in said


def test_the_command_plays_one_case_and_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "2", "--case", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("python -m bench.fuzz --seed 2 --case 1\n")
    assert "no findings" in said
