"""A backend made of one Swift container."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from .answers import listed_info, listed_names
from .call import Caller
from .conditions import NO_CONDITIONS
from .container import Container
from .errors import FileExists, FileNotFound, SwiftError
from .login import Login
from .names import check_name, check_prefix
from .ranges import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .conditions import Conditions
    from .config import SwiftSettings
    from .container import Page
    from .content import Content
    from .objects import ObjectInfo, Properties
    from .pool import Pool
    from .ranges import ByteRange
    from .streams import ObjectStream


class SwiftBackend:
    """The objects of one container.

    Lives as long as its application. It opens nothing until it is first used.
    """

    def __init__(self, settings: SwiftSettings, login: Login | None = None) -> None:
        self._settings = settings
        self._login = login or Login(settings.login, settings.retrying)
        self._container = Container(settings, Caller(settings, self._login))

    @property
    def pool(self) -> Pool:
        """The connections, shared with every storage that has the same login."""
        return self._login.pool

    def head(self, name: str) -> ObjectInfo:
        """Describe an object. One request."""
        return self._container.head(name)

    def get(
        self,
        name: str,
        chunk_size: int,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
    ) -> ObjectStream:
        """Open an object for reading. One request, and one more for each break on the way."""
        return self._container.get(name, chunk_size, wanted, conditions)

    def put(
        self, name: str, content: Content, properties: Properties, *, overwrite: bool
    ) -> ObjectInfo:
        """Store an object. One request; one more first, where the content passes only once."""
        return self._container.put(name, content, properties, overwrite=overwrite)

    def delete(self, name: str) -> None:
        """Remove exactly this object. One request."""
        self._container.delete(name)

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy an object inside Swift. One request; one more first, not to overwrite.

        Swift ignores conditions on COPY, so of two copies at once, or a copy and a
        write, both may be acknowledged and the later one stays.
        """
        check_name(target)
        if not overwrite and self._exists(target):
            raise FileExists(f"{target!r} exists", filename=target)
        self._container.copy(source, target)

    def _exists(self, name: str) -> bool:
        try:
            self._container.head(name)
        except FileNotFound:
            return False
        return True

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata. Two requests: a POST replaces everything."""
        self._container.update_metadata(name, metadata)

    def list(self, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
        """Yield what is there page by page, one request each; no connection in between.

        Pages are asked for until one is empty: some servers return short ones.
        """
        pages = self._pages(prefix, delimiter, after)
        return chain.from_iterable(map(listed_info, page) for page in pages)

    def names(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Yield the names of what ``list`` describes: a third of the work."""
        pages = self._pages(prefix, delimiter, after)
        return chain.from_iterable(map(listed_names, pages))

    def _pages(self, prefix: str, delimiter: str, after: str) -> Iterator[Page]:
        check_prefix(prefix)
        check_prefix(delimiter, "delimiter")
        check_prefix(after, "name to list after")
        return self._pages_after(after, prefix, delimiter)

    def _pages_after(self, marker: str, prefix: str, delimiter: str) -> Iterator[Page]:
        while page := self._container.page(marker, prefix=prefix, delimiter=delimiter):
            [last] = listed_names(page[-1:])
            yield page
            del page  # Before the next one comes: one at a time is enough.
            if last.encode() <= marker.encode():
                raise SwiftError(f"the listing stands still at {marker!r}: the server repeats it")
            marker = last

    def ensure_container(self) -> None:
        """Create the container where the settings say so, unless it was seen lately."""
        self._container.ensure()

    def close(self) -> None:
        """Lend no more connections, and close them as they come back."""
        self._login.pool.close()
