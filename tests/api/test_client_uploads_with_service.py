"""What a client uploads, resumes and cuts, with the service."""

from __future__ import annotations

import io
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift.api import (
    AnswerLost,
    Client,
    Denied,
    Expiration,
    InvalidPart,
    Put,
    RangeNotSatisfiable,
    StoredCompressed,
    UploadClosed,
    Usecase,
)

from .breaking import breaking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.api import Session

    from .breaking import Break
    from .served import Served

MIB = 1024 * 1024
METHODS = ["zstd", "none"]


@pytest.fixture
def session(server: Served) -> Iterator[Session]:
    with Client(server.origin, key=server.key) as client:
        yield client.session("uploads", org=42)


@pytest.fixture
def one_session(one_server: Served) -> Iterator[Session]:
    with Client(one_server.origin, key=one_server.key) as client:
        yield client.session("uploads", org=42)


def of(session: Session, key: str, **options: Any) -> bytes:
    with session.get(key, **options) or pytest.fail("absent") as found:
        return found.read()


# In parts.


@pytest.mark.parametrize("method", METHODS)
def test_parts_out_of_order_become_one_object(session: Session, method: Any) -> None:
    content = [os.urandom(50_000) + bytes(10_000) for _ in range(3)]
    upload = session.start_upload(f"p/{method} é%", compression=method, metadata={"build": "7 é"})
    for number in (3, 1, 2):
        upload.put_part(number, content[number - 1])
    assert session.head(upload.key) is None
    assert upload.complete() == f"p/{method} é%"
    assert of(session, upload.key) == b"".join(content)
    described = session.head(upload.key)
    assert described is not None
    assert described.custom == {"build": "7 é"}
    assert described.compression == (None if method == "none" else "zstd")


@pytest.mark.parametrize("method", METHODS)
def test_eight_parts_are_put_by_four_threads(one_session: Session, method: Any) -> None:
    content = [os.urandom(300_000) for _ in range(8)]
    upload = one_session.start_upload(compression=method)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upload.put_part, range(1, 9), content))
    upload.complete()
    assert of(one_session, upload.key) == b"".join(content)


@pytest.mark.parametrize("method", METHODS)
def test_parts_are_streamed(one_session: Session, method: Any) -> None:
    content = os.urandom(5 * MIB)
    upload = one_session.start_upload("streamed", compression=method)
    upload.put_part(1, iter([content[:7], content[7:]]))
    file = io.BytesIO(b"before" + content)
    file.seek(6)
    upload.put_part(2, file)
    upload.complete()
    assert of(one_session, "streamed") == content * 2


def test_an_upload_goes_on_in_another_client(one_server: Served, one_session: Session) -> None:
    started = one_session.start_upload("resumed")
    started.put_part(1, b"first ")
    with Client(one_server.origin, key=one_server.key) as client:
        upload = client.session("uploads", org=42).resume_upload("resumed", started.id)
        upload.put_part(2, b"second")
        parts = upload.list_parts()
        assert [part.number for part in parts] == [1, 2]
        assert all(part.modified is not None for part in parts)
        upload.complete(parts)
        # An answer that was lost is asked for again.
        assert upload.complete(parts) == "resumed"
    assert of(one_session, "resumed") == b"first second"


def test_an_upload_that_was_aborted_is_closed(session: Session) -> None:
    upload = session.start_upload("aborted")
    part = upload.put_part(1, b"x")
    upload.abort()
    upload.abort()
    calls: list[Callable[[], object]] = [
        lambda: upload.put_part(1, b"x"),
        upload.list_parts,
        lambda: upload.complete([part]),
    ]
    for call in calls:
        with pytest.raises(UploadClosed) as caught:
            call()
        assert not caught.value.maybe_applied
    assert session.head("aborted") is None


def test_a_wrong_etag_leaves_the_upload_as_it_was(session: Session) -> None:
    upload = session.start_upload("wrong")
    part = upload.put_part(1, b"x")
    for wrong in (replace(part, etag=f'"{"0" * 32}"'), replace(part, number=2)):
        with pytest.raises(InvalidPart):
            upload.complete([wrong])
    assert session.head("wrong") is None
    upload.complete()
    assert of(session, "wrong") == b"x"


def test_an_upload_expires_as_it_was_started(one_session: Session) -> None:
    upload = one_session.start_upload(expiration=Expiration("ttl", timedelta(days=1)))
    upload.put_part(1, b"x")
    described = one_session.head(upload.complete())
    assert described is not None
    assert described.expires is not None


def test_who_may_only_read_uploads_nothing(one_server: Served, one_session: Session) -> None:
    upload = one_session.start_upload("denied")
    part = upload.put_part(1, b"x")
    permissions = ["object.read"]
    with Client(one_server.origin, key=one_server.reader, permissions=permissions) as client:
        session = client.session("uploads", org=42)
        other = session.resume_upload("denied", upload.id)
        calls: list[Callable[[], object]] = [
            session.start_upload,
            lambda: other.put_part(2, b"x"),
            other.list_parts,
            lambda: other.complete([part]),
            other.abort,
        ]
        for call in calls:
            with pytest.raises(Denied) as caught:
                call()
            assert not caught.value.maybe_applied
    upload.complete()
    assert of(one_session, "denied") == b"x"


# Resumed.


def compressible(size: int) -> bytes:
    return random.Random(7).randbytes(size // 2) + bytes(size - size // 2)


#: Two times what the service keeps at least, and a little more.
LONG = 8 * MIB + 7
BREAKS: dict[str, list[Break]] = {
    "nothing": [],
    "the middle": [5 * MIB],
    "twice": [4 * MIB + 1, 4 * MIB + 1],
    "before anything": [0],
    "the last byte": [LONG - 1],
    "the last answer": ["answer"],
}


@pytest.mark.parametrize("breaks", BREAKS)
def test_long_content_arrives_whatever_breaks(one_server: Served, breaks: str) -> None:
    content = os.urandom(LONG)
    with (
        breaking(one_server.port, BREAKS[breaks]) as path,
        Client(path.url, key=one_server.key, resume_pauses=(0.05, 0.1)) as client,
    ):
        session = client.session(Usecase("uploads", "none", resumable_from=MIB), org=42)
        assert session.put(content, f"long/{breaks}", metadata={"a": "é"}) == f"long/{breaks}"
        assert not path.breaks
    with Client(one_server.origin, key=one_server.key) as client:
        session = client.session("uploads", org=42)
        described = session.head(f"long/{breaks}")
        assert described is not None
        assert (described.size, described.custom) == (len(content), {"a": "é"})
        assert of(session, f"long/{breaks}") == content


def test_long_content_is_resumed_compressed_and_among_many(server: Served) -> None:
    content = compressible(12 * MIB)
    with (
        breaking(server.port, [5 * MIB]) as path,
        Client(path.url, key=server.key, resume_pauses=(0.05, 0.1)) as client,
    ):
        session = client.session(Usecase("uploads", resumable_from=MIB), org=42)
        puts = [Put(io.BytesIO(content), "z/long"), Put(b"short", "z/short")]
        assert [each.error for each in session.many(puts)] == [None, None]
        assert not path.breaks
        assert of(session, "z/long") == content
        described = session.head("z/long")
        assert described is not None
        assert described.size is not None
        assert described.size < len(content)


def test_what_comes_no_further_is_cancelled(one_server: Served) -> None:
    told: list[str] = []
    with (
        breaking(one_server.port, [1000] * 3) as path,
        Client(
            path.url,
            key=one_server.key,
            resume_pauses=(0.01, 0.01),
            on_event=lambda event: told.append(event.outcome),
        ) as client,
    ):
        session = client.session(Usecase("uploads", "none", resumable_from=MIB), org=42)
        with pytest.raises(AnswerLost):
            session.put(os.urandom(8 * MIB), "given up")
        assert told == ["AnswerLost"]
        assert not path.breaks
        assert session.head("given up") is None


# Some bytes.


def test_some_bytes_of_an_object_are_read(session: Session) -> None:
    content = os.urandom(1000)
    session.put(content, "r/plain", compression="none")
    ranges = [(0, 1), (10, 20), (990, None), (990, 5000), (-10, None), (-5000, None), (0, 1000)]
    for start, end in ranges:
        wanted = content[max(start, -1000) : end]
        assert of(session, "r/plain", start=start, end=end) == wanted
    with pytest.raises(RangeNotSatisfiable) as caught:
        session.get("r/plain", start=1000)
    assert caught.value.size == 1000
    assert session.get("r/absent", start=5) is None
    session.put(content, "r/zstd")
    with pytest.raises(StoredCompressed):
        session.get("r/zstd", end=5)
    assert of(session, "r/zstd", end=4, decompress=False) == b"\x28\xb5\x2f\xfd"
    session.put(b"", "r/empty", compression="none")
    with pytest.raises(RangeNotSatisfiable) as caught:
        session.get("r/empty", end=5)
    assert caught.value.size == 0
