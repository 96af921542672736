"""This package's client of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_fs_swift.api import Client as ApiClient
from flask_fs_swift.api import Get, Put
from flask_fs_swift.api.wire import PART_END, Decoder, End, closing, new_boundary, part_head

from .client import KEY_ID, MIB, SCOPES, USECASE, Client, Setup, of_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_fs_swift.api import Fetched

BOUNDARY = new_boundary()


class Api(Client):
    """One session, which any number of threads may share."""

    distributions = ("flask-fs-swift",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        url, secret = of_service(setup)
        client = ApiClient(url, key=(KEY_ID, secret), read_timeout=None)
        self._session = client.session(USECASE, **SCOPES)

    def write(self, name: str, data: bytes) -> None:
        self._session.put(data, name)

    def read(self, name: str) -> bytes:
        with self._opened(name) as opened:
            return opened.readall()

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        self._session.put(blocks, name, compression="none")

    def read_chunks(self, name: str) -> int:
        size = 0
        with self._opened(name) as opened:
            while chunk := opened.read(MIB):
                size += len(chunk)
        return size

    def _opened(self, name: str) -> Fetched:
        opened = self._session.get(name)
        if opened is None:
            raise FileNotFoundError(name)
        return opened

    def write_many(self, names: list[str], data: bytes, width: int) -> None:
        puts = (Put(data, name) for name in names)
        for result in self._session.many(puts, concurrency=width):
            if result.error is not None:
                raise result.error

    def read_many(self, names: list[str], width: int) -> Iterator[bytes]:
        for result in self._session.many(map(Get, names), concurrency=width):
            if result.error is not None:
                raise result.error
            yield result.value.readall()

    def encode(self, count: int, size: int) -> Iterator[bytes]:
        body = bytes(size)
        for _ in range(count):
            yield part_head(BOUNDARY, {"x-sn-batch-operation-index": "1"})
            if body:
                yield body
            yield PART_END
        yield closing(BOUNDARY)

    def decode(self, stream: Iterable[bytes]) -> int:
        decoder = Decoder(BOUNDARY)
        parts = sum(type(event) is End for block in stream for event in decoder.feed(block))
        decoder.finish()
        return parts


client = Api
