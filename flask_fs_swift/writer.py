"""A file to write to, stored when it is closed cleanly, or not at all."""

from __future__ import annotations

import io
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

#: Bytes held in memory; what is longer goes to a temporary file.
IN_MEMORY = 4 * 1024 * 1024


class _Pending:
    """What was written so far. Ends by being stored or discarded, whichever comes first."""

    def __init__(self, store: Callable[[IO[bytes]], object]) -> None:
        self._store = store
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115

    def commit(self) -> None:
        with self.file as file:
            file.seek(0)
            self._store(file)

    def discard(self) -> None:
        self.file.close()


class _StoredOnClose(io.IOBase):
    """What both kinds of file have in common: how they end."""

    def __init__(self, store: Callable[[IO[bytes]], object]) -> None:
        super().__init__()
        self._pending = _Pending(store)

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Store what was written. Closing again does nothing."""
        self._end(self._pending.commit)

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        self._end(self._pending.commit if error is None else self._pending.discard)

    def __del__(self) -> None:
        # Instead of io's own finaliser, which would close, and so store.
        self._end(self._pending.discard)

    def _end(self, end: Callable[[], None]) -> None:
        if not self.closed:
            super().close()  # First, so that a failed commit is not tried again.
            end()


class BinaryWriter(_StoredOnClose, io.BufferedIOBase):
    """A binary file whose content is stored on ``close()``, unless its block raised.

    Dropped without being closed, it stores nothing; a ``TextIOWrapper`` around it would
    close it even then.
    """

    def seekable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write bytes, returning how many."""
        return self._pending.file.write(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position, returning it."""
        return self._pending.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._pending.file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the file, by default at the position; return its size."""
        cut = self.tell() if size is None else size
        self._pending.file.truncate(cut)
        return cut


class TextWriter(_StoredOnClose, io.TextIOBase):
    """A UTF-8 text file whose content is stored on ``close()``, unless its block raised."""

    def write(self, text: str, /) -> int:
        """Write text, returning how many characters."""
        self._pending.file.write(text.encode())
        return len(text)
