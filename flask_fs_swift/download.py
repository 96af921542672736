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
    from swiftclient import Body, Connection

    from .call import Caller
    from .objects import ObjectInfo
    from .pool import Checkout
    from .streams import Download


class Answer:
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


class Resumption:
    """Asks for the rest of one version of an object. Lives as long as its stream."""

    def __init__(self, caller: Caller, container: str, info: ObjectInfo) -> None:
        self._caller = caller
        self._container = container
        self._info = info
        self._attempts = caller.attempts()

    def __call__(self, received: int, broken: int, cause: Exception | None, /) -> Download:
        """Ask for the bytes after the first ``received``, of the same version.

        :param broken: how many downloads broke since one last brought anything.
        :raises ObjectChanged: there is another version now, or none.
        :raises StreamBroken: all attempts have broken too.
        """
        if broken == 1:
            self._attempts = self._caller.attempts()
        if not self._attempts.again():
            raise self._broken(received) from cause
        checkout, (headers, body) = self._ask(received)
        expected = f"bytes {received}-{self._info.size - 1}/{self._info.size}"
        if headers.get("content-range") != expected:
            checkout.discard()
            raise self._broken(received) from cause
        return Answer(body, checkout)

    def _ask(self, received: int) -> tuple[Checkout, tuple[dict[str, str], Body]]:
        name = self._info.name
        call = Call("read", name, self._caller.attempts())
        wanted = {"Range": f"bytes={received}-", "If-Match": f'"{self._info.etag}"'}

        def send(connection: Connection) -> tuple[dict[str, str], Body]:
            _, body = connection.get_object(
                self._container, name, resp_chunk_size=CHUNK_SIZE, headers=wanted
            )
            return last_headers(connection), body

        try:
            return self._caller.start(call, send)
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
