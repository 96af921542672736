"""Run part of a test below a gevent hub, and leave no hub behind in the test's own thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from .here import NativeTask

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def below_a_hub(task: Callable[[], T]) -> T:
    """Run a task as a greenlet; afterwards nothing that it waited for is still active."""
    gevent = pytest.importorskip("gevent")

    def run() -> T:
        hub = gevent.get_hub()
        try:
            result: T = gevent.spawn(task).get()
            assert hub.join(timeout=5), "something is left that the hub waits for"
            return result
        finally:
            hub.destroy(destroy_loop=True)

    return NativeTask(run).result()


def in_a_thread(task: Callable[[], T]) -> T:
    """Run a task in a thread of its own, without a hub."""
    return NativeTask(task).result()


class RunIn(Protocol):
    """Runs a task somewhere, and returns what it returned."""

    def __call__(self, task: Callable[[], T], /) -> T: ...


#: A test that holds in a greenlet and in a thread.
everywhere = pytest.mark.parametrize("run_in", [in_a_thread, below_a_hub], ids=["thread", "hub"])
