"""What a place to put objects must do. Names are checked there, policy is above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .conditions import NO_CONDITIONS
from .ranges import WHOLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from .conditions import Conditions
    from .content import Content
    from .events import Progress
    from .intake import Parts
    from .objects import FormUpload, Marker, ObjectInfo, Orphan, Part, Properties
    from .pool import Lender, Pool
    from .ranges import ByteRange
    from .signing import Grant
    from .streams import ObjectStream


class Uploads(Protocol):
    """Makes objects of parts."""

    def start(
        self,
        name: str,
        properties: Properties,
        *,
        overwrite: bool,
        upload: str | None = None,
        size: int | None = None,
        until: float | None = None,
    ) -> Marker:
        """Begin an upload.

        :param upload: its id, which no other may have; None: a new one.
        :param size: bytes that the object will have: then each part is put once. None: each may
            be put again, and the newest counts.
        :param until: Unix time, in seconds, from which on it is over; None: it waits for ever.
        :raises FileExists: there is an object, and ``overwrite`` is False.
        """

    def resume(self, name: str, upload: str) -> Marker:
        """Return what an upload was started with.

        :raises UploadClosed: there is no such upload of this object, or it was aborted.
        """

    def open_uploads(self) -> Iterator[Marker]:
        """Yield the uploads that are open."""

    def put_part(
        self, marker: Marker, number: int, content: Content, progress: Progress | None
    ) -> Part:
        """Store a part.

        :raises FileExists: it is put once, and was.
        :raises UploadClosed: the upload is over.
        """

    def parts(self, marker: Marker, after: int = 0) -> Iterator[Part]:
        """Yield what a listing shows of the parts, the newest of each number, by number.

        :param after: only those with greater numbers.
        """

    def find_part(self, marker: Marker, number: int, etag: str) -> Part | None:
        """Return a part that a listing may not show yet; None where there is none."""

    def receipts(self, marker: Marker, numbers: Sequence[int]) -> list[Part | None]:
        """Return the parts that were put once under these numbers, with certainty; None: none."""

    def complete(self, marker: Marker, parts: Collection[Part]) -> ObjectInfo:
        """Make the object of these parts; again, with the same outcome.

        :raises InvalidPart: one is absent, or another.
        :raises UploadClosed: it was aborted.
        """

    def abort(self, marker: Marker, parts: Collection[Part]) -> None:
        """End an upload and remove its parts, known or listed. Again, with the same outcome.

        :param marker: its name and id may come from a stranger.
        :raises UploadClosed: it was completed, or there is none.
        """

    def collect(self, older_than: float, *, dry_run: bool) -> list[Orphan]:
        """Remove, or only find, what nothing refers to; return it."""


class Backend(Protocol):
    """Objects by name. Any thread or greenlet may call it.

    Every verb raises ``InvalidName`` for a name that no object may have, before anything
    else, and ``SwiftError`` where there is a Swift that fails.
    """

    @property
    def multipart(self) -> Uploads | None:
        """What makes objects of parts; None where nothing does."""

    def checksums(self, info: ObjectInfo) -> Sequence[tuple[int, str]]:
        """Return the size and the MD5 of each segment of a large object; none: nobody knows.

        :raises ObjectChanged: it was replaced meanwhile.
        """

    def head(self, name: str) -> ObjectInfo:
        """Describe an object.

        :raises FileNotFound: there is none.
        """

    def get(
        self,
        name: str,
        chunk_size: int,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
    ) -> ObjectStream:
        """Open an object for reading; the stream yields ``chunk_size`` bytes at a time.

        :param wanted: an object without bytes has all of those that begin at 0.
        :param conditions: of the version that is read.
        :raises FileNotFound: there is none.
        :raises RangeNotSatisfiable: it has none of these bytes.
        :raises ObjectChanged: it is another version.
        :raises NotModified: it is the version that the reader has.
        """

    def put(
        self,
        name: str,
        content: Content | Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store all of the content or nothing.

        :param content: in parts only where the backend said how long one may be.
        :raises FileExists: there is an object, and ``overwrite`` is False.
        """

    def delete(self, name: str) -> None:
        """Remove exactly this object; one that is absent counts as removed."""

    def copy(
        self, source: str, target: str, *, overwrite: bool, progress: Progress | None = None
    ) -> None:
        """Copy an object with its headers and metadata.

        :param progress: told of the bytes that are copied; at the end, where that is all at once.
        :raises FileNotFound: there is no source.
        :raises FileExists: there is a target, and ``overwrite`` is False.
        """

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata, and keep the rest; None removes a key.

        :raises FileNotFound: there is no such object.
        """

    def list(self, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose names begin with ``prefix``, in byte order of their names.

        Only those that come after ``after`` in that order.

        Names that have ``delimiter`` after the prefix are rolled up into one entry
        (``is_prefix``) for all that are the same up to it.
        """

    def names(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Yield the names of what ``list`` would describe, for less."""

    def close(self) -> None:
        """Give back what the backend holds. It is not used after that."""


@runtime_checkable
class Reachable(Backend, Protocol):
    """A backend that others can reach past us, with what we sign for them."""

    def temporary_url(self, name: str, grant: Grant) -> str:
        """Return the URL of an object, or of all below a prefix, that does what is granted.

        :raises ConfigError: there is no key to sign with.
        """

    def form(
        self, prefix: str, *, redirect: str | None, max_size: int, max_count: int, expires: int
    ) -> FormUpload:
        """Return a form whose files get names that begin with ``prefix``.

        :param max_size: bytes of each file.
        :param expires: Unix time, in seconds.
        :raises ConfigError: there is no key to sign with.
        """

    def adopt(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy an object's content and content type, and nothing else of it.

        The second of two equal calls finds its own copy, and leaves it as it is.

        :raises FileNotFound: there is no source.
        :raises FileExists: there is another target, and ``overwrite`` is False.
        """

    def discard(self, names: Collection[str]) -> None:
        """Remove objects whose names other verbs refuse."""

    def public_url(self, name: str) -> str | None:
        """Return where anybody can read an object; None: nobody may."""

    def set_temporary_url_key(self, key: str, second: str | None, *, account: bool) -> None:
        """Have signatures made with these keys accepted, and no others.

        :param account: for all containers of the account, and not for this one.
        :raises OperationNotSupported: they are not.
        """

    def set_cors(self, origins: str, max_age: int | None, expose_headers: str) -> None:
        """Say which pages of other origins may use the objects; empty: none."""


@runtime_checkable
class Pooled(Backend, Protocol):
    """A backend whose connections come from a pool, or from where one says."""

    @property
    def pool(self) -> Pool:
        """Where its connections come from."""

    def within(self, lender: Lender) -> Backend:
        """Return the same objects, over connections that come from elsewhere."""


@runtime_checkable
class BulkDeleting(Backend, Protocol):
    """A backend that can remove many objects together."""

    def delete_many(self, names: Collection[str]) -> Collection[str]:
        """Remove objects; return those that are to be removed one by one.

        :raises OperationNotSupported: that goes for all, now and later.
        """


class Blobs(Pooled, Protocol):
    """A backend under another, which names its objects and knows which of them are needed."""

    @property
    def multipart(self) -> Uploads:
        """What makes objects of parts."""

    def within(self, lender: Lender) -> Blobs:
        """Return the same objects, over connections that come from elsewhere."""

    def purge(self, name: str) -> None:
        """Remove an object that never comes back, and all parts that were ever put for it.

        What is remembered of uploads that are over stays as long as it would have stayed.
        """

    def newest(self, name: str) -> ObjectInfo | None:
        """Describe an object as the newest of its copies is; None where there is none."""

    def place(self, info: ObjectInfo, content: Content, *, overwrite: bool) -> None:
        """Store all of the content or nothing, with all that is said of it but its date.

        :raises FileExists: there is an object, and ``overwrite`` is False.
        """

    def restate(self, info: ObjectInfo) -> ObjectInfo:
        """Have all but the content of an object be as described; return what it is.

        :raises FileNotFound: there is none.
        """
