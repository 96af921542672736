"""A server that says, byte for byte, what a test has written down for it."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

PATIENCE = 20.0  # seconds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class Caller:
    """One connection, as the server sees it.

    :param heads: where the requests' heads go.
    :param contents: where the requests' contents go, and what else the client sends.
    """

    def __init__(self, raw: socket.socket, heads: list[bytes], contents: list[bytes]) -> None:
        self._raw = raw
        self._heads = heads
        self._contents = contents
        self._ahead = bytearray()

    def head(self) -> bytes:
        """Receive a request's head; nothing where the client has closed instead."""
        self._heads.append(self._until(b"\r\n\r\n")[:-4])
        return self._heads[-1]

    def receive(self, size: int) -> bytes:
        """Receive so many bytes of content, fewer where the client closes."""
        while len(self._ahead) < size and self._more():
            pass
        self._contents.append(bytes(self._ahead[:size]))
        del self._ahead[:size]
        return self._contents[-1]

    def receive_chunks(self) -> None:
        """Receive content with the lines around its chunks."""
        self._contents.append(self._until(b"\r\n0\r\n\r\n"))

    def _until(self, end: bytes) -> bytes:
        while (found := self._ahead.find(end)) < 0:
            if not self._more():
                return b""
        data = bytes(self._ahead[: found + len(end)])
        del self._ahead[: len(data)]
        return data

    def _more(self) -> bytes:
        more = self._raw.recv(1 << 20)
        self._ahead += more
        return more

    def say(self, *pieces: bytes) -> None:
        """Send each piece by itself."""
        for piece in pieces:
            self._raw.sendall(piece)

    def answer(self, *pieces: bytes) -> None:
        """Receive a head and send the pieces."""
        self.head()
        self.say(*pieces)

    def wait_for_the_end(self) -> None:
        """Receive what still comes until the client closes."""
        with suppress(OSError):
            while self._more():
                pass
        self._contents.append(bytes(self._ahead))

    def reset(self) -> None:
        """Close the connection with an RST, as a server does that has died."""
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._raw.close()

    def stop_listening(self) -> None:
        """Refuse whatever else the client sends."""
        socket.socket.shutdown(self._raw, socket.SHUT_RD)

    def close_without_a_word(self) -> None:
        """Close the socket below TLS."""
        socket.socket.shutdown(self._raw, socket.SHUT_RDWR)


Script: TypeAlias = "Callable[[Caller], None]"


def then(*scripts: Script) -> Script:
    """Return a script that plays others, one after the other."""

    def script(caller: Caller) -> None:
        for each in scripts:
            each(caller)

    return script


def answer(*pieces: bytes) -> Script:
    """Return a script that receives a request's head, and answers."""
    return lambda caller: caller.answer(*pieces)


def wait_for_the_end(caller: Caller) -> None:
    """Wait until the client closes the connection."""
    caller.wait_for_the_end()


class Scripted:
    """Plays one script for each connection, in order, and closes it; then refuses to.

    :param tls: speak TLS.
    """

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._scripts = scripts
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._listener.settimeout(PATIENCE)
        #: Where it listens.
        self.port: int = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}"
        #: Connections so far.
        self.connections = 0
        self._heads: list[bytes] = []
        self._contents: list[bytes] = []
        self._closed = Semaphore(0)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        for script in self._scripts:
            try:
                plain, _ = self._listener.accept()
                self.connections += 1
                plain.settimeout(PATIENCE)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._secured(plain) as raw:
                    script(Caller(raw, self._heads, self._contents))
                    _take_leave(raw)
            except OSError:
                pass  # The client has had enough before the script's end.
            except BaseException as error:
                self._error = error
                return
            self._closed.release()

    def wait_until_closed(self) -> None:
        """Wait until the next connection, in their order, is closed."""
        assert self._closed.acquire(timeout=PATIENCE)

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_side=True)
        except BaseException:
            plain.close()
            raise

    def heads(self) -> list[bytes]:
        """Wait until all scripts have ended; return the requests' heads."""
        self._finish()
        return self._heads

    def contents(self) -> list[bytes]:
        """Wait until all scripts have ended; return all that was received."""
        self._finish()
        return self._contents

    def _finish(self) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive(), "a script has not ended"
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._listener.close()


def _take_leave(raw: socket.socket) -> None:
    """Tell the client, over TLS, that this is the end; do not wait until it agrees."""
    if isinstance(raw, ssl.SSLSocket):
        raw.setblocking(False)
        with suppress(OSError, ValueError):
            raw.unwrap()
