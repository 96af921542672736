"""swiftspec: Swift as a file system of fsspec, on aiohttp."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import aiohttp
from swiftspec import SWIFTFileSystem

from .client import CONTAINER, MIB, Cannot, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator


class Plain:
    """An aiohttp session that asks by http where swiftspec can only say https."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._connector = session._connector  # noqa: SLF001 - swiftspec closes it

    def __getattr__(self, verb: str) -> Any:
        ask = getattr(self._session, verb)

        def plainly(url: str, **options: Any) -> Any:
            return ask(url.replace("https:", "http:", 1), **options)

        return plainly


async def plain_session(**options: Any) -> Plain:
    return Plain(aiohttp.ClientSession(**options))


class Spec(Client):
    """It cannot authenticate: it is given a token."""

    distributions = ("swiftspec", "fsspec", "aiohttp")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        url, token = setup.session
        secure = "https:" + url.partition(":")[2]
        options = {} if url.startswith("https:") else {"get_client": plain_session}
        self.fs = SWIFTFileSystem(
            auth=[{"url": secure, "token": token}],
            skip_instance_cache=True,
            use_listings_cache=False,
            **options,
        )
        self.root = secure.replace("https:", "swift:").replace("/v1/", "/") + f"/{CONTAINER}/"

    def write(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(self.root + name, data)

    def read(self, name: str) -> bytes:
        content: bytes = self.fs.cat_file(self.root + name)
        return content

    def describe(self, name: str) -> None:
        self.fs.info(self.root + name)

    def delete(self, name: str) -> None:
        self.fs.rm_file(self.root + name)

    def write_file(self, name: str, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - as every client here
            self.fs.pipe_file(self.root + name, file.read())

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        raise Cannot("sends bytes that it has in memory")

    def read_chunks(self, name: str) -> int:
        size = 0
        with self.fs.open(self.root + name, "rb", block_size=4 * MIB) as file:
            while chunk := file.read(MIB):
                size += len(chunk)
        return size

    def open_file(self, name: str) -> IO[bytes]:
        file: IO[bytes] = self.fs.open(self.root + name, "rb")
        return file

    def list_all(self, container: str) -> int:
        raise Cannot("lists the first 10,000 objects only")


client = Spec
