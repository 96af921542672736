"""Keep connections to one server, for whoever can use them.

gevent's sockets work in one thread only, their *home*. So a connection is lent again only
where its home is that of who asks; elsewhere a new one is opened. Where more are given back than
are kept, the one that was not used for longest is closed: those of homes that are gone go, too.

A :class:`Line` is where another thread or greenlet can cut a call off, wherever it is.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from queue import Empty
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from flask_fs_swift.concurrency import Latch, socket_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3.util import Url


class Line:
    """One call at a time, and how to cut it off.

    Needs no lock, so finalisers may cut it: who cuts it off sets ``_is_cut`` and looks at
    ``_connection``, over which the call goes; who calls does it the other way round.
    """

    def __init__(self) -> None:
        self._connection: HTTPConnection | None = None
        self._is_cut = False
        self._latch = Latch()

    def hold(self, connection: HTTPConnection | None) -> None:
        """Say over which connection the call goes; none: it has ended.

        :raises ConnectionAbortedError: it was cut off.
        """
        self._connection = connection
        if self._is_cut and connection is not None:
            raise ConnectionAbortedError("the call was cut off")

    def cut(self) -> None:
        """Let the call fail, now and later. Called from anywhere."""
        self._is_cut = True
        self._latch.open()
        connection = self._connection
        # One that was given back may have another call by now.
        if connection is not None and getattr(connection, "line", None) is self:
            sock: Any = connection.sock
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def pause(self, seconds: float) -> bool:
        """Wait between two calls; tell whether there may be another one."""
        return not self._latch.wait(seconds)


# Of the call that is made now: its line, and how many seconds its server may take nothing, or say
# nothing; None: for ever.
_line: ContextVar[Line | None] = ContextVar("_line", default=None)
_patience: ContextVar[float | None] = ContextVar("_patience", default=None)


@contextmanager
def calling(line: Line | None, patience: float | None) -> Iterator[None]:
    """Tell the connection that a call takes meanwhile what it has to know of that.

    :param line: it is told of the connection, if there is one.
    :param patience: seconds for which a connected server may be silent; None: for ever.
    """
    tokens = _line.set(line), _patience.set(patience)
    try:
        yield
    finally:
        _line.reset(tokens[0])
        _patience.reset(tokens[1])


class _Connection(HTTPConnection):
    """Knows its home, and tells the line of its call of itself: first and when it is connected."""

    #: Where its socket works; see :func:`.socket_home`.
    home: object = None
    #: Of the last call over it.
    line: Line | None = None

    def connect(self) -> None:
        """Connect, over TLS until both sides trust each other.

        :raises ConnectTimeoutError: it failed, in whatever way: nothing was sent.
        """
        self.home = socket_home()
        try:
            super().connect()
        except ConnectTimeoutError:
            raise
        except (HTTPError, OSError) as error:
            # Not all of urllib3's errors tell a handshake's end from an answer's.
            raise NewConnectionError(self, str(error)) from error
        self.sock.settimeout(_patience.get())
        self._tell()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._tell()
        if self.sock is not None:
            # urllib3 would wait for a server that takes no content as for one to connect to.
            self.timeout = _patience.get()
        super().request(*args, **kwargs)

    def _tell(self) -> None:
        self.line = line = _line.get()
        if line is not None:
            line.hold(self)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same, over TLS."""


class _Idle:
    """Connections that nobody has: what urllib3 takes for its queue.

    Needs no lock, so that finalisers may give back, and no child inherits one that is held:
    whoever takes a connection out of ``_connections`` has it alone. Lives as long as its pool.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # The one used last is the last one.
        self._connections: deque[_Connection] = deque()

    def put(self, connection: _Connection | None, **_: object) -> None:
        """Keep a connection, in the place of the oldest one where there are enough."""
        if connection is not None:
            self._connections.append(connection)
        self._close_all_but(self._most)

    def get(self, **_: object) -> _Connection:
        """Return the connection that was used last of those that work here.

        :raises Empty: there is none.
        """
        home = socket_home()
        for connection in reversed(self._connections.copy()):
            if connection.home is home:
                with suppress(ValueError):  # Somebody else has taken it.
                    self._connections.remove(connection)
                    return connection
        raise Empty

    def qsize(self) -> int:
        """Return how many connections are kept, of all homes."""
        return len(self._connections)

    def close(self) -> None:
        """Close all that are kept."""
        self._close_all_but(0)

    def _close_all_but(self, most: int) -> None:
        while len(self._connections) > most:
            with suppress(IndexError):  # Somebody else has taken the last one.
                _close(self._connections.popleft())

    __del__ = close


def _close(connection: _Connection) -> None:
    sock: Any = connection.sock
    try:
        connection.close()
    except ValueError:
        # Its home was destroyed. gevent has forgotten that now, but asks it before it closes.
        if sock is not None:
            os.close(sock.detach())


class _Lending(HTTPConnectionPool):
    QueueCls: Any = _Idle

    def close(self) -> None:
        idle: Any = self.pool
        super().close()
        if idle is not None:
            idle.close()


class _Pool(_Lending):
    ConnectionCls = _Connection


class _SecurePool(_Lending, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def new_pool(url: Url, most: int, options: Mapping[str, Any]) -> HTTPConnectionPool:
    """Return what lends connections to a server, of any number.

    :param url: of the server.
    :param most: connections that are kept while nobody uses them.
    :param options: keywords of urllib3's pool.
    """
    kind = _SecurePool if url.scheme == "https" else _Pool
    return kind(str(url.host).strip("[]"), url.port, maxsize=most, **options)
