"""Start a development server, and stop it."""

from __future__ import annotations

import os
import subprocess
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import sharing
from .control import Faults
from .datadir import DataDirectory, Ready
from .errors import DevServerError
from .locks import Lock
from .spawning import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["DevServer", "DevServerError"]

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class DevServer:
    """A Swift that runs on this machine. Its attributes are facts about it.

    A *private* one, from :meth:`start`, lives until it is stopped or this process ends. A
    *shared* one, from :meth:`share`, lives as long as any process that joined it, or a forked
    child of one, however they end.

    It keeps what it stored when it is stopped or killed, but does not sync its files: a power
    cut may lose or damage the data. It is no place for data that matters.
    """

    def __init__(
        self,
        directory: DataDirectory,
        ready: Ready,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.pid = ready.pid
        self.url = ready.url
        self.auth_url = ready.auth_url
        self.user = ready.user
        self.key = ready.key
        #: With Keystone it ends before the project's id.
        self.storage_url = ready.storage_url
        self.log = directory.log
        self.faults = Faults(ready.url, offered=ready.faults)
        self._directory = directory
        self._process = process  # None: shared
        self._owner = os.getpid()

    @classmethod
    def start(
        cls,
        data: Path,
        *,
        faults: bool = True,
        settings: Mapping[str, str] = _NO_SETTINGS,
        port: int = 0,
        timeout: float = 30.0,
    ) -> Self:
        """Start a private server.

        :param data: its directory: a new or an empty one, or one that a server has had.
        :param faults: whether it takes :attr:`faults`.
        :param settings: ``section.key`` to value, as in ``slo.max_manifest_segments``; see
            :mod:`.conf`.
        :param port: 0 for any that is free.
        :param timeout: seconds until it has to answer.
        :raises DevServerError: it did not start; none is left running.
        """
        deadline = time.monotonic() + timeout
        directory = DataDirectory.open(data)
        arguments = ["--parent", str(os.getpid()), "--port", str(port)]
        start_lock = Lock.wait(directory.start_lock, deadline)
        try:
            arguments += ["--faults"] if faults else []
            spawned = spawn(directory, arguments, settings, start_lock, deadline)
        finally:
            start_lock.end()
        return cls(directory, spawned.ready, spawned.process)

    @classmethod
    def share(cls, data: Path, *, timeout: float = 30.0) -> Self:
        """Join the server of a directory, which is started if there is none.

        Any number of processes may do so at once, and a process any number of times. If the
        server was killed, joining starts it again, where it can on the same port.

        :param data: a new or an empty directory, or one that a server has had.
        :param timeout: seconds until it has to answer.
        :raises DevServerError: there is none, and none could be started.
        """
        directory = DataDirectory.open(data)
        return cls(directory, sharing.join(directory, time.monotonic() + timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, timeout: float = 10.0) -> None:
        """End a private server; let go of a shared one. Doing it twice is fine.

        In a forked child of the process that started it, a private server is left alone.

        :param timeout: seconds until it is killed.
        """
        if self._process is None:
            sharing.leave(self._directory)
        elif self._owner == os.getpid():
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the server as a crash would: with no time to finish anything."""
        if self._process is None:
            sharing.kill(self._directory, self.pid)
        elif self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
