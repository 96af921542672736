"""As much of a Swift as the clients need, in a thread of this process.

Each answer is sent at once, so that a client receives it at once: how often it asks its
socket is a matter of instructions, too.

State, of which each change is a single one of a dict:

``objects``  content by path; what is stored stays.
``heads``    the head of the last request for an object, by method.
"""

from __future__ import annotations

import hashlib
import socketserver
import threading
from typing import TYPE_CHECKING

from .job import CONTAINER

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ACCOUNT = "/v1/AUTH_test"
FILES = f"{ACCOUNT}/{CONTAINER}/"
TOKEN = "AUTH_tk0123456789abcdef"

#: What all answers of a Swift have; always the same, as their lengths are.
COMMON = (
    "X-Trans-Id: tx0123456789abcdef0123456-0065a1b2c3\r\n"
    "X-Openstack-Request-Id: tx0123456789abcdef0123456-0065a1b2c3\r\n"
    "Date: Mon, 05 Jan 2026 03:04:05 GMT\r\n"
)
MODIFIED = "Last-Modified: Mon, 05 Jan 2026 03:04:05 GMT\r\n"


class Server(socketserver.ThreadingTCPServer):
    """A running server, on a port that the system chooses. Lives as long as its ``with``."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])
        self.objects: dict[str, bytes] = {}
        self.heads: dict[str, str] = {}

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    """One connection; lives until its client closes it."""

    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while head := self._head():
            method, path, _ = head.split(" ", 2)
            headers = _headers(head)
            content = self.rfile.read(int(headers.get("content-length", 0)))
            if path.startswith(FILES):
                self.server.heads[method] = head
            self.wfile.write(self._answer(method, path, headers, content))

    def _head(self) -> str:
        """Return the head of the next request with the line that ends it; "" if none comes."""
        head = b""
        while (line := self.rfile.readline()) and line != b"\r\n":
            head += line
        return (head + line).decode() if line else ""

    def _answer(self, method: str, path: str, headers: dict[str, str], content: bytes) -> bytes:
        if path == "/auth/v1.0":
            return _message("200 OK", _credentials(self.server.port))
        if headers.get("x-auth-token") != TOKEN:
            return _message("401 Unauthorized")
        if not path.startswith(FILES):
            return _message("204 No Content" if method == "HEAD" else "201 Created")
        if method == "PUT":
            self.server.objects[path] = content
            own = f"Content-Type: text/html; charset=UTF-8\r\n{MODIFIED}{_etag(content)}"
            return _message("201 Created", own)
        stored = self.server.objects.get(path)
        if method != "GET" or stored is None:
            return _message("404 Not Found")
        return _message("200 OK", _describe(stored), stored)


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(": ") for line in head.splitlines()[1:])
    return {name.lower(): value for name, _, value in lines}


def _message(status: str, own: str = "", content: bytes = b"") -> bytes:
    length = f"Content-Length: {len(content)}\r\n"
    return f"HTTP/1.1 {status}\r\n{own}{length}{COMMON}\r\n".encode() + content


def _etag(content: bytes) -> str:
    return f"Etag: {hashlib.md5(content).hexdigest()}\r\n"


def _describe(content: bytes) -> str:
    return (
        "Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n"
        f"{MODIFIED}{_etag(content)}X-Timestamp: 1767582245.12345\r\n"
        "X-Object-Meta-Mtime: 1767582245.123456\r\n"
    )


def _credentials(port: int) -> str:
    return (
        f"X-Storage-Url: http://127.0.0.1:{port}{ACCOUNT}\r\nX-Auth-Token-Expires: 86399\r\n"
        f"X-Auth-Token: {TOKEN}\r\nX-Storage-Token: {TOKEN}\r\n"
    )
