"""This package, through a storage of a Flask application."""

from __future__ import annotations

import sys
import tempfile
from functools import cached_property
from itertools import islice
from typing import IO, TYPE_CHECKING

from flask import Flask

from flask_fs_swift import ALL, FS, Delete, ObjectInfo, Put, Storage, config

from .client import MIB, Cannot, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift import Outcome, Pool, SwiftBackend

#: The setting that chooses a transport, where the package has one.
TRANSPORT = "TRANSPORT"


class Ours(Client):
    """One storage for the files, and one for each container that is listed."""

    distributions = ("flask-fs-swift",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._folder = tempfile.TemporaryDirectory()
        self.app = Flask("bench", instance_path=self._folder.name)
        self.app.config.update(
            FS_SWIFT_AUTHURL=setup.auth_url,
            FS_SWIFT_USER=setup.user,
            FS_SWIFT_KEY=setup.key,
            FS_SWIFT_AUTH_VERSION=1,
            FS_SWIFT_POOL_SIZE=setup.pool_size,
        )
        if setup.cacert:
            self.app.config["FS_SWIFT_CACERT"] = setup.cacert
        if setup.transport:
            self.app.config["FS_SWIFT_TRANSPORT"] = setup.transport
        if setup.one_object is not None:
            self.app.config["FS_SWIFT_SEGMENT_SIZE"] = setup.one_object
        if setup.tiered:
            self.app.config["FS_BACKEND"] = "tiered"
        self._storages: dict[str, Storage] = {}
        self.files = self._storage("files")

    def _storage(self, container: str) -> Storage:
        if container not in self._storages:
            storage = Storage(container, ALL)
            FS(self.app, storage)
            self._storages[container] = storage.bound(self.app)
        return self._storages[container]

    def write(self, name: str, data: bytes) -> None:
        self.files.write(name, data)

    def read(self, name: str) -> bytes:
        return self.files.read(name)

    def describe(self, name: str) -> None:
        self.files.info(name)

    def delete(self, name: str) -> None:
        self.files.delete(name)

    def write_file(self, name: str, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            self.files.write(name, file)

    def save_file(self, name: str, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            self.files.save(file, filename=name)

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        self.files.write(name, blocks)

    def read_chunks(self, name: str) -> int:
        return sum(len(chunk) for chunk in self.files.read_chunks(name, MIB))

    def serve(self, name: str) -> int:
        with self.app.test_request_context("/"):
            response = self.files.serve(name)
            size = sum(len(chunk) for chunk in response.iter_encoded())
            response.close()
        return size

    def open_file(self, name: str) -> IO[bytes]:
        return self.files.open(name, "rb")

    def list_all(self, container: str) -> int:
        return self._counted(self._storage(container).list_infos())

    def list_names(self, container: str) -> int:
        return self._counted(self._storage(container).list_files())

    def _counted(self, listing: Iterator[object]) -> int:
        found = sum(1 for _ in listing)
        if self.setup.uses and self.setup.uses not in sys.modules:
            raise Cannot(f"does not use {self.setup.uses} where it is installed")
        return found

    def write_many(self, names: list[str], data: bytes, width: int) -> None:
        operations = (Put(name, data, content_type="text/plain") for name in names)
        self._done(self.files.many(operations, width), len(names))

    def delete_many(self, container: str, names: list[str]) -> None:
        self._done(self._storage(container).many(map(Delete, names)), len(names))

    def _done(self, outcomes: Iterator[Outcome], count: int) -> None:
        for outcome in outcomes:
            count -= 1
            if outcome.error is not None:
                raise outcome.error
        if count:
            raise OSError(f"{count} outcomes are missing")

    def replace(self, name: str, data: bytes) -> None:
        self.files.write(name, data, overwrite=True)

    def fill(self, count: int) -> None:
        if not self.setup.tiered:
            super().fill(count)
        from flask_fs_swift.tiered.rows import New, Write

        backend = self.app.extensions["flask_fs_swift"].mounts["files"].backend
        info = ObjectInfo("", 1, None, "text/plain", None)
        writes = (Write(f"{number:07}", New(info, b"x")) for number in range(count))
        while some := list(islice(writes, 1000)):
            backend._rows.compare_and_write(*some)  # noqa: SLF001 - a commit for each takes long

    def list_page(self, after: str) -> int:
        return sum(1 for _ in islice(self.files.list_files(after=after), 1000))

    def borrow(self) -> None:
        self._pool.checkout().checkin()

    @cached_property
    def _pool(self) -> Pool:
        backend: SwiftBackend = self.app.extensions["flask_fs_swift"].mounts["files"].backend
        return backend.pool


def transports() -> tuple[str, ...]:
    """Name the transports that there are to choose from; none where there is no choice."""
    known: tuple[str, ...] = config._SWIFT  # noqa: SLF001 - the settings that it knows
    return ("native", "requests") if TRANSPORT in known else ()


client = Ours
