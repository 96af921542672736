"""A proxy of TCP that cuts a connection where a test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK = 64 * 1024


class Cutting:
    """Passes connections on to a port, until it cuts one. Lives until it is closed.

    ``_cuts``  after how many bytes of clients a connection is cut, the next first; and
    ``_lost``  what an answer begins with that never arrives;
    ``_open``  the sockets of its clients; all guarded by ``_lock``, as is
    ``made``   how many cuts there were.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._cuts: list[int] = []
        self._lost: bytes | None = None
        self._open: set[socket.socket] = set()
        self.made = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut_after(self, *counts: int) -> None:
        """Cut whichever connection passes so many bytes on; the next count begins then."""
        with self._lock:
            self._cuts = list(counts)

    def lose(self, answer: bytes) -> None:
        """Cut the connection on which the server begins an answer like this, once."""
        with self._lock:
            self._lost = answer

    def close(self) -> None:
        """End all connections, too."""
        _shut(self._listener)
        self._threads[0].join(10)
        with self._lock:
            for client in self._open:
                _shut(client)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open.add(client)
            pump = threading.Thread(target=self._pass, args=(client, server))
            self._threads.append(pump)
            pump.start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(server, client, self._is_lost))
        back.start()
        self._pump(client, server, self._is_cut)
        back.join()
        with self._lock:
            self._open.discard(client)
            client.close()
        server.close()

    def _pump(
        self, source: socket.socket, sink: socket.socket, ends: Callable[[bytes], bool]
    ) -> None:
        with suppress(OSError):
            while block := source.recv(_BLOCK):
                if ends(block):
                    break
                sink.sendall(block)
        _shut(source)
        _shut(sink)

    def _is_cut(self, block: bytes) -> bool:
        with self._lock:
            if not self._cuts:
                return False
            self._cuts[0] -= len(block)
            if self._cuts[0] > 0:
                return False
            del self._cuts[0]
            self.made += 1
            return True

    def _is_lost(self, block: bytes) -> bool:
        with self._lock:
            if self._lost is None or not block.startswith(self._lost):
                return False
            self._lost = None
            self.made += 1
            return True


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(port: int) -> Iterator[Cutting]:
    """Run a proxy before a port."""
    proxy = Cutting(port)
    try:
        yield proxy
    finally:
        proxy.close()
