"""Stand between the clients and Swift, and fail the requests that a rule names.

An action is a function from a :class:`_Call` to the body of the answer. It decides whether
and when Swift is asked.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

import eventlet
from eventlet.event import Event

from .requestlog import NO_ANSWER, raw_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .faults import Fault

_BLOCK = 65536  # bytes
_HOUR = 3600.0  # seconds
_SECOND = 1.0


class Injector:
    """A WSGI application that fails some of the requests to another.

    ``_armed``   the rules that may still fail a request, in order of addition.
    ``_cleared`` is set off by :meth:`clear`, for those who wait on a rule's behalf.

    No green thread runs while either changes.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._armed: list[_Armed] = []
        self._cleared = Event()

    def add(self, fault: Fault) -> None:
        """Fail what the rule names, from now on."""
        self._armed.append(_Armed(fault, to_skip=fault.skip, to_fail=fault.times))

    def clear(self) -> None:
        """Fail nothing any more, and let go of the requests that are held up."""
        self._armed.clear()
        self._cleared.send()
        self._cleared = Event()

    def pause(self, seconds: float) -> None:
        """Wait, at most until the rules are cleared."""
        with eventlet.Timeout(seconds, False):
            self._cleared.wait()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Fail a request, or pass it on."""
        fault = self._fault_for(environ)
        if fault is None:
            return self._app(environ, start_response)
        call = _Call(fault, self._app, environ, start_response, self.pause)
        return _ACTIONS[fault.action](call)

    def _fault_for(self, environ: WSGIEnvironment) -> Fault | None:
        path = raw_path(environ)
        if environ.get("QUERY_STRING"):
            path += "?" + environ["QUERY_STRING"]
        for armed in self._armed:
            if armed.fault.matches(environ["REQUEST_METHOD"], path) and armed.strikes():
                return armed.fault
        return None


@dataclass
class _Armed:
    """A rule, and how much of it is left."""

    fault: Fault
    to_skip: int
    to_fail: int  # -1: no end

    def strikes(self) -> bool:
        """Count a request that matches, and tell whether it fails."""
        if self.to_skip:
            self.to_skip -= 1
            return False
        if self.to_fail > 0:
            self.to_fail -= 1
            return True
        return self.to_fail < 0


@dataclass(frozen=True)
class _Answer:
    """What Swift answered. Whoever has it closes it."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterator[bytes]
    close: Callable[[], None]


@dataclass(frozen=True)
class _Call:
    """A request that is to fail."""

    fault: Fault
    app: WSGIApplication
    environ: WSGIEnvironment
    start_response: StartResponse
    pause: Callable[[float], None]

    def ask_swift(self) -> _Answer:
        started: dict[str, Any] = {}

        def capture(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            del exc_info
            started.update(status=status, headers=headers)
            return lambda _: None

        result = self.app(self.environ, capture)
        body = iter(result)
        # An application need not have started its response before its first chunk.
        first = next(body, b"")
        return _Answer(
            **started, body=chain([first], body), close=getattr(result, "close", _nothing)
        )

    def let_swift_finish(self) -> None:
        answer = self.ask_swift()
        with closing(answer):
            for _ in answer.body:
                pass

    def pass_on(self, answer: _Answer, body: Generator[bytes]) -> Iterable[bytes]:
        self.start_response(answer.status, answer.headers)
        return _and_close(body, answer)

    def read_upload(self, size: float) -> None:
        upload = self.environ["wsgi.input"]
        while size > 0 and (block := upload.read(int(min(size, _BLOCK)))):
            size -= len(block)

    def answer(self, status: int, headers: Mapping[str, str], body: str) -> list[bytes]:
        payload = body.encode()
        own = {"Content-Type": "text/plain", "Content-Length": str(len(payload))}
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Injected"
        self.start_response(f"{status} {phrase}", [*(own | dict(headers)).items()])
        return [payload]

    def reset(self) -> list[bytes]:
        _reset(self.client())
        # It goes nowhere, but a WSGI application has to say something.
        self.start_response(NO_ANSWER, [("Content-Length", "0")])
        return [b""]

    def client(self) -> Any:
        return self.environ["eventlet.input"].get_socket()


def _nothing() -> None:
    pass


def _and_close(body: Generator[bytes], answer: _Answer) -> Iterator[bytes]:
    with closing(answer), closing(body):
        yield from body


def _reset(client: Any) -> None:
    """Send a TCP reset, now.

    A connection whose linger time is 0 is reset when its last descriptor is closed. The
    descriptor cannot be closed under eventlet's feet, but it can be made to mean another
    socket, whose peer has gone.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dead, peer = socket.socketpair()
    peer.close()
    with dead:
        os.dup2(dead.fileno(), client.fileno())


def _split_at(body: Iterable[bytes], position: int) -> Iterator[tuple[int, bytes]]:
    """Yield each chunk and its offset; a chunk begins at ``position`` if the body gets there."""
    offset = 0
    for chunk in filter(None, body):
        cut = position - offset
        if 0 < cut < len(chunk):
            yield offset, chunk[:cut]
            yield position, chunk[cut:]
        else:
            yield offset, chunk
        offset += len(chunk)


def _flip_a_bit(chunk: bytes, at: int) -> bytes:
    return chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]


def _status(call: _Call) -> Iterable[bytes]:
    if call.fault.drain:
        call.read_upload(float("inf"))
    return call.answer(call.fault.status, call.fault.headers, call.fault.body)


def _unauthorized(call: _Call) -> Iterable[bytes]:
    return call.answer(401, {"Www-Authenticate": 'Swift realm="unknown"'}, "")


def _after_status(call: _Call) -> Iterable[bytes]:
    call.let_swift_finish()
    return call.answer(call.fault.status, call.fault.headers, call.fault.body)


def _reset_before(call: _Call) -> Iterable[bytes]:
    call.read_upload(call.fault.bytes)
    return call.reset()


def _reset_after(call: _Call) -> Iterable[bytes]:
    call.let_swift_finish()
    return call.reset()


def _hang(call: _Call) -> Iterable[bytes]:
    call.pause(_HOUR if call.fault.seconds is None else call.fault.seconds)
    return call.reset()


def _delay(call: _Call) -> Iterable[bytes]:
    call.pause(_SECOND if call.fault.seconds is None else call.fault.seconds)
    return call.app(call.environ, call.start_response)


def _etag(call: _Call) -> Iterable[bytes]:
    answer = call.ask_swift()
    kept = [header for header in answer.headers if header[0].lower() != "etag"]
    answer.headers[:] = [*kept, ("Etag", call.fault.value)]
    return call.pass_on(answer, (chunk for chunk in answer.body))


def _corrupt(call: _Call) -> Iterable[bytes]:
    answer, offset = call.ask_swift(), call.fault.offset
    chunks = _split_at(answer.body, offset)
    return call.pass_on(
        answer, (_flip_a_bit(chunk, 0) if at == offset else chunk for at, chunk in chunks)
    )


def _corrupt_upload(call: _Call) -> Iterable[bytes]:
    call.environ["wsgi.input"] = _FlippedUpload(call.environ["wsgi.input"], call.fault.offset)
    return call.app(call.environ, call.start_response)


class _FlippedUpload:
    """A request's body with one bit flipped."""

    def __init__(self, upload: Any, offset: int) -> None:
        self._upload = upload
        self._to_flip = offset  # bytes from here; negative once it is behind

    def read(self, *size: int) -> bytes:
        return self._flipped(self._upload.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._flipped(self._upload.readline(*size))

    def _flipped(self, block: bytes) -> bytes:
        if 0 <= self._to_flip < len(block):
            block = _flip_a_bit(block, self._to_flip)
            self._to_flip = -1
        else:
            self._to_flip -= len(block)
        return block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upload, name)


def _stall(call: _Call) -> Iterable[bytes]:
    seconds = _SECOND if call.fault.seconds is None else call.fault.seconds
    return _interrupt(call, lambda: call.pause(seconds), go_on=True)


def _truncate(call: _Call) -> Iterable[bytes]:
    return _interrupt(call, lambda: call.client().shutdown(socket.SHUT_RDWR), go_on=False)


def _reset_body(call: _Call) -> Iterable[bytes]:
    def reset() -> None:
        # A reset takes along what the client's kernel has not handed over yet.
        eventlet.sleep(0.05)
        _reset(call.client())

    return _interrupt(call, reset, go_on=False)


def _interrupt(call: _Call, interruption: Callable[[], None], *, go_on: bool) -> Iterable[bytes]:
    """Do something when the headers and ``bytes`` of the answer's body have been sent."""
    answer, position = call.ask_swift(), call.fault.bytes
    call.environ["eventlet.minimum_write_chunk_size"] = 0  # or small chunks would be kept back
    write = call.start_response(answer.status, answer.headers)

    def body() -> Generator[bytes]:
        for offset, chunk in _split_at(answer.body, position):
            if offset == position:
                if position == 0:
                    write(b"")  # the headers
                interruption()
                if not go_on:
                    return
            yield chunk

    return _and_close(body(), answer)


def _stale_listing(call: _Call) -> Iterable[bytes]:
    answer = call.ask_swift()
    with closing(answer):
        text = b"".join(answer.body)
    if re.match("(?i)application/json", dict(answer.headers).get("Content-Type", "")):
        text = json.dumps([
            entry for entry in json.loads(text) if _name(entry) not in call.fault.names
        ]).encode()  # fmt: skip
    kept = [header for header in answer.headers if header[0].lower() != "content-length"]
    call.start_response(answer.status, [*kept, ("Content-Length", str(len(text)))])
    return [text]


def _name(entry: dict[str, Any]) -> str | None:
    return entry.get("name", entry.get("subdir"))


_ACTIONS: dict[str, Callable[[_Call], Iterable[bytes]]] = {
    "status": _status,
    "unauthorized": _unauthorized,
    "after_status": _after_status,
    "reset": _reset_before,
    "after_reset": _reset_after,
    "reset_body": _reset_body,
    "truncate": _truncate,
    "delay": _delay,
    "stall": _stall,
    "hang": _hang,
    "etag": _etag,
    "corrupt": _corrupt,
    "corrupt_upload": _corrupt_upload,
    "stale_listing": _stale_listing,
}
