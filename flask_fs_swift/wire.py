"""A socket to one server, below HTTP: send all of it, receive up to a mark, notice its end."""

from __future__ import annotations

import os
import socket
import ssl
import weakref
from typing import TYPE_CHECKING

from .concurrency import Arrivals, forget_after_fork
from .http1 import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .blocks import Block
    from .concurrency import Deadline

#: Bytes asked of a socket while the end of what comes is not known.
RECEIVE = 64 * 1024


class Wire:
    """A socket, and what has arrived on it that nobody has taken yet.

    Lives until an answer ends it, or its pool does.

    :param tls: None: not over TLS.
    :param timeout: seconds that connecting to one address, and each wait after that, may last.
    :raises OSError: there is no connection.
    :raises ValueError: the host or the port is none.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> None:
        #: Whether the last answer was read to its end, and the server awaits another request.
        self.is_free = False
        self._timeout = timeout
        # What arrived, and how much of it was taken: never all of it.
        self._ahead = b""
        self._taken = 0
        # The socket, where it speaks TLS.
        self._tls: ssl.SSLSocket | None = None
        plain = socket.create_connection((host, port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                # An end that nobody vouched for is none (RFC 9112, section 9.8).
                self._tls = tls.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise
        self._socket: socket.socket = self._tls or plain
        # One that is dropped, or left open when the program ends, needs no warning.
        self._closing = weakref.finalize(self, self._socket.close)
        self._arrivals = Arrivals(self._socket.fileno())
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Leave the connection to the parent: copies of its greenlets find it at its end.

        A child of a gevent process has them all. What one of them received would be absent from
        what the parent's receives.
        """
        if self._socket.fileno() >= 0:
            ended, other = socket.socketpair()
            with ended:
                other.close()
                os.dup2(ended.fileno(), self._socket.fileno())

    def wait_at_most(self, timeout: float) -> None:
        """Set the seconds that each wait may last."""
        self._timeout = timeout
        self._socket.settimeout(timeout)

    def send(self, data: Block) -> None:
        """Send all of it; the time-out is of each step that is made.

        :raises OSError: the network failed; some of it may have been sent.
        """
        sent = self._socket.send(data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(view):
                sent += self._socket.send(view[sent:])

    def receive(self, size: int) -> bytes:
        """Return at most ``size`` bytes; none when the other end closed.

        :raises OSError: the network failed.
        """
        if not self._ahead:
            return self._socket.recv(size)
        found = self._ahead[self._taken : self._taken + size]
        self._take(len(found))
        return found

    def receive_into(self, room: memoryview) -> int:
        """Fill the beginning of ``room``; return how many bytes, 0 when the other end closed.

        :raises OSError: the network failed.
        """
        if not self._ahead:
            return self._socket.recv_into(room)
        found = self.receive(len(room))
        room[: len(found)] = found
        return len(found)

    def read_until(self, end: bytes, limit: int, patience: Callable[[], Deadline]) -> bytes:
        """Return what comes before ``end``, and take both.

        :param limit: bytes.
        :param patience: asked when it does not come at once: until when it must.
        :raises Malformed: it does not come within the limit, or the other end closed.
        :raises OSError: the network failed, or the deadline came.
        """
        deadline: Deadline | None = None
        if not self._ahead:
            self._ahead = self._socket.recv(RECEIVE)
        while (found := self._ahead.find(end, self._taken)) < 0:
            if len(self._ahead) - self._taken >= limit + len(end):
                break
            deadline = deadline or patience()
            self._receive_more(deadline)
        if not 0 <= found - self._taken <= limit:
            raise Malformed(f"a line or the head of the answer is longer than {limit} bytes")
        data = self._ahead[self._taken : found]
        self._take(len(data) + len(end))
        return data

    def _receive_more(self, deadline: Deadline) -> None:
        more = self._socket.recv(RECEIVE)
        if not more:
            raise Malformed("the connection ended before its answer")
        if not deadline.remaining():
            raise TimeoutError("the answer did not come before the deadline")
        self._ahead, self._taken = self._ahead[self._taken :] + more, 0

    def _take(self, count: int) -> None:
        self._taken += count
        if self._taken == len(self._ahead):
            self._ahead, self._taken = b"", 0

    def has_arrived(self) -> bool:
        """Tell, without waiting, whether there is something to read, or an end, an error."""
        if self._ahead:
            return True
        if self._tls is None:
            return self._arrivals.are_there()
        # What arrived may be decrypted already; or be a session ticket, which is nothing to us.
        arrived = self._tls.pending() or self._arrivals.are_there()
        return bool(arrived) and self.arrives_within(0.0)

    def arrives_within(self, seconds: float) -> bool:
        """Wait until there is something to read; tell whether there is, or an end, an error."""
        if self._ahead:
            return True
        self._socket.settimeout(seconds)
        try:
            self._ahead = self._socket.recv(RECEIVE)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            return "timed out" not in str(error)  # gevent's TLS says it in this way.
        finally:
            self._socket.settimeout(self._timeout)
        return True

    def close(self) -> None:
        """Close the socket."""
        self._closing()
