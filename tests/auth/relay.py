"""An address of its own in front of a server: it can speak TLS, and answer in its place."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections import deque
from threading import Lock, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

_PATIENCE = 30.0  # seconds


class Relay:
    """Lives until it is closed, and then has closed every connection.

    :param server: a URL; every connection is passed on to its host and port.
    :param tls: speak TLS to the clients.
    :param answers: whole HTTP answers, in bytes, for the first connections: the server is
        not asked. None: these requests are never answered.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None = None,
        answers: Iterable[bytes | None] = (),
    ) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname, parts.port or 80)
        self._tls = tls
        self._lock = Lock()
        # Guarded by _lock, all of these: what is still to be answered, how many connections
        # there were, which sockets are open.
        self._answers = deque(answers)
        self._connections = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme, port = "https" if tls else "http", self._listener.getsockname()[1]
        #: Without a path.
        self.url = f"{scheme}://127.0.0.1:{port}"
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """How many connections were made, those included that failed to agree on TLS."""
        with self._lock:
            return self._connections

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _shut(self._listener)
        self._threads[0].join()
        with self._lock:
            for client in self._open:
                _shut(client)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections += 1
                self._open.add(client)
                scripted = bool(self._answers)
                answer = self._answers.popleft() if scripted else None
            thread = Thread(target=self._serve, args=(client, scripted, answer))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, scripted: bool, answer: bytes | None) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(_PATIENCE)
            if self._tls is not None:
                with self._tls.wrap_socket(client.dup(), server_side=True) as secure:
                    self._talk(secure, scripted, answer)
            else:
                self._talk(client, scripted, answer)
        with self._lock:
            self._open.discard(client)

    def _talk(self, client: socket.socket, scripted: bool, answer: bytes | None) -> None:
        if not scripted:
            with socket.create_connection(self._server) as server:
                _splice(client, server)
            return
        _read_request(client)
        if answer is None:
            client.recv(1)  # returns when the client, or the relay, hangs up
        else:
            client.sendall(answer)


def answer(status: str, body: str = "", **headers: str) -> bytes:
    """Return a whole HTTP answer; names of headers have underscores for dashes."""
    fields = {"Connection": "close", "Content-Length": str(len(body.encode()))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", body]).encode()


def _read_request(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += _receive(client)
    head, _, body = request.partition(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    length = int(rest.split(b"\r\n")[0] or b"0")
    while len(body) < length:
        body += _receive(client)


def _receive(client: socket.socket) -> bytes:
    block = client.recv(65536)
    if not block:
        raise ConnectionError("the client hung up")
    return block


def _splice(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes from either side until one has no more to say."""
    to = {one: other, other: one}
    while True:
        pending = [end for end in to if isinstance(end, ssl.SSLSocket) and end.pending()]
        for end in pending or select.select([one, other], [], [], _PATIENCE)[0]:
            block = end.recv(65536)
            if not block:
                return
            to[end].sendall(block)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
