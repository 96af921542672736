"""Keep tokens for Swift's middleware, in place of a memcached.

Account and container facts are not kept, so that quotas and access lists hold at once;
a real cluster may lag behind by a minute.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NOT_KEPT = ("account/", "container/", "shard-")
_LARGEST_DURATION = 30 * 86400  # seconds; memcached takes a larger number for a date


class TokenCache:
    """What our middleware calls of Swift's ``MemcacheRing``, on a dict.

    It lives as long as the server.

    ``_kept``  the JSON of each value and its expiry, in seconds since the epoch. Its methods
               do no I/O, so no other green thread runs inside them.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}

    def clear(self) -> None:
        """Forget every token."""
        self._kept.clear()

    def get(self, key: str, **_: object) -> Any:
        """Return a value, or None."""
        text, expiry = self._kept.get(key, ("null", 0.0))
        if expiry <= time.time():
            self._kept.pop(key, None)
            return None
        return json.loads(text)

    def set(self, key: str, value: Any, *, time: float = 0, **_: object) -> bool:
        """Keep a value for a duration in seconds; 0 means for ever, as in memcached."""
        if key.startswith(_NOT_KEPT):
            return True
        if isinstance(value, bytes):  # keystonemiddleware stores them
            value = value.decode()
        self._kept[key] = (json.dumps(value), _expiry(time))
        return True

    def delete(self, key: str, **_: object) -> bool:
        """Forget a value."""
        self._kept.pop(key, None)
        return True


def _expiry(duration: float) -> float:
    duration = float(duration)
    if duration == 0:
        return float("inf")
    return duration if duration > _LARGEST_DURATION else time.time() + duration


def offer(app: WSGIApplication, cache: TokenCache) -> WSGIApplication:
    """Let an application find the cache where Swift's middleware looks for one."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["swift.cache"] = cache
        return app(environ, start_response)

    return application
