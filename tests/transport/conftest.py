"""A transport to a scripted server, plain and over TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol

import pytest
from auth.certificates import Authority

from flask_fs_swift.transport import Transport

from .scripted import Script, Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Play(Protocol):
    """Starts a server with its scripts; returns it and a transport to it."""

    def __call__(self, *scripts: Script, timeout: float = ...) -> tuple[Scripted, Transport]: ...


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(params=["plain", "tls"])
def play(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Play]:
    servers: list[Scripted] = []
    transports: list[Transport] = []

    def start(*scripts: Script, timeout: float = 10.0) -> tuple[Scripted, Transport]:
        secured = request.param == "tls"
        server = Scripted(*scripts, tls=authority.server() if secured else None)
        servers.append(server.__enter__())
        transports.append(Transport(server.url, tls=_trusting(authority.file), timeout=timeout))
        return server, transports[-1]

    yield start
    for transport in transports:
        transport.close()
    for server in servers:
        server.__exit__(None, None, None)


def _trusting(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(file)
    return context
