"""The published client of the protocol: a call at a time, by as many threads as it is told."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .client import KEY_ID, MIB, SCOPES, USECASE, Client, Setup, of_service

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The threads that a comparison is made with.
THREADS = 3


class Passing(io.RawIOBase):
    """Blocks as a file that can be read only once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, room: Any) -> int:
        """Fill the beginning of some room."""
        block = self._rest or next(self._blocks, b"")
        size = min(len(block), len(room))
        room[:size] = block[:size]
        self._rest = block[size:]
        return size


class Objectstore(Client):
    """One session, and a pool of connections that is as wide as there are threads."""

    distributions = ("objectstore-client",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import objectstore_client

        url, secret = of_service(setup)
        connections = objectstore_client.Client(
            url,
            token=objectstore_client.SecretKey(KEY_ID, secret),
            connection_kwargs={"maxsize": THREADS},
        )
        usecase = objectstore_client.Usecase(USECASE)
        self._session: Any = connections.session(usecase, **SCOPES)
        self._threads = ThreadPoolExecutor(THREADS)

    def write(self, name: str, data: bytes) -> None:
        self._session.put(data, key=name)

    def read(self, name: str) -> bytes:
        content: bytes = self._session.get(name).payload.read()
        return content

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        self._session.put(Passing(blocks), key=name, compression="none")

    def read_chunks(self, name: str) -> int:
        size = 0
        payload = self._session.get(name).payload
        while chunk := payload.read(MIB):
            size += len(chunk)
        return size

    def write_many(self, names: list[str], data: bytes, width: int) -> None:
        for _ in self._threads.map(lambda name: self.write(name, data), names):
            pass

    def read_many(self, names: list[str], width: int) -> Iterator[bytes]:
        return self._threads.map(self.read, names)


client = Objectstore
