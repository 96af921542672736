"""The client and the service, with each other."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift import api
from flask_fs_swift.api import (
    Client,
    Delete,
    Denied,
    Expiration,
    ExpiryNotExtended,
    Get,
    Head,
    Put,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift.api import Session
    from flask_fs_swift.api.client.operations import Operation

    from .served import Served


@pytest.fixture
def session(server: Served) -> Iterator[Session]:
    with Client(server.origin, key=server.key) as client:
        yield client.session("reports", org=42)


def test_an_object_goes_there_and_back(session: Session) -> None:
    content = os.urandom(300_000) + bytes(300_000)
    key = session.put(iter([content[:5], content[5:]]), "a/ b%é", metadata={"build-id": "7 é"})
    with session.get(key) or pytest.fail("absent") as found:
        assert found.read() == content
        assert found.description.custom == {"build-id": "7 é"}
    described = session.head(key)
    assert described is not None
    assert described.compression == "zstd"
    assert described.size is not None
    assert described.size < 400_000
    for url in (session.presigned_url(key), session.object_url(key, lifetime=60)):
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert len(answer.read()) == described.size
    with pytest.raises(ExpiryNotExtended):
        session.extend_expiry(key, from_now=timedelta(days=1))
    session.delete(key)
    assert session.get(key) is None


def test_expiry_is_extended(session: Session) -> None:
    session.put(b"x", "e", expiration=Expiration("ttl", timedelta(hours=1)))
    before = session.head("e")
    session.extend_expiry("e", from_now=timedelta(days=1))
    after = session.head("e")
    assert before is not None
    assert after is not None
    assert before.expires is not None
    assert after.expires is not None
    assert after.expires - before.expires > timedelta(hours=22)


@pytest.mark.parametrize("width", [1, 4])
def test_many_objects_go_there_and_back(session: Session, width: int) -> None:
    content = [os.urandom(1 + 97 * number % 20_000) for number in range(300)]
    content.append(os.urandom(3 * 1024 * 1024))
    keys = [f"many/{number} é" for number in range(len(content))]
    puts = [Put(each, key) for key, each in zip(keys, content, strict=True)]
    assert [each.error for each in session.many(puts, concurrency=width)] == [None] * len(puts)
    got = {each.index: each.value for each in session.many(map(Get, keys), concurrency=width)}
    assert [got[number].read() for number in range(len(keys))] == content
    mixed: list[Operation] = [Delete(keys[0]), Get(keys[0]), Put(b"new", keys[0]), Head(keys[0])]
    results = sorted(session.many(mixed, concurrency=width), key=lambda each: each.index)
    assert [each.error for each in results] == [None] * 4
    assert results[1].value is None
    assert results[3].value is not None
    deleted = list(session.many(map(Delete, keys), concurrency=width))
    assert [each.error for each in deleted] == [None] * len(keys)
    assert not any(each.value for each in session.many(map(Head, keys), concurrency=width))


def test_a_reader_may_not_write(server: Served) -> None:
    with Client(server.origin, key=server.reader, permissions=["object.read"]) as client:
        session = client.session("reports")
        with pytest.raises(Denied):
            session.put(b"x", "a")
        put, got = sorted(session.many([Put(b"x", "a"), Get("b")]), key=lambda each: each.index)
        assert isinstance(put.error, Denied)
        assert got.error is None


def test_a_client_imports_no_server() -> None:
    check = (
        "import sys; from flask_fs_swift.api import Client, Get, Put; "
        "Client('http://localhost'); "
        "assert 'flask_fs_swift.api.server' not in sys.modules"
    )
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run(
        [sys.executable, "-c", check], check=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_all_names_are_there() -> None:
    for name in api.__all__:
        assert getattr(api, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = api.nothing
