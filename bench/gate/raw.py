"""The floor: what ours sends, as text on a socket, and just enough of the answers."""

from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING

from .job import DATA, ETAG, NAME

if TYPE_CHECKING:
    from .job import Job


class Raw:
    """One socket. It compares MD5s, as ours does."""

    def __init__(self, job: Job) -> None:
        self._before, _, rest = job.head.partition(NAME)
        self._between, _, self._after = rest.partition(ETAG)
        self._socket = socket.create_connection(("127.0.0.1", job.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, name: str) -> None:
        etag = hashlib.md5(DATA).hexdigest()
        head = f"{self._before}{name}{self._between}{etag}{self._after}"
        self._socket.sendall(head.encode() + DATA)
        stored, _ = self._answer()
        if stored != etag:
            raise OSError("something else was stored")

    def read(self, name: str) -> bytes:
        self._socket.sendall(f"{self._before}{name}{self._between}".encode())
        etag, content = self._answer()
        if hashlib.md5(content).hexdigest() != etag:
            raise OSError("something else arrived")
        return content

    def _answer(self) -> tuple[str, bytes]:
        """Return the ETag and the content."""
        data = self._socket.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(65536)
        if data[9:10] != b"2":
            raise OSError(data[:40])
        etag = data.find(b"\r\nEtag: ") + 8
        length = data.find(b"\r\nContent-Length: ") + 18
        whole = end + 4 + int(data[length : data.find(b"\r", length)])
        while len(data) < whole:
            data += self._socket.recv(65536)
        return data[etag : etag + 32].decode(), data[end + 4 :]

    def close(self) -> None:
        self._socket.close()


client = Raw
