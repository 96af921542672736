"""What was read: an object's description, and its bytes as a file."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from .compression import Expansion
from .failures import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from .description import Description

#: Bytes that are read at a time where a reader wants everything.
_BLOCK = 128 * 1024


class Fetched(io.RawIOBase):
    """An object that is being read: a binary file, and a context manager.

    It holds a connection until it was read to its end or closed; where it comes from
    ``many``, it holds nothing but its bytes. It never ends short in silence.

    :param read: returns at most so many bytes as they are stored, none at the end.
    :param end: gives back what it holds, once.
    :param limit: bytes after decompression; None: 256 MiB, or 1,000 times what was sent.
    """

    def __init__(
        self,
        key: str,
        description: Description,
        read: Callable[[int], bytes],
        end: Callable[[], None] = lambda: None,
        *,
        decompress: bool = True,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        self._read = read
        self._end = end
        if decompress and description.compression == "zstd":
            self._read = Expansion(read, limit).read
            description = replace(description, compression=None)
        #: Of the bytes as they come out; but ``size`` is that of the stored ones.
        self.description = description

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most so many bytes; none only at the end. By default, all that are left.

        :raises AnswerLost: the answer ended too early.
        :raises AnswerBroken: the content is not compressed as it says, or was cut off.
        :raises TooMuchContent: more came out of it than the limit.
        """
        if size is None or size < 0:
            return self.readall()
        if self.closed:
            raise ValueError("it was closed")
        if not size:
            return b""
        try:
            block = self._read(size)
        except RequestError as error:
            error.filename = self.key
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        return block

    def readall(self) -> bytes:
        """Return all bytes that are left."""
        blocks = []
        while block := self.read(_BLOCK):
            blocks.append(block)
        return b"".join(blocks)

    def readinto(self, room: Buffer, /) -> int:
        """Fill the beginning of some room; return how many bytes, 0 at the end."""
        view = memoryview(room).cast("B")
        block = self.read(len(view))
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Give back what it holds; it may be called twice."""
        if not self.closed:
            super().close()
            self._end()
