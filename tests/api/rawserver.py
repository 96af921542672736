"""A server of sockets and nothing else: it can do everything wrong. And one that does it right."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from flask_fs_swift.api.wire import (
    PART_END,
    Data,
    Decoder,
    Head,
    boundary_of,
    closing,
    content_type_of,
    part_head,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

BOUNDARY = "os-boundary-0123456789abcdef0123456789abcdef"
#: How the next part begins: where the one before it has ended.
NEXT = f"--{BOUNDARY}\r\n".encode()
_HEAD = "x-sn-batch-operation-"


class Gone(Exception):
    """The client has hung up."""


@dataclass
class Request:
    """What came, and how to answer it."""

    connection: socket.socket
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        lines = {"content-length": str(len(body)), **(headers or {})}
        if status == 204:
            del lines["content-length"]
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        content = b"" if self.method == "HEAD" else body
        self.send(f"HTTP/1.1 {status} Word\r\n{text}\r\n".encode("latin-1") + content)

    def begin(self, headers: dict[str, str] | None = None) -> None:
        """Begin an answer in chunks."""
        lines = {
            "content-type": content_type_of(BOUNDARY),
            "transfer-encoding": "chunked",
            **(headers or {}),
        }
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.send(f"HTTP/1.1 200 OK\r\n{text}\r\n".encode())

    def chunk(self, data: bytes) -> None:
        if data:
            self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def parts(self) -> list[Part]:
        """Return the parts of a batch."""
        decoder = Decoder(boundary_of(self.headers["content-type"]))
        parts: list[Part] = []
        for event in decoder.feed(self.body):
            if isinstance(event, Head):
                parts.append(Part(len(parts), event.headers))
            elif isinstance(event, Data):
                parts[-1].body += bytes(event.data)
        decoder.finish()
        return parts

    def batch(self, parts: Iterable[bytes]) -> None:
        """Answer a batch with parts as they are, and close it."""
        self.begin()
        for part in parts:
            self.chunk(part)
        self.chunk(closing(BOUNDARY))
        self.end()


@dataclass
class Part:
    """An operation of a batch."""

    index: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def kind(self) -> str:
        return self.headers[f"{_HEAD}kind"]

    @property
    def key(self) -> str | None:
        key = self.headers.get(f"{_HEAD}key")
        return None if key is None else unquote(key)

    def answer(
        self, status: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """Return the part that answers it."""
        said = {f"{_HEAD}kind": self.kind}
        if f"{_HEAD}key" in self.headers:
            said[f"{_HEAD}key"] = self.headers[f"{_HEAD}key"]
        return answer_part(self.index, status, {**said, **(headers or {})}, body)

    def good(self, body: bytes = b"") -> bytes:
        """Return the answer that it has gone well."""
        status = {"get": "200 OK", "insert": "201 Created"}.get(self.kind, "204 No Content")
        made = {} if self.key else {f"{_HEAD}key": f"made{self.index}"}
        return self.answer(status, made, body)


def answer_part(
    index: object, status: str | None, headers: dict[str, str], body: bytes = b""
) -> bytes:
    said = {"content-disposition": "form-data; name=part", **headers}
    if index is not None:
        said[f"{_HEAD}index"] = str(index)
    if status is not None:
        said[f"{_HEAD}status"] = status
    return part_head(BOUNDARY, said) + body + PART_END


@dataclass
class RawServer:
    """Listens until it is closed; every connection has a thread, and every request the handler."""

    handler: Callable[[Request], None]
    #: Of all requests, in the order in which they came.
    requests: list[Request] = field(default_factory=list)
    #: How many connections there were.
    connections: int = 0
    #: Tells, of a request without its body, after how many bytes of it the connection breaks.
    breaks: Callable[[Request], int | None] = lambda _: None
    #: Where it speaks TLS.
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        scheme = "http" if self.context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            if self.context is not None:
                try:
                    connection = self.context.wrap_socket(connection, server_side=True)
                except OSError:
                    continue  # Whoever it was does not trust us.
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(Gone, OSError), connection.makefile("rb") as file:
            while True:
                request = _head(connection, file.readline)
                self.requests.append(request)
                end = self.breaks(request)
                request.body = _body(request, file.readline, file.read, end)
                self.handler(request)
                if end is not None or request.headers.get("x-close"):
                    break
        self._open.discard(connection)


def _head(connection: socket.socket, readline: Callable[[], bytes]) -> Request:
    line = readline()
    if not line:
        raise Gone
    method, target, _ = line.decode("latin-1").split(" ")
    headers = {}
    while (line := readline()) not in {b"\r\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Request(connection, method, target, headers, b"")


def _body(
    request: Request,
    readline: Callable[[], bytes],
    read: Callable[[int], bytes],
    end: int | None,
) -> bytes:
    if request.headers.get("transfer-encoding") != "chunked":
        size = int(request.headers.get("content-length", 0))
        return read(size if end is None else end)
    body = b""
    while size := int(_line_of(readline), 16):
        body += read(size)
        _line_of(readline)
    _line_of(readline)
    return body


def _line_of(readline: Callable[[], bytes]) -> bytes:
    line = readline()
    if not line:
        raise Gone
    return line


@contextmanager
def served(handler: Callable[[Request], None]) -> Iterator[RawServer]:
    server = RawServer(handler)
    try:
        yield server
    finally:
        server.close()


class Store:
    """Objects as they were sent: what a good server does, and no more."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[dict[str, str], bytes]] = {}
        self.made = 0

    def __call__(self, request: Request) -> None:
        if "objects:batch" in request.target:
            request.batch([self.one(part) for part in request.parts()])
            return
        key = unquote(request.target.split("/", 5)[5])
        if request.method in {"PUT", "POST"}:
            stored = self.put(key, request.headers, request.body)
            request.answer(200, {}, json.dumps({"key": stored}).encode())
        elif request.method == "DELETE":
            self.objects.pop(key, None)
            request.answer(204)
        elif key not in self.objects:
            request.answer(404)
        elif request.method == "PATCH":
            request.answer(204)
        else:
            request.answer(200, *self.objects[key])

    def put(self, key: str, headers: dict[str, str], body: bytes) -> str:
        if not key:
            self.made += 1
            key = f"made{self.made}"
        own = ("content-type", "content-encoding", "x-sn-", "x-snme-")
        said = {
            name: value
            for name, value in headers.items()
            if name.startswith(own) and not name.startswith(_HEAD)
        }
        created = {"x-sn-time-created": "2026-11-20T21:39:45.000000Z", "x-sn-size": str(len(body))}
        self.objects[key] = ({**said, **created}, body)
        return key

    def one(self, part: Part) -> bytes:
        key = part.key or ""
        if part.kind == "insert":
            stored = self.put(key, part.headers, part.body)
            return part.answer("201 Created", {} if part.key else {f"{_HEAD}key": stored})
        if part.kind == "delete":
            self.objects.pop(key, None)
            return part.answer("204 No Content")
        if key not in self.objects:
            return part.answer("404 Not Found")
        headers, body = self.objects[key]
        if part.kind == "head":
            return part.answer("204 No Content", headers)
        return part.answer("200 OK", headers, body)
