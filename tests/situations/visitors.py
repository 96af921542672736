"""Visitors of a server who leave in the middle of a file, or stop reading and stay.

The server is the one of the situation: greenlets are gevent's, threads are Werkzeug's.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from flask_fs_swift import PoolExhaustedError

from . import here
from .swift import SKIPPED, assert_all_is_back, new_storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from flask_fs_swift import Pool, Storage

MIB = 1024 * 1024
#: More than there is room for between Swift and a visitor.
SIZE = 40 * MIB
CROWD = 60
SLOTS = 20
#: As many as come before the first of them is given up, also where little else runs.
FEW = 4
#: Seconds that a visitor waits for a slot.
POOL_TIMEOUT = 0.5
#: Seconds in which a slot must be back.
SOON = 1.0
#: Seconds after which the server gives up one who does not read.
STALLED = 2.0
#: MiB that the whole crowd may add: a twentieth of what it has asked for would be 120.
BEARABLE = 32


def who_leaves_gives_the_slot_back() -> None:
    """From within the whole, one range, and the first and the second of two."""
    files, pool = new_storage()
    files.write("large", bytes(SIZE))
    half = SIZE // 2
    with served(files) as port:
        for ranges in ("0-", f"5-{SIZE - 5}", f"5-{half},-9", f"0-9,20-{half}"):
            with Visitor(port, ranges) as visitor:
                assert visitor.status() == 206
                wait_until_stalled(pool)
            here.until(lambda: pool.stats().lent == 0, SOON)
    assert_all_is_back(pool)


def those_who_stall_hold_the_pool_and_nothing_more() -> None:
    """Twenty hold a slot, all others get an answer; when they leave, all is as before."""
    files, pool = new_storage(pool_size=SLOTS, pool_timeout=POOL_TIMEOUT)
    files.write("large", bytes(SIZE))
    with served(files) as port, crowd(port, 1) as [visitor]:
        assert visitor.status() == 206
        before = resident()
        visitor.leave()
        with crowd(port, CROWD) as visitors:
            statuses = [visitor.status() for visitor in visitors]
            assert (statuses.count(206), statuses.count(503)) == (SLOTS, CROWD - SLOTS)
            assert (pool.stats().lent, pool.stats().waiting) == (SLOTS, 0), pool
            assert resident() - before < BEARABLE, resident() - before
        here.until(lambda: pool.stats().lent == 0, SOON)
        with crowd(port, SLOTS) as visitors:
            assert {visitor.status() for visitor in visitors} == {206}
    here.until(lambda: pool.stats().lent == 0, SOON)
    assert_all_is_back(pool)


def the_kernels_time_out_ends_those_who_stall() -> None:
    """The visitors stay; the option of the listening socket is the one of the documentation."""
    if sys.platform != "linux":
        sys.exit(SKIPPED)
    files, pool = new_storage(pool_size=FEW, pool_timeout=POOL_TIMEOUT)
    files.write("large", bytes(SIZE))
    with served(files, stalled=STALLED) as port, crowd(port, 3 * FEW) as visitors:
        here.until(lambda: pool.stats().lent == FEW)
        assert {visitor.status() for visitor in visitors} == {206, 503}
        here.until(lambda: pool.stats().lent == 0, 5 * STALLED)
        with Visitor(port) as visitor:
            assert visitor.status() == 206
    here.until(lambda: pool.stats().lent == 0, SOON)
    assert_all_is_back(pool)


class Visitor:
    """One connection, which asks for some ranges of the file; lives until it leaves."""

    def __init__(self, port: int, ranges: str = "0-") -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._socket.connect(("127.0.0.1", port))
        head = f"GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes={ranges}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._socket.setblocking(False)
        here.nap()  # The server may run below the hub of this thread.

    def status(self) -> int:
        """Wait for the status of the answer; all of it stays unread."""
        start = b""

        def has_come() -> bool:
            nonlocal start
            try:
                start = self._socket.recv(12, socket.MSG_PEEK)
            except BlockingIOError:
                return False
            assert start, "the server has hung up"
            return len(start) == 12

        here.until(has_come)
        return int(start.split()[1])

    def leave(self) -> None:
        """Hang up. Doing it twice is fine."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.leave()


@contextmanager
def crowd(port: int, size: int) -> Iterator[list[Visitor]]:
    """Lend visitors who have all asked for the file, and who all leave at the end."""
    with ExitStack() as leaving:
        yield [leaving.enter_context(Visitor(port)) for _ in range(size)]


def wait_until_stalled(pool: Pool) -> None:
    """Return when one slot has been held for so long that every buffer is full.

    Between two ranges none is held, for a moment.
    """
    since = time.monotonic()

    def is_stalled() -> bool:
        nonlocal since
        if pool.stats().lent != 1:
            since = time.monotonic()
        return time.monotonic() > since + SOON / 4

    here.until(is_stalled)


def resident() -> float:
    """Return the resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def served(files: Storage, stalled: float | None = None) -> AbstractContextManager[int]:
    """Serve the files on a port, which is told.

    :param stalled: seconds that nothing may move on a connection; None: for ever.
    """
    app = Flask("served")

    @app.get("/<path:name>")
    def serve(name: str) -> Any:
        return files.serve(name)

    @app.errorhandler(PoolExhaustedError)
    def exhausted(_: PoolExhaustedError) -> tuple[str, int]:
        return "later", 503

    return (by_gevent if here.has_greenlets() else by_threads)(app, stalled)


@contextmanager
def by_threads(app: Flask, stalled: float | None) -> Iterator[int]:
    class Handler(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            """Say nothing."""

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    limit(server.socket, stalled)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def by_gevent(app: Flask, stalled: float | None) -> Iterator[int]:
    from gevent.pywsgi import WSGIHandler, WSGIServer

    class Handler(WSGIHandler):
        def handle_error(self, kind: object, error: object, _: object) -> None:
            """Say nothing of visitors who were given up."""
            assert kind is TimeoutError, error
            self.close_connection = True

    server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=Handler)
    server.start()
    limit(server.socket, stalled)
    try:
        yield int(server.address[1])
    finally:
        server.stop(timeout=SOON)


def limit(listener: socket.socket, stalled: float | None) -> None:
    """Have the kernel give up, from now on, the connections on which nothing moves."""
    if stalled is not None:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stalled * 1000))
