"""Many operations in few requests, and a few requests at once: one result for each operation.

1. Who wants results pulls operations, in its own thread or greenlet, while a request could
   begin: up to a batch of 1,000, or 100 MiB; of 100, where the server has nothing to do
   meanwhile. What is longer than 1 MiB, or does not say how long it is, has a request of its own.
2. Of two operations on one key of which one changes it, the later one waits until the earlier
   has its result, in whatever request that is.
3. Each request has a thread or greenlet. It hands over every result as it comes, and waits
   where more than ``QUEUE`` of them were not asked for.
4. A request that fails is the error of the operations without a result, and of no others.
   Nothing is sent twice.
5. With one request at a time, results come in the order of the input; else as they come.

A request is sent whole before its answer is read. A server may answer before that, and then
both would wait: so requests that read are short enough to be on their way in any case.

State: what requests and their consumer tell each other is a :class:`_Board`, which needs no
lock. All else is the consumer's alone. After a fork the parent goes on; the child's copy raises.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from flask_fs_swift.api.wire import new_boundary
from flask_fs_swift.concurrency import LONG, Strand, forget_after_fork, new_wakeup
from flask_fs_swift.parallel import Ongoing

from .connections import Line
from .exchange import Batch, Task, prepared
from .failures import AnswerBroken, RequestError
from .operations import Delete, Get, Head, Operation, Put, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flask_fs_swift.concurrency import Wakeup

    from .calls import Answer
    from .usecase import Storing

#: Operations of one batch.
MOST = 1000
#: Operations of a batch for a server that has none, of several at once.
ENOUGH = 100
#: Bytes of one batch.
LARGEST = 100 * 1024 * 1024
#: Bytes of a batch that reads: what is under way between two hosts without being taken.
IN_FLIGHT = 64 * 1024
#: Results that were not asked for.
QUEUE = 16
#: Operations that wait for others.
LOOK_AHEAD = 1000
#: Seconds for which an input is pulled while results wait, and for which a batch is collected.
BRIEFLY = 0.01
PATIENCE = 0.25


class Sender(Protocol):
    """What requests are sent with."""

    #: For temporary files; None: where the system has them.
    folder: str | None

    def plan(self, operation: Put) -> Storing:
        """Return how content is to be stored."""

    def store(self, storing: Storing, line: Line) -> str:
        """Put one object; return its key."""

    def post(self, boundary: str, body: Iterable[bytes], line: Line) -> Answer:
        """Send a batch."""


class Results(Ongoing[Result]):
    """The results of many operations: an iterator, and a context manager.

    Lives until its last result, an error, or ``close()``, which breaks off what is under way:
    what was sent may have been done. Use it in a ``with`` block.

    :param width: requests at once.
    """

    def __init__(self, operations: Iterable[Operation], sender: Sender, width: int) -> None:
        self._board = _Board()
        self._running: dict[_Job, Strand] = {}
        self._source: Iterator[object] = iter(operations)
        self._sender = sender
        self._width = width
        self._count = 0
        self._is_exhausted = False
        # What the source raised; delivered after all results.
        self._failure: Exception | None = None
        self._lines = _Lines()
        # What may begin since what it waited for has ended.
        self._released: deque[Task] = deque()
        self._gathering = _Gathering()
        # What begins as soon as a request may.
        self._ready: deque[_Job] = deque()
        # What is to be returned.
        self._results: deque[Result] = deque()
        forget_after_fork(self)

    def __next__(self) -> Result:
        """Return the next result.

        :raises Exception: what the input raised, after the results of all that it gave.
        :raises TypeError: the input gave no operation; in the same way.
        """
        try:
            while True:
                self._fill()
                if self._results:
                    return self._results.popleft()
                news = self._board.take()
                if news is not None:
                    self._hear(news)
                elif self._running:
                    self._board.wait()
                else:
                    break
        except BaseException:
            self.close()
            raise
        self.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopIteration

    def after_fork(self) -> None:
        """Leave the requests to the parent."""
        self._board.stop()
        for strand in self._running.values():
            strand.abandon()
        self._running.clear()
        self._join()
        self._failure = RequestError("these results come in the process that was forked")

    def _stop(self) -> None:
        board = getattr(self, "_board", None)
        if board is not None:
            board.stop()
        for job in list(getattr(self, "_running", ())):
            job.line.cut()

    def _join(self) -> None:
        self._source = iter(())
        self._is_exhausted = True
        while self._running:
            job, strand = next(iter(self._running.items()))
            strand.join()
            del self._running[job]
        self._board.clear()
        self._results.clear()
        self._released.clear()
        self._ready.clear()
        self._gathering = _Gathering()

    # Pulling.

    def _fill(self) -> None:
        began = time.monotonic()
        while not self._board.stopped:
            while self._ready and len(self._running) < self._width:
                self._begin(self._ready.popleft())
            if self._ready or len(self._running) >= self._width:
                return
            if self._released:
                self._admit(self._released.popleft())
            elif self._may_pull():
                if self._has_results() and time.monotonic() - began > BRIEFLY:
                    return
                self._pull()
            elif self._gathering.tasks:
                self._flush()
            else:
                return

    def _may_pull(self) -> bool:
        most = LOOK_AHEAD if self._width > 1 else 1
        return not self._is_exhausted and self._lines.held < most and not self._is_gathered()

    def _is_gathered(self) -> bool:
        idles = self._width > 1 and not self._running
        return self._gathering.is_old() or (idles and len(self._gathering.tasks) >= ENOUGH)

    def _has_results(self) -> bool:
        return bool(self._results) or self._board.has_news()

    def _pull(self) -> None:
        try:
            operation = next(self._source)
        except StopIteration:
            self._is_exhausted = True
            return
        except Exception as error:  # noqa: BLE001 - raised to the consumer, later
            self._is_exhausted, self._failure = True, error
            return
        if not isinstance(operation, (Put, Get, Head, Delete)):
            kind = type(operation).__name__
            self._failure = TypeError(f"many is given Put, Get, Head and Delete, not {kind}")
            self._is_exhausted = True
            return
        task = prepared(self._count, operation, self._sender.plan)
        self._count += 1
        if self._lines.enter(task):
            self._admit(task)

    def _admit(self, task: Task) -> None:
        """Take in what may begin: into the batch, or as a request of its own."""
        if task.size is None:
            if self._width == 1:
                self._flush()
            self._ready.append(_Job([task]))
            return
        if not self._gathering.has_room_for(task):
            self._flush()
        self._gathering.add(task)

    def _flush(self) -> None:
        tasks, self._gathering = self._gathering.tasks, _Gathering()
        if tasks:
            self._ready.append(_Job(tasks))

    # Requests.

    def _begin(self, job: _Job) -> None:
        first = job.tasks[0]
        if first.error is not None:
            self._settle(job, first, None, first.error)
            return
        run = partial(_run, job, self._sender, self._board)
        strand = Strand(run, at_end=partial(self._board.end, job))
        self._running[job] = strand
        try:
            strand.start()
        except RuntimeError as error:  # The system has no thread left.
            job.error = error
            self._board.end(job)

    def _hear(self, news: _News) -> None:
        job = news.job
        if news.task is not None:
            self._settle(job, news.task, news.value, news.error)
            return
        strand = self._running.get(job)
        if strand is not None:
            strand.join()
            del self._running[job]
        error = job.error or AnswerBroken(
            "the answer to a batch does not tell of it", maybe_applied=True
        )
        for task in list(job.waiting.values()):
            self._settle(job, task, None, error)

    def _settle(self, job: _Job, task: Task, value: Any, error: BaseException | None) -> None:
        del job.waiting[task.number]
        self._released.extend(self._lines.leave(task))
        result = Result(task.number, task.operation, value, error)
        if self._width > 1:
            self._results.append(result)
            return
        job.early[task.number] = result
        while job.order and job.order[0].number in job.early:
            self._results.append(job.early.pop(job.order.popleft().number))


@dataclass(eq=False)
class _Job:
    """One request. Lives until all its tasks have their results."""

    tasks: list[Task]
    line: Line = field(default_factory=Line)
    #: Why it has ended; set by the request, before it tells its end.
    error: BaseException | None = None

    # The consumer's own.

    def __post_init__(self) -> None:
        #: Tasks without a result, by number.
        self.waiting = {task.number: task for task in self.tasks}
        #: Those whose results are not the consumer's yet, and results that come too early.
        self.order = deque(self.tasks)
        self.early: dict[int, Result] = {}


class _Gathering:
    """A batch that is being collected."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self._size = 0
        self._reads = False
        self._began = 0.0

    def is_old(self) -> bool:
        """Tell whether it has been collected for long enough."""
        return bool(self.tasks) and time.monotonic() - self._began > PATIENCE

    def has_room_for(self, task: Task) -> bool:
        """Tell whether another one may be a part of it."""
        if not self.tasks:
            return True
        reads = self._reads or isinstance(task.operation, Get)
        size = self._size + (task.size or 0)
        return len(self.tasks) < MOST and size <= (IN_FLIGHT if reads else LARGEST)

    def add(self, task: Task) -> None:
        """Make it a part of the batch."""
        if not self.tasks:
            self._began = time.monotonic()
        self.tasks.append(task)
        self._size += task.size or 0
        self._reads |= isinstance(task.operation, Get)


@dataclass(slots=True)
class _Line:
    """The operations on one key: those that have begun, and those that wait, in their order."""

    reading: int = 0
    is_changing: bool = False
    held: deque[Task] = field(default_factory=deque)

    def admits(self, task: Task) -> bool:
        return not self.is_changing and not (task.changes and self.reading)

    def begin(self, task: Task) -> None:
        if task.changes:
            self.is_changing = True
        else:
            self.reading += 1


class _Lines:
    """Who waits for whom, by key. What is never sent waits for nobody."""

    def __init__(self) -> None:
        self._by_key: dict[str, _Line] = {}
        #: Operations that wait.
        self.held = 0

    def enter(self, task: Task) -> bool:
        """Tell whether an operation may begin; if not, it is held."""
        if task.key is None or task.error is not None:
            return True
        line = self._by_key.setdefault(task.key, _Line())
        if line.held or not line.admits(task):
            line.held.append(task)
            self.held += 1
            return False
        line.begin(task)
        return True

    def leave(self, task: Task) -> list[Task]:
        """Return what may begin since an operation has ended."""
        if task.key is None or task.error is not None:
            return []
        line = self._by_key[task.key]
        if task.changes:
            line.is_changing = False
        else:
            line.reading -= 1
        released = []
        while line.held and line.admits(line.held[0]):
            released.append(line.held.popleft())
            line.begin(released[-1])
        self.held -= len(released)
        if not (line.held or line.reading or line.is_changing):
            del self._by_key[task.key]
        return released


@dataclass(frozen=True, slots=True)
class _News:
    """What a request tells: how a task has ended, or where there is none, that it has itself."""

    job: _Job
    task: Task | None = None
    value: Any = None
    error: BaseException | None = None


class _Stopped(Exception):
    """Nobody wants the results any more."""


class _Board:
    """What requests and their consumer tell each other.

    Who puts something there looks afterwards who waits for it, who waits says so before it
    looks: one of them sees the other. So finalisers may stop it.
    """

    def __init__(self) -> None:
        #: Nobody wants anything any more. Only ever set.
        self.stopped = False
        self._news: deque[_News] = deque()
        self._consumer: Wakeup | None = None
        # Requests that have a result for which there is no room.
        self._blocked: deque[Wakeup] = deque()

    def tell(self, news: _News) -> None:
        """Hand over a result, when there is room for it.

        :raises _Stopped: nobody wants it.
        """
        while not self.stopped:
            if len(self._news) < QUEUE:
                self._put(news)
                return
            wakeup = new_wakeup()
            self._blocked.append(wakeup)
            try:
                if len(self._news) >= QUEUE and not self.stopped:
                    wakeup.wait(LONG)
            finally:
                self._blocked.remove(wakeup)
        raise _Stopped

    def end(self, job: _Job) -> None:
        """Tell that a request has ended. Waits for nothing."""
        self._put(_News(job))

    def has_news(self) -> bool:
        """Tell whether there is something to take."""
        return bool(self._news)

    def take(self) -> _News | None:
        """Return the oldest news, if there are any."""
        if not self._news:
            return None
        news = self._news.popleft()
        self._wake_all()
        return news

    def wait(self) -> None:
        """Wait for news."""
        wakeup = self._consumer = new_wakeup()
        if not self._news:
            wakeup.wait(LONG)

    def stop(self) -> None:
        """Let nothing be told any more."""
        self.stopped = True
        self._wake_all()

    def clear(self) -> None:
        """Forget what was told. Nothing runs any more."""
        self._news.clear()

    def _put(self, news: _News) -> None:
        self._news.append(news)
        consumer = self._consumer
        if consumer is not None:
            consumer.wake()

    def _wake_all(self) -> None:
        for wakeup in self._blocked.copy():
            wakeup.wake()


def _run(job: _Job, sender: Sender, board: _Board) -> None:
    try:
        first = job.tasks[0]
        if first.size is None:
            board.tell(_News(job, first, sender.store(cast("Storing", first.storing), job.line)))
        else:
            _exchange(job, sender, partial(_tell, job, board))
    except _Stopped:
        return
    except BaseException as error:  # noqa: BLE001 - told at its end
        job.error = error


def _tell(job: _Job, board: _Board, task: Task, value: Any, error: Exception | None) -> None:
    board.tell(_News(job, task, value, error))


def _exchange(
    job: _Job, sender: Sender, tell: Callable[[Task, Any, Exception | None], None]
) -> None:
    boundary = new_boundary()
    batch = Batch(job.tasks, boundary, sender.folder)
    answer = sender.post(boundary, batch.request(), job.line)
    try:
        with closing(batch.results(answer)) as results:
            for task, value, error in results:
                tell(task, value, error)
    except BaseException:
        answer.close()
        raise
