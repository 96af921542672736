"""A backend made of one Swift container."""

from __future__ import annotations

import copy
import logging
import math
import secrets
import time
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from .answers import listed_info, listed_names, object_info
from .bulk import Bulk
from .call import Caller
from .capabilities import Inquiry
from .conditions import NO_CONDITIONS
from .container import Container, described
from .content import Told
from .errors import (
    ConfigError,
    FileExists,
    FileNotFound,
    FSError,
    OperationNotSupported,
    QuotaExceeded,
)
from .intake import Parts
from .login import Login
from .multipart import Multipart
from .names import check_name, check_prefix, is_name
from .objects import FormUpload
from .ranges import WHOLE
from .signing import Grant, signed_form, signed_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from .conditions import Conditions
    from .config import SwiftSettings
    from .container import Page
    from .content import Content
    from .events import Progress
    from .objects import ObjectInfo, Properties
    from .pool import Lender, Pool
    from .ranges import ByteRange
    from .streams import ObjectStream

logger = logging.getLogger(__name__)

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
        #: Its large objects, and the uploads that become some.
        self.multipart = Multipart(settings, self._caller, self._container, self._inquiry)

    @property
    def pool(self) -> Pool:
        """The connections, shared with every storage that has the same login."""
        return self._login.pool

    def within(self, lender: Lender) -> SwiftBackend:
        """Return the same objects, over connections that come from elsewhere."""
        view = copy.copy(self)
        view._caller = Caller(self._settings, self._login, lender)  # noqa: SLF001 - a copy of ours
        view._container = self._container.within(view._caller)  # noqa: SLF001
        view.multipart = self.multipart.within(view._caller, view._container, lender.size)  # noqa: SLF001
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
        self,
        name: str,
        content: Content | Parts,
        properties: Properties,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store an object. One request, and what :meth:`_sweep` takes where it may replace one.

        What comes in parts takes a request for each, and four more.
        """
        if isinstance(content, Parts):
            return self.multipart.write(
                check_name(name), content, properties, overwrite=overwrite, progress=progress
            )
        told = content if progress is None else Told(content, progress)
        info = self._container.put(name, told, properties, overwrite=overwrite)
        if overwrite:
            self._sweep(name)
        return info

    def delete(self, name: str) -> None:
        """Remove exactly this object. One request, and what :meth:`_sweep` takes."""
        self._container.delete(name)
        self._sweep(name)

    def _sweep(self, name: str) -> None:
        """Remove the segments of a large object that is no more.

        None where the storage has had no large objects: that is asked once, and every five
        minutes. One request otherwise, a listing, because Swift does not say what it removed
        or replaced. What fails here is left for a collection.
        """
        try:
            self.multipart.sweeper.sweep(name)
        except FSError:
            logger.warning("segments of %r may be left for a collection", name, exc_info=True)

    def purge(self, name: str) -> None:
        """Remove an object that never comes back, and its segments. Up to three requests more."""
        self._container.delete(name)
        self.multipart.purge(name)

    def newest(self, name: str) -> ObjectInfo | None:
        """Describe an object as the newest of its copies is; None where there is none.

        One request, that Swift asks of all who may have one.
        """
        headers = self._container.headers(name, newest=True)
        return object_info(name, headers) if headers else None

    def place(self, info: ObjectInfo, content: Content, *, overwrite: bool) -> None:
        """Store an object with all that is said of it. One request, and as a put."""
        self._container.store(info.name, content, described(info), overwrite=overwrite)
        if overwrite:
            self._sweep(info.name)

    def restate(self, info: ObjectInfo) -> ObjectInfo:
        """Have all but the content of an object be as described. One request, or two."""
        return self._container.restate(info)

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

    def copy(
        self, source: str, target: str, *, overwrite: bool, progress: Progress | None = None
    ) -> None:
        """Copy an object inside Swift. One request; one more first, not to overwrite.

        Large objects are copied with their segments. Where there are any, one more request
        asks what the source is. Before the first one Swift copies those of other programs,
        each into one object. For ``progress`` one more asks how long it is.

        Swift ignores conditions on COPY, so of two copies at once, or a copy and a
        write, both may be acknowledged and the later one stays.
        """
        check_name(target)
        if not overwrite and self._exists(target):
            raise FileExists(f"{target!r} exists", filename=target)
        check_name(source)
        if self.multipart.exist() and self.multipart.copy(source, target, progress):
            return
        size = self._container.head(source).size if progress is not None else None
        try:
            self._container.copy(source, target)
        except QuotaExceeded:
            # Nor does Swift copy what is longer than an object can be.
            if self.multipart.copy(source, target, progress):
                return
            raise
        self._sweep(target)
        if progress is not None:
            progress(size or 0, size)

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
        return self._container.pages(prefix, delimiter=delimiter, after=after)

    def checksums(self, info: ObjectInfo) -> Sequence[tuple[int, str]]:
        """Return the size and the MD5 of each segment of a large object. Two requests, or more."""
        return self.multipart.checksums(info)

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
        if overwrite:
            self._sweep(target)

    def discard(self, names: Collection[str]) -> None:
        """Remove objects whose names other verbs refuse. One request."""
        Bulk(self._container, self._caller).discard(names)

    def public_url(self, name: str) -> str | None:
        """Return where anybody can read an object; None: nobody may. One request, once a minute."""
        if not self._container.is_public():
            return None
        url = self._container.storage_url().rstrip("/")
        return f"{url}/{quote(self._container.name)}/{quote(name)}"

    def set_temporary_url_key(self, key: str, second: str | None, *, account: bool) -> None:
        """Have signatures with these keys accepted. Two requests: the POST, and a look.

        Swift drops what a login may not set, and says nothing.
        """
        kind = "account" if account else "container"
        header = f"x-{kind}-meta-temp-url-key"
        keys = {header: key, f"{header}-2": second or ""}
        (self._container.set_account_headers if account else self._container.set_headers)(keys)
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
