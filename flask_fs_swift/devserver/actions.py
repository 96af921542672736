"""How a request fails: one function for each action of a fault.

It returns the body of the answer, and decides whether and when Swift is asked.
"""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import eventlet

from .failing import FailingRequest, reset_now

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_HOUR = 3600.0  # seconds
_SECOND = 1.0


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


def _status(request: FailingRequest) -> Iterable[bytes]:
    if request.fault.drain:
        request.read_upload(float("inf"))
    return request.answer(request.fault.status, request.fault.headers, request.fault.body)


def _unauthorized(request: FailingRequest) -> Iterable[bytes]:
    return request.answer(401, {"Www-Authenticate": 'Swift realm="unknown"'}, "")


def _after_status(request: FailingRequest) -> Iterable[bytes]:
    request.let_swift_finish()
    return request.answer(request.fault.status, request.fault.headers, request.fault.body)


def _reset_before(request: FailingRequest) -> Iterable[bytes]:
    request.read_upload(request.fault.bytes)
    return request.reset()


def _reset_after(request: FailingRequest) -> Iterable[bytes]:
    request.let_swift_finish()
    return request.reset()


def _hang(request: FailingRequest) -> Iterable[bytes]:
    request.pause(_HOUR if request.fault.seconds is None else request.fault.seconds)
    return request.reset()


def _delay(request: FailingRequest) -> Iterable[bytes]:
    request.pause(_SECOND if request.fault.seconds is None else request.fault.seconds)
    return request.app(request.environ, request.start_response)


def _etag(request: FailingRequest) -> Iterable[bytes]:
    answer = request.ask_swift()
    kept = [header for header in answer.headers if header[0].lower() != "etag"]
    answer.headers[:] = [*kept, ("Etag", request.fault.value)]
    return request.pass_on(answer, (chunk for chunk in answer.body))


def _corrupt(request: FailingRequest) -> Iterable[bytes]:
    answer, offset = request.ask_swift(), request.fault.offset
    chunks = _split_at(answer.body, offset)
    return request.pass_on(
        answer, (_flip_a_bit(chunk, 0) if at == offset else chunk for at, chunk in chunks)
    )


def _corrupt_upload(request: FailingRequest) -> Iterable[bytes]:
    upload = request.environ["wsgi.input"]
    request.environ["wsgi.input"] = _FlippedUpload(upload, request.fault.offset)
    return request.app(request.environ, request.start_response)


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


def _slow_upload(request: FailingRequest) -> Iterable[bytes]:
    seconds = _SECOND if request.fault.seconds is None else request.fault.seconds
    upload = request.environ["wsgi.input"]
    request.environ["wsgi.input"] = _SlowUpload(upload, lambda: request.pause(seconds))
    return request.app(request.environ, request.start_response)


class _SlowUpload:
    """A request's body that is read with a pause after each MiB."""

    def __init__(self, upload: Any, pause: Callable[[], None]) -> None:
        self._upload = upload
        self._pause = pause
        self._since = 0  # bytes since the last pause

    def read(self, *size: int) -> bytes:
        block: bytes = self._upload.read(*size)
        self._since += len(block)
        if self._since >= 1024 * 1024:
            self._since = 0
            self._pause()
        return block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upload, name)


def _stall(request: FailingRequest) -> Iterable[bytes]:
    seconds = _SECOND if request.fault.seconds is None else request.fault.seconds
    return _interrupt(request, lambda: request.pause(seconds), go_on=True)


def _truncate(request: FailingRequest) -> Iterable[bytes]:
    return _interrupt(request, lambda: request.client().shutdown(socket.SHUT_RDWR), go_on=False)


def _reset_body(request: FailingRequest) -> Iterable[bytes]:
    def reset() -> None:
        # A reset takes along what the client's kernel has not handed over yet.
        eventlet.sleep(0.05)
        reset_now(request.client())

    return _interrupt(request, reset, go_on=False)


def _interrupt(
    request: FailingRequest, interruption: Callable[[], None], *, go_on: bool
) -> Iterable[bytes]:
    """Do something when the headers and ``bytes`` of the answer's body have been sent."""
    answer, position = request.ask_swift(), request.fault.bytes
    request.environ["eventlet.minimum_write_chunk_size"] = 0  # or small chunks would be kept back
    write = request.start_response(answer.status, answer.headers)

    def body() -> Generator[bytes]:
        for offset, chunk in _split_at(answer.body, position):
            if offset == position:
                if position == 0:
                    write(b"")  # the headers
                interruption()
                if not go_on:
                    return
            yield chunk

    return answer.closed_after(body())


def _stale_listing(request: FailingRequest) -> Iterable[bytes]:
    answer = request.ask_swift()
    with closing(answer):
        text = b"".join(answer.body)
    if dict(answer.headers).get("Content-Type", "").startswith("application/json"):
        entries = [entry for entry in json.loads(text) if _name(entry) not in request.fault.names]
        text = json.dumps(entries).encode()
    kept = [header for header in answer.headers if header[0].lower() != "content-length"]
    request.start_response(answer.status, [*kept, ("Content-Length", str(len(text)))])
    return [text]


def _name(entry: dict[str, Any]) -> str | None:
    return entry.get("name", entry.get("subdir"))


ACTIONS: dict[str, Callable[[FailingRequest], Iterable[bytes]]] = {
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
    "slow_upload": _slow_upload,
    "stale_listing": _stale_listing,
}
