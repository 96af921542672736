from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import flask_fs
import pytest
from flask import Flask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift.devserver import Faults
    from flask_fs_swift.flask_fs2 import OpenStackBackend


class MakeFiles(Protocol):
    """Makes a storage of flask-fs2 in a container of its own."""

    def __call__(
        self,
        name: str | None = None,
        *,
        app: Flask | None = None,
        kind: type[OpenStackBackend] | None = None,
        **settings: Any,
    ) -> Any: ...


@pytest.fixture
def openstack_settings(swift_settings: dict[str, Any]) -> dict[str, Any]:
    """What ``app.config`` needs, as an application that came from the other plugin has it."""
    moved = {
        key.replace("FS_SWIFT_", "FS_OPENSTACK_"): value for key, value in swift_settings.items()
    }
    return {**moved, "FS_BACKEND": "openstack", "FS_OPENSTACK_BACKOFF": 0.01}


@pytest.fixture
def app(openstack_settings: dict[str, Any]) -> Flask:
    app = Flask("tests")
    app.config.update(openstack_settings, FS_SERVE=True, FS_PREFIX="/fs")
    return app


@pytest.fixture
def make_files(app: Flask) -> Iterator[MakeFiles]:
    """Storages of one application; settings of one storage are given without their prefix."""
    made: list[OpenStackBackend] = []
    default = app

    def make(
        name: str | None = None,
        *,
        app: Flask | None = None,
        kind: type[OpenStackBackend] | None = None,
        **settings: Any,
    ) -> Any:
        name = name or f"t{secrets.token_hex(6)}"
        chosen = app or default
        chosen.config.update(
            {f"{name.upper()}_FS_{key.upper()}": value for key, value in settings.items()}
        )
        storage = flask_fs.Storage(name, flask_fs.ALL)
        flask_fs.init_app(chosen, storage)
        chosen.config["FS_SERVE"] = False  # Its view can be registered once.
        if kind is not None:
            # As an entry point of the application's own would do.
            made.append(storage.backend)
            storage.backend = kind(name, storage.config)
        made.append(storage.backend)
        return storage

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def files(make_files: MakeFiles) -> Any:
    return make_files()


def asked(faults: Faults) -> list[str]:
    """Return the method of every request but authentications, oldest first."""
    return [request.method for request in faults.requests() if not is_login(request.path)]


def logins(faults: Faults) -> int:
    return sum(is_login(request.path) for request in faults.requests())


def is_login(path: str) -> bool:
    return path.startswith("/auth")


@contextmanager
def counted(faults: Faults) -> Iterator[list[str]]:
    """Give the methods that the block asked with, once it has ended."""
    faults.forget()
    methods: list[str] = []
    yield methods
    methods += asked(faults)
