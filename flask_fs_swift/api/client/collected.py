"""What one part of an answer brings: in memory while it is short, else in a temporary file."""

from __future__ import annotations

import io
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, TypeVar

from flask_fs_swift.concurrency import off_hub

from .extent import SpoolFailed

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
R = TypeVar("R")

#: Bytes of one part that stay in memory.
HELD = 1024 * 1024


class Collected:
    """Bytes that are written, and then read. Lives until it is closed.

    Short ones may be dropped without that; the standard library's spooled file warns of those, too.

    :param folder: for the temporary file; None: where the system has them.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._file: IO[bytes] = io.BytesIO()
        self._size = 0

    def add(self, data: memoryview) -> None:
        """Add what comes next.

        :raises SpoolFailed: there is no room for it; it is closed.
        """
        size, self._size = self._size, self._size + len(data)
        try:
            self._do(self._spool if size <= HELD < self._size else self._file.write, data)
        except OSError as error:
            self.close()
            raise SpoolFailed(error.errno, f"no temporary file: {error.strerror}") from error

    def rewind(self) -> None:
        """Have it read from its beginning.

        :raises OSError: there was no room for the last of it.
        """
        self._do(self._file.seek, 0)

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end."""
        return self._do(self._file.read, size)

    def close(self) -> None:
        """Remove it; it may be called twice."""
        self._file.close()

    def _spool(self, data: memoryview) -> int:
        with self._file as begun:
            begun.seek(0)
            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 - it is closed with this
            self._file.write(begun.read())
        return self._file.write(data)

    def _do(self, function: Callable[[T], R], argument: T) -> R:
        return off_hub(function, argument) if self._size > HELD else function(argument)
