"""What a place to put objects must do. Names are checked there, policy is above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .conditions import NO_CONDITIONS
from .ranges import WHOLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .conditions import Conditions
    from .content import Content
    from .objects import FormUpload, ObjectInfo, Properties
    from .pool import Lender, Pool
    from .ranges import ByteRange
    from .signing import Grant
    from .streams import ObjectStream


class Backend(Protocol):
    """Objects by name. Any thread or greenlet may call it.

    Every verb raises ``InvalidName`` for a name that no object may have, before anything
    else, and ``SwiftError`` where there is a Swift that fails.
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
        self, name: str, content: Content, properties: Properties, *, overwrite: bool
    ) -> ObjectInfo:
        """Store all of the content or nothing.

        :raises FileExists: there is an object, and ``overwrite`` is False.
        """

    def delete(self, name: str) -> None:
        """Remove exactly this object; one that is absent counts as removed."""

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy an object with its headers and metadata.

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

    def set_temporary_url_key(self, key: str, second: str | None) -> None:
        """Have signatures made with these keys accepted, and no others.

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
