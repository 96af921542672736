"""Claims on a file that the kernel takes back when their holder dies.

They are made with ``flock``: a claim belongs to the open file, so a forked child has a part
in it, a program started with ``exec`` has none, and it ends with the last process that has
the file open, however that process ends.

A process never blocks in ``flock``: under gevent, the greenlet that would release the claim
might be waiting in the same thread.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import DevServerError

if TYPE_CHECKING:
    from pathlib import Path

_INTERVAL = 0.01  # seconds


class Lock:
    """A claim, held from its making until it is let go or this process ends."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def attempt(cls, path: Path, *, shared: bool = False) -> Lock | None:
        """Take a claim if nobody's stands against it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return cls(fd)

    @classmethod
    def wait(cls, path: Path, deadline: float, *, shared: bool = False) -> Lock:
        """Take a claim as soon as nobody's stands against it.

        :param deadline: in seconds of the monotonic clock.
        :raises DevServerError: somebody's still did.
        """
        while (lock := cls.attempt(path, shared=shared)) is None:
            if time.monotonic() > deadline:
                raise DevServerError(f"{path} was held by others for too long")
            time.sleep(_INTERVAL)
        return lock

    def is_of(self, path: Path) -> bool:
        """Tell whether the claimed file still is the one at ``path``."""
        try:
            return os.path.samestat(os.fstat(self.fd), path.stat())
        except FileNotFoundError:
            return False

    def let_go(self) -> None:
        """End this process's part in the claim; a forked child keeps its own."""
        os.close(self.fd)

    def end(self) -> None:
        """End the claim for everyone who has a part in it, and then this process's part."""
        with suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)


def is_held(path: Path) -> bool:
    """Tell whether somebody has claimed a file for himself.

    The caller sees to it that nobody tries to at this moment: he would be turned away.
    """
    lock = Lock.attempt(path, shared=True)
    if lock is None:
        return True
    lock.let_go()
    return False
