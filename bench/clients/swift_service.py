"""python-swiftclient's SwiftService: what its command line is made of."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from swiftclient.service import SwiftService, SwiftUploadObject

from .client import CONTAINER, Cannot, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Service(Client):
    """A pool of threads with a connection each; every call passes through its queues."""

    distributions = ("python-swiftclient",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        options = {"auth": setup.auth_url, "user": setup.user, "key": setup.key}
        if setup.cacert:
            options["os_cacert"] = setup.cacert
        self.service = SwiftService(options)
        self._options = options
        self._services: dict[int, SwiftService] = {}

    def _done(self, results: Iterable[dict[str, Any]]) -> None:
        for result in results:
            if not result["success"]:
                raise OSError(result.get("error"))

    def write(self, name: str, data: bytes) -> None:
        source = SwiftUploadObject(io.BytesIO(data), object_name=name)
        self._done(self.service.upload(CONTAINER, [source]))

    def read(self, name: str) -> bytes:
        return b"".join(self._chunks(name))

    def _chunks(self, name: str) -> Iterator[bytes]:
        for result in self.service.download(CONTAINER, [name], {"out_file": "-"}):
            if "contents" not in result:
                raise OSError(result.get("error"))
            yield from result["contents"]

    def describe(self, name: str) -> None:
        self._done(self.service.stat(CONTAINER, [name]))

    def delete(self, name: str) -> None:
        self._done(self.service.delete(CONTAINER, [name]))

    def write_file(self, name: str, path: str) -> None:
        source = SwiftUploadObject(path, object_name=name)
        self._done(self.service.upload(CONTAINER, [source]))

    def read_chunks(self, name: str) -> int:
        return sum(len(chunk) for chunk in self._chunks(name))

    def list_all(self, container: str) -> int:
        return sum(len(page["listing"]) for page in self.service.list(container))

    def write_many(self, names: list[str], data: bytes, width: int) -> None:
        sources = [SwiftUploadObject(io.BytesIO(data), object_name=name) for name in names]
        self._done(self._wide(width).upload(CONTAINER, sources))

    def delete_many(self, container: str, names: list[str]) -> None:
        self._done(self.service.delete(container, names))

    def _wide(self, width: int) -> SwiftService:
        if width not in self._services:
            options = {**self._options, "object_uu_threads": width}
            self._services[width] = SwiftService(options)
        return self._services[width]

    def borrow(self) -> None:
        raise Cannot("its pool is of threads")


client = Service
