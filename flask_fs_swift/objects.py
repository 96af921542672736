"""The values that travel between the layers: what an object is, and what is stored beside it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from .errors import InvalidPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

#: Why a file of a form was not stored: its name or extension is not taken, it has too many
#: bytes, there were too many files, or there is one of its name.
Refusal: TypeAlias = Literal["name", "extension", "size", "count", "exists"]

#: Of a write that somebody waits for, or of an upload that waits for whoever goes on with it.
Kind: TypeAlias = Literal["write", "upload"]
State: TypeAlias = Literal["open", "completed", "aborted"]


def new_id() -> str:
    """Return a random 128-bit id, in 32 hexadecimal digits: nobody guesses it."""
    return secrets.token_hex(16)


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


@dataclass(frozen=True)
class Part:
    """A part of an upload, as it was stored."""

    #: From 1 to 10,000.
    number: int
    #: Bytes.
    size: int
    #: MD5 in hexadecimal digits.
    etag: str
    #: Unix time, in seconds, at which it was stored; None unless the storage was asked for it.
    stored: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Marker:
    """What an upload was started with, and what has become of it."""

    #: The object's.
    name: str
    kind: Kind
    id: str = field(default_factory=new_id)
    state: State = "open"
    #: Unix time, in seconds.
    started: float = field(default_factory=time.time)
    #: The headers that the object will have.
    fields: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = True
    #: Unix time, in seconds, from which on nothing can become of it any more; None: it waits.
    until: float | None = None
    #: Bytes of the object, once completed. Before that, what it was said to have: then each of
    #: its parts is put once. None: nobody said.
    size: int | None = None
    #: Of the object, once completed.
    etag: str | None = None
    modified: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether something can still become of it."""
        return self.state == "open" and (self.until is None or time.time() < self.until)

    def check_size(self, parts: Iterable[Part]) -> None:
        """Make sure that parts are as many bytes as the object was said to have.

        :raises InvalidPart: they are not.
        """
        total = sum(part.size for part in parts)
        if self.size not in {None, total}:
            raise InvalidPart(
                f"the parts of {self.name!r} have {total} bytes in place of {self.size}",
                filename=self.name,
            )

    @property
    def expiry(self) -> dict[str, str]:
        """The header that says when the object, and so its segments, expire; or none."""
        return {key: self.fields[key] for key in ("x-delete-at",) if key in self.fields}


@dataclass(frozen=True)
class UploadInfo:
    """An upload that is neither completed nor aborted."""

    #: Whoever knows it and may use the storage may go on with it.
    id: str
    filename: str
    #: Aware, in UTC.
    started: datetime


@dataclass(frozen=True)
class Orphan:
    """What nothing refers to, and a collection removed or would remove."""

    #: In the container of the segments.
    name: str
    #: The file that it was stored for.
    filename: str
    #: Bytes.
    size: int


@dataclass(frozen=True)
class FormUpload:
    """A browser's form that sends files straight to Swift. Good until it expires."""

    #: What ``finish_form_upload`` is given. It may pass through the browser.
    id: str
    #: The form's ``action``; its ``method`` is POST, its ``enctype`` multipart/form-data.
    url: str
    #: Hidden fields, which come before the files. They are a credential.
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class RefusedFile:
    """A file of a form that was not stored, and is deleted."""

    #: As the browser gave it: a stranger's word.
    name: str
    reason: Refusal


@dataclass(frozen=True)
class FormFiles:
    """What became of the files of a form."""

    #: The names that they have in the storage now.
    stored: tuple[str, ...]
    refused: tuple[RefusedFile, ...]
