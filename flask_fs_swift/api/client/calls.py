"""Send requests to a server, and hold its answers.

Connections are urllib3's. A request is sent once: what is tried again is only to connect,
as long as nothing was sent. Nobody is redirected: a server that does not know a place as it
was asked for would store things elsewhere.

An answer holds its connection, and gives it back with its last byte; ``close`` drops it.

After a fork the child starts without connections, and neither uses nor closes its parent's.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from urllib3 import Retry, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
)
from urllib3.util import parse_url

from flask_fs_swift.concurrency import forget_after_fork

from .connections import calling, new_pool
from .failures import (
    NO_KINDS,
    AnswerBroken,
    AnswerLost,
    RequestError,
    Unreachable,
    failure_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from typing_extensions import Self
    from urllib3 import HTTPConnectionPool
    from urllib3.response import BaseHTTPResponse

    from .connections import Line

#: Bytes that are read at a time.
BLOCK = 64 * 1024
#: Bytes of a refusal that are kept, and of what follows an answer that are read.
TAIL = 64 * 1024
#: Blanks that a server may send while it is at work: one a second, it is said.
BLANKS = 256 * 1024

_READING = {"GET", "HEAD"}
_NAME = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile("[!-~](?:[ -~]*[!-~])?")
# Of parents, with their sockets. To close these may take them out of an event loop that both
# processes share, so they are kept until the end.
_inherited: list[HTTPConnectionPool] = []


class ContentFailed(Exception):
    """What was to be sent raised its cause: not the network's error, though it may look so."""


class Calls:
    """Calls of one server. Lives until it is closed; any threads and greenlets share it.

    :param url: of the server, with the path that its own paths begin with, if any.
    :param pool_size: connections that are kept open.
    :param connect: seconds for each try to connect.
    :param read: seconds without a byte, after which the server counts as gone.
    :param tries: more of them to connect, after the first.
    :param headers: that every request has, beside its own.
    :raises ValueError: this is no URL of a server, or these are no headers.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        connect: float,
        read: float | None,
        tries: int,
        headers: Mapping[str, str],
        **options: Any,
    ) -> None:
        for name, value in headers.items():
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                raise ValueError(f"header {name[:80]!r} is no line of printable ASCII")
        parsed = parse_url(url)
        good = parsed.scheme in {"http", "https"} and parsed.host and not parsed.auth
        if not good or parsed.query is not None or parsed.fragment is not None:
            raise ValueError(f"{url!r} is no http:// or https:// URL of a server")
        #: The scheme, the host and the port.
        self.origin = f"{parsed.scheme}://{parsed.netloc}"
        #: What every target begins with.
        self.base = (parsed.path or "").rstrip("/")
        self._headers = {"user-agent": "flask-fs-swift", "accept-encoding": "identity"}
        self._headers.update((name.lower(), value) for name, value in headers.items())
        self._connect = connect
        self._read = read
        self._retries = Retry(
            total=None, connect=tries, read=0, redirect=0, status=0, other=0,
            allowed_methods=None, respect_retry_after_header=False, raise_on_redirect=False,
        )  # fmt: skip
        self._new_pool = partial(new_pool, parsed, pool_size, options)
        # Written once more in each forked child, by after_fork.
        self._pool = self._new_pool()
        self._is_closed = False  # Only ever set.
        forget_after_fork(self)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._is_closed = True
        self._pool.close()

    def after_fork(self) -> None:
        """Start without connections: who shared them would read each other's answers."""
        _inherited.append(self._pool)
        self._pool = self._new_pool()
        if self._is_closed:
            self._pool.close()

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] | bytes | None = None,
        *,
        key: str | None = None,
        line: Line | None = None,
        patience: float | None = None,
    ) -> Answer:
        """Send a request; return its answer, whatever its status is.

        :param target: after the base.
        :param body: bytes with their length; or blocks: in chunks, where no header says how
            long they are.
        :param key: that it is about, for the errors.
        :param patience: seconds, instead of those that the server may be silent.
        :raises Unreachable: nothing was sent.
        :raises AnswerLost: it may have been done, if it does more than reading.
        :raises Exception: what ``body`` raised; the request was cut off.
        """
        patience = self._read if patience is None else patience
        with calling(line, patience):
            return self._call(method, target, headers, body, key, line, patience)

    def _call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] | bytes | None,
        key: str | None,
        line: Line | None,
        patience: float | None,
    ) -> Answer:
        blocks = None if body is None or isinstance(body, bytes) else _guarded(body)
        try:
            response = self._pool.urlopen(
                method,
                self.base + target,
                body=body if blocks is None else blocks,
                headers={**self._headers, **headers},
                retries=self._retries,
                redirect=False,
                chunked=blocks is not None and "content-length" not in headers,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=self._connect, read=patience),
            )
        except ContentFailed as error:
            raise _cause(error) from None
        except (HTTPError, OSError) as error:
            raise _failure(error, method, key) from error
        return Answer(response, method, key, line)


class Answer:
    """What a server answered: lives until its last byte was read, or it is closed."""

    def __init__(
        self, response: BaseHTTPResponse, method: str, key: str | None, line: Line | None
    ) -> None:
        self._response = response
        self._method = method
        self._key = key
        self._line = line
        self.status: int = response.status
        self.headers: list[tuple[str, str]] = list(response.headers.items())

    def header(self, name: str) -> str:
        """Return the value of a header, empty where there is none."""
        return self._response.headers.get(name, "")

    def read(self, size: int = BLOCK) -> bytes:
        """Return what has come, at most so many bytes; none at the end.

        :raises AnswerLost: the answer ends too early.
        """
        try:
            return self._response.read1(size) or b""
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            self.close()
            raise _failure(error, self._method, self._key) from error

    def body(self) -> bytes:
        """Return all of a short answer: 64 KiB of it; and end it."""
        blocks = []
        size = 0
        with self:
            while size < TAIL:
                block = self.read(TAIL - size)
                if not block:
                    break
                blocks.append(block)
                size += len(block)
        return b"".join(blocks)

    def document(self, most: int = TAIL) -> Any:
        """Return the JSON of all of an answer, and end it.

        The blanks before it are not kept: a server may send them to say that it is at work.

        :param most: bytes.
        :raises AnswerBroken: it is none, or has more of them.
        """
        kept = bytearray()
        left = most + BLANKS
        with self:
            while block := self.read():
                left -= len(block)
                kept += block if kept else block.lstrip()
                if len(kept) > most or left < 0:
                    self.close()
                    raise self.broken(f"it has more than {most} bytes")
        try:
            return json.loads(bytes(kept))
        except (ValueError, RecursionError) as error:
            raise self.broken("it is no JSON", bytes(kept)) from error

    def broken(self, reason: str, body: bytes = b"") -> AnswerBroken:
        """Return what it means that an answer is not what the protocol says."""
        return AnswerBroken(
            f"the answer is none: {reason}",
            status=self.status,
            body=body[:TAIL],
            key=self._key,
            maybe_applied=self._method not in _READING,
        )

    def finish(self) -> None:
        """Read the little that is left, so that the connection serves again; or close it."""
        left = TAIL
        while left > 0:
            block = self.read(left)
            if not block:
                self._response.release_conn()
                self._hang_up()
                return
            left -= len(block)
        self.close()

    def checked(self, kinds: Mapping[int, type[RequestError]] = NO_KINDS) -> Answer:
        """Return it, if it is a success.

        :param kinds: what some statuses mean, where that is something of their own.
        :raises RequestError: it is none; it has ended.
        """
        if 200 <= self.status < 300:
            return self
        raise self.failure(kinds)

    def failure(self, kinds: Mapping[int, type[RequestError]] = NO_KINDS) -> RequestError:
        """Return what an answer means that is no success, and end it."""
        try:
            body = self.body()
        except RequestError:
            body = b""
        return failure_of(self.status, body, self._key, kinds)

    def close(self) -> None:
        """End it; what was not read to its end costs its connection."""
        self._response.close()
        self._response.release_conn()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.hold(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.finish()
        except RequestError:
            self.close()


@contextmanager
def reading_content() -> Iterator[None]:
    """Tell what content raises from what the network does."""
    try:
        yield
    except Exception as error:
        raise ContentFailed from error


def _guarded(body: Iterable[bytes]) -> Iterator[bytes]:
    with reading_content():
        blocks = iter(body)
    while True:
        with reading_content():
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _cause(error: ContentFailed) -> BaseException:
    return error.__cause__ or error


def _failure(error: Exception, method: str, key: str | None) -> RequestError:
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, ConnectTimeoutError):
        return Unreachable(f"no connection: {reason}", key=key)
    changes = method not in _READING
    return AnswerLost(f"no whole answer: {reason}", key=key, maybe_applied=changes)
