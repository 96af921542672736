"""Read an object over one connection after another, until all of one version has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import NETWORK_ERRORS, last_headers, span
from .call import Call
from .errors import (
    ObjectChanged,
    PoolExhaustedError,
    StreamBroken,
    SwiftError,
    SwiftUnavailable,
)
from .ranges import ByteRange
from .streams import CHUNK_SIZE, PIECE
from .transport import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swiftclient import Body, Connection

    from .call import Caller
    from .pool import Checkout
    from .ranges import Span
    from .retry import Attempts
    from .streams import Download


class SwiftDownload:
    """The body of one answer, and the connection it comes over."""

    def __init__(self, body: Body, checkout: Checkout) -> None:
        # Ours is read without swiftclient's wrapper around it.
        answer = body.resp
        self._answer = answer if isinstance(answer, Response) else _OverRequests(body)
        self._checkout = checkout

    def read(self, size: int, /) -> bytes:
        """Return the next bytes.

        :raises ConnectionError: the network failed.
        """
        try:
            return self._answer.read(size)
        except NETWORK_ERRORS as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def readinto(self, room: memoryview, /) -> int:
        """Fill the beginning of ``room``; return how many bytes.

        :raises ConnectionError: the network failed.
        """
        try:
            return self._answer.readinto(room)
        except NETWORK_ERRORS as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def finish(self) -> None:
        """Give back the connection, once the HTTP library agrees that the answer is over."""
        try:
            is_over = self._answer.is_over()
        except NETWORK_ERRORS:
            is_over = False
        if is_over:
            self._checkout.checkin()
        else:
            self._checkout.discard()

    def abort(self) -> None:
        """Close the connection."""
        self._checkout.discard()


class _OverRequests:
    """The body of an answer over swiftclient's own transport."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        return self._body.read(size)

    def readinto(self, room: memoryview) -> int:
        # Blocks of this size do not leave the processor's cache before they are copied.
        block = self._body.read(min(len(room), PIECE))
        room[: len(block)] = block
        return len(block)

    def is_over(self) -> bool:
        # Only the read after the last byte tells requests that its socket is free.
        return not self._body.read(1)


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
    """Asks for the rest of one version of an object. Lives as long as its stream.

    :param wanted: what the stream hands over; None: what is not known.
    """

    def __init__(
        self, caller: Caller, container: str, name: str, wanted: Span | None, etag: str | None
    ) -> None:
        self._caller = caller
        self._container = container
        self._name = name
        self._wanted = wanted
        self._etag = etag
        # The attempts since something last arrived, and how far that came.
        self._attempts: Attempts | None = None
        self._reached = 0

    def __call__(self, received: int, cause: Exception | None, /) -> Download:
        """Ask for what is wanted after the first ``received`` bytes, of the same version.

        :raises ObjectChanged: there is another version now, or none.
        :raises StreamBroken: all attempts have broken too.
        """
        attempts = self._attempts
        if attempts is None or received > self._reached:
            attempts = self._attempts = self._caller.attempts()
            self._reached = received
        if self._wanted is None or not attempts.again():
            raise self._broken(received) from cause
        rest = self._wanted._replace(start=self._wanted.start + received)
        checkout, body, headers = self._ask(rest, received, attempts)
        if span(headers) != rest:
            checkout.discard()
            raise self._broken(received) from cause
        return SwiftDownload(body, checkout)

    def _ask(
        self, rest: Span, received: int, attempts: Attempts
    ) -> tuple[Checkout, Body, dict[str, str]]:
        name = self._name
        call = Call("read", name, attempts)
        # To the end of the object, if that is wanted: what it was asked for first.
        end = None if rest.end == rest.size else rest.end
        wanted = {"Range": ByteRange(rest.start, end).header(), "If-Match": f'"{self._etag}"'}
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
        size = None if self._wanted is None else self._wanted.end - self._wanted.start
        return StreamBroken(
            f"{self._name!r} broke after {received} of {size} bytes",
            filename=self._name,
            received=received,
            expected=size,
        )
