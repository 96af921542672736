"""A backend made of one Swift container."""

from __future__ import annotations

import copy
import math
import secrets
import time
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .answers import listed_info, listed_names
from .bulk import Bulk
from .call import Caller
from .capabilities import Inquiry
from .conditions import NO_CONDITIONS
from .container import Container
from .errors import (
    ConfigError,
    FileExists,
    FileNotFound,
    FSError,
    OperationNotSupported,
    SwiftError,
)
from .login import Login
from .names import check_name, check_prefix, is_name
from .objects import FormUpload
from .ranges import WHOLE
from .signing import Grant, signed_form, signed_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .conditions import Conditions
    from .config import SwiftSettings
    from .container import Page
    from .content import Content
    from .objects import ObjectInfo, Properties
    from .pool import Lender, Pool
    from .ranges import ByteRange
    from .streams import ObjectStream

#: Seconds after the end of a form at which Swift removes what nobody has taken from it.
UNCLAIMED = 24 * 3600
#: Seconds that the signature of a look at a new key is good for.
_LOOK = 60


class SwiftBackend:
    """The objects of one container.

    Lives as long as its application. It opens nothing until it is first used.
    """

    def __init__(self, settings: SwiftSettings, login: Login | None = None) -> None:
        self._settings = settings
        self._login = login or Login(settings.login, settings.retrying)
        self._caller = Caller(settings, self._login)
        self._container = Container(settings, self._caller)
        self._inquiry = Inquiry()

    @property
    def pool(self) -> Pool:
        """The connections, shared with every storage that has the same login."""
        return self._login.pool

    def within(self, lender: Lender) -> SwiftBackend:
        """Return the same objects, over connections that come from elsewhere."""
        view = copy.copy(self)
        view._caller = Caller(self._settings, self._login, lender)  # noqa: SLF001 - a copy of ours
        view._container = self._container.within(view._caller)  # noqa: SLF001
        return view

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

    def delete_many(self, names: Collection[str]) -> set[str]:
        """Remove objects; return those that are to be removed one by one.

        Two requests for each thousand, and sometimes a few more: a listing, which says what
        has segments, and the removal. One more first, once: what Swift can do.
        """
        possible = [name for name in names if is_name(name)]
        try:
            capabilities = self._inquiry.ask(self._caller)
        except FSError as error:
            raise OperationNotSupported(
                "Swift does not say whether it has a bulk delete"
            ) from error
        left = Bulk(self._container, self._caller).delete(possible, capabilities)
        return left | set(names).difference(possible)

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

    def temporary_url(self, name: str, grant: Grant) -> str:
        """Return a URL that does what is granted. No request, but for a token if there is none."""
        check_name(name)
        return self._signed(name, grant, self._key())

    def form(
        self, prefix: str, *, redirect: str | None, max_size: int, max_count: int, expires: int
    ) -> FormUpload:
        """Return a form. No request, but for a token if there is none."""
        url, fields = signed_form(
            self._container.storage_url(),
            self._container.name,
            prefix,
            self._key(),
            redirect=redirect,
            max_size=max_size,
            max_count=max_count,
            expires=expires,
        )
        return FormUpload(prefix, url, {**fields, "x_delete_at": str(expires + UNCLAIMED)})

    def adopt(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy an object's content and type. Three requests: HEAD both, COPY."""
        self._container.adopt(source, target, overwrite=overwrite)

    def discard(self, names: Collection[str]) -> None:
        """Remove objects whose names other verbs refuse. One request."""
        Bulk(self._container, self._caller).discard(names)

    def set_temporary_url_key(self, key: str, second: str | None) -> None:
        """Have signatures with these keys accepted. Two requests: the POST, and a look.

        Swift drops what a login may not set, and says nothing.
        """
        header = "x-container-meta-temp-url-key"
        self._container.set_headers({header: key, f"{header}-2": second or ""})
        probe = secrets.token_hex(16)
        signed = self._signed(probe, Grant("HEAD", in_seconds(_LOOK)), key)
        if not self._container.accepts(probe, urlsplit(signed).query):
            raise OperationNotSupported(
                f"Swift does not accept the key of {self._container.name!r}: the login may not "
                "set it, or this Swift has no temporary URLs with SHA-256"
            )

    def set_cors(self, origins: str, max_age: int | None, expose_headers: str) -> None:
        """Say which pages may use the objects. One request."""
        header = "x-container-meta-access-control"
        self._container.set_headers(
            {
                f"{header}-allow-origin": origins,
                f"{header}-max-age": "" if max_age is None else str(max_age),
                f"{header}-expose-headers": expose_headers,
            }
        )

    def _signed(self, name: str, grant: Grant, key: str) -> str:
        return signed_url(self._container.storage_url(), self._container.name, name, grant, key)

    def _key(self) -> str:
        key = self._settings.temporary_url_key
        if key is None:
            setting = "FS_SWIFT_TEMPORARY_URL_KEY"
            raise ConfigError(
                f"{setting} is not set: nothing can be signed without it, and the container "
                "must have the same key (set_temporary_url_key)",
                key=setting,
            )
        return key

    def ensure_container(self) -> None:
        """Create the container where the settings say so, unless it was seen lately."""
        self._container.ensure()

    def close(self) -> None:
        """Lend no more connections, and close them as they come back."""
        self._login.pool.close()


def in_seconds(seconds: int) -> int:
    """Return the Unix time after so many seconds, or a part of a second more."""
    return math.ceil(time.time()) + seconds
