"""Let many processes use one server, which ends with the last of them.

Nobody counts processes: three ``flock`` claims do, which the kernel takes back from whoever
dies.

``users.lock``   every process that uses the server holds it, shared. The server tries now
                 and then to take it for itself. When it succeeds nobody is left; it keeps the
                 claim and ends.
``start.lock``   whoever looks for a server or starts one holds it; a server that was started
                 inherits it until it is ready.
``server.lock``  the server holds it as long as it lives.

To join:

1. take ``users.lock``, shared. A server that ends for want of users holds it, so this waits
   until that one is gone; from here on none can end that way.
2. take ``start.lock``: now no server is starting.
3. if ``server.lock`` is held and there is a ``ready.json``, the server that wrote it is the
   one that lives: it has been joined.
4. if ``server.lock`` is held without a ``ready.json``, that server was told to end: wait.
5. otherwise start one. A ``ready.json`` is left of a server that was killed, whose users
   still know its port: the new one takes it again if it is free.

Somebody who dies at any of these steps takes his claims along, and nothing is left to mend.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import DevServerError
from .locks import Lock, is_held
from .spawning import spawn

if TYPE_CHECKING:
    from pathlib import Path

    from .datadir import DataDirectory, Ready

_INTERVAL = 0.01  # seconds

#: This process's parts in ``users.lock``, by data directory. A forked child inherits them.
#: Each operation on the dict is atomic, which is all that threads need here.
_held: dict[Path, Lock] = {}


def join(directory: DataDirectory, deadline: float) -> Ready:
    """Return the facts of a directory's server, which lives at least as long as this process.

    :param deadline: in seconds of the monotonic clock.
    :raises DevServerError: no server could be joined or started in time.
    """
    _become_user(directory, deadline)
    start_lock = Lock.wait(directory.start_lock, deadline)
    try:
        return _find(directory, deadline) or _start(directory, start_lock, deadline)
    finally:
        start_lock.end()  # also for a child that another thread has forked meanwhile


def leave(directory: DataDirectory) -> None:
    """Let this process use the server no longer. Doing it twice is fine."""
    lock = _held.pop(directory.path, None)
    if lock is not None:
        lock.let_go()


def kill(directory: DataDirectory, pid: int) -> None:
    """Kill a server, and wait until its claims are free."""
    while is_held(directory.server_lock) and _is_of(directory.ready(), pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(_INTERVAL)


def _is_of(ready: Ready | None, pid: int) -> bool:
    return ready is not None and ready.pid == pid


def _become_user(directory: DataDirectory, deadline: float) -> None:
    held = _held.get(directory.path)
    if held is not None and held.is_of(directory.users_lock):
        return
    lock = Lock.wait(directory.users_lock, deadline, shared=True)
    if held is not None:  # of a directory that was removed and made again
        leave(directory)
    if _held.setdefault(directory.path, lock) is not lock:  # another thread was faster
        lock.let_go()


def _find(directory: DataDirectory, deadline: float) -> Ready | None:
    if not is_held(directory.server_lock):
        return None
    ready = directory.ready()
    if ready is None:
        Lock.wait(directory.server_lock, deadline).let_go()
    elif not ready.shared:
        raise DevServerError(f"{directory.path} is in use by a private server, pid {ready.pid}")
    return ready


def _start(directory: DataDirectory, start_lock: Lock, deadline: float) -> Ready:
    killed = directory.ready()
    port = [] if killed is None else ["--or-any-port", "--port", killed.url.rpartition(":")[2]]
    spawned = spawn(directory, ["--shared", *port], {}, start_lock, deadline)
    spawned.process.wait()  # the server has detached itself from it
    return spawned.ready
