"""The cache that Swift keeps its tokens in."""

from __future__ import annotations

import time

import pytest

from flask_fs_swift.devserver.cache import TokenCache


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_value_comes_back_as_json_would_bring_it() -> None:
    cache = TokenCache()
    cache.set("token", (1, "group"), time=10)
    cache.set("bytes", b"abc")
    assert (cache.get("token"), cache.get("bytes")) == ([1, "group"], "abc")


@pytest.mark.parametrize("key", ["account/AUTH_test", "container/AUTH_test/c", "shard-listing/x"])
def test_account_and_container_facts_are_not_kept(key: str) -> None:
    cache = TokenCache()
    cache.set(key, 1)
    assert cache.get(key) is None


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
    cache = TokenCache()
    cache.set("key", 1, time=duration)
    now[0] += later
    assert (cache.get("key") == 1) is kept


def test_what_is_deleted_or_cleared_is_gone() -> None:
    cache = TokenCache()
    for key in "abc":
        cache.set(key, 1)
    cache.delete("a")
    cache.delete("a")
    assert (cache.get("a"), cache.get("b")) == (None, 1)
    cache.clear()
    assert (cache.get("b"), cache.get("c")) == (None, None)
