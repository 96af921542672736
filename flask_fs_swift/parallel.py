"""Run tasks at once, a bounded number at a time.

What runs beside who wants its results is :class:`Ongoing`, here and in batches.

Tasks are pulled by who wants their results, in its own thread or greenlet, and only when it
asks for one: so whatever makes the tasks is never run by two at once. What runs and what has
ended without being asked for are never more than the *width* together.

State: what the tasks share with their consumer is a :class:`_Board`, which needs no lock.
Its ``ended`` is a deque, its ``stopped`` is only ever set. A task puts its end into ``ended``
and then looks at ``_wakeup``; the consumer does it the other way round, so one of them sees
the other. Everything else is the consumer's alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from .concurrency import LONG, Strand, new_wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self

    from .concurrency import Wakeup

T = TypeVar("T")
R = TypeVar("R")


def at_once(tasks: Iterable[Callable[[], T]], width: int) -> Results[T]:
    """Run tasks, never more than ``width`` at a time; return their results as they end.

    With a width of 1 they run in the thread or greenlet that asks for the results.

    :param tasks: pulled one by one, when there is room for one more.
    :raises ValueError: the width is below 1.
    """
    return Results(tasks, width)


class Ongoing(ABC, Generic[R]):
    """What runs beside who iterates over its results: an iterator, and a context manager.

    Belongs to one thread or greenlet at a time. Lives until its last result, an error, or
    ``close()``; each of these comes when the last that runs has ended. Dropped without that, it
    pulls nothing more, and what has begun ends by itself: a finaliser waits for nothing. So use
    it in a ``with`` block.
    """

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> R:
        """Return the next result."""

    def close(self) -> None:
        """Pull nothing more, and wait for what runs, however often that is interrupted."""
        self._stop()
        try:
            self._join()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _stop(self) -> None:
        """Let nothing begin any more. Called by finalisers too, also where making it failed."""

    @abstractmethod
    def _join(self) -> None:
        """Wait until nothing runs; if that is interrupted, it is called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._stop()


class Results(Ongoing[tuple[int, T]]):
    """Results in the order in which they come, each with its task's index."""

    def __init__(self, tasks: Iterable[Callable[[], T]], width: int) -> None:
        self._board: _Board[T] = _Board()
        if width < 1:
            raise ValueError(f"at least 1 task runs at a time, not {width}")
        self._width = width
        self._tasks = enumerate(tasks)
        # Those whose results were not asked for yet; None: it ran in our own thread.
        self._running: dict[int, Strand | None] = {}

    def __next__(self) -> tuple[int, T]:
        """Return the next result.

        :raises BaseException: what a task raised, after the results that came before it. The
            tasks that ran at the same time have ended, nothing else was pulled.
        :raises RuntimeError: somebody killed a task's greenlet before it began.
        """
        try:
            self._fill()
            if not self._running:
                raise StopIteration
            while not self._board.wait(LONG):
                pass
            index, result = self._take()
        except BaseException:
            self.close()
            raise
        return index, result

    def wait(self, seconds: float) -> bool:
        """Wait a while for the next result; tell whether there is one, or an end, or an error."""
        try:
            self._fill()
            return not self._running or self._board.wait(seconds)
        except BaseException:
            self.close()
            raise

    def _stop(self) -> None:
        self._board.stopped = True

    def _join(self) -> None:
        while self._running:
            index, strand = next(iter(self._running.items()))
            if strand is not None:
                strand.join()
            del self._running[index]

    def _fill(self) -> None:
        while len(self._running) < self._width and not self._board.stopped:
            index, task = next(self._tasks, (None, None))
            if index is None or task is None:
                return
            if self._width == 1:
                self._running[index] = None
                self._board.run(index, task)
                self._board.leave(index)
            else:
                strand = self._running[index] = Strand(
                    partial(self._board.run, index, task), partial(self._board.leave, index)
                )
                strand.start()

    def _take(self) -> tuple[int, T]:
        end = self._board.ended.popleft()
        strand = self._running[end.index]
        if strand is not None:
            strand.join()
        del self._running[end.index]
        if end.error is None:
            return end.index, end.result[0]
        try:
            raise end.error
        finally:
            del end  # The error has this frame in its traceback.


@dataclass(frozen=True)
class _End(Generic[T]):
    """How a task ended."""

    index: int
    #: One result, or none where it raised.
    result: tuple[T, ...] = ()
    error: BaseException | None = None


class _Board(Generic[T]):
    """What tasks and their consumer tell each other."""

    def __init__(self) -> None:
        #: No task begins any more.
        self.stopped = False
        #: The ends that the consumer has not seen.
        self.ended: deque[_End[T]] = deque()
        self._wakeup: Wakeup | None = None
        # The tasks that have begun, until they leave. Each adds and removes itself only.
        self._begun: set[int] = set()

    def run(self, index: int, task: Callable[[], T]) -> None:
        """Run a task, and tell its end."""
        self._begun.add(index)
        if self.stopped:
            return
        try:
            end = _End(index, (_result_of(task),))
        except BaseException as error:  # noqa: BLE001 - raised to the consumer
            self.stopped = True
            end = _End(index, error=error)
        self._tell(end)
        del end  # An error has this frame in its traceback.

    def leave(self, index: int) -> None:
        """Tell the end of a task that never began. Waits for nothing: a hub may call it."""
        if index in self._begun:
            self._begun.discard(index)
            return
        self.stopped = True
        self._tell(_End(index, error=RuntimeError("a task was killed before it began")))

    def _tell(self, end: _End[T]) -> None:
        self.ended.append(end)
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.wake()

    def wait(self, seconds: float) -> bool:
        """Wait a while for an end; tell whether there is one."""
        wakeup = self._wakeup = new_wakeup()
        if not self.ended:
            wakeup.wait(seconds)
        return bool(self.ended)


def _result_of(task: Callable[[], T]) -> T:
    try:
        return task()
    except StopIteration as error:  # Who iterates over results would take it for their end.
        raise RuntimeError("a task raised StopIteration") from error
