"""The published client of the protocol, against the service."""

from __future__ import annotations

import hashlib
import io
import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from .cutting import Cutting, cutting
from .published import published
from .served import KID, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift.api.keys import KeyPair

client = published("objectstore_client")
metadata = published("objectstore_client.metadata")
errors = published("objectstore_client.errors")
multipart = published("objectstore_client.multipart")
resumable = published("objectstore_client._resumable")

#: It gives a server 0.1 s to connect, and to take some content: too few where much else runs.
PATIENT = {"timeout": published("urllib3").Timeout(connect=30)}
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
    return session_of(one_server, client.SecretKey(KID, key_pairs[KID].private))


def session_of(served: Served, token: Any, *, usecase: str = "client", **scopes: Any) -> Any:
    return client.Client(served.origin, token=token, connection_kwargs=PATIENT).session(
        client.Usecase(usecase), **(scopes or {"org": 42, "project": 1337})
    )


def test_the_full_cycle(server: Served, key_pairs: dict[str, KeyPair]) -> None:
    session = session_of(server, client.SecretKey(KID, key_pairs[KID].private))
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
    static = session_of(one_server, session.mint_token([client.Permission.OBJECT_READ]))
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


def test_the_client_tells_what_a_server_refuses(one_server: Served, key_pairs: Any) -> None:
    brief = session_of(one_server, client.SecretKey(KID, key_pairs[KID].private), usecase="brief")
    with pytest.raises(errors.RequestError) as failed:
        brief.put(b"x", "k")
    assert failed.value.status == 400
    assert "manual" in failed.value.response
    nobody = session_of(one_server, None)
    with pytest.raises(errors.RequestError) as failed:
        nobody.get("k")
    assert failed.value.status == 400


# Uploads in parts.

PARTS = {number: os.urandom(1000) * 100 + bytes([number]) for number in range(1, 9)}


def put_parts(upload: Any, numbers: Any, compression: str = "none") -> list[Any]:
    def put(number: int) -> Any:
        content = PARTS[number]
        if compression == "zstd":
            content = zstandard.ZstdCompressor().compress(content)
        digest = hashlib.md5(content).digest()
        return upload.put_part(
            content, part_number=number, content_length=len(content), content_md5=digest
        )

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(put, numbers))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_parts_of_several_threads_in_any_order(session: Any, compression: str) -> None:
    upload = session.initiate_multipart_upload(key="dir/in parts", compression=compression)
    parts = put_parts(upload, reversed(PARTS), compression)
    listed = upload.list_parts()
    assert [part.part_number for part in listed] == list(PARTS)
    assert {(part.part_number, part.etag) for part in parts} == {
        (part.part_number, part.etag) for part in listed
    }
    assert all(datetime.now(timezone.utc) - part.last_modified < timedelta(60) for part in listed)
    assert upload.complete(parts) == "dir/in parts"
    got = session.get("dir/in parts")
    assert got.payload.read() == b"".join(PARTS.values())
    assert got.metadata.compression is None
    raw = session.get("dir/in parts", decompress=False)
    assert raw.metadata.compression == (None if compression == "none" else "zstd")
    assert raw.metadata.size == sum(part.size for part in listed)


def test_the_full_cycle_in_parts(server: Served, key_pairs: dict[str, KeyPair]) -> None:
    session = session_of(server, client.SecretKey(KID, key_pairs[KID].private))
    upload = session.initiate_multipart_upload()
    assert upload.complete(put_parts(upload, PARTS, "zstd")) == upload.key
    assert session.get(upload.key).payload.read() == b"".join(PARTS.values())


def test_parts_are_streamed(session: Any) -> None:
    upload = session.initiate_multipart_upload(key="streamed", compression="none")
    content = os.urandom(5_000_000)
    part = upload.put_part(io.BytesIO(content), part_number=1, content_length=len(content))
    upload.complete([part])
    assert session.get("streamed").payload.read() == content


def test_an_upload_in_parts_is_gone_on_with(session: Any) -> None:
    upload = session.initiate_multipart_upload(key="resumed", compression="none")
    put_parts(upload, [1, 2])
    again = session.resume_multipart_upload("resumed", upload.upload_id)
    put_parts(again, [3])
    assert again.complete(again.list_parts()) == "resumed"
    assert session.get("resumed").payload.read() == PARTS[1] + PARTS[2] + PARTS[3]


def test_an_upload_in_parts_is_aborted(session: Any) -> None:
    upload = session.initiate_multipart_upload(key="aborted")
    parts = put_parts(upload, [1])
    upload.abort()
    upload.abort()
    with pytest.raises(errors.RequestError) as failed:
        upload.list_parts()
    assert failed.value.status == 404
    with pytest.raises(multipart.MultipartCompleteError) as refused:
        upload.complete(parts)
    assert refused.value.code == "NoSuchUpload"
    assert session.get("aborted") is None


def test_a_wrong_etag_leaves_an_upload_as_it_was(session: Any) -> None:
    upload = session.initiate_multipart_upload(key="wrong", compression="none")
    [part] = put_parts(upload, [1])
    with pytest.raises(multipart.MultipartCompleteError) as refused:
        upload.complete([replace(part, etag="wrong")])
    assert (refused.value.code, refused.value.status) == ("InvalidPart", 200)
    assert session.get("wrong") is None
    upload.complete([part])
    assert session.get("wrong").payload.read() == PARTS[1]


def test_what_describes_an_object_in_parts_comes_back(session: Any) -> None:
    upload = session.initiate_multipart_upload(
        key="described parts",
        compression="none",
        content_type="text/x-test",
        metadata={"my-key": "välue 100%"},
        expiration_policy=metadata.TimeToLive(timedelta(days=400, minutes=1, seconds=30)),
        origin="203.0.113.1",
        filename='rép"ort.pdf',
    )
    upload.complete(put_parts(upload, [1]))
    found = session.head("described parts")
    assert (found.content_type, found.custom) == ("text/x-test", {"my-key": "välue 100%"})
    assert (found.origin, found.filename) == ("203.0.113.1", 'rép"ort.pdf')
    assert found.time_expires - found.time_created == found.expiration_policy.delta


# Uploads that outlive their connection.


@pytest.fixture
def proxy(one_server: Served) -> Iterator[Cutting]:
    with cutting(one_server.port) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(
    proxy: Cutting,
    one_server: Served,
    key_pairs: dict[str, KeyPair],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A session whose requests come through the proxy, and which pauses but a moment after a cut.

    It tries twice more: the service needs a moment, too, to store what it has of a cut request.
    """
    monkeypatch.setattr(resumable, "time", SimpleNamespace(sleep=lambda _: time.sleep(0.1)))
    return session_of(
        replace(one_server, port=proxy.port), client.SecretKey(KID, key_pairs[KID].private)
    )


@pytest.mark.parametrize("compress", ["none", "zstd"])
@pytest.mark.parametrize("key", [None, "large"])
def test_a_large_object_outlives_its_connection(
    through_proxy: Any, proxy: Cutting, session: Any, compress: str, key: str | None
) -> None:
    content = os.urandom(13_000_000)
    proxy.cut_after(5_000_000, 6_000_000)
    stored = through_proxy.put(
        content, key, compress=compress, filename="a.bin", resumable_threshold_bytes=1_000_000
    )
    assert proxy.made == 2
    assert stored == (key or stored)
    got = session.get(stored)
    assert got.payload.read() == content
    assert got.metadata.filename == "a.bin"


def test_the_last_answer_may_be_lost(through_proxy: Any, proxy: Cutting, session: Any) -> None:
    proxy.lose(b"HTTP/1.1 201")
    assert through_proxy.put(b"content", "lost", resumable_threshold_bytes=1) == "lost"
    assert proxy.made == 1
    assert session.get("lost").payload.read() == b"content"


def test_chunks_of_a_handle(session: Any) -> None:
    content = os.urandom(10_000_000)
    upload = session._create_upload(len(content), key="handled")
    with pytest.raises(resumable.ChunkTooSmall):
        upload.put(0, content[: upload.granularity - 1])
    assert upload.progress() == resumable.UploadIncomplete(0)
    first = upload.put(0, content[:5_000_000])
    assert first == resumable.UploadIncomplete(upload.granularity)
    with pytest.raises(resumable.UploadOffsetMismatch) as mismatch:
        upload.put(len(content) - 10, content[-10:])
    assert mismatch.value.offset == first.offset
    again = session._resume_upload("handled", upload.token)
    assert again.put(first.offset, content[first.offset :]) == resumable.UploadComplete()
    assert upload.progress() == resumable.UploadComplete()
    assert session.get("handled").payload.read() == content
    with pytest.raises(resumable.ResumableUploadUnavailable):
        upload.cancel()
    other = session._create_upload(10, key="handled")
    other.cancel()
    with pytest.raises(resumable.ResumableUploadUnavailable):
        other.progress()


@pytest.mark.large
def test_beyond_256_mib_an_upload_outlives_its_connection_by_itself(
    make_storage: MakeStorage, key_pairs: dict[str, KeyPair]
) -> None:
    content = os.urandom(1_000_000) * 280
    with (
        serving("werkzeug", key_pairs, make_storage()) as served,
        cutting(served.port) as proxy,
    ):
        key = client.SecretKey(KID, key_pairs[KID].private)
        url = f"http://127.0.0.1:{proxy.port}"
        session = client.Client(url, token=key, connection_kwargs=PATIENT).session(
            client.Usecase("client"), org=42
        )
        proxy.cut_after(100_000_000, 150_000_000)
        assert session.put(content, "large", compress="none") == "large"
        assert proxy.made == 2
        assert hashlib.md5(session.get("large").payload.read()).digest() == (
            hashlib.md5(content).digest()
        )
