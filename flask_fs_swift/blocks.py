"""Bytes on their way, one block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import TypeIs

#: What is handed over at a time.
Block: TypeAlias = "bytes | memoryview"

#: Bytes per read of content, per write to a socket, and per piece of hashing (1 to 2 ms).
BLOCK = 1024 * 1024


class Readable(Protocol):
    """What can be read: a binary file, a pipe, a request's stream."""

    def read(self, size: int = ..., /) -> Block:
        """Return at most so many bytes; none at the end."""


def is_readable(source: object) -> TypeIs[Readable]:
    """Tell whether something can be read.

    Asked of the object and not of its class: uploads and temporary files pass on what they
    are asked to the file inside them.
    """
    return callable(getattr(source, "read", None))


def blocks_of(file: Readable) -> Iterator[Block]:
    """Yield what is left of a file."""
    while block := file.read(BLOCK):
        yield block
