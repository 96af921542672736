"""Say that a change is alive, for as long as its owner works at it."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask_fs_swift.concurrency import Latch, Strand
from flask_fs_swift.errors import FSError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .changelog import ChangeLog

logger = logging.getLogger(__name__)


class Lease:
    """How long changes last whose owners are not heard of. Lives as long as its backend.

    The database's clock alone says when a lease ends.

    :param seconds: from one renewal.
    """

    def __init__(self, log: ChangeLog, seconds: float) -> None:
        self._log = log
        self.seconds = seconds

    @property
    def owner(self) -> str:
        """What we call ourselves in the change log."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @contextmanager
    def kept(self, revision: str) -> Iterator[None]:
        """Renew the lease of a change three times before it would end, while the block lasts."""
        over = Latch()

        def beat() -> None:
            while not over.wait(self.seconds / 3):
                try:
                    if not self._log.renew(revision, self.seconds):
                        return  # It was taken over, and its commit will say so.
                except FSError:
                    logger.warning("the lease of %r was not renewed", revision, exc_info=True)

        heart = Strand(beat)
        heart.start()
        try:
            yield
        finally:
            over.open()
            heart.join()
