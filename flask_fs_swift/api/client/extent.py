"""Content whose length is known, and that can be read again from any of its bytes on.

Bytes are that, and files that can seek. What passes only once, or is compressed on its way,
goes to a temporary file, of which up to 4 MiB stay in memory.
"""

from __future__ import annotations

from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, cast

from flask_fs_swift.concurrency import below_hub, off_hub
from flask_fs_swift.errors import StreamBroken
from flask_fs_swift.hashing import MD5

from .content import BLOCK

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator

    from .content import Content

#: Bytes of a temporary file that stay in memory.
HELD = 4 * 1024 * 1024
#: Bytes that are hashed at a time.
_HASHED = 1024 * 1024


class SpoolFailed(OSError):
    """A temporary file could not be made, or not be filled: the disk may be full."""


class Extent:
    """So many bytes. Lives as long as what it reads; one thread or greenlet at a time.

    :param read: returns a reader of what begins at an offset.
    """

    def __init__(self, size: int, read: Callable[[int], Callable[[int], bytes]]) -> None:
        #: Bytes.
        self.size = size
        self._read = read

    def blocks(self, offset: int = 0, most: int = BLOCK) -> Iterator[bytes]:
        """Yield all that comes from an offset on, whatever was added since.

        :param most: bytes of a block.
        :raises StreamBroken: there is less than there was.
        """
        read = self._read(offset)
        while offset < self.size:
            block = read(min(most, self.size - offset))
            if not block:
                raise StreamBroken(
                    "the content became shorter while it was sent",
                    received=offset,
                    expected=self.size,
                )
            offset += len(block)
            yield block

    def md5(self) -> str:
        """Return its MD5 in hexadecimal digits."""
        digest = MD5()
        for block in self.blocks(most=_HASHED):
            digest.update(block)
        return digest.hexdigest()


def in_place(content: Content, size: int) -> Extent:
    """Return bytes, or a file that can seek, as they are.

    :param size: bytes, as ``size_of`` says.
    """
    if isinstance(content, (bytes, bytearray, memoryview)):
        return Extent(size, _of_memory(memoryview(content).cast("B")))
    file = cast("io.BufferedIOBase", content)
    return Extent(size, _from(file, file.tell()))


@contextmanager
def spooled(blocks: Iterable[bytes], folder: str | None) -> Iterator[Extent]:
    """Lend blocks that pass only once, from a temporary file.

    :param folder: for the file; None: where the system has them.
    :raises SpoolFailed: there is no room for it.
    """
    with SpooledTemporaryFile[bytes](max_size=HELD, dir=folder) as file:
        for block in blocks:
            try:
                # Disks are slow, and memory may be full of what they have still to take.
                (off_hub(file.write, block) if below_hub() else file.write(block))
            except OSError as error:
                raise SpoolFailed(error.errno, f"no temporary file: {error.strerror}") from error
        yield Extent(file.tell(), _from(file, 0))


def _of_memory(view: memoryview) -> Callable[[int], Callable[[int], bytes]]:
    def at(offset: int) -> Callable[[int], bytes]:
        position = offset

        def read(size: int) -> bytes:
            nonlocal position
            block = bytes(view[position : position + size])
            position += len(block)
            return block

        return read

    return at


def _from(
    file: io.BufferedIOBase | SpooledTemporaryFile[bytes], start: int
) -> Callable[[int], Callable[[int], bytes]]:
    def at(offset: int) -> Callable[[int], bytes]:
        file.seek(start + offset)
        return file.read

    return at
