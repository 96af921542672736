"""The published client of the protocol, against the service."""

from __future__ import annotations

import io
import os
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from .served import KID, Served

if TYPE_CHECKING:
    from flask_fs_swift.api.keys import KeyPair

published = pytest.importorskip("objectstore_client")
metadata = pytest.importorskip("objectstore_client.metadata")
errors = pytest.importorskip("objectstore_client.errors")

KEYS = [
    "plain",
    "/lead",
    "a//b",
    "tr/",
    "..",
    "a/../b",
    "dir/a b%é;=",
    "new\nline",
    "a?b#c",
    "%2F",
    "back\\slash",
    "+",
    "日本語",
    "a" * 200,
]


@pytest.fixture
def session(one_server: Served, key_pairs: dict[str, KeyPair]) -> Any:
    return session_of(one_server, published.SecretKey(KID, key_pairs[KID].private))


def session_of(served: Served, token: Any, *, usecase: str = "client", **scopes: Any) -> Any:
    client = published.Client(served.origin, token=token)
    return client.session(published.Usecase(usecase), **(scopes or {"org": 42, "project": 1337}))


def test_the_full_cycle(server: Served, key_pairs: dict[str, KeyPair]) -> None:
    session = session_of(server, published.SecretKey(KID, key_pairs[KID].private))
    content = os.urandom(1000) * 500
    key = session.put(content)
    assert session.get(key).payload.read() == content
    assert session.put(io.BytesIO(b"other"), key) == key
    assert session.get(key).payload.read() == b"other"
    session.delete(key)
    assert session.get(key) is None
    assert session.head(key) is None


def test_an_empty_object(session: Any) -> None:
    for compress in ("none", "zstd"):
        session.put(b"", "empty", compress=compress)
        assert session.get("empty").payload.read() == b""


def test_what_describes_an_object_comes_back(session: Any) -> None:
    session.put(
        b"content",
        "described",
        content_type="text/x-test",
        metadata={"my-key": "välue 100%"},
        expiration_policy=metadata.TimeToLive(timedelta(days=400, minutes=1, seconds=30)),
        origin="203.0.113.1",
        filename='rép"ort.pdf',
    )
    got = session.get("described", decompress=False)
    for found in (got.metadata, session.head("described")):
        assert found.content_type == "text/x-test"
        assert found.compression == "zstd"
        assert found.custom == {"my-key": "välue 100%"}
        assert found.expiration_policy.delta == timedelta(days=400, minutes=1, seconds=30)
        assert (found.origin, found.filename) == ("203.0.113.1", 'rép"ort.pdf')
        assert found.time_expires - found.time_created == found.expiration_policy.delta


def test_compression_is_the_clients_own(session: Any) -> None:
    content = b"a" * 100_000
    session.put(content, "compressed")
    assert session.head("compressed").size < 1000
    assert session.get("compressed").payload.read() == content
    raw = session.get("compressed", decompress=False)
    assert raw.metadata.compression == "zstd"
    assert len(raw.payload.read()) == raw.metadata.size
    session.put(content, "plain", compress="none")
    assert session.get("plain").metadata.compression is None
    assert session.head("plain").size == 100_000


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_every_kind(session: Any, key: str) -> None:
    assert session.put(key.encode(), key) == key
    assert session.get(key).payload.read() == key.encode()
    with urllib.request.urlopen(session.presigned_object_url("GET", key)) as answer:
        assert answer.headers["content-encoding"] == "zstd"
    session.delete(key)
    assert session.head(key) is None


def test_deadlines_are_extended(session: Any) -> None:
    for kind in (metadata.TimeToLive, metadata.TimeToIdle):
        session.put(b"x", "extended", expiration_policy=kind(timedelta(days=30)))
        created = session.head("extended").time_created
        session.extend_expiry("extended", from_creation=timedelta(days=60, hours=3))
        assert session.head("extended").time_expires - created == timedelta(days=60, hours=3)
        session.extend_expiry("extended", from_now=timedelta(days=1))
        at = datetime.now(timezone.utc) + timedelta(days=90)
        session.extend_expiry("extended", at=at)
        assert session.head("extended").time_expires == at
        assert session.get("extended").payload.read() == b"x"
    with pytest.raises(errors.ObjectNotFound):
        session.extend_expiry("absent", at=at)
    session.put(b"x", "forever")
    with pytest.raises(errors.ExpiryExtensionRejected):
        session.extend_expiry("forever", at=at)


def test_a_static_token_is_good_for_its_place(one_server: Served, session: Any) -> None:
    static = session_of(one_server, session.mint_token([published.Permission.OBJECT_READ]))
    session.put(b"x", "k")
    assert static.get("k").payload.read() == b"x"
    for verb, arguments in ((static.put, (b"y", "k")), (static.delete, ("k",))):
        with pytest.raises(errors.RequestError) as failed:
            verb(*arguments)
        assert failed.value.status == 403
    elsewhere = session_of(one_server, session.mint_token(), org=43)
    with pytest.raises(errors.RequestError) as failed:
        elsewhere.get("k")
    assert failed.value.status == 403
    above = session_of(one_server, session.mint_token(), org=42)
    assert above.get("absent") is None


def test_urls_with_tokens_and_without(session: Any) -> None:
    session.put(b"x", "k", compress="none")
    url = session.object_url("k", timedelta(minutes=1))
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"
    with pytest.raises(urllib.request.HTTPError) as failed:
        urllib.request.urlopen(session.object_url("k"))
    assert failed.value.code == 400
    failed.value.close()


def test_an_upload_that_cannot_be_resumed_is_sent_at_once(session: Any) -> None:
    content = os.urandom(3_000_000)
    assert session.put(content, "large", resumable_threshold_bytes=1_000_000) == "large"
    assert session.get("large").payload.read() == content
    key = session.put(content, resumable_threshold_bytes=1_000_000)
    assert session.get(key).payload.read() == content


def test_the_client_tells_what_a_server_refuses(one_server: Served, key_pairs: Any) -> None:
    brief = session_of(
        one_server, published.SecretKey(KID, key_pairs[KID].private), usecase="brief"
    )
    with pytest.raises(errors.RequestError) as failed:
        brief.put(b"x", "k")
    assert failed.value.status == 400
    assert "manual" in failed.value.response
    nobody = session_of(one_server, None)
    with pytest.raises(errors.RequestError) as failed:
        nobody.get("k")
    assert failed.value.status == 400
