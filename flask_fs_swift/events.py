"""Tell whoever counts or times operations what has happened, or how far one has come."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .concurrency import new_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One operation that has ended."""

    #: A verb of the storage (``write``, ``read``, …), or ``checkout`` for the pool.
    operation: str
    #: The storage's name; for the pool, the login's; for a client of a service, the usecase's.
    storage: str
    #: Content bytes that were moved, where the operation moves content.
    bytes: int
    #: From call to return. For a stream or a listing until it ended, so that the time
    #: its consumer took is in it; for a checkout, the time spent waiting in line.
    seconds: float
    #: ``ok``, or the name of the exception's class.
    outcome: str
    #: Bytes that a client of a service sent in their place, where it compressed them.
    compressed: int | None = None


#: Called after each operation, in its thread or greenlet. It should be quick.
EventHook: TypeAlias = "Callable[[Event], None]"

#: Called while content moves, in the thread or greenlet of who asked for that, with the bytes so
#: far and the bytes of all, None where that is not known. What it raises ends the transfer.
Progress: TypeAlias = "Callable[[int, int | None], object]"


#: Seconds after which progress is told, if nothing has ended before.
TICK = 0.25


class Moved:
    """How many bytes of a transfer have moved, of which several parts move at once.

    Lives as long as the transfer. It tells who waits for the parts, in the thread or greenlet of
    that one, while no lock is held.

    ``_of_parts``  bytes of each part, ``_moved`` of all: guarded by ``_lock``.
    ``_told``      what was told last, known to who is told.

    :param size: bytes of all the parts; None: that is not known.
    """

    def __init__(self, size: int | None, progress: Progress | None) -> None:
        self._size = size
        self._progress = progress
        self._lock = new_lock()
        self._of_parts: dict[int, int] = {}
        self._moved = 0
        self._told: int | None = None

    @property
    def is_told(self) -> bool:
        """Whether anybody wants to know."""
        return self._progress is not None

    def count(self, part: int, moved: int) -> None:
        """Note how many bytes of a part have moved until now: fewer, where it begins again."""
        with self._lock:
            self._moved += moved - self._of_parts.get(part, 0)
            self._of_parts[part] = moved

    def tell_until(self, wait: Callable[[float], bool]) -> None:
        """Tell now and then, until something has ended.

        :param wait: waits for so many seconds; tells whether it has.
        """
        while self._progress is not None and not wait(TICK):
            self.tell()

    def tell(self) -> None:
        """Tell, if there is anything new."""
        moved = self._moved
        if self._progress is not None and moved != self._told:
            self._told = moved
            self._progress(moved, self._size)


def tell(hook: EventHook, event: Event) -> None:
    """Call a hook. What it raises is logged: counting an operation must not undo it."""
    try:
        hook(event)
    except Exception:
        logger.exception("the event hook failed on %s", event)


class Watch:
    """Times one operation and tells how it ended, once: after a ``with`` block, or when told.

    Lives as long as the operation.
    """

    def __init__(self, hook: EventHook | None, operation: str, storage: str) -> None:
        self._hook = hook
        self._operation = operation
        self._storage = storage
        self._began = time.monotonic() if hook is not None else 0.0
        #: Content bytes that were moved.
        self.bytes = 0
        #: Bytes that were sent in their place; None: they were sent as they are.
        self.compressed: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        # What is dropped, as a listing may be, ends in a finaliser, where no hook may run.
        if kind is not GeneratorExit:
            self.ended(error)

    def ended_after(self, moved: int, error: BaseException | None) -> None:
        """Tell the hook, if there is one, after so many bytes."""
        self.bytes = moved
        self.ended(error)

    def ended(self, error: BaseException | None = None) -> None:
        """Tell the hook, if there is one."""
        if self._hook is None:
            return
        outcome = "ok" if error is None else type(error).__name__
        seconds = time.monotonic() - self._began
        event = Event(self._operation, self._storage, self.bytes, seconds, outcome, self.compressed)
        tell(self._hook, event)
