"""opendal: its swift service, in Rust below Python."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING

import opendal

from .client import CONTAINER, MIB, Cannot, Client, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer


class Raw(io.RawIOBase):
    """Its file, which gives less than it is asked for, as one of which that is expected."""

    def __init__(self, file: opendal.File) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at: int = self._file.seek(offset, whence)
        return at

    def readinto(self, buffer: Buffer, /) -> int:
        room = memoryview(buffer).cast("B")
        block = self._file.read(len(room))
        room[: len(block)] = block
        return len(block)


class Operator(Client):
    """It cannot authenticate and sends no MD5; the server is told not to hash for it."""

    distributions = ("opendal",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.cacert:
            raise Cannot("takes no authorities but its own")
        self.operator = self._for(CONTAINER)

    def _for(self, container: str) -> opendal.Operator:
        url, token = self.setup.session
        return opendal.Operator("swift", endpoint=url, container=container, token=token)

    def write(self, name: str, data: bytes) -> None:
        self.operator.write("unhashed-" + name, data)

    def read(self, name: str) -> bytes:
        return bytes(self.operator.read(name))

    def describe(self, name: str) -> None:
        self.operator.stat(name)

    def delete(self, name: str) -> None:
        self.operator.delete(name)

    def write_file(self, name: str, path: str) -> None:
        with (
            open(path, "rb", buffering=0) as file,  # noqa: PTH123 - as every client here
            self.operator.open("unhashed-" + name, "wb") as target,
        ):
            while block := file.read(MIB):
                target.write(block)

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        with self.operator.open("unhashed-" + name, "wb") as target:
            for block in blocks:
                target.write(block)

    def read_chunks(self, name: str) -> int:
        size = 0
        with self.operator.open(name, "rb") as file:
            while chunk := file.read(MIB):
                size += len(chunk)
        return size

    def open_file(self, name: str) -> IO[bytes]:
        return io.BufferedReader(Raw(self.operator.open(name, "rb")), MIB)

    def list_all(self, container: str) -> int:
        return sum(1 for _ in self._for(container).scan("/"))


client = Operator
