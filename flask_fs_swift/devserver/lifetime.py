"""Tell when a server is no longer needed.

A private server is needed as long as its parent lives, a shared one as long as somebody
holds ``users.lock``, and either as long as its data directory is there and it was not told
to end.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .locks import Lock

if TYPE_CHECKING:
    from .datadir import DataDirectory


class Lifetime:
    """The life of this process as a server.

    ``_told_to_end``  a signal has come.
    ``_users_lock``   ours once a shared server has ended its life for want of users. It is
                      kept while the process ends, so that nobody can join it any more.
    """

    def __init__(self, directory: DataDirectory, *, parent: int | None, shared: bool) -> None:
        self._directory = directory
        self._parent = parent
        self._shared = shared
        self._told_to_end = False
        self._users_lock: Lock | None = None

    def end_on_signals(self) -> None:
        """Let SIGTERM, SIGINT and SIGHUP end the server in good order."""
        for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signal_number, lambda *_: self._end())

    def _end(self) -> None:
        self._told_to_end = True

    def is_over(self) -> bool:
        """Tell whether the server is to end. Once it was told, it has to."""
        return (
            self._told_to_end
            or self._orphaned()
            or not self._directory.ready_file.exists()
            or self._unused()
        )

    def _orphaned(self) -> bool:
        return self._parent is not None and os.getppid() != self._parent

    def _unused(self) -> bool:
        if self._shared:
            self._users_lock = Lock.attempt(self._directory.users_lock)
        return self._users_lock is not None
