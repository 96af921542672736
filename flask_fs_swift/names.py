"""What an object may be called.

Names come from strangers. What passes here reaches Swift exactly as it was given:
nothing is normalised, nothing escapes into another container.
"""

from __future__ import annotations

import re

from .errors import InvalidName

#: Bytes of UTF-8. Swift counts characters in places; this is within its limit both ways.
MAX_NAME = 1024
#: What the container of the segments is called beside that of the objects.
SEGMENTS = "_segments"
#: Bytes of UTF-8: Swift's ``max_container_name_length``, without what the segments' adds.
MAX_CONTAINER = 256 - len(SEGMENTS)

# Control characters (the category Cc of Unicode), and what means another path.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ELSEWHERE = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")


def check_name(name: str) -> str:
    """Return the name of an object unchanged.

    :raises InvalidName: it is empty, longer than 1,024 bytes, not UTF-8, has a control
        character, or a ``.`` or ``..`` between its slashes: URLs are normalised below
        swiftclient, so that those would reach another object or another container.
    """
    fault = _fault(name)
    if fault is not None:
        raise InvalidName(f"{name!r} cannot name an object: {fault}", filename=name)
    return name


def is_name(name: str) -> bool:
    """Tell whether an object can have this name."""
    return _fault(name) is None


def check_container(name: str) -> str:
    """Return the name of a container unchanged.

    :raises InvalidName: it could not be an object's, has a slash, or is over 247 bytes.
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
    if not name.isascii() and not _is_utf8(name):
        return "it is not valid UTF-8"
    if len(name) > MAX_NAME or (not name.isascii() and len(name.encode()) > MAX_NAME):
        return f"it has more than {MAX_NAME} bytes"
    if _CONTROL.search(name):
        return "it has a control character"
    if "." in name and _ELSEWHERE.search(name):
        return "'.' and '..' between slashes mean another path"
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
