"""A transport to a scripted server, plain and over TLS."""

from __future__ import annotations

import ssl
from contextlib import ExitStack, closing
from functools import partial
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
    with ExitStack() as stack:

        def start(*scripts: Script, timeout: float = 10.0) -> tuple[Scripted, Transport]:
            secured = authority.server() if request.param == "tls" else None
            server = stack.enter_context(Scripted(*scripts, tls=secured))
            trust = partial(_trusting, authority.file)
            transport = Transport(server.url, tls=trust, timeout=timeout)
            return server, stack.enter_context(closing(transport))

        yield start


def _trusting(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(file)
    return context
