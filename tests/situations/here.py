"""The situation that this process is in, and how many things are done at once in it."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

PATCHED = "patched by gevent"
GREENLETS = "greenlets without patching"
THREADS = "threads with gevent imported"
NO_GEVENT = "plain threads"

SITUATIONS = (PATCHED, GREENLETS, THREADS, NO_GEVENT)

PATIENCE = 60.0  # seconds; a task that takes longer hangs

#: The situation, and what the test told about the Swift to use.
name = ""
facts: dict[str, str] = {}


def enter(situation: str) -> None:
    """Make this process be in a situation. Comes before every other import."""
    global name  # noqa: PLW0603
    name = situation
    if situation == PATCHED:
        from gevent import monkey

        monkey.patch_all()
    elif situation in {GREENLETS, THREADS}:
        importlib.import_module("gevent.monkey")
    elif situation == NO_GEVENT:
        sys.modules["gevent"] = None  # type: ignore[assignment]
    else:
        raise ValueError(f"no situation: {situation!r}")


def has_greenlets() -> bool:
    """Tell whether many things at once are greenlets here; otherwise they are threads."""
    return name in {PATCHED, GREENLETS}


def at_once(tasks: Sequence[Callable[[], T]], *, beside: Sequence[Callable[[], T]] = ()) -> list[T]:
    """Run all tasks at once, in greenlets or threads; return what they returned, in order.

    :param beside: run these at the same time, in native threads whatever the situation.
    """
    natives = [NativeTask(task) for task in beside]
    spawned = [Spawned(task) for task in tasks]
    return [task.result() for task in spawned] + [task.result() for task in natives]


def breathe() -> None:
    """Let the others run."""
    if has_greenlets():
        import gevent

        gevent.sleep(0)
    else:
        native_breath()


def native_breath() -> None:
    """Let the other native threads run; and no greenlet of this one."""
    native("time", "sleep")(0)


def expect_children() -> None:
    """Be told of the end of every child that is forked from now on, however soon that comes.

    gevent begins to listen after its first fork, and would wait for ever for a quick child.
    """
    if name == PATCHED:
        import gevent

        gevent.get_hub().loop.install_sigchld()


def native(module: str, item: str) -> Callable[..., Any]:
    """Return what a module of the standard library has, whatever was patched."""
    if name == PATCHED:
        from gevent import monkey

        original: Callable[..., Any] = monkey.get_original(module, item)
        return original
    found: Callable[..., Any] = getattr(__import__(module), item)
    return found


class NativeTask(Generic[T]):
    """A task in a native thread of its own, whatever was patched."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._outcome: list[Callable[[], T]] = []
        native("_thread", "start_new_thread")(self._run, (task,))

    def _run(self, task: Callable[[], T]) -> None:
        try:
            value = task()
        except BaseException as error:
            self._outcome.append(partial(_raise, error))
        else:
            self._outcome.append(lambda: value)

    def result(self) -> T:
        """Return what the task returned, or raise what it raised, once it has ended.

        A task that hangs fails a test; it does not hang the run.
        """
        until(lambda: self._outcome, PATIENCE)
        return self._outcome[0]()


class Spawned(Generic[T]):
    """A task that runs at the same time as its maker, in a greenlet or a thread."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._native = None if has_greenlets() else NativeTask(task)
        #: A ``gevent.Greenlet``, where there are greenlets.
        self.greenlet: Any = _spawn(task) if has_greenlets() else None

    def result(self) -> T:
        """Return what the task returned, or raise what it raised, once it has ended."""
        if self._native is not None:
            return self._native.result()
        value: T = self.greenlet.get(timeout=PATIENCE)
        return value


def nap() -> None:
    """Leave the processor to others for a moment."""
    if has_greenlets():
        import gevent

        gevent.sleep(0.001)
    else:
        native_nap()


def native_nap() -> None:
    """Leave the processor to other threads for a moment; and to no greenlet of this one."""
    native("time", "sleep")(0.001)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when a condition holds that nobody announces."""
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        nap()


def _spawn(task: Callable[[], object]) -> Any:
    import gevent

    return gevent.spawn(task)


def _raise(error: BaseException) -> NoReturn:
    raise error
