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
import select
import socket
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    import _thread
    from collections.abc import Callable
    from concurrent.futures import Future

    from gevent.hub import Hub

T = TypeVar("T")
R = TypeVar("R")

#: Seconds after which a wait that has no end begins anew.
LONG = 3600.0


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


def native_pause(seconds: float) -> None:
    """Sleep, and let only other threads run meanwhile: no greenlet of this one."""
    _ThreadWakeup().wait(seconds)


def below_hub() -> bool:
    """Tell whether the caller shares its thread with greenlets, and can let them run."""
    return _running_hub() is not None


def ends_program(error: BaseException) -> bool:
    """Tell whether something was raised to end the program, or a greenlet."""
    greenlet = sys.modules.get("greenlet")
    kinds = (KeyboardInterrupt, SystemExit)
    return isinstance(error, (*kinds, greenlet.GreenletExit) if greenlet is not None else kinds)


def program_ends() -> bool:
    """Tell whether the main thread has ended, and Python waits for the others.

    It waits for none where greenlets have taken their place; and there, to ask would let the
    other greenlets run, whose asker may have a lock.
    """
    return not _is_patched() and not threading.main_thread().is_alive()


def breathe() -> None:
    """Below a hub, let the other greenlets run; where there is none, do nothing."""
    hub = _running_hub()
    if hub is not None:
        # Not sleep(0): of those, gevent serves many before it looks at sockets and clocks.
        loop: Any = hub.loop
        with loop.timer(0) as timer:
            hub.wait(timer)


class Beside(Generic[R]):
    """A call of a function in a real thread, beside its caller.

    It may wait for a disk and for nothing else. Few run at once: 10 per hub, among them
    the hub's look-ups of host names; one per processor, but at least 4, where there is no hub.
    """

    def __init__(self, function: Callable[[T], R], argument: T) -> None:
        self._call: Callable[[], R] = partial(function, argument)
        # What it returned, or raised, once it has ended.
        self._outcome: Callable[[], R] = _has_not_ended
        self._has_ended = False
        self._wait = self._start()

    def result(self) -> R:
        """Wait for its end; return what it returned, or raise what it raised.

        If it is the wait that something raises in, the function still runs: see :meth:`join`.
        """
        self._wait()
        return self._outcome()

    def join(self) -> None:
        """Wait for its end, however often that is interrupted; then raise what did that last."""
        try:
            self._wait()
        except BaseException:
            if not self._has_ended:
                self.join()
            raise

    def _start(self) -> Callable[[], object]:
        hub = _running_hub()
        if hub is not None:
            waiting: Any = hub.threadpool.spawn(self._run)
            return waiting.get  # type: ignore[no-any-return]
        # Where threads are greenlets and there is no hub, nobody would run it.
        started = None if _is_patched() else _helpers.submit(self._run)
        if started is None:
            self._run()
            return lambda: None
        return started.result

    def _run(self) -> None:
        try:
            value = self._call()
        except BaseException as error:  # noqa: BLE001 - raised by result()
            self._outcome = partial(_raise, error)
        else:
            self._outcome = lambda: value
        self._has_ended = True


def off_hub(function: Callable[[T], R], argument: T) -> R:
    """Call a function that waits for a disk; below a hub the other greenlets run meanwhile.

    Whatever interrupts the wait for it, it has ended when this does.
    """
    if not below_hub():
        return function(argument)
    running = Beside(function, argument)
    try:
        return running.result()
    except BaseException:
        running.join()
        raise


class Strand:
    """A function that runs at the same time as its caller, and may wait for anything.

    It runs in a greenlet where these have taken the place of threads, and in a thread of its
    own elsewhere, also for other threads of a patched process: with a copy of its maker's
    context variables. It must not raise.
    Lives until it was joined.

    :param at_end: called when the function has ended, and also where its greenlet was killed
        before that began: then by the hub, so it waits for nothing.
    """

    def __init__(
        self, function: Callable[[], None], at_end: Callable[[], None] = lambda: None
    ) -> None:
        context = copy_context()
        self._call: Callable[[], None] = lambda: context.run(function)
        self._at_end = at_end
        # The first two are only ever set: by the function when it begins, and by who starts it.
        self._has_begun = False
        self._was_started = False
        self._ended = Latch()
        self._runner = _new_runner(self._run, self._end_unbegun)

    def start(self) -> None:
        """Begin.

        :raises RuntimeError: the system has no thread left.
        """
        self._runner.start()
        self._was_started = True

    def join(self) -> None:
        """Wait until it has ended and left nothing behind.

        If :meth:`start` raised, it may not have begun yet: then this waits for nothing.
        """
        if self._has_begun or self._was_started:
            while not self._ended.wait(LONG):
                pass
            self._runner.join()  # A thread that needs but a moment: no hub has to know.

    def abandon(self) -> None:
        """Forget it in a forked child, which has a copy of the greenlet and none of the thread."""
        self._has_begun = self._was_started = False
        if hasattr(self._runner, "kill"):
            self._runner.kill(block=False)

    def _run(self) -> None:
        self._has_begun = True
        try:
            self._call()
        finally:
            self._end()

    def _end_unbegun(self) -> None:
        if not self._has_begun:
            self._end()

    def _end(self) -> None:
        try:
            self._at_end()
        finally:
            self._ended.open()


class _Runner(Protocol):
    """What threads and greenlets have in common."""

    def start(self) -> None: ...

    def join(self) -> None: ...


def _new_runner(function: Callable[[], None], at_end: Callable[[], None]) -> _Runner:
    """Return what runs a function.

    :param at_end: called after the end of a greenlet, also of one that was killed before it began.
    """
    if not _is_patched():
        return threading.Thread(target=function, name="flask-fs-swift")
    if _native_ident() != _PATCHED_THREAD:
        # A hub of its own runs only while the thread waits for something, and ends with it.
        return _NativeThread(function)
    from gevent import Greenlet

    greenlet: Any = Greenlet(function)
    greenlet.rawlink(lambda _: at_end())
    runner: _Runner = greenlet
    return runner


class _NativeThread:
    """A real thread beside the greenlets of a patched process."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._running = _native_lock()

    def start(self) -> None:
        self._running.acquire()
        try:
            _native("_thread", "start_new_thread")(self._run, ())
        except BaseException:
            self._running.release()
            raise

    def join(self) -> None:
        with self._running:
            pass

    def _run(self) -> None:
        try:
            self._function()
        finally:
            self._running.release()


def _has_not_ended() -> NoReturn:
    raise AssertionError("a function was asked for its result before its end")


def _raise(error: BaseException) -> NoReturn:
    raise error


def socket_home() -> object:
    """Return the only place where a socket that is opened here can be used; None: anywhere.

    gevent's sockets wait below the hub of the thread that opened them, and below no other.
    """
    if socket.socket is _NATIVE_SOCKET or not socket.socket.__module__.startswith("gevent"):
        return None
    return sys.modules["gevent.hub"].get_hub()


def _native(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(sys.modules[module], name)
    return monkey.get_original(module, name)


def _is_patched() -> bool:
    """Tell whether gevent's greenlets have taken the place of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


_NATIVE_SOCKET = _native("socket", "socket")
_native_lock: Callable[[], _thread.LockType] = _native("_thread", "allocate_lock")
_native_ident: Callable[[], int] = _native("_thread", "get_ident")
#: Where greenlets run, if any do: programs patch, and import, where they begin.
_PATCHED_THREAD = _native_ident()
_native_rlock: Callable[[], threading.RLock] = _native("_thread", "RLock")


def _hub_of_thread() -> Hub | None:
    local = sys.modules.get("gevent._hub_local")
    return local.get_hub_if_exists() if local is not None else None


def _running_hub() -> Hub | None:
    """Return this thread's hub; None where there is none, or where it cannot be yielded to."""
    hub = _hub_of_thread()
    if hub is None:
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
        # The waker sets the first and looks at the second, the waiter the other way
        # round: at least one of them sees what the other did.
        self._woken = False
        self._watcher: Any = None
        # Held while a watcher is signalled, so that it is not closed meanwhile. Re-entrant,
        # because the waker may be a finaliser that interrupts the waiter.
        self._lock = _native_rlock()

    def wait(self, timeout: float) -> bool:
        waiter = sys.modules["gevent.hub"].Waiter(self._hub)
        loop: Any = self._hub.loop
        with loop.timer(max(timeout, 0)) as timer, loop.async_() as watcher:
            # The loop's clock stands still while greenlets run, and they may run long.
            timer.start(waiter.switch, None, update=True)
            watcher.start(waiter.switch, None)
            self._watcher = watcher
            try:
                if not self._woken:
                    waiter.get()
            finally:
                with self._lock:
                    self._watcher = None
        return self._woken

    def wake(self) -> None:
        self._woken = True
        with self._lock:
            if self._watcher is not None:
                self._watcher.send()


class Arrivals:
    """What arrives on a socket, asked for without waiting and without a switch."""

    def __init__(self, fileno: int) -> None:
        poll = _native("select", "poll") if hasattr(select, "poll") else None
        self._poll = poll() if poll is not None else None
        self._fileno = fileno
        if self._poll is not None:
            self._poll.register(fileno, select.POLLIN)

    def are_there(self) -> bool:
        """Tell whether there is something to read: bytes, an end, an error."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(_native("select", "select")([self._fileno], [], [], 0)[0])


class Latch:
    """Something that happens once, for any number of waiters of any kind.

    Needs no lock, so finalisers may open it: who opens it sets ``_is_open`` and looks at
    ``_waiting``, who waits does it the other way round, so one of them sees the other.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._waiting: list[Wakeup] = []

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._is_open = True
        for wakeup in self._waiting.copy():
            wakeup.wake()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; tell whether it is open."""
        wakeup = new_wakeup()
        self._waiting.append(wakeup)
        try:
            return self._is_open or wakeup.wait(timeout)
        finally:
            self._waiting.remove(wakeup)


class Deadline:
    """A moment on the monotonic clock until which a call may last."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never below 0."""
        return max(self._end - time.monotonic(), 0.0)


class _Helpers:
    """The threads of :class:`Beside`. They live as long as the process; a fork has none."""

    def __init__(self) -> None:
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        # Guards the executor's creation.
        self._lock = _native_lock()
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[[], None]) -> Future[None] | None:
        """Start a function; None where the program is ending, and no thread starts any more."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max(4, os.cpu_count() or 1), "flask-fs-swift")
        try:
            return self._executor.submit(function)
        except RuntimeError:
            return None


# Who wants to hear of a fork. Added to by any thread; read in a child, which has only one.
_forgetting: weakref.WeakSet[Any] = weakref.WeakSet()


def forget_after_fork(owner: Any) -> None:
    """Have ``owner.after_fork()`` called in every forked child, before it runs on."""
    _forgetting.add(owner)


# Who has something that no child may inherit. Added to by any thread.
_holding: weakref.WeakSet[Any] = weakref.WeakSet()


def hold_for_fork(owner: Any) -> None:
    """Have ``owner.before_fork()`` called before every fork, in the thread that forks.

    And ``owner.after_fork_in_parent()`` after it, in the parent.
    """
    _holding.add(owner)


class _Forking:
    """Forks of one process, one after the other.

    ``_lock`` is held from before a fork until after it, and guards ``_held``: who awaits its end.
    """

    def __init__(self) -> None:
        self._lock = _native_lock()
        self._held: list[Any] = []

    def begin(self) -> None:
        self._lock.acquire()
        for owner in list(_holding):
            # What this raises, such as an interrupt, ends the loop and not the fork.
            owner.before_fork()
            self._held.append(owner)

    def end_in_parent(self) -> None:
        held, self._held = self._held, []
        try:
            for owner in held:
                owner.after_fork_in_parent()
        finally:
            self._lock.release()

    def end_in_child(self) -> None:
        self._held = []
        self._lock = _native_lock()
        hub = _hub_of_thread()
        if hub is not None:
            # A copy, whose threads are missing and whose wake-ups any of the processes may get.
            # A patched fork does so by itself; then it was done twice, which is fine.
            sys.modules["gevent.hub"].reinit(hub)
        for owner in list(_forgetting):
            owner.after_fork()


_helpers = _Helpers()
_forking = _Forking()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forking.begin,
        after_in_parent=_forking.end_in_parent,
        after_in_child=_forking.end_in_child,
    )
