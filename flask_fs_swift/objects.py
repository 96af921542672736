"""The values that travel between the layers: what an object is, and what is stored beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class ObjectInfo:
    """Everything about an object but its bytes."""

    name: str
    #: Bytes; None where Swift does not say: some dynamic large objects.
    size: int | None
    #: Without quotes. The MD5 of the content, unless ``is_manifest``.
    etag: str | None
    content_type: str
    #: When this version was stored, aware, in UTC.
    modified: datetime | None
    #: User metadata by lower-case key. Empty in listings: Swift's do not say it.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: When Swift will delete the object, aware, in UTC; None in listings.
    expires: datetime | None = None
    #: Headers that were stored with the object; None in listings.
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    #: A large object: a list of segments, whose ETag is no MD5 of the content.
    is_manifest: bool = False
    #: Not an object: what the names that were rolled up at a delimiter begin with.
    is_prefix: bool = False

    @property
    def checksum(self) -> str | None:
        """``md5:<hexadecimal digits>`` of the content; None where the ETag does not say it."""
        return f"md5:{self.etag}" if self.etag and not self.is_manifest else None


@dataclass
class Properties:
    """What is stored beside the bytes, as its writer gave it."""

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Seconds from now until Swift deletes the object; None: never.
    expires_after: int | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
