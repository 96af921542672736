"""Be the other end of a transport's sockets, in the same thread.

The sockets are real, one pair for each connection. The next piece of an answer is sent when
the client comes to receive and has received all before, so what it gets at a time is the
piece. Where a client would have to wait for a server that says no more, it is told at once
that it has timed out. When its next request begins, everything said to the last one is there.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest import mock

from .grammar import simple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Answer

URL = "http://swift.test:8080/v1/AUTH_test"
#: What is said to a request that is sent again because its first answer was 417.
AGAIN = simple(b"again")


class Line(socket.socket):
    """The client's end of one connection."""

    def __init__(self, server: Server, number: int, end: socket.socket) -> None:
        super().__init__(end.family, end.type, end.proto, end.detach())
        self._server = server
        self._number = number

    def setsockopt(self, *_: Any) -> None:
        """Take options of TCP, which this is not."""

    def send(self, data: Any, flags: int = 0) -> int:
        self._server.expect(self._number, data)
        sent = super().send(data, flags)
        self._server.take()
        return sent

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._server.speak()
        data = super().recv(size, flags)
        self._server.unread -= len(data)
        return data

    def recv_into(self, room: Any, size: int = 0, flags: int = 0) -> int:
        self._server.speak()
        count = super().recv_into(room, size, flags)
        self._server.unread -= count
        return count


class Server:
    """Answers the requests of one case, over as many connections as the client opens."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None
        self._pieces: deque[bytes] = deque()
        self._answer: Answer | None = None
        #: Bytes that were sent on the last connection, and have not been received.
        self.unread = 0
        #: Connections so far.
        self.connections = 0
        #: What the client has sent since :meth:`prepare`: one string for each time it asked.
        self.sent: list[bytearray] = []
        #: The number of the connection over which it asked, from 1; 0: over none.
        self.line = 0

    def connect(self) -> Line:
        """Accept a connection; return the client's end."""
        self.close()
        theirs, self._ours = socket.socketpair()
        self._ours.setblocking(False)
        self.unread = 0
        self.connections += 1
        return Line(self, self.connections, theirs)

    def prepare(self, answer: Answer) -> None:
        """End what was said to the last request, and await the next one."""
        self._say_the_rest()
        self._answer = answer
        self._pieces = deque(answer.pieces)
        self.sent = []
        self.line = 0

    def expect(self, line: int, data: bytes | memoryview) -> None:
        """Learn that the client begins to send this."""
        if self.sent and bytes(data[:5]) == b"PUT /":
            self._pieces = deque([AGAIN])
            self._answer = None
            self.sent.append(bytearray())
        if not self.sent:
            self.sent.append(bytearray())
            self.line = line

    def take(self) -> None:
        """Receive what the client has sent; say at once what is to be said early."""
        if self._ours is None:
            return
        with suppress(BlockingIOError):
            self.sent[-1] += self._ours.recv(1 << 20)
        if self._answer is not None and self._answer.is_early:
            self._say_the_rest()

    def speak(self) -> None:
        """Say the next piece, if the client has received all before.

        :raises OSError: the client would wait in vain, or finds the connection reset.
        """
        if self.unread:
            return
        if self._pieces and not self._pieces[0]:
            self._pieces.popleft()
            raise TimeoutError("timed out")
        if self._pieces:
            self._say()
        elif self._ours is None:
            self._raise_if_reset()
        else:
            self._end()

    def _say(self) -> None:
        """Send the next piece, or as much of it as there is room for."""
        piece = self._pieces.popleft()
        sent = 0
        # The client may have closed, or have no room.
        with suppress(OSError):
            sent = self._ours.send(piece) if self._ours is not None else 0
        self.unread += sent
        if sent < len(piece):
            self._pieces.appendleft(piece[sent:])

    def _end(self) -> None:
        if self._answer is None or self._answer.end == "waits":
            raise TimeoutError("timed out")
        self.close()
        self._raise_if_reset()

    def _raise_if_reset(self) -> None:
        if self._answer is not None and self._answer.end == "resets":
            raise ConnectionResetError("reset by the server")

    def _say_the_rest(self) -> None:
        """Say all that there is room for, in one piece; end it if that is all."""
        self._pieces = deque([rest]) if (rest := b"".join(self._pieces)) else deque()
        if self._pieces:
            self._say()
        if not self._pieces and self._answer is not None and self._answer.end != "waits":
            self.close()

    def close(self) -> None:
        """Close this end of the connection."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None


@contextmanager
def dialled() -> Iterator[list[Server]]:
    """Lead all new connections to the server that stands in the list."""
    servers: list[Server] = []

    def connect(*_: Any) -> Line:
        return servers[0].connect()

    with mock.patch("socket.create_connection", connect):
        yield servers
