"""Run many operations at once, never more than a bounded number.

1. Who wants outcomes pulls operations, in its own thread or greenlet and only when it asks for one,
   until all seats are taken and ``LOOK_AHEAD`` more operations wait.
2. Of two operations on one name of which one changes it, the later one waits for the earlier.
3. Deletes are collected into runs. While one is, a worker waits beside the input, and begins the
   run if the input takes too long.
4. Workers, greenlets or real threads, run what is ready, each at a *desk*: a seat with a slot. One
   that ends an operation begins the next; one that finds none lingers for a moment, and goes.
5. Outcomes come in the order in which operations end; with one worker, in that of the input.

What has begun is run to its end, whatever becomes of who asked for it. What was reserved for the
batch is given back when nothing runs and nothing will: by whoever comes last. A worker that is
killed, also between two operations, ends the batch and leaves its seat; who is last leaves every
seat again.

State: a :class:`_Core`, guarded by its ``_lock``, under which nothing waits, no greenlet switches
and no other lock is taken. ``stopped`` and what ``_Core`` calls *news* need no lock.
The input is known to the consumer alone.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .concurrency import (
    LONG,
    Strand,
    Wakeup,
    ends_program,
    forget_after_fork,
    new_lock,
    new_wakeup,
)
from .errors import FSError, OperationNotSupported
from .operations import Delete, Files, Operation, Outcome
from .parallel import Ongoing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from .window import Room, Seat

    #: What a worker takes: one operation, or a run of deletes.
    Job: TypeAlias = "list[_Task]"

S = TypeVar("S", bound="Seat")

#: Operations that were pulled and have not begun, beside those that run.
LOOK_AHEAD = 4
#: Deletes that are done together.
RUN = 1000
#: Fewer than that are done one by one.
SHORT = 3
#: Seconds after which a run is done as far as it was pulled.
RUN_PATIENCE = 0.25
#: Seconds for which a worker waits for another operation, and a program that ends for it.
LINGER = 0.1
#: Seconds for which nobody else is hired after the system had no thread left.
RESPITE = 1.0


class BatchFiles(Files, Protocol):
    """What a worker works on."""

    def delete_run(self, names: Sequence[str]) -> Collection[str]:
        """Remove many files; return those that have to be removed one by one.

        :raises OperationNotSupported: that goes for all, now and later.
        """


class Outcomes(Ongoing[Outcome]):
    """The outcomes of a batch, one for each operation: an iterator, and a context manager.

    Lives until its last outcome, an error, or ``close()``, all of which wait for what runs; or
    until it is dropped, which waits for nothing.

    :param files_at: gives a worker what it works on, from its seat.
    :param collects: whether there is more to ``delete_run`` than to deletes one by one.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        room: Room[S],
        files_at: Callable[[S], BatchFiles],
        *,
        collects: bool,
    ) -> None:
        try:
            self._core = _Core(room, files_at, collects=collects)
            self._source: Iterator[object] = iter(operations)
        except BaseException:
            room.release()
            raise
        self._count = 0
        # What the source raised; delivered after all outcomes.
        self._failure: BaseException | None = None

    def __next__(self) -> Outcome:
        """Return the next outcome.

        :raises BaseException: what the input raised, after the outcomes of all that it gave; or
            the KeyboardInterrupt, SystemExit or GreenletExit that an operation raised, after the
            outcomes of those that ran.
        """
        try:
            while True:
                self._fill()
                outcome = self._core.next_outcome()
                if outcome is not None:
                    return outcome
                if self._core.is_over():
                    break
                self._core.wait_for_news()
        except BaseException:
            self.close()
            raise
        self.close()
        failure, self._failure = self._core.take_interruption() or self._failure, None
        if failure is not None:
            raise failure
        raise StopIteration

    @property
    def is_ready(self) -> bool:
        """Whether the next outcome is there, so that to ask for it waits for nothing but input."""
        return self._core.has_outcome()

    def _stop(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None:
            core.stop()

    def _join(self) -> None:
        self._source = iter(())
        self._core.join()

    # Pulling.

    def _fill(self) -> None:
        core = self._core
        core.bury()
        core.employ()
        while not core.stopped and not core.is_exhausted and core.has_room():
            if core.is_collecting() and core.has_outcome():
                return  # It may take long until a run is complete.
            try:
                operation = next(self._source)
            except StopIteration:
                self._end_of_input(None)
            except Exception as error:  # noqa: BLE001 - raised to the consumer, later
                self._end_of_input(error)
            else:
                self._add(operation)
            core.employ()

    def _end_of_input(self, failure: Exception | None) -> None:
        self._failure = failure
        self._core.exhaust()

    def _add(self, operation: object) -> None:
        if not isinstance(operation, Operation):
            self._end_of_input(
                TypeError(
                    "a batch is made of Put, Get, Head, Delete and Copy, not "
                    f"{type(operation).__name__}"
                )
            )
            return
        task = _Task(self._count, operation)
        self._count += 1
        if not self._core.claim(task):
            self._core.close_run()  # It may wait for one of these.
        elif self._core.collects and isinstance(operation, Delete):
            self._core.collect(task)
        else:
            self._core.add(task)


class _Task:
    """One operation on its way to its outcome."""

    __slots__ = ("dependents", "index", "operation", "waits_for")

    def __init__(self, index: int, operation: Operation) -> None:
        self.index = index
        self.operation = operation
        #: How many earlier operations must end first.
        self.waits_for = 0
        #: Which later ones wait for this.
        self.dependents: list[_Task] = []


class _Line:
    """The operations on one name that have not ended, as far as later ones must know them."""

    __slots__ = ("readers", "writer")

    def __init__(self) -> None:
        self.writer: _Task | None = None
        #: After the writer.
        self.readers: list[_Task] = []


class _Desk(Generic[S]):
    """A seat, and what who sits there works on. Lives as long as its batch."""

    __slots__ = ("files", "seat")

    def __init__(self, seat: S, files: BatchFiles) -> None:
        self.seat = seat
        self.files = files


class _Core(Generic[S]):
    """What workers and consumer share. Lives until the last of them has left it."""

    def __init__(
        self, room: Room[S], files_at: Callable[[S], BatchFiles], *, collects: bool
    ) -> None:
        self._room = room
        self._files_at = files_at
        #: Nothing begins any more. Only ever set.
        self.stopped = False
        #: Whether the backend removes many files together, as far as is known. Only ever unset.
        self.collects = collects
        self._start_empty()
        forget_after_fork(self)

    def _start_empty(self) -> None:
        self._lock = new_lock()
        # Guarded by _lock, all of these. What can begin, and how many tasks wait for others.
        self._ready: deque[Job] = deque()
        self._blocked = 0
        self._lines: dict[str, _Line] = {}
        # The run of deletes that is being collected, and the moment at which it is collected no
        # longer.
        self._run: Job = []
        self._run_ends = 0.0
        #: Nothing more will be added.
        self.is_exhausted = False
        # The workers there are; those of them with a job, and those without.
        self._workers: set[_Worker] = set()
        self._busy: set[_Worker] = set()
        self._resting: list[_Worker] = []
        # The moment before which no other one is hired, unless there is none.
        self._hires_from = 0.0
        self._is_released = False  # Only ever set, after that was done.
        # These need no lock. All desks, and those that stand idle.
        self._desks: deque[_Desk[S]] = deque()
        self._idle_desks: deque[_Desk[S]] = deque()
        # Who adds to one of these then looks at _wakeup, and who waits does it the other way
        # round, so one of them sees the other.
        self._outcomes: deque[Outcome] = deque()
        self._gone: deque[_Worker] = deque()
        self._interruption: BaseException | None = None
        self._has_news = False
        self._wakeup: Wakeup | None = None

    @property
    def runs_in_order(self) -> bool:
        """Whether one operation follows the other."""
        return self._room.width == 1

    # What the consumer does.

    def has_outcome(self) -> bool:
        """Tell whether there is one to deliver."""
        return bool(self._outcomes)

    def next_outcome(self) -> Outcome | None:
        """Return an outcome that was not delivered, if there is one."""
        return self._outcomes.popleft() if self._outcomes else None

    def has_room(self) -> bool:
        """Tell whether another operation may be pulled."""
        with self._lock:
            alive = len(self._busy) + len(self._ready) + self._blocked + len(self._outcomes)
            return alive < len(self._workers) + LOOK_AHEAD

    def is_collecting(self) -> bool:
        """Tell whether deletes wait for others that they are done with."""
        return bool(self._run)

    def claim(self, task: _Task) -> bool:
        """Put a task into line for its names; tell whether it need not wait."""
        if self.runs_in_order:
            return True
        with self._lock:
            for name, writes in task.operation.claims():
                self._stand_in_line(task, name, writes=writes)
            # Once the lock is free, what it waits for may end.
            is_blocked = task.waits_for > 0
            self._blocked += is_blocked
        return not is_blocked

    def add(self, task: _Task) -> None:
        """Add what can begin, after the deletes that were collected."""
        with self._lock:
            self._close_run()
            self._ready.append([task])

    def collect(self, task: _Task) -> None:
        """Add a delete that can begin, with others."""
        with self._lock:
            now = time.monotonic()
            if not self._run:
                self._run_ends = now + RUN_PATIENCE
            self._run.append(task)
            if len(self._run) == RUN or now > self._run_ends:
                self._close_run()

    def close_run(self) -> None:
        """Let the deletes begin that were collected."""
        with self._lock:
            self._close_run()

    def exhaust(self) -> None:
        """Say that nothing more will be added."""
        with self._lock:
            self._close_run()
            self.is_exhausted = True
        self._settle()

    def employ(self) -> None:
        """Have workers begin what can begin, as long as there are seats.

        While deletes are collected one of them waits beside the input, which may take long.

        :raises RuntimeError: the system has no thread left, and there is no worker.
        """
        self._employ(self._may_hire)
        if self._run and not self._resting and not self.stopped and self._may_hire():
            self._hire(None)

    def is_over(self) -> bool:
        """Tell whether nothing runs, and nothing will."""
        with self._lock:
            return self._has_ended() and not self._outcomes

    def take_interruption(self) -> BaseException | None:
        """Return what ended the batch from within an operation, once."""
        error, self._interruption = self._interruption, None
        return error

    def wait_for_news(self) -> None:
        """Wait until a worker has told something since the last time."""
        wakeup = self._wakeup = new_wakeup()
        try:
            if not self._has_news:
                # A slot that comes back late, when nothing runs, tells nobody.
                wakeup.wait(LONG if self._busy else LINGER)
        finally:
            self._wakeup = None
        self._has_news = False

    def stop(self) -> None:
        """Let nothing begin any more. Finalisers may call it."""
        self.stopped = True
        self._settle()

    def join(self) -> None:
        """Wait until every worker has gone, and forget what was not delivered.

        :raises BaseException: what interrupted the wait; then call it again.
        """
        while self._workers:
            worker = next(iter(self._workers))
            worker.retract()  # It may have been interrupted while it was started.
            worker.strand.join()
            self._take_back(worker, None)
            with self._lock:
                self._workers.discard(worker)
        self._gone.clear()
        self._outcomes.clear()

    def bury(self) -> None:
        """See that nothing is left of workers that went."""
        while self._gone:
            worker = self._gone.popleft()
            worker.strand.join()
            with self._lock:
                self._workers.discard(worker)

    # Giving out jobs. A seat is taken and left without the lock: a pool has things to tell.

    def _employ(self, may_hire: Callable[[], bool]) -> None:
        while self._ready and not self.stopped and (self._resting or may_hire()):
            desk = self._desk()
            if not desk.seat.take():
                self._idle_desks.append(desk)
                return
            if not self._give(desk, may_hire):  # Another worker was faster.
                self._put_away(desk)

    def _desk(self) -> _Desk[S]:
        try:
            return self._idle_desks.pop()
        except IndexError:
            seat = self._room.seat()
            desk = _Desk(seat, self._files_at(seat))
            self._desks.append(desk)
            return desk

    def _put_away(self, desk: _Desk[S]) -> None:
        desk.seat.leave()
        self._idle_desks.append(desk)

    def _give(self, desk: _Desk[S], may_hire: Callable[[], bool]) -> bool:
        """Have somebody begin a job at a desk whose seat is taken; tell whether there was one."""
        worker = None
        with self._lock:
            if self._resting and self._ready and not self.stopped:
                worker = self._resting.pop()
                self._begin(worker, desk)
        if worker is None:
            return may_hire() and self._hire(desk)
        worker.wake()
        return True

    def _hire(self, desk: _Desk[S] | None) -> bool:
        """Start one more worker: at a desk, if there is a job, or to wait beside the input.

        :raises RuntimeError: the system has no thread left, and there is no other worker.
        """
        worker = _Worker(self)
        with self._lock:
            if desk is not None and (self.stopped or not self._ready):
                return False
            self._workers.add(worker)
            if desk is None:
                self._resting.append(worker)
            else:
                self._begin(worker, desk)
        try:
            worker.strand.start()
        except RuntimeError:
            if not self._do_without(worker) and desk is not None:
                raise
        return True

    def _do_without(self, worker: _Worker) -> bool:
        """Leave to the others what a worker has that did not start; tell if there are any."""
        self.leave(worker)
        with self._lock:
            self._workers.discard(worker)
            self._hires_from = time.monotonic() + RESPITE
            return bool(self._workers)

    def _may_hire(self) -> bool:
        if not self._workers:
            return True
        has_place = len(self._workers) < self._room.width
        return has_place and time.monotonic() >= self._hires_from

    # What workers do.

    def after(self, worker: _Worker, tasks: Job, outcomes: list[Outcome], again: Job) -> None:
        """Take the end of a worker's job, and give it another or let it rest.

        :param tasks: those that have ended.
        :param again: those that are still to be done, one by one.
        """
        desk = worker.desk
        if desk is None or worker not in self._workers:
            return  # A forked child has copies of its parent's greenlets.
        has_seat = not self.stopped and desk.seat.keep()
        with self._lock:
            for task in tasks:
                self._leave_line(task)
            self._ready.extendleft([task] for task in reversed(again))
            self._close_run_in_time()
            goes_on = has_seat and bool(self._ready) and not self.stopped
            if goes_on:
                self._outcomes.extend(outcomes)
                worker.give(self._ready.popleft())
        if not goes_on:
            desk.seat.leave()
            with self._lock:
                self._outcomes.extend(outcomes)
                self._stand_up(worker)
                self._resting.append(worker)
            self._idle_desks.append(desk)
        self.attend()
        self._settle()
        self._tell()

    def attend(self) -> None:
        """Have workers that rest begin what can begin, also the deletes that waited long enough."""
        if self._run:
            with self._lock:
                self._close_run_in_time()
        self._employ(lambda: False)

    def patience(self) -> float:
        """Return the seconds for which a worker waits for something to do."""
        if self._is_released:
            return 0.0
        if self._run and not self.stopped:
            return max(self._run_ends - time.monotonic(), 0.0)
        return LINGER

    def may_go(self, worker: _Worker) -> bool:
        """Let a worker go, unless it has got a job, or somebody must wait beside the input."""
        with self._lock:
            if worker.has_job():
                return False
            if self._run and self._resting == [worker] and not self.stopped:
                return False
            if worker in self._resting:
                self._resting.remove(worker)
        return True

    def leave(self, worker: _Worker) -> None:
        """Take back what a worker has that has ended, or never began. Twice is fine."""
        if worker in self._workers:
            self._take_back(worker, worker.retract())

    def _take_back(self, worker: _Worker, job: Job | None) -> None:
        with self._lock:
            if job is not None:
                self._ready.appendleft(job)
            if worker in self._resting:
                self._resting.remove(worker)
            desk = worker.desk
        if desk is not None:
            desk.seat.leave()
        with self._lock:
            self._stand_up(worker)
        if desk is not None:
            self._idle_desks.append(desk)
        self._gone.append(worker)
        self._settle()
        self._tell()

    def interrupt(self, error: BaseException) -> None:
        """End the batch in order: an operation raised what ends a program, or a greenlet."""
        self._interruption = self._interruption or error
        self.stopped = True

    def _tell(self) -> None:
        self._has_news = True
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.wake()

    # Decisions; the caller holds the lock.

    def _stand_in_line(self, task: _Task, name: str, *, writes: bool) -> None:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line()
        before = [line.writer] if line.writer is not None else []
        if writes:
            # The readers follow the writer, so who follows them follows it.
            before, line.writer, line.readers = line.readers or before, task, []
        else:
            line.readers.append(task)
        for other in before:
            other.dependents.append(task)
        task.waits_for += len(before)

    def _leave_line(self, task: _Task) -> None:
        if self.runs_in_order:
            return
        for name, _ in task.operation.claims():
            line = self._lines[name]
            if line.writer is task:
                line.writer = None
            elif task in line.readers:
                line.readers.remove(task)
            if line.writer is None and not line.readers:
                del self._lines[name]
        for other in task.dependents:
            other.waits_for -= 1
            if not other.waits_for:
                self._blocked -= 1
                self._ready.append([other])

    def _close_run(self) -> None:
        run, self._run = self._run, []
        if len(run) < SHORT:
            self._ready.extend([task] for task in run)
        else:
            self._ready.append(run)

    def _close_run_in_time(self) -> None:
        if self._run and time.monotonic() >= self._run_ends:
            self._close_run()

    def _begin(self, worker: _Worker, desk: _Desk[S]) -> None:
        self._busy.add(worker)
        worker.desk, worker.files = desk, desk.files
        worker.give(self._ready.popleft())

    def _stand_up(self, worker: _Worker) -> None:
        worker.desk = None
        self._busy.discard(worker)

    def _has_ended(self) -> bool:
        is_complete = self.is_exhausted and not self._ready and not self._blocked
        return not self._busy and (self.stopped or is_complete)

    # The end.

    def _settle(self) -> None:
        """Give back what was reserved, if nothing runs and nothing will.

        Who cannot take the lock leaves it to who has it, who comes here next, or looks once
        more. So finalisers may call it.
        """
        while not self._is_released and self._lock.acquire(False):
            try:
                seen = self.stopped
                is_last = self._has_ended()
                resting = self._resting if is_last else []
            finally:
                self._lock.release()
            if is_last:
                self._release()
                for worker in resting.copy():
                    worker.wake()
            if seen == self.stopped:
                return

    def _release(self) -> None:
        """Give back what was reserved. Twice is fine: who does it may be killed meanwhile."""
        for desk in self._desks.copy():  # So may have been who was to sit there.
            desk.seat.leave()
        self._room.release()
        self._is_released = True

    def after_fork(self) -> None:
        """Leave the batch to the parent, whose workers and slots it has."""
        self.stopped = True
        for worker in self._workers:
            worker.strand.abandon()
        self._start_empty()
        self._interruption = FSError("this batch runs in the process that this one was forked from")


class _Worker:
    """Runs one job after the other. Lives until it has found none for a while."""

    def __init__(self, core: _Core[Any]) -> None:
        self._core = core
        #: Where it sits while it has a job. Guarded by the core's lock.
        self.desk: _Desk[Any] | None = None
        #: What it works on there.
        self.files: BatchFiles
        # At most one. It is given under the core's lock, and taken by whoever is first.
        self._job: deque[Job] = deque()
        self._wakeup: Wakeup | None = None
        self.strand = Strand(self._work, self._leave)

    # What the others do with it.

    def give(self, job: Job) -> None:
        """Give it a job, and a seat with a slot before."""
        self._job.append(job)

    def has_job(self) -> bool:
        """Tell whether it has one that it has not begun."""
        return bool(self._job)

    def retract(self) -> Job | None:
        """Take back a job that it has not begun, if it has one."""
        try:
            return self._job.pop()
        except IndexError:
            return None

    def wake(self) -> None:
        """Wake it from its rest: it has a job, or none will come."""
        if self._wakeup is not None:
            self._wakeup.wake()

    # What it does.

    def _work(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - raised to the consumer
            self._core.interrupt(error)

    def _leave(self) -> None:
        while True:
            try:
                return self._core.leave(self)
            except BaseException as error:
                self._core.interrupt(error)
                if not ends_program(error):
                    raise

    def _serve(self) -> None:
        while True:
            job = self.retract()
            if job is not None:
                self._do(job)
                del job  # While it rests, nothing of the operation is kept.
            elif self._core.may_go(self):
                return
            if not self.has_job():
                self._rest()

    def _rest(self) -> None:
        # Who gives it a job looks at _wakeup afterwards.
        self._wakeup = new_wakeup()
        if not self.has_job():
            self._wakeup.wait(self._core.patience())
        if not self.has_job():
            self._core.attend()

    def _do(self, job: Job) -> None:
        again: Job = []
        if len(job) == 1:
            outcomes = [self._outcome_of(job[0])]
        else:
            outcomes, again = self._delete(job)
        ended = [task for task in job if task not in again] if again else job
        self._core.after(self, ended, [each for each in outcomes if each is not None], again)

    def _outcome_of(self, task: _Task) -> Outcome | None:
        """Perform an operation; None where it raised what ends the batch."""
        operation = task.operation
        try:
            return Outcome(task.index, operation, operation.perform(self.files))
        except BaseException as error:  # noqa: BLE001 - that is its outcome
            if ends_program(error):
                self._core.interrupt(error)
                return None
            return Outcome(task.index, operation, error=error)

    def _delete(self, run: Job) -> tuple[list[Outcome | None], Job]:
        """Perform a run of deletes; return the outcomes, and what is to be done one by one."""
        names = [_name_of(task) for task in run]
        try:
            left = set(self.files.delete_run(names))
        except OperationNotSupported:
            self._core.collects = False
            left = set(names)
        except BaseException as error:  # noqa: BLE001 - that is the outcome of each
            if ends_program(error):
                self._core.interrupt(error)
                return [], []
            return [Outcome(task.index, task.operation, error=_of(error, task)) for task in run], []
        if self._core.runs_in_order:
            return [self._deleted(task, left) or self._outcome_of(task) for task in run], []
        return (
            [self._deleted(task, left) for task in run],
            [task for task in run if _name_of(task) in left],
        )

    def _deleted(self, task: _Task, left: Collection[str]) -> Outcome | None:
        name = _name_of(task)
        return None if name in left else Outcome(task.index, task.operation, name)


def _name_of(task: _Task) -> str:
    return task.operation.claims()[0][0]


def _of(error: BaseException, task: _Task) -> BaseException:
    """Return what one request for many has raised, as the error of one of them."""
    if not isinstance(error, FSError):
        return error
    own = copy.copy(error)
    own.filename = _name_of(task)
    own.__cause__ = error
    return own
