"""Text as it travels in URLs and headers, percent-encoded.

What a stranger put into a key or a file name must not end its line, nor its segment of a
path. Three alphabets travel bare: that of keys in URLs, as the published client sends them;
letters and digits alone, in the headers of a batch's parts; and visible ASCII, in metadata.
Decoding is the same for all, and is done once.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

# Unreserved characters (RFC 3986, section 2.3) travel bare, too: quote() leaves them.
_IN_PATHS = "/:@!$&'()*+,;="
_IN_HEADERS = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_UNRESERVED = str.maketrans({mark: f"%{ord(mark):02X}" for mark in "-._~"})

_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


def path_of(key: str) -> str:
    """Return a key as it stands in the path of a URL, slashes bare.

    :raises ValueError: it is empty, or not valid UTF-8.
    """
    return quote(checked_key(key), safe=_IN_PATHS)


def header_of(key: str) -> str:
    """Return a key as it stands in the head of a batch's part.

    :raises ValueError: it is empty, or not valid UTF-8.
    """
    return quote(checked_key(key), safe="").translate(_UNRESERVED)


def key_of(text: str, what: str = "a key") -> str:
    """Return the key that stands in a path, or in the head of a part: decoded once.

    :param what: it is, in the words of an error, where it is another segment of a path.

    :raises ValueError: it is empty, has a percent sign that escapes nothing, or what is
        no visible ASCII, or is not valid UTF-8 when it is decoded.
    """
    if _NO_ESCAPE.search(text):
        raise ValueError(f"{what} has a percent sign that escapes nothing: {text[:80]!r}")
    return checked_key(_decoded(text, what), what)


def checked_key(key: str, what: str = "a key") -> str:
    """Return a key unchanged: anything but nothing.

    :raises ValueError: it is empty, or not valid UTF-8.
    """
    if not key:
        raise ValueError(f"{what} has at least one character")
    return _utf8(key, what)


def value_of(text: str) -> str:
    """Return a free text as it stands in a header: visible ASCII, and spaces inside, bare.

    :raises ValueError: it is not valid UTF-8.
    """
    value = quote(_utf8(text, "a text"), safe=_IN_HEADERS)
    # HTTP would strip the spaces around it.
    begun = value.lstrip(" ")
    value = "%20" * (len(value) - len(begun)) + begun
    ended = value.rstrip(" ")
    return ended + "%20" * (len(value) - len(ended))


def text_of(value: str, header: str) -> str:
    """Return the free text that a header has.

    A percent sign that escapes nothing is one: earlier clients escaped nothing at all.

    :raises ValueError: it has what is no visible ASCII, or is not valid UTF-8 when it is
        decoded.
    """
    return _decoded(value, header)


def _decoded(text: str, what: str) -> str:
    strange = _NOT_PRINTABLE.search(text)
    if strange is not None:
        raise ValueError(f"{what} cannot have {strange[0]!r}: it is to be percent-encoded")
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} is not valid UTF-8: {text[:80]!r}") from error


def _utf8(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} is not valid UTF-8: {text[:80]!r}") from error
    return text
