"""A request that is to fail, and what can be done with it."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

from .requestlog import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .faults import Fault

_BLOCK = 65536  # bytes


@dataclass(frozen=True)
class Answer:
    """What Swift answered. Whoever has it closes it."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterator[bytes]
    close: Callable[[], None]

    def closed_after(self, body: Generator[bytes]) -> Iterator[bytes]:
        """Yield a body that is made from this answer's, then close both."""
        with closing(self), closing(body):
            yield from body


@dataclass(frozen=True)
class FailingRequest:
    """A request that is to fail."""

    fault: Fault
    app: WSGIApplication
    environ: WSGIEnvironment
    start_response: StartResponse
    pause: Callable[[float], None]

    def ask_swift(self) -> Answer:
        """Let Swift do the work, up to the first chunk of its answer's body."""
        started: dict[str, Any] = {}

        def capture(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            del exc_info
            started.update(status=status, headers=headers)
            return lambda _: None

        result = self.app(self.environ, capture)
        body = iter(result)
        # An application need not have started its response before its first chunk.
        first = next(body, b"")
        return Answer(
            **started, body=chain([first], body), close=getattr(result, "close", _nothing)
        )

    def let_swift_finish(self) -> None:
        """Let Swift do all of the work, and forget its answer."""
        with closing(self.ask_swift()) as answer:
            for _ in answer.body:
                pass

    def pass_on(self, answer: Answer, body: Generator[bytes]) -> Iterable[bytes]:
        """Answer as Swift did, with a body that is made from its own."""
        self.start_response(answer.status, answer.headers)
        return answer.closed_after(body)

    def read_upload(self, size: float) -> None:
        """Read so many bytes of the request's body, or what there is of it."""
        upload = self.environ["wsgi.input"]
        while size > 0 and (block := upload.read(int(min(size, _BLOCK)))):
            size -= len(block)

    def answer(self, status: int, headers: Mapping[str, str], body: str) -> list[bytes]:
        """Answer in Swift's place."""
        payload = body.encode()
        own = {"Content-Type": "text/plain", "Content-Length": str(len(payload))}
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Injected"
        self.start_response(f"{status} {phrase}", [*(own | dict(headers)).items()])
        return [b"" if self.environ["REQUEST_METHOD"] == "HEAD" else payload]

    def reset(self) -> list[bytes]:
        """Reset the TCP connection, now, in place of an answer."""
        reset_now(self.client())
        # It goes nowhere, but a WSGI application has to say something.
        self.start_response(NO_ANSWER, [("Content-Length", "0")])
        return [b""]

    def client(self) -> Any:
        """Return the client's socket."""
        return self.environ["eventlet.input"].get_socket()


def _nothing() -> None:
    pass


def reset_now(client: Any) -> None:
    """Send a TCP reset, now.

    A connection whose linger time is 0 is reset when its last descriptor is closed. The
    descriptor cannot be closed under eventlet's feet, but it can be made to mean another
    socket, whose peer has gone.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dead, peer = socket.socketpair()
    peer.close()
    with dead:
        os.dup2(dead.fileno(), client.fileno())
