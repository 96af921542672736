"""This package, through a storage of a Flask application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from flask_fs_swift import ALL, FS, Storage

from .job import CONTAINER, DATA

if TYPE_CHECKING:
    from .job import Job


class Ours:
    """One storage, with the settings that it has by default."""

    def __init__(self, job: Job) -> None:
        self._app = Flask("gate")
        self._app.config.update(
            FS_SWIFT_AUTHURL=f"http://127.0.0.1:{job.port}/auth/v1.0",
            FS_SWIFT_USER="test:tester",
            FS_SWIFT_KEY="testing",
            FS_SWIFT_AUTH_VERSION=1,
        )
        storage = Storage(CONTAINER, ALL)
        self._fs = FS(self._app, storage)
        self._files = storage.bound(self._app)

    def write(self, name: str) -> None:
        self._files.write(name, DATA)

    def read(self, name: str) -> bytes:
        return self._files.read(name)

    def close(self) -> None:
        self._fs.close(self._app, timeout=5)


client = Ours
