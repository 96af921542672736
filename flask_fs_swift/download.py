"""Read an object over one connection after another, until all of one version has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import NETWORK_ERRORS, last_headers
from .call import Call
from .errors import (
    ObjectChanged,
    PoolExhaustedError,
    StreamBroken,
    SwiftError,
    SwiftUnavailable,
)
from .streams import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swiftclient import Body, Connection

    from .call import Caller
    from .objects import ObjectInfo
    from .pool import Checkout
    from .streams import Download


class SwiftDownload:
    """The body of one answer, and the connection it comes over."""

    def __init__(self, body: Body, checkout: Checkout) -> None:
        self._body = body
        self._checkout = checkout

    def read(self, size: int, /) -> bytes:
        """Return the next bytes.

        :raises ConnectionError: the network failed.
        """
        try:
            return self._body.read(size)
        except NETWORK_ERRORS as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def finish(self) -> None:
        """Give back the connection, once the HTTP library agrees that the answer is over."""
        # Only the read after the last byte tells the HTTP library that this answer is
        # over and its socket free.
        try:
            is_over = not self._body.read(1)
        except NETWORK_ERRORS:
            is_over = False
        if is_over:
            self._checkout.checkin()
        else:
            self._checkout.discard()

    def abort(self) -> None:
        """Close the connection."""
        self._checkout.discard()


def fetch(
    caller: Caller, call: Call, container: str, headers: Mapping[str, str] | None = None
) -> tuple[Checkout, Body, dict[str, str]]:
    """Ask for an object; return its body, and the connection that this comes over."""

    def send(connection: Connection) -> tuple[Body, dict[str, str]]:
        # The chunk size only says that the body is to come as it is read.
        _, body = connection.get_object(
            container, call.filename or "", resp_chunk_size=CHUNK_SIZE, headers=headers
        )
        return body, last_headers(connection)

    checkout, (body, answered) = caller.start(call, send)
    return checkout, body, answered


class Resumption:
    """Asks for the rest of one version of an object. Lives as long as its stream."""

    def __init__(self, caller: Caller, container: str, info: ObjectInfo) -> None:
        self._caller = caller
        self._container = container
        self._info = info
        # The attempts since something last arrived, and how far that came.
        self._attempts = caller.attempts()
        self._reached = 0

    def __call__(self, received: int, cause: Exception | None, /) -> Download:
        """Ask for the bytes after the first ``received``, of the same version.

        :raises ObjectChanged: there is another version now, or none.
        :raises StreamBroken: all attempts have broken too.
        """
        if received > self._reached:
            self._attempts, self._reached = self._caller.attempts(), received
        if not self._attempts.again():
            raise self._broken(received) from cause
        size = self._info.size or 0
        checkout, body, headers = self._ask(received)
        if headers.get("content-range") != f"bytes {received}-{size - 1}/{size}":
            checkout.discard()
            raise self._broken(received) from cause
        return SwiftDownload(body, checkout)

    def _ask(self, received: int) -> tuple[Checkout, Body, dict[str, str]]:
        name = self._info.name
        call = Call("read", name, self._attempts)
        wanted = {"Range": f"bytes={received}-", "If-Match": f'"{self._info.etag}"'}
        try:
            return fetch(self._caller, call, self._container, wanted)
        except SwiftError as error:
            if error.http_status in {404, 412, 416}:
                raise ObjectChanged(
                    f"{name!r} changed or was deleted after {received} bytes of it were read",
                    filename=name,
                ) from error
            if isinstance(error, SwiftUnavailable):
                raise self._broken(received) from error
            raise
        except PoolExhaustedError as error:
            raise self._broken(received) from error

    def _broken(self, received: int) -> StreamBroken:
        return StreamBroken(
            f"{self._info.name!r} broke after {received} of {self._info.size} bytes",
            filename=self._info.name,
            received=received,
            expected=self._info.size,
        )
