"""The objects of one Swift container: one verb, one request.

What a lost answer leaves unknown is found out where it can be: a create signs its
object with a nonce, so that a 412 to its second attempt can be told from somebody
else's object; a delete that meets a 404 on its second attempt has succeeded. What
cannot be found out is said: ``maybe_applied``.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from swiftclient import ClientException

from .answers import (
    date,
    headers_of,
    last_headers,
    listed_names,
    moment,
    object_info,
    size_without,
    span,
)
from .call import Call
from .conditions import NO_CONDITIONS, NotModified
from .content import SourceFailed
from .download import Resumption, SwiftDownload, fetch
from .errors import (
    ContainerNotFound,
    ETagMismatchError,
    FileExists,
    FileNotFound,
    FSError,
    ObjectChanged,
    RangeNotSatisfiable,
    SwiftError,
)
from .etag import content_md5, is_manifest, unquoted
from .metadata import NONCE, checked_metadata, encode_metadata, header_of
from .names import check_name
from .objects import ObjectInfo
from .ranges import WHOLE
from .streams import CHUNK_SIZE, ObjectStream, check_chunk_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from swiftclient import Connection

    from .call import Caller
    from .conditions import Conditions
    from .config import SwiftSettings
    from .content import Content
    from .objects import Properties
    from .ranges import ByteRange, Span

    #: What one answer of a listing has.
    Page: TypeAlias = list[dict[str, Any]]

logger = logging.getLogger(__name__)

#: Names per page of a listing: memory stays small, and every server allows as many.
PAGE = 1000
#: Seconds for which a container that was seen is believed to be there.
BELIEF = 60.0

_NONCE_HEADER = header_of(NONCE)
_NEWEST = {"x-newest": "true"}
# A POST replaces all of these; what it does not repeat is gone (Swift API reference,
# "Create or update object metadata").
_REPLACED_BY_POST = (
    header_of(""),
    "x-delete-at",
    "x-object-manifest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "cache-control",
    "expires",
    "x-robots-tag",
)


# Those of them that no description of ours has.
_NOT_DESCRIBED = ("x-object-manifest", "content-language", "expires", "x-robots-tag")
# Seconds by which two may differ about when an object expires: each has rounded, and counted from
# the moment when it was told.
_AS_LATE = 2

#: What headers that are copied with an object begin with.
COPIED = ("content-type", *_REPLACED_BY_POST)


class _Known:
    """What was learnt of a container. Anybody writes it; an old value costs one request."""

    __slots__ = ("missed", "page", "public", "seen")

    def __init__(self) -> None:
        #: When it was last known to exist, and when not to, on the monotonic clock.
        self.seen = float("-inf")
        self.missed = float("-inf")
        #: Names to ask for at a time; None once the server said that PAGE is too many.
        self.page: int | None = PAGE
        #: Whether anybody may read its objects, and when that was asked.
        self.public = (False, float("-inf"))


class Container:
    """The objects of one container.

    Lives as long as its backend; any thread or greenlet may call it.
    """

    def __init__(self, settings: SwiftSettings, caller: Caller) -> None:
        self.name = settings.container
        self._settings = settings
        self._caller = caller
        self._known = _Known()

    def within(self, caller: Caller) -> Container:
        """Return the same container, asked by another caller."""
        view = copy.copy(self)
        view._caller = caller  # noqa: SLF001 - a copy of ours
        return view

    def head(self, name: str) -> ObjectInfo:
        """Describe an object.

        :raises FileNotFound: there is none.
        """
        return object_info(name, self._head(name))

    def headers(self, name: str, *, newest: bool = False) -> dict[str, str]:
        """Return the headers of an object by lower-case name; none where there is no object.

        :param newest: have Swift ask all that may have it, and answer with the newest.
        """
        return self._head_if_any(name, _NEWEST if newest else None)

    def get(
        self,
        name: str,
        chunk_size: int = CHUNK_SIZE,
        wanted: ByteRange = WHOLE,
        conditions: Conditions = NO_CONDITIONS,
        *,
        newest: bool = False,
    ) -> ObjectStream:
        """Open an object for reading. The stream holds a connection until it is closed.

        :param newest: have Swift ask all that may have it, and answer with the newest.
        :raises FileNotFound: there is none.
        :raises RangeNotSatisfiable: it has none of the bytes that are wanted.
        :raises ObjectChanged: it is not the version that the conditions want.
        :raises NotModified: it is the version that they know.
        """
        check_chunk_size(chunk_size)
        asked = {} if conditions is NO_CONDITIONS else conditions.headers()
        if wanted is not WHOLE:
            asked["Range"] = wanted.header()
        if newest:
            asked.update(_NEWEST)
        try:
            checkout, body, headers = fetch(
                self._caller, self._call("read", name), self.name, asked
            )
        except SwiftError as error:
            if error.http_status == 416 and size_without(error) == 0 and wanted.begins_at_0:
                return self.get(name, chunk_size, WHOLE, conditions)
            self._explain_read(error, name, conditions)
        self._saw()
        answered = span(headers)
        is_part = wanted is not WHOLE or "content-range" in headers
        if is_part and not _is_what_was_asked(headers, answered, wanted):
            checkout.discard()
            raise SwiftError(f"read {name!r}: Swift answered with other bytes", filename=name)
        etag = unquoted(headers.get("etag"))
        return ObjectStream(
            name,
            SwiftDownload(body, checkout),
            describe=partial(object_info, name, headers),
            resume=Resumption(self._caller, self.name, name, answered, etag),
            md5_of_object=content_md5(headers),
            span=answered,
            chunk_size=chunk_size,
        )

    def put(
        self, name: str, content: Content, properties: Properties, *, overwrite: bool
    ) -> ObjectInfo:
        """Store an object, verified.

        :param overwrite: False: an object that is there already is never replaced. Of
            two creates at the same moment both may be acknowledged and the later one
            stays: Swift checks before it reads the body.
        :raises FileExists: there is an object of this name.
        :raises ETagMismatchError: according to the policy.
        """
        metadata = checked_metadata(properties.metadata)
        fields = put_headers(properties, metadata)
        stored = self.store(name, content, fields, overwrite=overwrite)
        return ObjectInfo(
            name=name,
            size=content.size,
            etag=unquoted(stored.get("etag")),
            content_type=properties.content_type,
            modified=date(stored.get("last-modified")),
            metadata=metadata,
            expires=_expiry(properties.expires_after),
            cache_control=properties.cache_control,
            content_disposition=properties.content_disposition,
        )

    def store(
        self,
        name: str,
        content: Content,
        fields: dict[str, str],
        *,
        overwrite: bool,
        nonce: str | None = None,
        query: str | None = None,
    ) -> dict[str, str]:
        """Put an object with these headers; return those of the answer.

        :param fields: those that it takes to create one are added.
        :param nonce: what signs a create; by default a random one.
        :raises FSError: as :meth:`put`.
        """
        call = self._call("write", name, changes=True, content=content)
        if not overwrite:
            fields["if-none-match"] = "*"
            fields[_NONCE_HEADER] = nonce or os.urandom(16).hex()
        try:
            stored = self._put(call, content, fields, query)
        except SourceFailed as failed:
            if isinstance(failed.error, FSError):
                failed.error.filename = failed.error.filename or name
                failed.error.maybe_applied = failed.error.maybe_applied or call.uncertain
            raise failed.error from failed.error.__cause__
        except SwiftError as error:
            stored = self._settle_create(call, error, fields)
        self._saw()
        self._verify(name, content.etag, unquoted(stored.get("etag")))
        return stored

    def delete(self, name: str) -> None:
        """Remove exactly this object; one that is absent counts as removed."""
        call = self._call("delete", name, changes=True)
        try:
            self._caller.run(call, lambda connection: connection.delete_object(self.name, name))
        except SwiftError as error:
            if error.http_status != 404:
                raise
            self._check_container(error)
        else:
            self._saw()

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside Swift, which checks the bytes that it copies itself.

        Where the policy is not ``log``, the ETags are compared too, at one more request.

        :raises FileNotFound: there is no source.
        :raises ObjectChanged: it was replaced between its ETag and its copy.
        """
        check_name(target)
        strict = self._settings.etag_mismatch_policy != "log"
        expected = content_md5(self._head(source)) if strict else None
        # Of the source: what the ETags are compared for must be one version of it.
        condition = {"if-match": f'"{expected}"'} if expected is not None else {}
        call = self._call("copy", source, changes=True)

        def send(connection: Connection) -> dict[str, str]:
            destination = f"/{self.name}/{target}"
            connection.copy_object(self.name, source, destination=destination, headers=condition)
            return last_headers(connection)

        try:
            answer = self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status == 412 and condition:
                raise ObjectChanged(
                    f"{source!r} changed while it was copied; nothing was stored",
                    filename=source,
                    maybe_applied=error.maybe_applied,
                ) from error
            self._explain(error, source)
        self._saw()
        if expected is not None:
            self._verify(target, expected, unquoted(answer.get("etag")))

    def copy_in(self, source: str, target: str, etag: str, fields: Mapping[str, str]) -> None:
        """Copy an object of any container into this one, with new headers, and verify it.

        :param source: ``/<container>/<object>``.
        :raises ObjectChanged: the source has another ETag, or is gone.
        """
        container, _, name = source.removeprefix("/").partition("/")
        call = self._call("copy", check_name(name), changes=True)
        headers = {**fields, "x-fresh-metadata": "true", "if-match": f'"{etag}"'}

        def send(connection: Connection) -> dict[str, str]:
            destination = f"/{self.name}/{target}"
            connection.copy_object(container, name, destination=destination, headers=headers)
            return last_headers(connection)

        try:
            answer = self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status not in {404, 412}:
                raise
            raise ObjectChanged(
                f"{source!r} changed or was deleted while it was copied",
                filename=source,
                maybe_applied=error.maybe_applied,
            ) from error
        self._verify(target, etag, unquoted(answer.get("etag")))

    def manifest(self, name: str, headers: Mapping[str, str] | None = None) -> bytes | None:
        """Return the newest list of an object's segments, as JSON; None for what has none.

        That is a plain object, one whose list is a prefix, or no object. Two requests, or one
        where there is no list.

        :param headers: the newest of the object, where they are known.
        """
        if not _is_static(headers or self.headers(name, newest=True)):
            return None
        call = self._call("read the manifest of", name)

        def send(connection: Connection) -> bytes | None:
            _, body = connection.get_object(
                self.name,
                name,
                resp_chunk_size=CHUNK_SIZE,
                query_string="multipart-manifest=get",
                headers=_NEWEST,
            )
            if _is_static(last_headers(connection)):
                return bytes(body.read())
            body.close()  # It has been replaced by a plain object.
            return None

        try:
            return self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status != 404:
                raise
            self._check_container(error)
            return None

    def adopt(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy an object's content and content type inside Swift, and nothing else of it.

        The copy is signed with a nonce that says of what it is one, so that a second attempt
        knows it.

        :raises FileNotFound: there is no source.
        :raises FileExists: there is another target, and ``overwrite`` is False.
        """
        check_name(target)
        etag = unquoted(self._head(source).get("etag"))
        nonce = hashlib.sha256(f"{source}\n{etag}".encode()).hexdigest()[:32]
        there = self._head_if_any(target)
        if there.get(_NONCE_HEADER) == nonce:
            return
        if there and not overwrite:
            raise FileExists(f"{target!r} exists", filename=target)
        call = self._call("copy", source, changes=True)
        destination = f"/{self.name}/{target}"
        fields = {"x-fresh-metadata": "true", _NONCE_HEADER: nonce, "if-match": f'"{etag}"'}
        try:
            self._caller.run(
                call,
                lambda connection: connection.copy_object(
                    self.name, source, destination=destination, headers=fields
                ),
            )
        except SwiftError as error:
            if error.http_status == 412:
                raise ObjectChanged(
                    f"{source!r} changed while it was copied; nothing was stored",
                    filename=source,
                    maybe_applied=error.maybe_applied,
                ) from error
            self._explain(error, source)

    def set_headers(self, headers: Mapping[str, str]) -> None:
        """Change some of the container's headers; those with no value are removed.

        :raises ContainerNotFound: unless the settings say to create it.
        """
        call = self._call(f"set headers of the container {self.name!r}", None, changes=True)
        fields = {
            # An empty header is lost on its way through some proxies.
            name if value else name.replace("x-", "x-remove-", 1): value or "x"
            for name, value in headers.items()
        }

        def send(connection: Connection) -> None:
            connection.post_container(self.name, fields)

        try:
            self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status != 404:
                raise
            if not self._settings.create_container:
                raise self._no_container(error) from error
            self._create_container()
            self._caller.run(call, send)
        self._saw()

    def set_account_headers(self, headers: Mapping[str, str]) -> None:
        """Change some of the account's headers; an empty value removes one."""
        call = self._call("set headers of the account", None, changes=True)
        self._caller.run(call, lambda connection: connection.post_account(dict(headers)))

    def is_public(self) -> bool:
        """Tell whether anybody may read the objects. One request, once a minute.

        :raises ContainerNotFound: there is none.
        """
        public, asked = self._known.public
        if time.monotonic() - asked < BELIEF:
            return public
        call = self._call(f"read the headers of the container {self.name!r}", None)

        def send(connection: Connection) -> dict[str, str]:
            connection.head_container(self.name)
            return last_headers(connection)

        try:
            headers = self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status != 404:
                raise
            raise self._no_container(error) from error
        self._saw()
        # Swift's ACLs (Swift documentation, "Container ACLs"): every referrer.
        public = ".r:*" in headers.get("x-container-read", "").replace(" ", "").split(",")
        self._known.public = public, time.monotonic()
        return public

    def accepts(self, name: str, signature: str) -> bool:
        """Tell whether Swift lets somebody without a token ask for what was signed.

        :param signature: the query of a temporary URL.
        """
        call = self._call("look whether a signature is accepted for", name)

        def send(connection: Connection) -> bool:
            # With ours, a Swift without the middleware would answer too. The next call attaches
            # its own.
            connection.token = ""
            try:
                connection.head_object(self.name, name, query_string=signature)
            except ClientException as answer:
                if answer.http_status not in {401, 403, 404}:
                    raise
                return answer.http_status == 404
            return True

        return self._caller.run(call, send)

    def storage_url(self) -> str:
        """Return where the account of the container is."""
        return self._caller.storage_url()

    def update_metadata(self, name: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of an object's user metadata, and keep the rest; None removes a key.

        Two requests, because a POST replaces everything. What another writer sets
        between them is lost.

        :raises FileNotFound: there is no such object.
        """
        checked = checked_metadata(metadata)
        replaced = {header_of(key) for key in checked}
        kept = {
            header: value
            for header, value in self._head(name).items()
            if header not in replaced and header.startswith(_REPLACED_BY_POST)
        }
        given = {key: value for key, value in checked.items() if value is not None}
        post = {**kept, **encode_metadata(given)}
        call = self._call("set_metadata", name, changes=True)
        try:
            self._caller.run(call, lambda connection: connection.post_object(self.name, name, post))
        except SwiftError as error:
            self._explain(error, name)

    def restate(self, info: ObjectInfo) -> ObjectInfo:
        """Have an object's headers say what is described; return what it is.

        Headers that no description has stay. Two requests, or one where all is so already. When
        it expires is changed only by more than a second or two.

        :raises FileNotFound: there is no such object.
        """
        headers = self._head(info.name, _NEWEST)
        there = object_info(info.name, headers)
        expires = there.expires if _is_as_late(there, info) else info.expires
        wanted = replace(
            info,
            size=there.size,
            etag=there.etag,
            modified=there.modified,
            expires=expires,
            is_manifest=there.is_manifest,
        )
        if wanted == there:
            return there
        post = {
            header: value
            for header, value in headers.items()
            if header == _NONCE_HEADER or header in _NOT_DESCRIBED
        }
        post.update(described(wanted))
        if wanted.content_type == there.content_type:
            del post["content-type"]
        call = self._call("describe", info.name, changes=True)
        try:
            self._caller.run(
                call, lambda connection: connection.post_object(self.name, info.name, post)
            )
        except SwiftError as error:
            self._explain(error, info.name)
        return wanted

    def page(
        self, marker: str, *, prefix: str = "", delimiter: str = "", end: str | None = None
    ) -> Page:
        """List what comes after ``marker`` in byte order; nothing at the end.

        The entries are those of the JSON listing: see :func:`.answers.listed_info`.

        :param end: what comes before all that is not wanted; a server may ignore it.
        :raises ContainerNotFound: unless the container would be created when needed.
        """
        call = self._call(f"list {self.name!r}", None)

        def send(connection: Connection) -> Page:
            _, entries = connection.get_container(
                self.name,
                marker=marker,
                limit=self._known.page,
                prefix=prefix,
                delimiter=delimiter,
                end_marker=end,
            )
            return entries

        try:
            return self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status == 412 and self._known.page is not None:
                self._known.page = None
                return self.page(marker, prefix=prefix, delimiter=delimiter, end=end)
            if error.http_status != 404:
                raise
            self._known.missed = time.monotonic()
            if self._settings.create_container:
                return []
            raise self._no_container(error) from error

    def pages(self, prefix: str = "", *, delimiter: str = "", after: str = "") -> Iterator[Page]:
        """Yield pages until one is empty: some servers return short ones.

        :raises SwiftError: the server repeats itself.
        """
        marker = after
        while page := self.page(marker, prefix=prefix, delimiter=delimiter):
            [last] = listed_names(page[-1:])
            yield page
            del page  # Before the next one comes: one at a time is enough.
            if last.encode() <= marker.encode():
                raise SwiftError(f"the listing stands still at {marker!r}: the server repeats it")
            marker = last

    def ensure(self) -> None:
        """Create the container where the settings say so, unless it was seen lately."""
        if self._settings.create_container and not self._was_seen():
            self._create_container()

    # The verbs' own questions.

    def _call(
        self,
        operation: str,
        name: str | None,
        *,
        changes: bool = False,
        content: Content | None = None,
    ) -> Call:
        if name is not None:
            check_name(name)
        return Call(operation, name, self._caller.attempts(), changes=changes, content=content)

    def _head(self, name: str, asked: Mapping[str, str] | None = None) -> dict[str, str]:
        call = self._call("read the metadata of", name)

        def send(connection: Connection) -> dict[str, str]:
            connection.head_object(self.name, name, headers=asked)
            return last_headers(connection)

        try:
            headers = self._caller.run(call, send)
        except SwiftError as error:
            self._explain(error, name)
        self._saw()
        return headers

    def _head_if_any(self, name: str, asked: Mapping[str, str] | None = None) -> dict[str, str]:
        try:
            return self._head(name, asked)
        except FileNotFound:
            return {}

    def _put(
        self, call: Call, content: Content, fields: Mapping[str, str], query: str | None
    ) -> dict[str, str]:
        name = call.filename or ""

        def send(connection: Connection) -> dict[str, str]:
            try:
                connection.put_object(
                    self.name,
                    name,
                    content.body(),
                    content_length=content.size,
                    etag=content.etag,
                    headers=fields,
                    query_string=query,
                )
            finally:
                content.release()
            return last_headers(connection)

        try:
            return self._caller.run(call, send)
        except SwiftError as error:
            if error.http_status != 404:
                raise
            self._known.seen = float("-inf")
            if not self._settings.create_container:
                raise self._no_container(error) from error
        self._create_container()
        return self._caller.run(call, send)

    def _settle_create(
        self, call: Call, error: SwiftError, fields: Mapping[str, str]
    ) -> dict[str, str]:
        """Find out what a 412 to a create means: somebody else's object, or our own."""
        if error.http_status != 412 or _NONCE_HEADER not in fields:
            raise error
        stored = self._head_after(call) if call.uncertain else {}
        if stored.get(_NONCE_HEADER) == fields[_NONCE_HEADER]:
            return stored
        name = call.filename
        raise FileExists(f"{name!r} exists", filename=name, maybe_applied=call.uncertain) from error

    def _head_after(self, call: Call) -> dict[str, str]:
        """Ask what is there after a create of unknown outcome; nothing, if it was deleted."""
        try:
            return self._head_if_any(call.filename or "")
        except FSError as unknown:
            unknown.maybe_applied = True
            raise

    def _verify(self, name: str, expected: str | None, actual: str | None) -> None:
        """Hold the ETag that Swift answered against ours; act on the policy."""
        if actual == expected:
            return
        policy = self._settings.etag_mismatch_policy
        message = f"{name!r} was stored with ETag {actual}, but its content has MD5 {expected}"
        logger.error("%s; policy %r", message, policy)
        if policy == "log":
            return
        kept = not (policy == "raise_and_delete" and self._delete_while(name, actual))
        raise ETagMismatchError(
            message, filename=name, maybe_applied=kept, expected=expected, actual=actual, kept=kept
        )

    def _delete_while(self, name: str, etag: str | None) -> bool:
        """Delete an object that still has this ETag: Swift has no conditional delete."""
        try:
            if self.head(name).etag != etag:
                return False
            self.delete(name)
        except FileNotFound:
            return True
        except FSError:
            logger.exception("%r has a wrong ETag and could not be deleted", name)
            return False
        return True

    # Is it the object that is absent, or the container?

    def exists(self, seconds: float) -> bool:
        """Tell whether the container is there; it is asked for where that was long ago."""
        if self.was_missed(seconds):
            return False
        if time.monotonic() - self._known.seen >= seconds:
            call = self._call(f"look for the container {self.name!r}", None)
            try:
                self._caller.run(call, lambda connection: connection.head_container(self.name))
            except SwiftError as error:
                if error.http_status != 404:
                    raise
                self._known.missed = time.monotonic()
                return False
            self._saw()
        return True

    def was_missed(self, seconds: float) -> bool:
        """Tell whether there was no container lately, as far as we know."""
        return (
            time.monotonic() - self._known.missed < seconds
            and self._known.missed > self._known.seen
        )

    def _saw(self) -> None:
        self._known.seen = time.monotonic()

    def _was_seen(self) -> bool:
        return time.monotonic() - self._known.seen < BELIEF

    def _explain_read(self, error: SwiftError, name: str, conditions: Conditions) -> NoReturn:
        """Raise what an answer to a read means that has nothing to read."""
        if error.http_status == 416:
            size = size_without(error)
            raise RangeNotSatisfiable(
                f"{name!r} has {size} bytes, and none of those", filename=name, size=size
            ) from error
        if error.http_status == 412:
            raise ObjectChanged(f"{name!r} is another version now", filename=name) from error
        if error.http_status == 304:
            known = object_info(name, headers_of(error))
            conditions.check(known)  # Swift looks at If-None-Match before it looks at If-Match.
            raise NotModified(known) from None
        self._explain(error, name)

    def _explain(self, error: SwiftError, name: str) -> NoReturn:
        """Raise what an answer means. Swift has one 404 for a missing object or container."""
        if error.http_status != 404:
            raise error
        self._check_container(error)
        raise FileNotFound(
            f"{name!r} does not exist", filename=name, maybe_applied=error.maybe_applied
        ) from error

    def _check_container(self, absent: SwiftError) -> None:
        """Make sure that it is not the container that is absent."""
        if self._settings.create_container or self._was_seen():
            return
        call = self._call(f"look for the container {self.name!r}", None)
        try:
            self._caller.run(call, lambda connection: connection.head_container(self.name))
        except FSError as error:
            error.filename = absent.filename
            error.maybe_applied = absent.maybe_applied
            if error.http_status != 404 or not isinstance(error, SwiftError):
                raise
            raise self._no_container(error) from error
        self._saw()

    def _create_container(self) -> None:
        call = self._call(f"create the container {self.name!r}", None)
        self._caller.run(call, lambda connection: connection.put_container(self.name))
        self._saw()

    def _no_container(self, error: SwiftError) -> ContainerNotFound:
        return ContainerNotFound(
            f"there is no container {self.name!r}; create it, or set CREATE_CONTAINER",
            filename=error.filename,
            maybe_applied=error.maybe_applied,
            http_status=404,
            transaction_id=error.transaction_id,
        )


def _is_static(headers: Mapping[str, str]) -> bool:
    return is_manifest(headers) and "x-object-manifest" not in headers


def _is_what_was_asked(
    headers: Mapping[str, str], answered: Span | None, wanted: ByteRange
) -> bool:
    if answered is None:  # As a whole, of no known size: some dynamic large objects.
        return wanted.begins_at_0 and "content-range" not in headers
    return wanted.of(answered.size) == answered


def described(info: ObjectInfo) -> dict[str, str]:
    """Return what says beside the bytes what an object is, to the moment when it expires."""
    headers = encode_metadata(info.metadata)
    headers["content-type"] = info.content_type
    said = {
        "x-delete-at": None if info.expires is None else str(math.ceil(info.expires.timestamp())),
        "cache-control": info.cache_control,
        "content-disposition": info.content_disposition,
        "content-encoding": info.content_encoding,
    }
    headers.update({header: value for header, value in said.items() if value is not None})
    return headers


def _is_as_late(there: ObjectInfo, info: ObjectInfo) -> bool:
    if there.expires is None or info.expires is None:
        return there.expires is info.expires
    return abs((there.expires - info.expires).total_seconds()) <= _AS_LATE


def put_headers(properties: Properties, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what says beside the bytes what an object is.

    :param metadata: checked.
    """
    headers = encode_metadata(metadata)
    headers["content-type"] = properties.content_type
    if properties.expires_after is not None:
        headers["x-delete-after"] = str(properties.expires_after)
    if properties.cache_control is not None:
        headers["cache-control"] = properties.cache_control
    if properties.content_disposition is not None:
        headers["content-disposition"] = properties.content_disposition
    return headers


def _expiry(seconds: int | None) -> datetime | None:
    return None if seconds is None else moment(int(time.time()) + seconds)
