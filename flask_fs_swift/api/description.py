"""What is said beside an object's bytes, as headers.

Names of headers are lower-case: published clients look for no others. What only a server
says (when, until when, how many bytes) is left unread in a request, so that it does no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from .escaping import text_of, value_of
from .expiration import MANUAL, Expiration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_TYPE = "application/octet-stream"
#: Bytes of the headers that describe one object, names included.
MOST_BYTES = 8 * 1024
#: Custom entries of one object.
MOST_CUSTOM = 64

_CUSTOM = "x-snme-"
_EXPIRATION = "x-sn-expiration"
_CREATED = "x-sn-time-created"
_EXPIRES = "x-sn-time-expires"
_ORIGIN = "x-sn-origin"
_FILENAME = "x-sn-filename"
_SIZE = "x-sn-size"
_WRITABLE = {"content-type", "content-encoding", _EXPIRATION, _ORIGIN, _FILENAME}
_READ_ONLY = {_CREATED, _EXPIRES, _SIZE}

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110's word
_PARAMETER = rf"{_TOKEN}=(?:{_TOKEN}|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
# A stranger chooses it: no blank can be matched in two ways, or each would double the time.
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?: *;(?: *{_PARAMETER})?)*")
_NAME = re.compile(_TOKEN)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-][0-9]{2}:[0-9]{2}))"
)
_DIGITS = re.compile(r"[0-9]{1,19}")
_SLASHES = str.maketrans("/\\", "--")
_NOT_PRINTABLE = re.compile("[^ -~]")


@dataclass(frozen=True)
class Description:
    """Everything about an object but its bytes and its key.

    :raises ValueError: something has no form that a header could have.
    """

    content_type: str = DEFAULT_TYPE
    #: How the bytes were compressed before they were sent; the server stores them as they are.
    compression: Literal["zstd"] | None = None
    expiration: Expiration = MANUAL
    #: Where it comes from, in its writer's words.
    origin: str | None = None
    filename: str | None = None
    #: By lower-case name.
    custom: Mapping[str, str] = field(default_factory=dict)
    #: When this version was stored, aware; None where the server is to say it.
    created: datetime | None = None
    #: From when on it counts as absent, aware; None: it stays, or the server is to say it.
    expires: datetime | None = None
    #: Bytes as stored; None where it is not known.
    size: int | None = None

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.content_type):
            raise ValueError(f"content-type {self.content_type[:80]!r} is no media type")
        if self.compression not in {None, "zstd"}:
            raise ValueError(f"content-encoding is zstd or absent, not {self.compression!r}")
        if len(self.custom) > MOST_CUSTOM:
            raise ValueError(f"more than {MOST_CUSTOM} custom entries")
        for name in self.custom:
            if not _NAME.fullmatch(name) or name != name.lower():
                raise ValueError(f"custom entry {name[:80]!r}: use a lower-case name of a header")
        _check_size(self.writable().items())

    @classmethod
    def of_request(cls, headers: Iterable[tuple[str, str]]) -> Description:
        """Read what a writer says of an object; other headers are of no matter.

        :param headers: names in any case; values as WSGI has them.
        :raises ValueError: one is no value of its header, or came twice, or there are more
            than 64 custom entries, or more than 8 KiB in all.
        """
        return _read(_ours(headers))

    @classmethod
    def of_response(cls, headers: Iterable[tuple[str, str]]) -> Description:
        """Read what a server says of an object.

        :param headers: names in any case.
        :raises ValueError: see :meth:`of_request`; or a time is no time, a size no number.
        """
        given = [(name.lower(), value) for name, value in headers]
        said = dict(given)
        created, expires, size = said.get(_CREATED), said.get(_EXPIRES), said.get(_SIZE)
        if size is not None and not _DIGITS.fullmatch(size):
            raise ValueError(f"{_SIZE} {size[:80]!r} is no number")
        return _read(
            _ours(given),
            created=None if created is None else parse_time(created),
            expires=None if expires is None else parse_time(expires),
            size=None if size is None else int(size),
        )

    def writable(self) -> dict[str, str]:
        """Return the headers that a writer sends."""
        headers = {"content-type": self.content_type}
        if self.compression is not None:
            headers["content-encoding"] = self.compression
        if self.expiration.kind != "manual":
            headers[_EXPIRATION] = str(self.expiration)
        if self.origin is not None:
            headers[_ORIGIN] = value_of(self.origin)
        if self.filename is not None:
            headers[_FILENAME] = value_of(self.filename)
        headers.update((_CUSTOM + name, value_of(value)) for name, value in self.custom.items())
        return headers

    def headers(self) -> dict[str, str]:
        """Return the headers that a server sends: those of the writer, and its own."""
        headers = self.writable()
        if self.created is not None:
            headers[_CREATED] = format_time(self.created)
        if self.expires is not None:
            headers[_EXPIRES] = format_time(self.expires)
        if self.size is not None:
            headers[_SIZE] = str(self.size)
        return headers

    @property
    def disposition(self) -> str:
        """The value of ``content-disposition``: browsers save it, and do not run it."""
        if self.filename is None:
            return "attachment"
        name = self.filename.translate(_SLASHES)
        if not name.strip("."):
            name = "-" * len(name)
        plain = _NOT_PRINTABLE.sub("_", name).replace('"', '\\"')
        if name.isascii():
            return f'attachment; filename="{plain}"'
        # RFC 8187, section 3.2.1: its attr-char travel bare.
        encoded = quote(name, safe="!#$&+^`|")
        return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def parse_time(text: str) -> datetime:
    """Read a time (RFC 3339), to the microsecond, in UTC.

    :raises ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no time, as 2026-11-20T21:39:45Z would be")
    date, clock, fraction, offset = found.groups()
    micros = (fraction or "0")[:6].ljust(6, "0")
    try:
        time = datetime.fromisoformat(f"{date}T{clock}.{micros}{offset or '+00:00'}")
        return time.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:80]!r} is no time: {error}") from error


def format_time(time: datetime) -> str:
    """Write an aware time in UTC, with microseconds."""
    return f"{time.astimezone(timezone.utc).replace(tzinfo=None).isoformat('T', 'microseconds')}Z"


def from_microseconds(count: int) -> datetime:
    """Return the time that is so many microseconds after the beginning of 1970.

    :raises OverflowError: it is not between the years 1 and 9999.
    """
    return _EPOCH + timedelta(microseconds=count)


def to_microseconds(time: datetime) -> int:
    """Return how many microseconds after the beginning of 1970 an aware time is."""
    return (time - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _ours(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a writer's headers by lower-case name."""
    found: dict[str, str] = {}
    for given, value in headers:
        name = given.lower()
        if name in _WRITABLE or name.startswith(_CUSTOM):
            if name in found:
                raise ValueError(f"{name} came twice")
            found[name] = value
    _check_size(found.items())
    return found


def _check_size(headers: Iterable[tuple[str, str]]) -> None:
    size = sum(len(name) + len(value) for name, value in headers)
    if size > MOST_BYTES:
        raise ValueError(f"metadata of {size} bytes; at most {MOST_BYTES} describe an object")


def _read(
    headers: Mapping[str, str],
    *,
    created: datetime | None = None,
    expires: datetime | None = None,
    size: int | None = None,
) -> Description:
    encoding = headers.get("content-encoding")
    if encoding not in {None, "zstd"}:
        raise ValueError(f"content-encoding is zstd or absent, not {encoding[:80]!r}")
    return Description(
        content_type=headers.get("content-type") or DEFAULT_TYPE,
        compression=None if encoding is None else "zstd",
        expiration=Expiration.parse(headers.get(_EXPIRATION, "manual")),
        origin=_text(headers, _ORIGIN),
        filename=_text(headers, _FILENAME),
        custom={
            name.removeprefix(_CUSTOM): text_of(value, name)
            for name, value in headers.items()
            if name.startswith(_CUSTOM)
        },
        created=created,
        expires=expires,
        size=size,
    )


def _text(headers: Mapping[str, str], name: str) -> str | None:
    return text_of(headers[name], name) if name in headers else None
