"""What a place to put objects must do. Names are checked there, policy is above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .conditions import NO_CONDITIONS
from .ranges import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .conditions import Conditions
    from .content import Content
    from .objects import ObjectInfo, Properties
    from .ranges import ByteRange
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
