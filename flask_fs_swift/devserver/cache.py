"""Keep tokens and facts for Swift's middleware, in place of a memcached.

The facts are those of accounts and containers, which Swift's proxy needs for every request:
it asks two storage servers for them, at twice the price of reading a small object. They are
kept until a storage server has written one of their kind, so quotas and access lists hold at
once; a real cluster may lag behind by a minute.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: What begins the key of a fact is its kind, and the name of the server that knows it.
FACTS = ("account", "container")
_NOT_KEPT = "shard-"
_READING = {"GET", "HEAD", "OPTIONS"}
_LARGEST_DURATION = 30 * 86400  # seconds; memcached takes a larger number for a date


class Cache:
    """What is kept, on a dict. It lives as long as the server.

    ``_kept``    the JSON of each value and its expiry, in seconds since the epoch.
    ``_writes``  how often a fact of each kind may have changed.

    Its methods do no I/O, so no other green thread runs inside them.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}
        self._writes = dict.fromkeys(FACTS, 0)

    def clear(self) -> None:
        """Forget every token and every fact."""
        self._kept.clear()

    def forget(self, kind: str) -> None:
        """Forget the facts of a kind, also those that requests in flight have learned."""
        self._writes[kind] += 1
        for key in [key for key in self._kept if _kind(key) == kind]:
            del self._kept[key]

    def for_request(self) -> RequestCache:
        """Return what a request that begins now finds and leaves here."""
        return RequestCache(self, dict(self._writes))

    def has_forgotten(self, kind: str, since: Mapping[str, int]) -> bool:
        """Tell whether facts of a kind may have changed since a request began."""
        return kind in self._writes and self._writes[kind] != since[kind]

    def get(self, key: str) -> Any:
        """Return a value, or None."""
        text, expiry = self._kept.get(key, ("null", 0.0))
        if expiry <= time.time():
            self._kept.pop(key, None)
            return None
        return json.loads(text)

    def set(self, key: str, value: Any, duration: float = 0) -> None:
        """Keep a value for a duration in seconds; 0 means for ever, as in memcached."""
        if isinstance(value, bytes):  # keystonemiddleware stores them
            value = value.decode()
        self._kept[key] = (json.dumps(value), _expiry(duration))

    def delete(self, key: str) -> None:
        """Forget a value."""
        self._kept.pop(key, None)


@dataclass(frozen=True)
class RequestCache:
    """What our middleware calls of Swift's ``MemcacheRing``, for the length of one request."""

    _cache: Cache
    #: How often facts of each kind had changed when the request began.
    _since: Mapping[str, int]

    def get(self, key: str, **_: object) -> Any:
        """Return a value, or None."""
        return self._cache.get(key)

    def set(self, key: str, value: Any, *, time: float = 0, **_: object) -> bool:
        """Keep a value for a duration in seconds; no fact that may be of the past."""
        if not key.startswith(_NOT_KEPT) and not self._cache.has_forgotten(_kind(key), self._since):
            self._cache.set(key, value, time)
        return True

    def delete(self, key: str, **_: object) -> bool:
        """Forget a value."""
        self._cache.delete(key)
        return True


def _kind(key: str) -> str:
    return key.partition("/")[0]


def _expiry(duration: float) -> float:
    duration = float(duration)
    if duration == 0:
        return float("inf")
    return duration if duration > _LARGEST_DURATION else time.time() + duration


def offer(app: WSGIApplication, cache: Cache) -> WSGIApplication:
    """Let an application find the cache where Swift's middleware looks for one."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["swift.cache"] = cache.for_request()
        return app(environ, start_response)

    return application


def forget_after_writes(server: WSGIApplication, kind: str, cache: Cache) -> WSGIApplication:
    """Let a storage server's writes be noticed, before it answers, by those who keep its facts."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return server(environ, start_response)
        finally:
            if environ["REQUEST_METHOD"] not in _READING:
                cache.forget(kind)

    return application
