"""A client of the service: objects by key, in the places of a server.

Needs no application. A :class:`Client` has the connections to one server, a :class:`Session`
is a place there and has nothing of its own: make as many as you like.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from .calls import Calls
from .compression import compressed, need_zstandard
from .content import blocks_of, check_content
from .description import DEFAULT_TYPE, Description, format_time
from .durations import format_duration
from .escaping import path_of
from .expiration import MANUAL, Expiration
from .failures import AnswerBroken
from .fetched import Fetched
from .keys import PERMISSIONS, READ, SigningKey, read_signing_key
from .many import Results
from .places import Place
from .presigned import presign
from .tokens import LIFETIME, PARAMETER, new_token
from .wire import content_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta

    from typing_extensions import Self

    from .calls import Answer, Line
    from .content import Content
    from .exchange import Task
    from .operations import Operation, Put

#: What is done to content on its way to the server.
Compression: TypeAlias = Literal["zstd", "none"]

# What would end a header's line, or what HTTP strips: a peer may not escape it as we do.
_UNSAFE = re.compile("[\r\n\0\x7f]|^\\s|\\s$")


@dataclass(frozen=True)
class Usecase:
    """A name space of a server, and what holds there for what is put without saying otherwise."""

    name: str
    compression: Compression = "zstd"
    expiration: Expiration = MANUAL


class Client:
    """The connections to one server. Lives until it is closed; threads and greenlets share it.

    :param url: of the server; a path in it comes before the service's own.
    :param token: sent with every request as it is.
    :param key: its id and the PEM of an Ed25519 private key; every request gets a token of its
        own, good for 60 seconds.
    :param permissions: of those tokens; all by default.
    :param connect_timeout: seconds for each try to connect.
    :param read_timeout: seconds for which the server may be silent; None: for ever.
    :param connect_retries: more tries to connect. Nothing else is ever tried twice.
    :param pool_size: connections that are kept, and the most that ``many`` uses.
    :param options: keywords of urllib3's pool, such as ``ca_certs``.
    :raises ValueError: this is no URL of a server, no key, no such permission.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        key: SigningKey | tuple[str, str] | None = None,
        permissions: Iterable[str] = PERMISSIONS,
        connect_timeout: float = 2.0,
        read_timeout: float | None = 60.0,
        connect_retries: int = 3,
        pool_size: int = 10,
        **options: Any,
    ) -> None:
        if token is not None and key is not None:
            raise ValueError("a client has a token, or a key to make tokens with, not both")
        if token is not None and not re.fullmatch("[!-~]+", token):
            raise ValueError("a token is one word of ASCII")
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1 connection, not {pool_size}")
        self.pool_size = pool_size
        signing = read_signing_key("key", *key) if isinstance(key, tuple) else key
        self._signer = _Signer(token, signing, frozenset(permissions))
        if not self._signer.permissions <= PERMISSIONS:
            raise ValueError(f"permissions are of {', '.join(sorted(PERMISSIONS))}")
        self._calls = Calls(
            url,
            pool_size=pool_size,
            connect=connect_timeout,
            read=read_timeout,
            tries=connect_retries,
            **options,
        )

    def session(self, usecase: str | Usecase, /, **scopes: str | int) -> Session:
        """Return a place of the server.

        :param scopes: in their order, which is part of what they are.
        :raises ValueError: there is no such place.
        """
        if isinstance(usecase, str):
            usecase = Usecase(usecase)
        for name, value in scopes.items():
            if not isinstance(value, (str, int)):
                raise ValueError(f"scope {name} is a text or a number, not {value!r}")  # noqa: TRY004
        place = Place.of(usecase.name, scopes.items())
        return Session(self._calls, usecase, place, self._signer, self.pool_size)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Signer:
    """Who sends requests."""

    token: str | None = field(repr=False)
    key: SigningKey | None
    permissions: frozenset[str]

    def needed_key(self) -> SigningKey:
        """Return the key.

        :raises ValueError: there is none.
        """
        if self.key is None:
            raise ValueError("the client has no key to sign with: Client(…, key=(kid, pem))")
        return self.key

    def mint(self, place: Place, permissions: Iterable[str] | None, lifetime: int) -> str:
        """Return a token for a place."""
        wanted = self.permissions if permissions is None else permissions
        key, now = self.needed_key(), time.time()
        return new_token(key, place.usecase, place.scopes, wanted, now, lifetime=lifetime)

    def headers(self, place: Place) -> dict[str, str]:
        """Return the headers that say who sends a request."""
        token = self.token if self.key is None else self.mint(place, None, LIFETIME)
        return {} if token is None else {"x-os-auth": f"Bearer {token}"}


class Session:
    """A place of a server: what its keys are told apart in. Lives as long as its client.

    Every method raises a :exc:`.RequestError` where the server says no, or is not there.
    """

    def __init__(
        self, calls: Calls, usecase: Usecase, place: Place, signer: _Signer, width: int
    ) -> None:
        self.usecase = usecase
        self.place = place
        self._calls = calls
        self._signer = signer
        self._width = width

    def put(
        self,
        content: Content,
        key: str | None = None,
        *,
        compression: Compression | None = None,
        precompressed: Literal["zstd"] | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expiration: Expiration | None = None,
        origin: str | None = None,
        filename: str | None = None,
    ) -> str:
        """Store content, of any length; return its key.

        It is compressed and sent while it is read.

        :param key: None: the server makes one up.
        :param compression: None: the usecase's.
        :param precompressed: how the content is compressed already.
        :param metadata: any texts; names without underscores, which servers drop in silence.
        :raises ValueError: a value cannot be sent. Nothing was.
        :raises TypeError: this is no content.
        :raises Exception: what the content raised. Nothing was stored.
        """
        check_content(content)
        description = self.described(
            compression=compression,
            precompressed=precompressed,
            content_type=content_type,
            metadata=metadata,
            expiration=expiration,
            origin=origin,
            filename=filename,
        )
        compresses = description.compression is not None and precompressed is None
        return self._store(content, key, description, compresses=compresses)

    def many(self, operations: Iterable[Operation], *, concurrency: int = 3) -> Results:
        """Do many things in few requests; return one result for each, as they come.

        :param operations: pulled as they are needed, so there may be any number of them.
        :param concurrency: requests at once. With 1, results are in the order of the input.
        :raises ValueError: that is less than 1, or more than the client keeps connections.
        """
        if not isinstance(concurrency, int) or not 1 <= concurrency <= self._width:
            raise ValueError(
                f"concurrency is 1 to {self._width}, the client's pool_size, not {concurrency}"
            )
        return Results(operations, _Sender(self), concurrency)

    def get(self, key: str, *, decompress: bool = True, limit: int | None = None) -> Fetched | None:
        """Open an object for reading; None where there is none.

        :param decompress: False: as it is stored; its description says how that is.
        :param limit: bytes after decompression; None: 256 MiB, or 1,000 times what was sent.
        """
        answer = self._call("GET", self._target(path_of(key)), key=key)
        if answer.status == 404:
            answer.body()
            return None
        try:
            description = _described(answer.checked().headers, key)
            return Fetched(
                key, description, answer.read, answer.close, decompress=decompress, limit=limit
            )
        except BaseException:
            answer.close()
            raise

    def head(self, key: str) -> Description | None:
        """Describe an object; None where there is none."""
        with self._call("HEAD", self._target(path_of(key)), key=key) as answer:
            if answer.status == 404:
                return None
            return _described(answer.checked().headers, key)

    def delete(self, key: str) -> None:
        """Remove an object; one that is absent counts as removed."""
        with self._call("DELETE", self._target(path_of(key)), key=key) as answer:
            if answer.status != 404:
                answer.checked()

    def extend_expiry(
        self,
        key: str,
        *,
        at: datetime | None = None,
        from_now: timedelta | None = None,
        from_creation: timedelta | None = None,
    ) -> None:
        """Let an object expire later. One that does so already stays as it is.

        :param at: aware.
        :raises ValueError: not exactly one of the three is given, or the time is not aware.
        :raises ObjectNotFound: there is none, or none any more.
        :raises ExpiryNotExtended: it never expires, or was changed at the same time.
        """
        said = _extension(at, from_now, from_creation)
        body = json.dumps({"extend_expiry": said}).encode()
        headers = {"content-type": "application/json"}
        with self._call("PATCH", self._target(path_of(key)), headers, body, key=key) as answer:
            answer.checked()

    def object_url(self, key: str, *, lifetime: int | None = None) -> str:
        """Return the URL of an object.

        :param lifetime: seconds for which whoever has the URL may read; None: it has no token.
        :raises ValueError: the client has no key to sign with.
        """
        target = self._calls.base + self._target(path_of(key))
        token = "" if lifetime is None else self.mint_token({READ}, lifetime=lifetime)
        query = f"?{PARAMETER}={token}" if token else ""
        return self._calls.origin + target + query

    def presigned_url(
        self, key: str, *, method: Literal["GET", "HEAD"] = "GET", lifetime: int = 3600
    ) -> str:
        """Return a URL with which anybody can read this one object for a while.

        :param lifetime: seconds, at most seven days.
        :raises ValueError: it is longer, or the client has no key to sign with.
        """
        target = self._calls.base + self._target(path_of(key))
        signed = presign(self._signer.needed_key(), method, target, time.time(), lifetime)
        return self._calls.origin + signed

    def mint_token(
        self, permissions: Iterable[str] | None = None, *, lifetime: int = LIFETIME
    ) -> str:
        """Return a token for this place.

        :param permissions: None: the client's.
        :param lifetime: seconds.
        :raises ValueError: there is no such permission, or no key to sign with.
        """
        return self._signer.mint(self.place, permissions, lifetime)

    def described(
        self,
        *,
        compression: Compression | None = None,
        precompressed: Literal["zstd"] | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expiration: Expiration | None = None,
        origin: str | None = None,
        filename: str | None = None,
    ) -> Description:
        """Return how an object would be described, with what the usecase says.

        :raises ValueError: a value cannot be sent.
        """
        method = compression or self.usecase.compression
        if method not in {"zstd", "none"} or precompressed not in {None, "zstd"}:
            raise ValueError(f"compression is zstd or none, not {precompressed or method!r}")
        is_compressed = precompressed is not None or method == "zstd"
        if is_compressed and precompressed is None:
            need_zstandard()
        custom = {name.lower(): value for name, value in (metadata or {}).items()}
        if len(custom) != len(metadata or {}):
            raise ValueError("two names of metadata differ in case only")
        for value in (origin, filename, *custom.values()):
            if value is not None and _UNSAFE.search(value):
                raise ValueError(
                    f"{value[:80]!r} cannot be sent: a line break, NUL, DEL, or space around it"
                )
        return Description(
            content_type=content_type or DEFAULT_TYPE,
            compression="zstd" if is_compressed else None,
            expiration=self.usecase.expiration if expiration is None else expiration,
            origin=origin,
            filename=filename,
            custom=custom,
        )

    def _store(
        self,
        content: Content,
        key: str | None,
        description: Description,
        *,
        compresses: bool,
        line: Line | None = None,
    ) -> str:
        for name in description.custom:
            if "_" in name:
                raise ValueError(f"metadata {name!r}: servers drop names with an underscore")
        target = self._target("" if key is None else path_of(key))
        body = blocks_of(content)
        if compresses:
            body = compressed(body)
        method = "POST" if key is None else "PUT"
        answer = self._call(method, target, description.writable(), body, key=key, line=line)
        return _key_of(answer.checked(), key)

    def _post(self, boundary: str, body: Iterable[bytes], line: Line) -> Answer:
        headers = {"content-type": content_type_of(boundary)}
        target = f"/v1/objects:batch/{'/'.join(self.place.segments)}/"
        return self._call("POST", target, headers, body, key=None, line=line)

    def _target(self, key: str) -> str:
        return f"/v1/objects/{'/'.join(self.place.segments)}/{key}"

    def _call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | bytes | None = None,
        *,
        key: str | None,
        line: Line | None = None,
    ) -> Answer:
        all_headers = {**(headers or {}), **self._signer.headers(self.place)}
        return self._calls.call(method, target, all_headers, body, key=key, line=line)


class _Sender:
    """What ``many`` sends its requests with."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.post = session._post  # noqa: SLF001 - it is a part of the session

    def describe(self, operation: Put) -> Description:
        """Return how an object will be described."""
        return self._session.described(
            compression=operation.compression,
            precompressed=operation.precompressed,
            content_type=operation.content_type,
            metadata=operation.metadata,
            expiration=operation.expiration,
            origin=operation.origin,
            filename=operation.filename,
        )

    def store(self, task: Task, line: Line) -> str:
        """Put one object; return its key."""
        put, description = cast("Put", task.operation), cast("Description", task.description)
        return self._session._store(  # noqa: SLF001 - it is a part of the session
            put.content, put.key, description, compresses=task.compresses, line=line
        )


def _extension(
    at: datetime | None, from_now: timedelta | None, from_creation: timedelta | None
) -> dict[str, str]:
    if sum(value is not None for value in (at, from_now, from_creation)) != 1:
        raise ValueError("give one of at, from_now and from_creation")
    if at is not None:
        if at.tzinfo is None:
            raise ValueError("at is an aware time")
        return {"at": format_time(at)}
    length = cast("timedelta", from_creation if from_now is None else from_now)
    origin = "creation" if from_now is None else "now"
    return {"after": format_duration(length), "from": origin}


def _described(headers: Iterable[tuple[str, str]], key: str) -> Description:
    try:
        return Description.of_response(headers)
    except ValueError as error:
        raise AnswerBroken(f"the description is none: {error}", key=key) from error


def _key_of(answer: Answer, key: str | None) -> str:
    body = answer.body()
    try:
        said = json.loads(body)["key"]
    except (ValueError, TypeError, LookupError, RecursionError):
        said = None
    if not isinstance(said, str) or said != (key or said):
        raise AnswerBroken(
            "the answer names no key, or another one",
            status=answer.status,
            body=body,
            key=key,
            maybe_applied=True,
        )
    return said
