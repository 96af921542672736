"""How much may pass in a second: token buckets, of everything, of each usecase, of each place.

A bucket holds what may pass within one second, and fills evenly. A request takes one from
each bucket of requests, or is refused and takes nothing. Bytes are taken as they pass, when
nobody can be refused any more: a bucket of them may owe some, and whoever comes before it has
filled again is refused.

Usecases and places are named by strangers. Of each limit only the 4,096 buckets that were
used last are kept. One that was not used for a second, and owes nothing, is full, so who forgets it
loses nothing; only who uses more within a second gets some of it anew.

State: the buckets, guarded by ``_lock``.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_fs_swift.concurrency import forget_after_fork, new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.api.places import Place

    from .limits import Limits

#: Buckets that are kept of each limit.
MOST_BUCKETS = 4096


class Bucket:
    """What may pass at this moment. Lives until it is forgotten.

    :param rate: per second.
    :param now: seconds, of any clock that never goes back.
    """

    __slots__ = ("_at", "_level", "_rate", "_size")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        # A limit below 1 per second lets one pass now and then.
        self._size = max(rate, 1.0)
        self._level = self._size
        self._at = now

    def level(self, now: float) -> float:
        """Return how much may pass; below 0: how much it owes."""
        self._level = min(self._level + (now - self._at) * self._rate, self._size)
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Take out what passes, also if it is more than there is."""
        self._level = self.level(now) - amount


@dataclass(frozen=True)
class _Limit:
    """One of the limits."""

    #: The field of :class:`.Limits`.
    name: str
    rate: float
    #: Tells whose bucket it is.
    owner: Callable[[Place], object]

    @property
    def is_of_bytes(self) -> bool:
        return self.name.endswith("bytes")


class Rates:
    """What has passed lately. Lives as long as its service.

    :param clock: tells seconds, and never goes back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits = [
            _Limit(prefix + unit, rate, owner)
            for prefix, owner in _OWNERS.items()
            for unit in ("requests", "bytes")
            if (rate := getattr(limits, prefix + unit)) is not None
        ]
        #: Whether bytes have to be counted.
        self.counts_bytes = any(limit.is_of_bytes for limit in self._limits)
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Begin with full buckets."""
        self._lock = new_lock()
        self._buckets: dict[_Limit, OrderedDict[object, Bucket]] = {
            limit: OrderedDict() for limit in self._limits
        }

    def admit(self, place: Place) -> str | None:
        """Let a request pass; or return the name of a limit that it is over, and count nothing."""
        if not self._limits:
            return None
        with self._lock:
            now = self._clock()
            found = [(limit, self._bucket(limit, place, now)) for limit in self._limits]
            for limit, bucket in found:
                level = bucket.level(now)
                if level <= 0 if limit.is_of_bytes else level < 1:
                    return limit.name
            for limit, bucket in found:
                if not limit.is_of_bytes:
                    bucket.take(1, now)
        return None

    def passed(self, place: Place, size: int) -> None:
        """Count so many bytes."""
        with self._lock:
            now = self._clock()
            for limit in self._limits:
                if limit.is_of_bytes:
                    self._bucket(limit, place, now).take(size, now)

    def _bucket(self, limit: _Limit, place: Place, now: float) -> Bucket:
        buckets = self._buckets[limit]
        owner = limit.owner(place)
        bucket = buckets.get(owner)
        if bucket is None:
            bucket = buckets[owner] = Bucket(limit.rate, now)
            if len(buckets) > MOST_BUCKETS:
                buckets.popitem(last=False)
        else:
            buckets.move_to_end(owner)
        return bucket


_OWNERS: dict[str, Callable[[Place], object]] = {
    "": lambda _: None,
    "usecase_": lambda place: place.usecase,
    "scope_": lambda place: place,
}
