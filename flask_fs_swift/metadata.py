"""What may be said beside an object's bytes: headers, and the metadata of users.

It comes from strangers. What passes here is one header's value and nothing more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The key under which a create signs its object, to know it again after a lost answer.
NONCE = "fs-nonce"

_PREFIX = "x-object-meta-"
_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

#: A value, or None for one that is to be removed.
V = TypeVar("V", str, "str | None")


def check_header(name: str, value: str) -> str:
    """Return the value of a header that browsers will read, unchanged.

    :raises ValueError: it is not printable ASCII, or begins or ends with a space.
    """
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"{name} must be printable ASCII without spaces around it, not {value!r}")
    return value


def checked_metadata(metadata: Mapping[str, V]) -> dict[str, V]:
    """Return user metadata under lower-case keys: headers have no other.

    :raises ValueError: a key is not made of letters, digits and inner hyphens, or is
        the package's own; a value is no string.
    """
    checked = {}
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r}: use letters, digits and inner hyphens")
        if key.lower() == NONCE:
            raise ValueError(f"metadata key {key!r} is used by the package itself")
        if value is not None and not isinstance(value, str):
            raise ValueError(f"metadata {key!r} must be a string, not {value!r}")
        checked[key.lower()] = value
    return checked


def header_of(key: str) -> str:
    """Return the name of the header that has the value of a key."""
    return _PREFIX + key


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return checked user metadata as Swift's headers.

    Values are percent-encoded where they are not printable ASCII: swiftclient and the
    ``swift`` command decode them once when they read.
    """
    return {header_of(key): _encode(value) for key, value in metadata.items()}


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user metadata among lower-case headers, without the package's own."""
    return {
        name.removeprefix(_PREFIX): unquote(value)
        for name, value in headers.items()
        if name.startswith(_PREFIX) and name != header_of(NONCE)
    }


def _encode(value: str) -> str:
    # '%' must be encoded, or it would be decoded into something else; so must the
    # spaces around the value, which HTTP strips.
    if value != value.strip(" "):
        return quote(value, safe="")
    return quote(value, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
