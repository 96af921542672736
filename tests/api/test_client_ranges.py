"""Some bytes of an object, as a client asks for them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from flask_fs_swift.api.client.failures import (
    AnswerBroken,
    AnswerLost,
    RangeNotSatisfiable,
    StoredCompressed,
)
from flask_fs_swift.api.client.session import Client
from flask_fs_swift.ranges import Span

from .rawserver import RawServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.api.client.session import Session

    from .rawserver import Request

    Begin = Callable[..., tuple[RawServer, Session]]

CONTENT = b"0123456789"


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return a server that answers like this, and a session there."""
    with ExitStack() as stack:

        def session(
            status: int, headers: dict[str, str], body: bytes = b""
        ) -> tuple[RawServer, Session]:
            def handler(request: Request) -> None:
                request.answer(status, headers, body)
                if int(headers.get("content-length", 0)) > len(body):
                    request.connection.shutdown(2)

            server = RawServer(handler)
            stack.callback(server.close)
            return server, stack.enter_context(Client(server.url)).session("reports")

        yield session


def read(session: Session, **options: Any) -> bytes:
    found = session.get("a", **options)
    assert found is not None
    with found:
        return found.read()


@pytest.mark.parametrize(
    ("wanted", "sent", "said", "body"),
    [
        ({"start": 2, "end": 5}, "bytes=2-4", "bytes 2-4/10", b"234"),
        ({"start": 7}, "bytes=7-", "bytes 7-9/10", b"789"),
        ({"start": 7, "end": 99}, "bytes=7-98", "bytes 7-9/10", b"789"),
        ({"start": -3}, "bytes=-3", "bytes 7-9/10", b"789"),
        ({"start": -99}, "bytes=-99", "bytes 0-9/10", CONTENT),
        ({"end": 10}, "bytes=0-9", "bytes 0-9/10", CONTENT),
    ],
)
def test_some_bytes_are_read(begin: Begin, wanted: Any, sent: str, said: str, body: bytes) -> None:
    server, session = begin(206, {"content-range": said, "x-sn-size": "10"}, body)
    with session.get("a", **wanted) or pytest.fail("absent") as found:
        assert found.read() == body
        assert found.span is not None
        assert found.span.size == found.description.size == 10
    assert server.requests[0].headers["range"] == sent


def test_all_bytes_are_no_range(begin: Begin) -> None:
    server, session = begin(200, {}, CONTENT)
    with session.get("a", start=0, end=None) or pytest.fail("absent") as found:
        assert (found.read(), found.span) == (CONTENT, None)
    assert "range" not in server.requests[0].headers


@pytest.mark.parametrize("wanted", [{"start": 5, "end": 5}, {"end": 0}, {"start": -3, "end": 9}])
def test_a_range_that_is_none_is_not_sent(begin: Begin, wanted: Any) -> None:
    server, session = begin(200, {}, CONTENT)
    with pytest.raises(ValueError):
        session.get("a", **wanted)
    assert server.requests == []


@pytest.mark.parametrize(("said", "size"), [("bytes */10", 10), ("bytes */*", None), ("", None)])
def test_what_begins_after_the_end_is_not_there(begin: Begin, said: str, size: int | None) -> None:
    session = begin(416, {"content-range": said} if said else {}, b"no")[1]
    with pytest.raises(RangeNotSatisfiable) as caught:
        session.get("a", start=10)
    assert (caught.value.size, caught.value.status, caught.value.key) == (size, 416, "a")
    assert not caught.value.maybe_applied


def test_an_absent_object_has_no_ranges(begin: Begin) -> None:
    assert begin(404, {})[1].get("a", start=5) is None


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "bytes 2-4/10"),  # All of it, whatever it says.
        (206, ""),
        (206, "bytes 2-4/*"),
        (206, "bytes 2-5/10"),
        (206, "bytes 1-4/10"),
        (206, "bytes 2-3/10"),
        (206, "bytes 2-4/4"),
        (206, "bytes=2-4/10"),
        (206, f"bytes 2-4/{'9' * 5000}"),
    ],
)
def test_other_bytes_than_those_that_were_asked_for_are_no_answer(
    begin: Begin, status: int, said: str
) -> None:
    session = begin(status, {"content-range": said}, b"234")[1]
    with pytest.raises(AnswerBroken, match="bytes=2-4"):
        session.get("a", start=2, end=5)


def test_some_bytes_are_no_answer_to_who_wants_all(begin: Begin) -> None:
    session = begin(206, {"content-range": "bytes 2-4/10"}, b"234")[1]
    with pytest.raises(AnswerBroken):
        session.get("a")


@pytest.mark.parametrize("body", [b"23", b"2345"])
def test_a_range_has_all_its_bytes_and_no_more(begin: Begin, body: bytes) -> None:
    session = begin(206, {"content-range": "bytes 2-4/10"}, body)[1]
    with pytest.raises(AnswerBroken, match="more bytes"):
        read(session, start=2, end=5)


def test_a_range_that_is_cut_off_does_not_end_short(begin: Begin) -> None:
    said = {"content-range": "bytes 2-4/10", "content-length": "3"}
    with pytest.raises(AnswerLost):
        read(begin(206, said, b"23")[1], start=2, end=5)


def test_ranges_of_compressed_content_are_of_what_is_stored(begin: Begin) -> None:
    frame = zstandard.compress(CONTENT)
    size = len(frame)
    said = {"content-range": f"bytes 2-{size - 1}/{size}", "content-encoding": "zstd"}
    server, session = begin(206, said, frame[2:])
    with pytest.raises(StoredCompressed) as caught:
        session.get("a", start=2)
    assert caught.value.key == "a"
    with session.get("a", start=2, decompress=False) or pytest.fail("absent") as found:
        assert found.read() == frame[2:]
        assert found.span == Span(2, size, size)
        assert found.description.compression == "zstd"
    assert len(server.requests) == 2
