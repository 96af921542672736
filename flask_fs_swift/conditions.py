"""What must hold of the version of an object that is read (RFC 9110, section 13).

Swift judges these itself, so that what need not be sent is not: but it answers 304 to a
date beside an ETag that differs, and ignores ``If-Range``. So it is told one condition of a
pair only: the ETag's, which counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.http import http_date, parse_date, parse_etags

from .errors import FSError, ObjectChanged

if TYPE_CHECKING:
    from datetime import datetime

    from werkzeug.datastructures import Headers

    from .objects import ObjectInfo

#: Any ETag.
ANY_TAG = frozenset({"*"})


class NotModified(FSError):
    """The reader has this version already (304)."""

    http_status = 304

    def __init__(self, info: ObjectInfo) -> None:
        super().__init__(f"{info.name!r} has not been modified", filename=info.name)
        #: The version that there is.
        self.info = info


@dataclass(frozen=True)
class Conditions:
    """What must hold, each None where nothing is asked; of ETags without their quotes."""

    #: One of these ETags; weak ones are none, because none of them says which bytes.
    match: frozenset[str] | None = None
    unmodified_since: datetime | None = None
    #: None of these ETags, weak or not.
    none_match: frozenset[str] | None = None
    modified_since: datetime | None = None

    def headers(self) -> dict[str, str]:
        """Return them as headers of a request."""
        asked: dict[str, str] = {}
        if self.match is not None:
            asked["If-Match"] = _tags(self.match)
        elif self.unmodified_since is not None:
            asked["If-Unmodified-Since"] = http_date(self.unmodified_since)
        if self.none_match is not None:
            asked["If-None-Match"] = _tags(self.none_match)
        elif self.modified_since is not None:
            asked["If-Modified-Since"] = http_date(self.modified_since)
        return asked

    def check(self, info: ObjectInfo) -> None:
        """Hold them against a version.

        :raises ObjectChanged: it is not the one that the reader wants.
        :raises NotModified: it is the one that the reader has.
        """
        if self.match is not None:
            wanted = _is_among(info.etag, self.match)
        else:
            wanted = not _is_after(info.modified, self.unmodified_since)
        if not wanted:
            raise ObjectChanged(f"{info.name!r} is another version now", filename=info.name)
        if self.none_match is not None:
            needed = not _is_among(info.etag, self.none_match)
        else:
            needed = self.modified_since is None or _is_after(info.modified, self.modified_since)
        if not needed:
            raise NotModified(info)


NO_CONDITIONS = Conditions()


def of_version(etag: str | None) -> Conditions:
    """Return the condition that an object is still this version."""
    return Conditions(match=frozenset({etag or ""}))


def conditions_in(headers: Headers) -> Conditions:
    """Return those of a request."""

    def tags(name: str, *, weak: bool) -> frozenset[str] | None:
        if name not in headers:
            return None
        given = parse_etags(headers[name])
        return ANY_TAG if given.star_tag else frozenset(given.as_set(include_weak=weak))

    return Conditions(
        match=tags("If-Match", weak=False),
        unmodified_since=parse_date(headers.get("If-Unmodified-Since")),
        none_match=tags("If-None-Match", weak=True),
        modified_since=parse_date(headers.get("If-Modified-Since")),
    )


def _tags(tags: frozenset[str]) -> str:
    return "*" if tags == ANY_TAG else ", ".join(f'"{tag}"' for tag in sorted(tags)) or '""'


def _is_among(etag: str | None, tags: frozenset[str]) -> bool:
    return tags == ANY_TAG or etag in tags


def _is_after(modified: datetime | None, date: datetime | None) -> bool:
    """Tell whether a version is younger than a date, which has whole seconds."""
    return date is not None and modified is not None and modified.replace(microsecond=0) > date
