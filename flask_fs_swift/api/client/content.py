"""What is to be stored: bytes, a binary file, or blocks; and how long it is, if it says so."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes that are read, and compressed, at a time.
BLOCK = 64 * 1024


class Readable(Protocol):
    """A binary file, as far as it is read."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


#: What can be stored. Files are read from where they are to their end, and are not closed.
Content: TypeAlias = "bytes | bytearray | memoryview | Readable | Iterable[bytes]"


def check_content(content: object) -> None:
    """Refuse what cannot be stored.

    :raises TypeError: it is text, or neither bytes nor a file nor blocks.
    """
    good = isinstance(content, (bytes, bytearray, memoryview))
    good = good or hasattr(content, "read") or hasattr(content, "__iter__")
    if isinstance(content, (str, io.TextIOBase)) or not good:
        raise TypeError(
            f"content is bytes, a binary file or blocks of bytes, not {type(content).__name__}"
        )


def size_of(content: Content) -> int | None:
    """Return how many bytes content has; None where only its end will tell."""
    if isinstance(content, (bytes, bytearray, memoryview)):
        return memoryview(content).nbytes
    try:
        file = cast("io.BufferedIOBase", content)
        at = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(at)
    except (AttributeError, OSError, ValueError):
        return None
    return max(end - at, 0)


def blocks_of(content: Content) -> Iterator[bytes]:
    """Yield content in blocks.

    :raises TypeError: one is not of bytes.
    """
    if isinstance(content, (bytes, bytearray, memoryview)):
        view = memoryview(content).cast("B")
        for at in range(0, len(view), BLOCK):
            yield bytes(view[at : at + BLOCK])
        return
    for block in _pieces(content):
        if not isinstance(block, (bytes, bytearray, memoryview)):
            raise TypeError(f"content comes in bytes, not {type(block).__name__}")
        yield bytes(block)


def _pieces(content: Readable | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(content, "read", None)
    if read is None:
        yield from cast("Iterable[bytes]", content)
        return
    while block := read(BLOCK):
        yield block
