"""What a service does at most: the settings of its limits, all of them off by default.

They are given as ``objectstore(files, limits=Limits(…))``, or else read from the application's
settings, where ``FS_SERVICE_REQUESTS`` is what is called ``requests`` here. All of them count
for one process: so many workers do so many times as much.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from flask_fs_swift.checks import (
    at_least,
    choice,
    flag,
    fraction,
    positive,
    refuse_unknown,
    seconds,
    text,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.api.places import Place

#: What settings begin with.
PREFIX = "FS_SERVICE_"

#: What a request, or an operation of a batch, does.
Kind: TypeAlias = Literal["read", "write", "delete"]
#: How batches get permits; see :mod:`.allowances`.
BulkPolicy: TypeAlias = Literal["permits", "window"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_METHODS: dict[str, Kind] = {"GET": "read", "HEAD": "read", "DELETE": "delete"}


@dataclass(frozen=True)
class Killswitch:
    """What is not done: all that fits everything that is said here.

    One that says nothing stops the service.

    :raises ConfigError: a value has another type, or a kind is not known.
    """

    usecase: str | None = None
    #: Some of a place's scopes, in any order.
    scopes: Mapping[str, str] = field(default_factory=dict)
    #: None: all kinds.
    kinds: Collection[Kind] | None = None

    def __post_init__(self) -> None:
        if self.usecase is not None:
            text("usecase", self.usecase)
        if not isinstance(self.scopes, Mapping):
            raise wrong("scopes", self.scopes, "a dict of strings")
        for word in (*self.scopes, *self.scopes.values()):
            text("scopes", word)
        if self.kinds is not None:
            _kinds("kinds", self.kinds)

    def stops(self, place: Place, kind: Kind | None) -> bool:
        """Tell whether it stops what is done in a place.

        :param kind: None: of several kinds, of which each is asked for by itself.
        """
        return (
            self.usecase in {None, place.usecase}
            and set(self.scopes.items()) <= set(place.scopes)
            and (self.kinds is None or kind in self.kinds)
        )


def kind_of(method: str) -> Kind:
    """Return what a request with this method does."""
    return _OF_METHODS.get(method, "write")


@dataclass(frozen=True)
class Limits:
    """The limits of one service. None: there is no such limit.

    :raises ConfigError: a value is impossible; its ``key`` is the field.
    """

    #: Requests at once, each until its answer was sent.
    in_flight: int | None = None
    #: Requests per second, of everybody.
    requests: float | None = None
    #: Bytes per second, of bodies in both directions.
    bytes: float | None = None
    #: The same two for each usecase.
    usecase_requests: float | None = None
    usecase_bytes: float | None = None
    #: The same two for each usecase with its scopes.
    scope_requests: float | None = None
    scope_bytes: float | None = None
    #: Operations on the storage at once.
    operations: int | None = None
    #: Requests that may wait for others' operations to end.
    queue: int = 0
    #: Seconds for which they wait, and for which operations of batches do.
    queue_timeout: float = 1.0
    #: How the operations of batches are counted.
    bulk_policy: BulkPolicy = "permits"
    #: Of the operations that could begin, what a batch reserves: for ``window``.
    bulk_share: float = 0.1
    #: Of all operations, what batches may have together: for ``permits``.
    bulk_ceiling: float = 0.6
    killswitches: Sequence[Killswitch] = ()
    #: Whether what is over a limit is counted and logged, and done. Killswitches stop all the same.
    report_only: bool = False

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))


def read_limits(config: Mapping[str, object]) -> Limits:
    """Return the limits that an application's settings tell.

    :raises ConfigError: a key is not known, or a value impossible.
    """
    keys = {PREFIX + each.name.upper(): each.name for each in fields(Limits)}
    refuse_unknown(config, PREFIX, [key.removeprefix(PREFIX) for key in keys])
    given: dict[str, Any] = {
        name: _CHECKS[name](key, config[key])
        for key, name in keys.items()
        if config.get(key) is not None
    }
    return Limits(**given)


def _killswitches(key: str, value: object) -> tuple[Killswitch, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise wrong(key, value, "a list of killswitches, or of dicts with what they say")
    return tuple(_killswitch(key, each) for each in value)


def _killswitch(key: str, value: object) -> Killswitch:
    if isinstance(value, Killswitch):
        return value
    known = {each.name for each in fields(Killswitch)}
    if not isinstance(value, Mapping) or not known.issuperset(value):
        raise wrong(key, value, f"a dict with some of {', '.join(sorted(known))}")
    try:
        return Killswitch(**cast("dict[str, Any]", value))
    except ValueError as error:
        raise wrong(key, value, f"right: {error}") from error


def _kinds(key: str, value: object) -> object:
    if isinstance(value, str) or not isinstance(value, Collection) or not set(value) <= set(_KINDS):
        raise wrong(key, value, f"a list of {', '.join(_KINDS)}")
    return value


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "in_flight": at_least(0),
    "requests": positive,
    "bytes": positive,
    "usecase_requests": positive,
    "usecase_bytes": positive,
    "scope_requests": positive,
    "scope_bytes": positive,
    "operations": at_least(0),
    "queue": at_least(0),
    "queue_timeout": seconds,
    "bulk_policy": choice(*get_args(BulkPolicy)),
    "bulk_share": fraction,
    "bulk_ceiling": fraction,
    "killswitches": _killswitches,
    "report_only": flag,
}
