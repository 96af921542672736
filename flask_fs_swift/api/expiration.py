"""When an object ends: never, after a time, or when nobody asked for it for so long.

The deadline is stamped by the server and stored with the object; from then on it counts as
absent. Time to live is counted from the write. Time to idle is counted from the last read,
but a read moves the deadline only where that is worth a write: when it lost a quarter of its
length, or a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from .durations import LONGEST, format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["manual", "ttl", "tti"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
#: How far a deadline may fall behind before a read moves it.
_LAG = timedelta(days=1)


@dataclass(frozen=True)
class Expiration:
    """What an object's writer chose.

    :raises ValueError: a length is missing, negative, of more than 1,000 years, or ``manual``
        has one.
    """

    kind: Kind = "manual"
    #: None for ``manual``.
    length: timedelta | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"an expiration is one of {', '.join(_KINDS)}, not {self.kind!r}")
        if (self.length is None) != (self.kind == "manual"):
            raise ValueError("an expiration has a length unless it is manual")
        if self.length is not None and not timedelta() <= self.length <= LONGEST:
            raise ValueError(f"an expiration is 0 to {LONGEST.days} days, not {self.length}")

    @classmethod
    def parse(cls, text: str) -> Expiration:
        """Read what a header says: ``manual``, ``ttl:1d``, ``tti:12h 30m``.

        :raises ValueError: it says something else.
        """
        if text == "manual":
            return MANUAL
        kind, _, length = text.partition(":")
        if kind == "ttl":
            return cls("ttl", parse_duration(length))
        if kind == "tti":
            return cls("tti", parse_duration(length))
        raise ValueError(f"an expiration is manual, ttl:… or tti:…, not {text[:80]!r}")

    def __str__(self) -> str:
        return self.kind if self.length is None else f"{self.kind}:{format_duration(self.length)}"

    def deadline(self, now: datetime) -> datetime | None:
        """Return when an object that is written now expires; None: never."""
        return None if self.length is None else now + self.length

    def moved(self, expires: datetime | None, now: datetime) -> datetime | None:
        """Return the deadline that a read moves an object's to; None: it stays."""
        if self.kind != "tti" or self.length is None or expires is None:
            return None
        fresh = now + self.length
        return fresh if expires < fresh - min(self.length / 4, _LAG) else None


#: It stays until it is deleted.
MANUAL = Expiration()


def is_expired(expires: datetime | None, now: datetime) -> bool:
    """Tell whether an object with this deadline counts as absent."""
    return expires is not None and expires <= now


@dataclass(frozen=True)
class Policy:
    """What a usecase lets its writers choose. By default everything."""

    kinds: frozenset[Kind] = frozenset(_KINDS)
    #: The greatest length of a kind; without bound for those that are not named.
    longest: Mapping[Kind, timedelta] = field(default_factory=dict)

    def check(self, expiration: Expiration) -> None:
        """Make sure that an object may expire so.

        :raises ValueError: its kind is not allowed, or it is too long.
        """
        if expiration.kind not in self.kinds:
            allowed = ", ".join(kind for kind in _KINDS if kind in self.kinds) or "none"
            raise ValueError(f"expiration {expiration.kind} is not allowed here, but: {allowed}")
        longest = self.longest.get(expiration.kind)
        if longest is not None and expiration.length is not None and expiration.length > longest:
            raise ValueError(
                f"expiration {expiration} is longer than {format_duration(longest)}, "
                f"the most for {expiration.kind} here"
            )
