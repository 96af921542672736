"""A backend made of one Swift container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import swiftclient

from .call import Caller
from .container import Container
from .errors import FileExists, FileNotFound, SwiftError
from .login import Login
from .names import check_name, check_prefix
from .pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .config import LoginSettings, Persistence, SwiftSettings
    from .content import Content
    from .objects import EventHook, Headers, ObjectInfo
    from .streams import ObjectStream


def new_connection(settings: LoginSettings) -> swiftclient.Connection:
    """Return a connection that is not connected yet, and leaves retries to us."""
    credentials = settings.credentials
    return swiftclient.Connection(
        retries=0,
        cacert=credentials.cacert,
        insecure=credentials.insecure,
        timeout=settings.timeout,
    )


class Session:
    """One login at work in one process: its token and its pool.

    Shared by every storage with the same login. Lives as long as its application.

    :param patient: whether an authentication that fails for the moment may wait; asked
        in the thread that would.
    """

    def __init__(
        self,
        settings: LoginSettings,
        persistence: Persistence,
        *,
        patient: Callable[[], bool] = lambda: True,
        open_connection: Callable[[], swiftclient.Connection] | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        self.login = Login(settings, persistence, patient=patient)
        self.pool = Pool(
            open_connection or (lambda: new_connection(settings)),
            size=settings.pool_size,
            timeout=settings.pool_timeout,
            name=settings.credentials.user or settings.credentials.authurl,
            on_event=on_event,
        )


class SwiftBackend:
    """The objects of one container.

    Lives as long as its application. It opens nothing until it is first used.
    """

    def __init__(self, settings: SwiftSettings, session: Session | None = None) -> None:
        self._settings = settings
        self._session = session or Session(settings.login, settings.persistence)
        self._container = Container(
            settings, Caller(settings, self._session.login, self._session.pool)
        )

    @property
    def pool(self) -> Pool:
        """The connections, shared with every storage that has the same login."""
        return self._session.pool

    def head(self, name: str) -> ObjectInfo:
        """Describe an object. One request."""
        return self._container.head(name)

    def get(self, name: str, chunk_size: int) -> ObjectStream:
        """Open an object for reading. One request, and one more for each break on the way."""
        return self._container.get(name, chunk_size)

    def put(self, name: str, content: Content, headers: Headers, *, overwrite: bool) -> ObjectInfo:
        """Store an object. One request; one more first, where the content passes only once."""
        return self._container.put(name, content, headers, overwrite=overwrite)

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

    def update_metadata(self, name: str, fields: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata. Two requests: a POST replaces everything."""
        self._container.update_metadata(name, fields)

    def list(self, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
        """Yield what is there page by page, one request each; no connection in between.

        Pages are asked for until one is empty: some servers return short ones.
        """
        check_prefix(prefix)
        check_prefix(delimiter, "delimiter")
        check_prefix(after, "name to list after")
        return self._pages(prefix, delimiter, after)

    def _pages(self, prefix: str, delimiter: str, marker: str) -> Iterator[ObjectInfo]:
        while page := self._container.page(marker, prefix=prefix, delimiter=delimiter):
            yield from page
            if page[-1].name.encode() <= marker.encode():
                raise SwiftError(f"the listing stands still at {marker!r}: the server repeats it")
            marker = page[-1].name

    def ensure_container(self) -> None:
        """Create the container where the settings say so, unless it was seen lately."""
        self._container.ensure()

    def close(self) -> None:
        """Lend no more connections, and close them as they come back."""
        self._session.pool.close()
