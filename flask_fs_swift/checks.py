"""What the value of a setting must be.

Each check takes a key's full name and a value. It returns the value, or raises a
:class:`.ConfigError` that says what is allowed.
"""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, cast

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


def text(key: str, value: object) -> str:
    """Take a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise wrong(key, value, "a string that is not empty")
    return value


def flag(key: str, value: object) -> bool:
    """Take True or False."""
    if not isinstance(value, bool):
        raise wrong(key, value, "True or False")
    return value


def at_least(least: int) -> Callable[[str, object], int]:
    """Take a whole number, so great or greater."""

    def check(key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise wrong(key, value, f"a whole number, {least} or more")
        return value

    return check


def seconds(key: str, value: object) -> float:
    """Take a number of seconds above 0."""
    return _number(key, value, sys.float_info.max, "a number of seconds above 0")


def positive(key: str, value: object) -> float:
    """Take a number above 0."""
    return _number(key, value, sys.float_info.max, "a number above 0")


def not_negative(key: str, value: object) -> float:
    """Take a number of seconds, or 0."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return seconds(key, value)


def fraction(key: str, value: object) -> float:
    """Take a number above 0 and up to 1."""
    return _number(key, value, 1, "a number above 0 and up to 1")


def choice(*allowed: str) -> Callable[[str, object], str]:
    """Take one of some words."""

    def check(key: str, value: object) -> str:
        if value not in allowed:
            raise wrong(key, value, " or ".join(map(repr, allowed)))
        return str(value)

    return check


def wrong(key: str, value: object, allowed: str) -> ConfigError:
    """Return the error that says what was expected."""
    return ConfigError(f"{key} must be {allowed}, not {value!r}", key=key)


def refuse_unknown(names: Iterable[str], prefix: str, known: Collection[str]) -> None:
    """Refuse keys that begin with a prefix of ours and are none of ours.

    :param known: those that are, without it.
    :raises ConfigError: it names the nearest that is known.
    """
    for name in names:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            near = difflib.get_close_matches(name, [prefix + key for key in known], 1, 0)
            raise ConfigError(f"{name} is no setting; the nearest is {near[0]}", key=name)


def _number(key: str, value: object, most: float, allowed: str) -> float:
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if not number or not 0 < cast("float", value) <= most:
        raise wrong(key, value, allowed)
    return float(cast("float", value))
