"""flask-fs2: its Swift backend through its own Storage in a Flask application."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import flask_fs
from flask import Flask

from .client import MIB, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Passing:
    """A file that can only be read once, as an upload that comes in."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        rest = self._rest or next(self._blocks, b"")
        if size < 0:
            return rest + b"".join(self._blocks)
        self._rest = rest[size:]
        return rest[:size]


class FlaskFS2(Client):
    """A storage for each container; the settings that matter are the same as ours."""

    distributions = ("flask-fs2", "python-swiftclient")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.app = Flask("bench")
        self.app.config.update(
            FS_BACKEND="swift",
            FS_SWIFT_AUTHURL=setup.auth_url,
            FS_SWIFT_USER=setup.user,
            FS_SWIFT_KEY=setup.key,
            FS_SWIFT_AUTH_VERSION="1",
            FS_SWIFT_POOL_SIZE=setup.pool_size,
        )
        self._storages: dict[str, flask_fs.Storage] = {}
        self.files = self._storage("files")

    def _storage(self, container: str) -> flask_fs.Storage:
        if container not in self._storages:
            storage = flask_fs.Storage(container, flask_fs.ALL)
            flask_fs.init_app(self.app, storage)
            self._storages[container] = storage
        return self._storages[container]

    def write(self, name: str, data: bytes) -> None:
        self.files.write(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self.files.write(name, data, overwrite=True)

    def read(self, name: str) -> bytes:
        content: bytes = self.files.read(name)
        return content

    def describe(self, name: str) -> None:
        self.files.backend.metadata(name)  # Storage.metadata() also needs a request

    def delete(self, name: str) -> None:
        self.files.delete(name)

    def write_file(self, name: str, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            self.files.write(name, file)

    def save_file(self, name: str, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            self.files.save(file, filename=name)

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        self.files.write(name, Passing(blocks))

    def read_chunks(self, name: str) -> int:
        return sum(len(chunk) for chunk in self.files.read_chunks(name, MIB))

    def open_file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        opened: AbstractContextManager[IO[bytes]] = self.files.open(name, "rb")
        return opened

    def list_names(self, container: str) -> int:
        return sum(1 for _ in self._storage(container).list_files())

    def borrow(self) -> None:
        with self.files.backend._borrow():  # noqa: SLF001 - its pool has no other door
            pass


client = FlaskFS2
