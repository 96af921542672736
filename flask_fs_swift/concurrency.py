"""Wait and wake, for threads or greenlets: whichever the caller is.

The package works monkey-patched by gevent, in greenlets without patching, in threads
while gevent is merely installed, and without gevent. All four come down to one
question, asked at each wait: does this thread run a gevent hub? If so the waiter
yields to its hub; if not it blocks its thread. So nothing here depends on when, or
whether, anything was patched.

Each waiter brings a wake-up of its own. A lock or queue that threads and hubs share
is not used for waiting: gevent's wake waiters of other threads too late or never.

The locks are native, never gevent's. They are held for a few instructions that cannot
switch greenlets, so a greenlet never meets one that is taken by its own thread.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import _thread
    from collections.abc import Callable

    from gevent.hub import Hub


class Wakeup(Protocol):
    """A one-shot wake-up, made by the one who will wait for it."""

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; tell whether it was woken."""

    def wake(self) -> None:
        """Wake the waiter, from any thread or greenlet. Twice is fine."""


def new_wakeup() -> Wakeup:
    """Return a wake-up for the calling thread or greenlet."""
    hub = _running_hub()
    return _ThreadWakeup() if hub is None else _GreenletWakeup(hub)


def new_lock() -> _thread.LockType:
    """Return a native lock, whatever was patched."""
    return _native_lock()


def pause(seconds: float) -> None:
    """Sleep; below a hub, let the other greenlets run meanwhile."""
    if seconds > 0:
        new_wakeup().wait(seconds)


def _native(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(sys.modules[module], name)
    return monkey.get_original(module, name)


_native_lock: Callable[[], _thread.LockType] = _native("_thread", "allocate_lock")


def _running_hub() -> Hub | None:
    """Return this thread's hub; None where there is none, or where it cannot be yielded to."""
    local = sys.modules.get("gevent._hub_local")
    hub: Hub | None = local.get_hub_if_exists() if local is not None else None
    if hub is None or local is None:
        return None
    # The hub's own callbacks cannot yield to it.
    return None if sys.modules["greenlet"].getcurrent() is hub else hub


class _ThreadWakeup:
    """Blocks the thread that waits."""

    def __init__(self) -> None:
        self._lock = _native_lock()
        self._lock.acquire()

    def wait(self, timeout: float) -> bool:
        return self._lock.acquire(timeout=min(max(timeout, 0), threading.TIMEOUT_MAX))

    def wake(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            return  # It was released before: somebody woke the waiter already.


class _GreenletWakeup:
    """Yields to the hub until the hub's own loop is told, from any thread, to come back."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = _native_lock()
        # Guarded by _lock: whether somebody woke us, and the loop's watcher while we wait.
        self._woken = False
        self._watcher: Any = None

    def wait(self, timeout: float) -> bool:
        waiter = sys.modules["gevent.hub"].Waiter(self._hub)
        timer = self._hub.loop.timer(max(timeout, 0))
        try:
            if not self._listen(waiter):
                timer.start(waiter.switch, None)
                waiter.get()
        finally:
            timer.close()
            self._stop_listening()
        return self._woken

    def _listen(self, waiter: Any) -> bool:
        with self._lock:
            if not self._woken:
                self._watcher = self._hub.loop.async_()
                self._watcher.start(waiter.switch, None)
            return self._woken

    def _stop_listening(self) -> None:
        with self._lock:
            watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def wake(self) -> None:
        with self._lock:
            self._woken = True
            if self._watcher is not None:
                self._watcher.send()


class Latch:
    """Something that happens once, for any number of waiters of any kind."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._is_open = False  # Guarded by _lock, like the list below.
        self._waiting: list[Wakeup] = []

    def open(self) -> None:
        """Let everybody through, now and later."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for wakeup in waiting:
            wakeup.wake()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; tell whether it is open."""
        wakeup = new_wakeup()
        with self._lock:
            if self._is_open:
                return True
            self._waiting.append(wakeup)
        try:
            return wakeup.wait(timeout)
        finally:
            with self._lock:
                if wakeup in self._waiting:
                    self._waiting.remove(wakeup)


class Deadline:
    """A moment on the monotonic clock until which a call may last."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never below 0."""
        return max(self._end - time.monotonic(), 0.0)


_forgetting: weakref.WeakSet[Any] = weakref.WeakSet()


def forget_after_fork(owner: Any) -> None:
    """Have ``owner.after_fork()`` called in every forked child, before it runs on."""
    _forgetting.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_forgetting):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
