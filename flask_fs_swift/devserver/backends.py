"""Reach Swift's storage servers inside this process, over socket pairs.

Swift's proxy opens one connection per request to each of them. Over TCP they would need
three more listening ports, and would be slower.
"""

from __future__ import annotations

import itertools
import socket
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import eventlet
from eventlet import wsgi
from eventlet.green import socket as green_socket
from swift.common import bufferedhttp
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingData
from swift.common.utils import NullLogger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _typeshed.wsgi import WSGIApplication

DEVICE = "d1"
_ADDRESS = "127.0.0.1"
_IDLE_TIMEOUT = 60.0  # seconds


class Backends:
    """Storage servers that are known to the proxy by port, as if they listened there."""

    def __init__(self, apps: Mapping[int, WSGIApplication]) -> None:
        self._servers = {port: _http_server(port, app) for port, app in apps.items()}
        self._green_threads = eventlet.GreenPool(4096)
        self._peer_ports = itertools.cycle(range(1, 65536))

    def take_over(self) -> None:
        """Let every connection that Swift opens to a storage server come here."""

        def connect(connection: Any) -> None:
            connection._connected_time = time.time()  # noqa: SLF001
            connection.sock = self._connect(int(connection.port))

        bufferedhttp.BufferedHTTPConnection.connect = connect

    def _connect(self, port: int) -> Any:
        server = self._servers.get(port)
        if server is None:
            raise ConnectionRefusedError(f"there is no storage server {port}")
        ours, theirs = green_socket.socketpair()
        theirs.settimeout(server.socket_timeout)
        state = [(_ADDRESS, next(self._peer_ports)), theirs, wsgi.STATE_IDLE]
        self._green_threads.spawn_n(_serve, server, state)
        return ours


def _http_server(port: int, app: WSGIApplication) -> Any:
    return wsgi.Server(
        socket.socket(),  # it wants one; nobody connects to it
        (_ADDRESS, port),
        app,
        log=NullLogger(),
        protocol=SwiftHttpProtocol,
        socket_timeout=_IDLE_TIMEOUT,
        capitalize_response_headers=False,
        log_output=False,
    )


def _serve(server: Any, state: list[Any]) -> None:
    connection = state[1]
    with closing(connection):
        server.process_request(state)
        state[2] = wsgi.STATE_CLOSE
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def write_ring(etc: Path, name: str, port: int) -> None:
    """Tell the proxy that one device of one server holds everything of a kind."""
    device = {
        "id": 0,
        "region": 1,
        "zone": 1,
        "weight": 1.0,
        "device": DEVICE,
        "meta": "",
        "ip": _ADDRESS,
        "port": port,
        "replication_ip": _ADDRESS,
        "replication_port": port,
    }
    whole_hash_space = 32  # bits to shift away: one partition is left
    RingData([[0]], [device], whole_hash_space).save(str(etc / f"{name}.ring.gz"))
