"""Where an object is: a usecase, scopes in their order, a key; and its name in a storage.

A place has names of its own, those that begin with its prefix: ``usecase/objects/`` where it
has no scopes, ``usecase/org.42/project.7/objects/`` where it has. No prefix begins with
another one, since of its segments only the last has no dot. After it comes the key as it is,
but for what a name may not have: control characters and the segments ``.`` and ``..`` are
percent-encoded, and so is the percent sign itself. One name is one key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask_fs_swift.errors import InvalidName
from flask_fs_swift.names import MAX_NAME, check_name

from .escaping import checked_key, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The segment of a URL that stands for no scopes.
NO_SCOPES = "_"

_USECASE = re.compile(r"[A-Za-z0-9_-]{3,64}")
_WORD = re.compile(r"[A-Za-z0-9_\-()$!+']+")
# The segment of a name that its key comes after.
_OBJECTS = "objects"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ESCAPES = re.compile("(?:%[0-9A-F]{2})+")
_DOTS = re.compile(r"(?<![^/])\.\.?(?![^/])")


@dataclass(frozen=True)
class Place:
    """A usecase and its scopes: what keys are told apart in.

    :raises ValueError: the usecase is not 3 to 64 letters, digits, ``_`` and ``-``; the name
        or the value of a scope is empty, or has other characters than those and ``()$!+'``.
    """

    usecase: str
    #: Names and values. Their order is part of what they are.
    scopes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not _USECASE.fullmatch(self.usecase):
            raise ValueError(
                f"usecase {self.usecase[:80]!r}: use 3 to 64 letters, digits, '_' and '-'"
            )
        for word in (word for scope in self.scopes for word in scope):
            if not _WORD.fullmatch(word):
                raise ValueError(f"scope {word[:80]!r}: use letters, digits and _-()$!+'")
        if len(self.prefix) >= MAX_NAME:
            raise ValueError(f"scopes of {len(self.prefix)} bytes leave none for a key")

    @classmethod
    def of(cls, usecase: str, scopes: Iterable[tuple[str, str | int]] = ()) -> Place:
        """Return the place of a usecase and scopes, numbers and truth values as text.

        :raises ValueError: they are none.
        """
        return cls(usecase, tuple((name, str(value)) for name, value in scopes))

    @classmethod
    def parse(cls, usecase: str, scopes: str) -> Place:
        """Return the place that two segments of a URL name, as they were sent.

        :raises ValueError: they name none.
        """
        usecase = key_of(usecase, "a usecase")
        text = key_of(scopes, "a scope")
        if text == NO_SCOPES:
            return cls(usecase)
        pairs = []
        for scope in text.split(";"):
            name, equals, value = scope.partition("=")
            if not equals:
                raise ValueError(f"scope {scope[:80]!r} has no value")
            pairs.append((name, value))
        return cls(usecase, tuple(pairs))

    @property
    def segments(self) -> tuple[str, str]:
        """The two segments of a URL that name this place: all they have travels bare."""
        return self.usecase, ";".join(
            [f"{name}={value}" for name, value in self.scopes]
        ) or NO_SCOPES

    @property
    def prefix(self) -> str:
        """What the names of all its objects begin with, and those of no other place."""
        scopes = "".join([f"{name}.{value}/" for name, value in self.scopes])
        return f"{self.usecase}/{scopes}{_OBJECTS}/"

    def name_of(self, key: str) -> str:
        """Return the name of a key's object in a storage.

        :raises InvalidName: it would have more than 1,024 bytes.
        :raises ValueError: the key is empty, or not valid UTF-8.
        """
        name = self.prefix + _escaped(checked_key(key))
        excess = len(name.encode()) - MAX_NAME
        if excess > 0:
            raise InvalidName(
                f"the key is {excess} bytes too long: with its usecase and scopes, and control "
                f"characters and '%' escaped, a name has at most {MAX_NAME}",
                filename=name,
            )
        return check_name(name)


def place_of(name: str) -> tuple[Place, str]:
    """Return the place and the key that a storage's object was named for.

    :raises ValueError: no key has this name.
    """
    usecase, _, rest = name.partition("/")
    scopes = []
    while True:
        segment, slash, rest = rest.partition("/")
        if segment == _OBJECTS and rest:
            break
        word, dot, value = segment.partition(".")
        if not (slash and dot):
            raise ValueError(f"{name!r} is the name of no key")
        scopes.append((word, value))
    place = Place(usecase, tuple(scopes))
    key = _plain(rest)
    if place.name_of(key) != name:
        raise ValueError(f"{name!r} is the name of no key: it is escaped otherwise")
    return place, key


def _escaped(key: str) -> str:
    text = key.replace("%", "%25")
    text = _CONTROL.sub(lambda control: quote(control[0]), text)
    return _DOTS.sub(lambda dots: "%2E" * len(dots[0]), text)


def _plain(text: str) -> str:
    # Only what is escaped is bytes; the rest may be any characters.
    return _ESCAPES.sub(lambda run: key_of(run[0]), text)
