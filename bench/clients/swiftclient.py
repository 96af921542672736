"""python-swiftclient as it is: a Connection for each thread, its retries as they come."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import swiftclient

from .client import CONTAINER, MIB, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


class Connection(Client):
    """Hashes before it sends, as a user does who wants to know what was stored."""

    distributions = ("python-swiftclient", "requests")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        connect: Any = swiftclient.Connection  # The package's own stub knows less of it.
        self.connection = connect(
            authurl=setup.auth_url, user=setup.user, key=setup.key, cacert=setup.cacert
        )

    def for_another(self) -> Self:
        return type(self)(self.setup)

    def write(self, name: str, data: bytes) -> None:
        etag = hashlib.md5(data).hexdigest()
        self.connection.put_object(CONTAINER, name, data, content_length=len(data), etag=etag)

    def read(self, name: str) -> bytes:
        content: bytes = self.connection.get_object(CONTAINER, name)[1]
        return content

    def describe(self, name: str) -> None:
        self.connection.head_object(CONTAINER, name)

    def delete(self, name: str) -> None:
        self.connection.delete_object(CONTAINER, name)

    def write_file(self, name: str, path: str) -> None:
        digest, size = hashlib.md5(), 0
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            while block := file.read(MIB):
                digest.update(block)
                size += len(block)
            file.seek(0)
            self.connection.put_object(
                CONTAINER, name, file, content_length=size, etag=digest.hexdigest()
            )

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        self.connection.put_object(CONTAINER, name, blocks)

    def read_chunks(self, name: str) -> int:
        _, chunks = self.connection.get_object(CONTAINER, name, resp_chunk_size=MIB)
        return sum(len(chunk) for chunk in chunks)

    def list_all(self, container: str) -> int:
        return len(self.connection.get_container(container, full_listing=True)[1])


client = Connection
