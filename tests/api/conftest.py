"""What the tests of the service share: servers of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.api.keys import KeyPair, new_key_pair

from .served import KID, READER, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift import Storage

KINDS = ["werkzeug", "sync", "gthread", "gevent"]


@pytest.fixture(scope="session")
def key_pairs() -> dict[str, KeyPair]:
    """The keys that the servers of the run trust."""
    return {KID: new_key_pair(), READER: new_key_pair()}


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest, key_pairs: dict[str, KeyPair]) -> Iterator[Served]:
    """A service on files in memory, below each server in turn."""
    with serving(request.param, key_pairs) as served:
        yield served


@pytest.fixture(scope="session")
def one_server(key_pairs: dict[str, KeyPair]) -> Iterator[Served]:
    """A service on files in memory, below gunicorn."""
    with serving("gthread", key_pairs) as served:
        yield served


@pytest.fixture
def on_backend(files: Storage, key_pairs: dict[str, KeyPair]) -> Iterator[Served]:
    """A service on files of each backend in turn."""
    with serving("werkzeug", key_pairs, files) as served:
        yield served
