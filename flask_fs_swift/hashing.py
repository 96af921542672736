"""MD5 of content on its way, large blocks of it beside the caller.

Hashing takes longer than sending, and while it runs in a gevent hub nothing else does.
So below a hub blocks of 256 KiB and more are hashed in a real thread of the hub's pool.
Without a hub a thread of our own hashes one block while its caller reads or sends the
next. At most one block is being hashed, so no more than two are alive. Less is hashed at
once: handing it over would cost more.
"""

from __future__ import annotations

import hashlib
import os
from itertools import accumulate
from typing import TYPE_CHECKING

from .blocks import BLOCK
from .concurrency import Beside, below_hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Bytes from which a block is worth a hand-over.
WORTH_IT = 256 * 1024
#: Bytes of a file that are read and hashed before the processor's cache forgets them.
PIECE = 256 * 1024
#: Bytes of a file per hand-over: its thread needs nobody in between.
STRETCH = 8 * BLOCK


class MD5:
    """A running MD5: Swift's checksum, not a defence against forgery.

    Belongs to one thread or greenlet. A block that was given to it must neither change nor go
    before the next call ends: that comes back, or raises, when nobody reads the block any more.

    :param overlapping: whether the caller has something else to do between blocks.
    """

    def __init__(self, *, overlapping: bool = False) -> None:
        self._digest = hashlib.md5(usedforsecurity=False)
        self._overlapping = overlapping
        self._running: Beside[None] | None = None

    def update(self, block: bytes | memoryview) -> None:
        """Add a block; it may be hashed later than this returns."""
        self.join()
        if len(block) >= WORTH_IT and (self._overlapping or below_hub()):
            self._running = Beside(self._digest.update, block)
        else:
            self._digest.update(block)

    def join(self) -> None:
        """Wait until every block is hashed, also where something interrupts that."""
        if self._running is not None:
            self._running.join()
            self._running.result()
            self._running = None

    def hexdigest(self) -> str:
        """Return the MD5 of all blocks, in hexadecimal digits."""
        self.join()
        return self._digest.hexdigest()


class FileMD5:
    """The MD5 of a file from its position to its end; below a hub in a real thread.

    :param readinto: fills a buffer and returns the count of bytes, 0 at the end.
    """

    def __init__(self, readinto: Callable[[memoryview], int]) -> None:
        self._readinto = readinto
        self._digest = hashlib.md5(usedforsecurity=False)
        self._room = memoryview(bytearray(PIECE))
        self._stopped = False
        #: Bytes so far.
        self.size = 0

    def more(self) -> bool:
        """Hash the next 8 MiB; tell whether there may be more after them.

        Whatever interrupts this, nobody reads the file afterwards.
        """
        end = self.size + STRETCH
        if not below_hub():
            return self._hash_up_to(end)
        running = Beside(self._hash_up_to, end)
        try:
            return running.result()
        except BaseException:
            self._stopped = True
            running.join()
            raise

    def _hash_up_to(self, end: int) -> bool:
        while self.size < end and not self._stopped:
            count = self._readinto(self._room)
            if not count:
                return False
            self._digest.update(self._room[:count])
            self.size += count
        return True

    def hexdigest(self) -> str:
        """Return the MD5, in hexadecimal digits."""
        return self._digest.hexdigest()


class GrowingMD5:
    """The MD5s of the pieces of a file that is still being written, in a real thread.

    Belongs to one thread or greenlet. At most 1 MiB of the file is in memory at a time.

    :param sizes: of the pieces, in bytes, from the beginning of the file.
    """

    def __init__(self, fileno: int, sizes: Iterable[int]) -> None:
        self._fileno = fileno
        self._ends = accumulate(sizes)
        # While something runs, these belong to what runs: the bytes hashed, the end of the piece
        # that is being hashed, its digest, and those of the pieces before.
        self._hashed = 0
        self._end = next(self._ends, 0)
        self._digest = hashlib.md5(usedforsecurity=False)
        self._done: list[str] = []
        self._stopped = False
        self._running: Beside[None] | None = None

    def follow(self, end: int) -> None:
        """Hash the file up to ``end``, where it is complete; this may return earlier."""
        self._wait()
        self._running = Beside(self._hash_up_to, end)

    def hexdigests(self) -> list[str]:
        """Return the MD5 of each piece that lies before the last ``end``, in hexadecimal digits."""
        self._wait()
        return self._done

    def leave(self) -> None:
        """Wait until nobody reads the file. It is not hashed any further."""
        self._stopped = True
        if self._running is not None:
            self._running.join()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None  # Not before: if the wait was interrupted, it still runs.

    def _hash_up_to(self, end: int) -> None:
        while self._hashed < end and not self._stopped:
            size = min(BLOCK, min(end, self._end) - self._hashed)
            block = os.pread(self._fileno, size, self._hashed)
            if not block:
                raise OSError(f"the file ends after {self._hashed} of {end} bytes")
            self._digest.update(block)
            self._hashed += len(block)
            if self._hashed == self._end:
                self._done.append(self._digest.hexdigest())
                self._digest = hashlib.md5(usedforsecurity=False)
                self._end = next(self._ends, end)


def md5_of(data: bytes | memoryview) -> str:
    """Return the MD5 of content that is all there, in hexadecimal digits."""
    if len(data) < WORTH_IT or not below_hub():
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    digest = MD5()
    view = memoryview(data)
    for start in range(0, len(view), BLOCK):
        digest.update(view[start : start + BLOCK])
    return digest.hexdigest()
