"""The cache that Swift keeps its tokens in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.devserver.cache import Cache, forget_after_writes

from .client import Client, ask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from flask_fs_swift.devserver import DevServer


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_value_comes_back_as_json_would_bring_it() -> None:
    cache = Cache()
    cache.set("token", (1, "group"), duration=10)
    cache.set("bytes", b"abc")
    assert (cache.get("token"), cache.get("bytes")) == ([1, "group"], "abc")


def test_where_shards_are_is_not_kept() -> None:
    cache = Cache()
    cache.for_request().set("shard-listing/x", 1)
    assert cache.get("shard-listing/x") is None


@pytest.mark.parametrize("kind", ["account", "container"])
def test_a_fact_is_kept_until_one_of_its_kind_is_written(kind: str) -> None:
    cache = Cache()
    keys = ("token", "account/AUTH_test", "container/AUTH_test/c")
    for key in keys:
        cache.for_request().set(key, 1)
    cache.forget(kind)
    kept = {key.partition("/")[0] for key in keys if cache.get(key)}
    assert kept == {"token", "account", "container"} - {kind}


def test_what_a_request_learned_before_a_write_is_not_kept_after_it() -> None:
    cache = Cache()
    before = cache.for_request()
    cache.forget("container")
    before.set("container/AUTH_test/c", "old")
    assert cache.get("container/AUTH_test/c") is None
    before.set("account/AUTH_test", "of another kind")
    cache.for_request().set("container/AUTH_test/c", "new")
    assert cache.get("container/AUTH_test/c") == "new"
    assert cache.get("account/AUTH_test") == "of another kind"


def request(app: WSGIApplication, method: str) -> None:
    list(app({"REQUEST_METHOD": method}, lambda *_: lambda _: None))


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "REPLICATE"])
def test_a_write_is_noticed_before_it_is_answered(method: str) -> None:
    cache = Cache()
    cache.for_request().set("container/AUTH_test/c", 1)

    def server(_environ: WSGIEnvironment, _: StartResponse) -> list[bytes]:
        # Who asks while it writes learns what it was.
        cache.for_request().set("container/AUTH_test/c", "old")
        return []

    app = forget_after_writes(server, "container", cache)
    for reading in ("GET", "HEAD"):
        request(app, reading)
        assert cache.get("container/AUTH_test/c") == "old"
    request(app, method)
    assert cache.get("container/AUTH_test/c") is None


@pytest.mark.parametrize(
    ("duration", "later", "kept"),
    [
        (10, 9.9, True),
        (10, 10, False),
        (-0.5, 0, False),
        (0, 10**9, True),
        (1_000_000_010, 9.9, True),
        (1_000_000_010, 10, False),
    ],
)
def test_a_value_expires_when_memcached_would_let_it(
    now: list[float], duration: float, later: float, *, kept: bool
) -> None:
    cache = Cache()
    cache.set("key", 1, duration=duration)
    now[0] += later
    assert (cache.get("key") == 1) is kept


def test_what_is_deleted_or_cleared_is_gone() -> None:
    cache = Cache()
    for key in "abc":
        cache.set(key, 1)
    cache.delete("a")
    cache.delete("a")
    assert (cache.get("a"), cache.get("b")) == (None, 1)
    cache.clear()
    assert (cache.get("b"), cache.get("c")) == (None, None)


def test_quotas_hold_at_once(client: Client, container: str) -> None:
    """Of bytes that were just written, and of a limit that was just set."""
    headers = {"X-Container-Meta-Quota-Bytes": "10"}
    assert client("PUT", f"{container}/a", b"12345").status == 201
    assert client("POST", container, **headers).status == 204
    assert client("PUT", f"{container}/b", b"12345").status == 201
    assert client("PUT", f"{container}/c", b"1").status == 413
    assert client("DELETE", f"{container}/a").status == 204
    assert client("PUT", f"{container}/c", b"1").status == 201


def test_access_lists_hold_at_once(server: DevServer, client: Client, container: str) -> None:
    assert client("PUT", f"{container}/a").status == 201
    for who, status in (("", 401), (".r:*", 200), ("", 401)):
        headers = {"X-Container-Read": who}
        assert client("POST", container, **headers).status == 204
        for _ in range(2):
            assert ask("GET", f"{server.storage_url}{container}/a").status == status


def test_a_container_that_was_deleted_or_made_is_so_at_once(client: Client, container: str) -> None:
    for method, status in (("DELETE", 204), ("PUT", 201), ("DELETE", 204)):
        assert client(method, container).status == status
        assert client("PUT", f"{container}/a").status == (201 if method == "PUT" else 404)
        client("DELETE", f"{container}/a")
