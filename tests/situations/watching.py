"""Says so where a greenlet lets others run while it has a lock of the package.

These locks are native: another greenlet that wants one would stop the thread, and with it the one
that has it, for ever. That takes bad luck; to let others run at such a moment does not.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from flask_fs_swift import concurrency

if TYPE_CHECKING:
    from typing_extensions import Self

_new_lock = concurrency.new_lock
#: The locks that are held, and by which greenlets.
_held: dict[Lock, Any] = {}
_said: set[str] = set()


def watch_locks() -> None:
    """Look at every lock that is made from now on."""
    import greenlet

    for module in list(sys.modules.values()):
        if getattr(module, "new_lock", None) is _new_lock:
            module.new_lock = Lock  # type: ignore[attr-defined]
    os.register_at_fork(after_in_child=_held.clear)
    greenlet.settrace(_switched)


class Lock:
    """A native lock that knows its greenlet."""

    def __init__(self) -> None:
        self._lock = _new_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            _held[self] = _greenlet()
        return taken

    def release(self) -> None:
        _held.pop(self, None)
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _switched(event: str, places: tuple[Any, Any]) -> None:
    """Be told by greenlet of a switch."""
    left, _ = places
    if event not in {"switch", "throw"} or left not in list(_held.values()):
        return
    where = "".join(traceback.format_stack(left.gr_frame, limit=12))
    if where not in _said:
        _said.add(where)
        sys.stderr.write(f"others run while a lock is held:\n{where}\n")


def _greenlet() -> object:
    import greenlet

    return greenlet.getcurrent()
