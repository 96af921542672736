from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.devserver import DevServer, Faults

from .client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer.start(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def client(server: DevServer) -> Client:
    return Client(server)


@pytest.fixture
def faults(server: DevServer) -> Iterator[Faults]:
    server.faults.clear()
    server.faults.forget()
    yield server.faults
    server.faults.clear()


@pytest.fixture
def container(client: Client, request: pytest.FixtureRequest) -> str:
    path = f"/{request.node.name}"
    assert client("PUT", path).status == 201
    return path
