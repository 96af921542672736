"""Tell whoever counts or times operations what has happened."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One operation that has ended."""

    #: A verb of the storage (``write``, ``read``, …), or ``checkout`` for the pool.
    operation: str
    #: The storage's name; for the pool, the login's.
    storage: str
    #: Content bytes that were moved, where the operation moves content.
    bytes: int
    #: From call to return. For a stream or a listing until it ended, so that the time
    #: its consumer took is in it; for a checkout, the time spent waiting in line.
    seconds: float
    #: ``ok``, or the name of the exception's class.
    outcome: str


#: Called after each operation, in its thread or greenlet. It should be quick.
EventHook: TypeAlias = "Callable[[Event], None]"


def tell(hook: EventHook, event: Event) -> None:
    """Call a hook. What it raises is logged: counting an operation must not undo it."""
    try:
        hook(event)
    except Exception:
        logger.exception("the event hook failed on %s", event)


class Watch:
    """Times one operation and tells how it ended, once. Lives as long as the operation."""

    def __init__(self, hook: EventHook | None, operation: str, storage: str) -> None:
        self._hook = hook
        self._operation = operation
        self._storage = storage
        self._began = time.monotonic()
        #: Content bytes that were moved.
        self.bytes = 0

    def ended(self, error: BaseException | None = None) -> None:
        """Tell the hook, if there is one."""
        if self._hook is None:
            return
        outcome = "ok" if error is None else type(error).__name__
        seconds = time.monotonic() - self._began
        tell(self._hook, Event(self._operation, self._storage, self.bytes, seconds, outcome))


@contextmanager
def watched(hook: EventHook | None, operation: str, storage: str) -> Iterator[Watch]:
    """Tell how a block ended. One that is dropped, as a listing may be, tells nothing."""
    watch = Watch(hook, operation, storage)
    try:
        yield watch
    except GeneratorExit:
        raise  # It ends in a finaliser, where no hook may run.
    except BaseException as error:
        watch.ended(error)
        raise
    watch.ended()
