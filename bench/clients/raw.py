"""The floor: requests as text on a socket, and just enough of the answers."""

from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .client import CONTAINER, MIB, Cannot, Client, Setup

if TYPE_CHECKING:
    from typing_extensions import Self


class Raw(Client):
    """One socket. It hashes what it writes, and what it reads whole."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.cacert:
            raise Cannot("keeps its one connection")
        url, token = setup.session
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.path = f"{parts.path}/{CONTAINER}/"
        self.headers = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Auth-Token: {token}\r\n"

    def for_another(self) -> Self:
        return type(self)(self.setup)

    def version(self) -> str:
        return "a socket"

    def _ask(self, method: str, name: str, more: str = "") -> None:
        self.sock.sendall(self._head(method, name, more))

    def _head(self, method: str, name: str, more: str = "") -> bytes:
        return f"{method} {self.path}{name}{self.headers}{more}\r\n".encode()

    def _answer(self) -> tuple[int, bytes]:
        """Return how long the body is, and what of it has come."""
        data = self.sock.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.sock.recv(65536)
        if data[9:10] != b"2":
            raise OSError(data[:40])
        at = data.find(b"\r\nContent-Length: ")
        length = int(data[at + 18 : data.find(b"\r", at + 18)]) if 0 < at < end else 0
        return length, data[end + 4 :]

    def write(self, name: str, data: bytes) -> None:
        head = self._put(name, hashlib.md5(data).hexdigest(), len(data))
        if len(data) > 65536:
            self.sock.sendall(head)
            self.sock.sendall(data)
        else:
            self.sock.sendall(head + data)
        self._answer()

    def _put(self, name: str, etag: str, size: int) -> bytes:
        return self._head("PUT", name, f"ETag: {etag}\r\nContent-Length: {size}\r\n")

    def read(self, name: str) -> bytes:
        self._ask("GET", name)
        length, body = self._answer()
        if len(body) < length:
            whole = bytearray(length)
            whole[: len(body)] = body
            view, at = memoryview(whole), len(body)
            while at < length:
                at += self.sock.recv_into(view[at:])
            body = bytes(whole)
        hashlib.md5(body).hexdigest()
        return body

    def describe(self, name: str) -> None:
        self._ask("HEAD", name)
        self._answer()

    def delete(self, name: str) -> None:
        self._ask("DELETE", name)
        self._answer()

    def write_file(self, name: str, path: str) -> None:
        digest, size = hashlib.md5(), 0
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as every client here
            while block := file.read(MIB):
                digest.update(block)
                size += len(block)
            file.seek(0)
            self.sock.sendall(self._put(name, digest.hexdigest(), size))
            while block := file.read(MIB):
                self.sock.sendall(block)
        self._answer()

    def read_chunks(self, name: str) -> int:
        self._ask("GET", name)
        length, body = self._answer()
        buffer, digest, at = bytearray(MIB), hashlib.md5(body), len(body)
        view = memoryview(buffer)
        while at < length:
            got = self.sock.recv_into(buffer)
            digest.update(view[:got])
            at += got
        return at


client = Raw
