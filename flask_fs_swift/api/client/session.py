"""A client of the service: objects by key, in the places of a server.

Needs no application. A :class:`Client` has the connections to one server, a :class:`Session`
is a place there and has nothing of its own: make as many as you like.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from flask_fs_swift.api.description import Description, format_time
from flask_fs_swift.api.durations import format_duration
from flask_fs_swift.api.keys import PERMISSIONS, READ, SigningKey, read_signing_key
from flask_fs_swift.api.places import Place
from flask_fs_swift.api.presigned import presign
from flask_fs_swift.api.tokens import LIFETIME, PARAMETER
from flask_fs_swift.api.wire import content_type_of
from flask_fs_swift.ranges import WHOLE, byte_range

from .calls import Calls
from .connections import Line
from .endpoint import Endpoint, Signer
from .fetched import described, fetched
from .many import Results
from .operations import Put
from .resuming import PAUSES
from .storing import store
from .uploads import Upload, start
from .usecase import Usecase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from os import PathLike

    from typing_extensions import Self

    from flask_fs_swift.api.expiration import Expiration
    from flask_fs_swift.events import EventHook

    from .calls import Answer
    from .content import Content
    from .fetched import Fetched
    from .operations import Operation
    from .usecase import Compression, Storing


class Client:
    """The connections to one server. Lives until it is closed; threads and greenlets share it.

    :param url: of the server; a path in it comes before the service's own.
    :param token: sent with every request as it is.
    :param key: its id and the PEM of an Ed25519 private key; every request gets a token of its
        own.
    :param permissions: of those tokens; all by default.
    :param token_lifetime: seconds for which they are good.
    :param connect_timeout: seconds for each try to connect.
    :param read_timeout: seconds for which the server may be silent; None: for ever.
    :param connect_retries: more tries to connect. Nothing else is ever tried twice, but for
        what is left of a long put.
    :param resume_pauses: seconds before each further try of a long put that has come no further
        with the last one; up to a quarter more.
    :param spool_dir: for temporary files; None: where the system has them.
    :param headers: that every request has, beside its own.
    :param on_event: called after each operation of a session or an upload, with what it was
        and how it ended; of ``many``, after each ``put`` that has a request of its own.
    :param pool_size: connections that are kept, and the most that ``many`` uses.
    :param options: keywords of urllib3's pool, such as ``ca_certs``.
    :raises ValueError: this is no URL of a server, no key, no such permission; or a
        setting cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        key: SigningKey | tuple[str, str] | None = None,
        permissions: Iterable[str] = PERMISSIONS,
        token_lifetime: int = LIFETIME,
        connect_timeout: float = 2.0,
        read_timeout: float | None = 60.0,
        connect_retries: int = 3,
        resume_pauses: Sequence[float] = PAUSES,
        spool_dir: str | PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        on_event: EventHook | None = None,
        pool_size: int = 10,
        **options: Any,
    ) -> None:
        if token is not None and key is not None:
            raise ValueError("a client has a token, or a key to make tokens with, not both")
        if token is not None and not re.fullmatch("[!-~]+", token):
            raise ValueError("a token is one word of ASCII")
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1 connection, not {pool_size}")
        if token_lifetime < 1 or any(pause < 0 for pause in resume_pauses):
            raise ValueError("a token lives for 1 second at least, and a pause has 0 at least")
        signing = read_signing_key("key", *key) if isinstance(key, tuple) else key
        self._signer = Signer(token, signing, frozenset(permissions), token_lifetime)
        if not self._signer.permissions <= PERMISSIONS:
            raise ValueError(f"permissions are of {', '.join(sorted(PERMISSIONS))}")
        folder = None if spool_dir is None else os.fspath(spool_dir)
        self._habits = _Habits(pool_size, tuple(resume_pauses), folder)
        self._on_event = on_event
        self._calls = Calls(
            url,
            pool_size=pool_size,
            connect=connect_timeout,
            read=read_timeout,
            tries=connect_retries,
            headers=headers or {},
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
        endpoint = Endpoint(self._calls, place, self._signer, self._on_event)
        return Session(endpoint, usecase, self._habits)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Habits:
    """How a client sends: what is the same for all its sessions."""

    #: Requests at once, at most.
    width: int
    #: Seconds before each further try of a long put.
    pauses: tuple[float, ...]
    #: For temporary files; None: where the system has them.
    folder: str | None


class Session:
    """A place of a server: what its keys are told apart in. Lives as long as its client.

    Every method raises a :exc:`.RequestError` where the server says no, or is not there.
    """

    def __init__(self, endpoint: Endpoint, usecase: Usecase, habits: _Habits) -> None:
        self.usecase = usecase
        self.place = endpoint.place
        self._endpoint = endpoint
        self._habits = habits

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
        resumable_from: int | Literal["never"] | None = None,
    ) -> str:
        """Store content, of any length; return its key.

        It is compressed and sent while it is read. What is long, and can be read again, goes on
        from where the server has it when the connection breaks.

        :param key: None: the server makes one up.
        :param compression: None: the usecase's.
        :param precompressed: how the content is compressed already.
        :param metadata: any texts; names without underscores, which servers drop in silence.
        :param resumable_from: bytes from which on content is long; None: the usecase's.
        :raises ValueError: a value cannot be sent. Nothing was.
        :raises TypeError: this is no content.
        :raises Exception: what the content raised. Nothing was stored.
        """
        put = Put(
            content,
            key,
            compression,
            precompressed,
            content_type,
            metadata,
            expiration,
            origin,
            filename,
            resumable_from,
        )
        return self._store(self.usecase.storing(put), Line())

    def start_upload(
        self,
        key: str | None = None,
        *,
        compression: Compression | None = None,
        precompressed: Literal["zstd"] | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expiration: Expiration | None = None,
        origin: str | None = None,
        filename: str | None = None,
    ) -> Upload:
        """Begin to store an object in parts, from anywhere, at leisure.

        It appears when the upload is completed, and expires that long after it was started.

        :param compression: each part is compressed, to a frame of its own; None: the usecase's.
        :param precompressed: how every part is compressed already.
        :param metadata: this and the rest as for ``put``.
        :raises ValueError: a value cannot be sent. Nothing was.
        """
        empty = Put(
            b"",
            key,
            compression,
            precompressed,
            content_type,
            metadata,
            expiration,
            origin,
            filename,
        )
        storing = self.usecase.storing(empty)
        with self._endpoint.watch("start_upload"):
            return start(self._endpoint, storing, self._habits.folder)

    def resume_upload(
        self,
        key: str,
        id: str,  # noqa: A002 - the field's word
        *,
        compression: Compression | None = None,
        precompressed: Literal["zstd"] | None = None,
    ) -> Upload:
        """Return an upload that was started elsewhere, by its ``id``. Nothing is sent.

        What was put before has to be given to ``complete``: ``list_parts``, or what was kept.

        :param compression: this and the next as they were given to ``start_upload``: servers do
            not tell.
        :raises ValueError: this is no key, or no id.
        """
        empty = Put(b"", key, compression, precompressed)
        compresses = self.usecase.storing(empty).compresses
        folder = self._habits.folder
        return Upload(self._endpoint, key, id, compresses=compresses, folder=folder)

    def many(self, operations: Iterable[Operation], *, concurrency: int = 3) -> Results:
        """Do many things in few requests; return one result for each, as they come.

        :param operations: pulled as they are needed, so there may be any number of them.
        :param concurrency: requests at once. With 1, results are in the order of the input.
        :raises ValueError: that is less than 1, or more than the client keeps connections.
        """
        most = self._habits.width
        if not isinstance(concurrency, int) or not 1 <= concurrency <= most:
            raise ValueError(
                f"concurrency is 1 to {most}, the client's pool_size, not {concurrency}"
            )
        return Results(operations, _Sender(self), concurrency)

    def get(
        self,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        decompress: bool = True,
        limit: int | None = None,
    ) -> Fetched | None:
        """Open an object, or some of its bytes, for reading; None where there is none.

        :param start: the first byte, as they are stored; below 0: so many at the end.
        :param end: after the last byte; None, or what is beyond the end: the end.
        :param decompress: False: as it is stored; its description says how that is.
        :param limit: bytes after decompression; None: 256 MiB, or 1,000 times what was sent.
        :raises ValueError: no bytes are from ``start`` to ``end``. Nothing was sent.
        :raises RangeNotSatisfiable: it ends before ``start``, or has no bytes at all.
        :raises StoredCompressed: there are some that would have to be decompressed.
        """
        wanted = byte_range(start, end)
        headers = {} if wanted == WHOLE else {"range": wanted.header()}
        target = self._endpoint.target(key)
        with self._endpoint.watch("get"):
            answer = self._endpoint.call("GET", target, headers, key=key)
            if answer.status == 404:
                answer.body()
                return None
            return fetched(answer, key, wanted, decompress=decompress, limit=limit)

    def head(self, key: str) -> Description | None:
        """Describe an object; None where there is none."""
        target = self._endpoint.target(key)
        with (
            self._endpoint.watch("head"),
            self._endpoint.call("HEAD", target, key=key) as answer,
        ):
            if answer.status == 404:
                return None
            return described(answer.checked(), key)

    def delete(self, key: str) -> None:
        """Remove an object; one that is absent counts as removed."""
        target = self._endpoint.target(key)
        with (
            self._endpoint.watch("delete"),
            self._endpoint.call("DELETE", target, key=key) as answer,
        ):
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
        target = self._endpoint.target(key)
        with (
            self._endpoint.watch("extend_expiry"),
            self._endpoint.call("PATCH", target, headers, body, key=key) as answer,
        ):
            answer.checked()

    def object_url(self, key: str, *, lifetime: int | None = None) -> str:
        """Return the URL of an object.

        :param lifetime: seconds for which whoever has the URL may read; None: it has no token.
        :raises ValueError: the client has no key to sign with.
        """
        token = "" if lifetime is None else self.mint_token({READ}, lifetime=lifetime)
        query = f"?{PARAMETER}={token}" if token else ""
        return self._endpoint.origin + self._endpoint.path(key) + query

    def presigned_url(
        self, key: str, *, method: Literal["GET", "HEAD"] = "GET", lifetime: int = 3600
    ) -> str:
        """Return a URL with which anybody can read this one object for a while.

        :param lifetime: seconds, at most seven days.
        :raises ValueError: it is longer, or the client has no key to sign with.
        """
        signing, path = self._endpoint.signer.needed_key(), self._endpoint.path(key)
        return self._endpoint.origin + presign(signing, method, path, time.time(), lifetime)

    def mint_token(
        self, permissions: Iterable[str] | None = None, *, lifetime: int | None = None
    ) -> str:
        """Return a token for this place.

        :param permissions: of the client's; None: all of them.
        :param lifetime: seconds; None: as the client's requests have it.
        :raises ValueError: the client has no such permission, or no key to sign with.
        """
        return self._endpoint.signer.mint(self.place, permissions, lifetime)

    def _store(self, storing: Storing, line: Line) -> str:
        pauses, folder = self._habits.pauses, self._habits.folder
        with self._endpoint.watch("put") as seen:
            return store(
                self._endpoint, storing, pauses=pauses, folder=folder, line=line, seen=seen
            )

    def _post(self, boundary: str, body: Iterable[bytes], line: Line) -> Answer:
        headers = {"content-type": content_type_of(boundary)}
        target = self._endpoint.target(None, "objects:batch")
        return self._endpoint.call("POST", target, headers, body, key=None, line=line)


class _Sender:
    """What ``many`` sends its requests with."""

    def __init__(self, session: Session) -> None:
        self.folder = session._habits.folder  # noqa: SLF001 - it is a part of the session
        self.plan = session.usecase.storing
        self.store = session._store  # noqa: SLF001 - likewise
        self.post = session._post  # noqa: SLF001 - likewise


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
