"""What describes an object, as the user metadata of a storage.

Swift keeps little: 256 bytes for a value, 4,096 in all, and no keys but letters, digits and
hyphens. So a description is one JSON text, cut into values under ``api-0``, ``api-1`` and so
on. It has no character that Swift's headers would escape, so that a byte is a byte. Each
value has a mark before and after it: headers lose the spaces at their ends. The content type
and the size are the object's own.
"""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

from flask_fs_swift.api.description import Description, from_microseconds, to_microseconds
from flask_fs_swift.api.expiration import MANUAL, Expiration
from flask_fs_swift.errors import FSError
from flask_fs_swift.metadata import NONCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_fs_swift.objects import ObjectInfo

#: Bytes of one value, and of all keys and values: Swift's defaults, without what the package
#: itself puts beside them (32 bytes, and their key).
MAX_VALUE = 256
MAX_TOTAL = 4096 - len(NONCE) - 32

_MARKS = ("<", ">")
_PIECE = MAX_VALUE - 2
_MICROSECOND = timedelta(microseconds=1)


def to_metadata(description: Description) -> dict[str, str]:
    """Return the user metadata that keep a description, but for content type and size.

    :raises ValueError: they are more than Swift keeps beside an object.
    """
    text = json.dumps(_fields(description), separators=(",", ":"))
    # Swift's headers would escape these two; JSON knows another way.
    text = text.replace("%", "\\u0025").replace("\x7f", "\\u007f")
    begin, end = _MARKS
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    metadata = {_key(number): f"{begin}{piece}{end}" for number, piece in enumerate(pieces)}
    size = sum(len(key) + len(value) for key, value in metadata.items())
    if size > MAX_TOTAL:
        raise ValueError(f"metadata of {size} bytes as stored; Swift keeps {MAX_TOTAL} of them")
    return metadata


def to_update(description: Description, before: Mapping[str, str]) -> dict[str, str | None]:
    """Return what changes an object's user metadata to those of a description.

    If somebody writes the object meanwhile, nothing of a longer description follows this one.

    :param before: what it has now; None stands for a key that is to go.
    :raises ValueError: see :func:`to_metadata`.
    """
    pieces = to_metadata(description)
    stale: dict[str, str | None] = dict.fromkeys([*_pieces(before), _key(len(pieces))])
    return stale | pieces


def description_of(info: ObjectInfo) -> Description:
    """Return the description of a stored object.

    One that was not stored through here has what the storage itself knows of it.

    :raises FSError: somebody else stored beside it what describes nothing.
    """
    text = "".join([value[1:-1] for value in _pieces(info.metadata).values()])
    try:
        if text:
            return _described(json.loads(text), info)
        return Description(
            info.content_type, created=info.modified, expires=info.expires, size=info.size
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        message = f"what describes {info.name!r} was changed: {error}"
        raise FSError(message, filename=info.name) from error


def _fields(description: Description) -> dict[str, Any]:
    expiration = description.expiration
    fields = {
        "c": None if description.created is None else to_microseconds(description.created),
        "e": None if description.expires is None else to_microseconds(description.expires),
        "x": None if expiration.length is None else expiration.kind,
        "l": None if expiration.length is None else expiration.length // _MICROSECOND,
        "z": description.compression,
        "o": description.origin,
        "f": description.filename,
        "m": dict(description.custom) or None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _described(fields: dict[str, Any], info: ObjectInfo) -> Description:
    expiration = MANUAL
    if "x" in fields:
        expiration = Expiration(fields["x"], fields["l"] * _MICROSECOND)
    return Description(
        content_type=info.content_type,
        compression=fields.get("z"),
        expiration=expiration,
        origin=fields.get("o"),
        filename=fields.get("f"),
        custom=fields.get("m", {}),
        created=from_microseconds(fields["c"]) if "c" in fields else info.modified,
        expires=from_microseconds(fields["e"]) if "e" in fields else None,
        size=info.size,
    )


def _pieces(metadata: Mapping[str, str]) -> dict[str, str]:
    keys = takewhile(metadata.__contains__, map(_key, count()))
    return {key: metadata[key] for key in keys}


def _key(number: int) -> str:
    return f"api-{number}"
