"""What an object may be called, and what may be said in its headers.

Names and metadata come from strangers. What passes here reaches Swift exactly as it
was given: nothing is normalised, nothing escapes into another container or header.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from .errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of UTF-8. Swift counts characters in places; this is within its limit both ways.
MAX_NAME = 1024
#: Bytes of UTF-8 (``max_container_name_length`` of Swift's constraints).
MAX_CONTAINER = 256

#: The key under which a create signs its object, to know it again after a lost answer.
NONCE = "fs-nonce"

_METADATA_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def check_name(name: str) -> str:
    """Return the name of an object unchanged.

    :raises InvalidName: it is empty, longer than 1,024 bytes, not UTF-8, has a control
        character, or a ``.`` or ``..`` between its slashes: URLs are normalised below
        swiftclient, so that those would reach another object or another container.
    """
    fault = _fault(name)
    if fault:
        raise InvalidName(f"{name!r} cannot name an object: {fault}", filename=name)
    return name


def check_container(name: str) -> str:
    """Return the name of a container unchanged.

    :raises InvalidName: it could not be an object's, has a slash, or is over 256 bytes.
    """
    fault = _fault(name)
    if not fault and "/" in name:
        fault = "a slash ends the name of a container"
    if not fault and len(name.encode()) > MAX_CONTAINER:
        fault = f"it has more than {MAX_CONTAINER} bytes"
    if fault:
        raise InvalidName(f"{name!r} cannot name a container: {fault}", filename=name)
    return name


def check_prefix(prefix: str, what: str = "prefix") -> str:
    """Return what names begin with, or are divided at, unchanged; it may be empty.

    :raises InvalidName: it is not UTF-8.
    """
    if not _is_utf8(prefix):
        raise InvalidName(f"{prefix!r} cannot be a {what}: it is not valid UTF-8")
    return prefix


def _fault(name: str) -> str | None:
    if not name:
        return "it is empty"
    if not _is_utf8(name):
        return "it is not valid UTF-8"
    if len(name.encode()) > MAX_NAME:
        return f"it has more than {MAX_NAME} bytes"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "it has a control character"
    if any(segment in {".", ".."} for segment in name.split("/")):
        return "'.' and '..' between slashes mean another path"
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_header(name: str, value: str) -> str:
    """Return the value of a header that browsers will read, unchanged.

    :raises ValueError: it is not printable ASCII, or begins or ends with a space.
    """
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"{name} must be printable ASCII without spaces around it, not {value!r}")
    return value


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return user metadata as Swift's headers.

    Values are percent-encoded where they are not printable ASCII: swiftclient and the
    ``swift`` command decode them once when they read.

    :raises ValueError: a key is not made of letters, digits and inner hyphens, or is
        the package's own; a value is not a string.
    """
    headers = {}
    for key, value in metadata.items():
        lower = check_metadata_key(key)
        if not isinstance(value, str):
            raise ValueError(f"metadata {key!r} must be a string, not {value!r}")  # noqa: TRY004
        headers[f"x-object-meta-{lower}"] = _encode(value)
    return headers


def check_metadata_key(key: str) -> str:
    """Return the key in lower case: headers have no other.

    :raises ValueError: see :func:`encode_metadata`.
    """
    if not _METADATA_KEY.fullmatch(key):
        raise ValueError(f"metadata key {key!r}: use letters, digits and inner hyphens")
    if key.lower() == NONCE:
        raise ValueError(f"metadata key {key!r} is used by the package itself")
    return key.lower()


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user metadata among lower-case headers, without the package's own."""
    start = "x-object-meta-"
    return {
        key.removeprefix(start): unquote(value)
        for key, value in headers.items()
        if key.startswith(start) and key != start + NONCE
    }


def _encode(value: str) -> str:
    # '%' must be encoded, or it would be decoded into something else; so must the
    # spaces around the value, which HTTP strips.
    if value != value.strip(" "):
        return quote(value, safe="")
    return quote(value, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
