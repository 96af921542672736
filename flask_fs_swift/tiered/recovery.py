"""Delete what no object points at, and take over what its owner left.

Recovery is garbage collection. It never finishes a write, so it has nothing to decide: a change
whose lease has ended is retired, and the blob of whatever is retired is deleted. Each step is
one transaction or one deletion that may be repeated, so that any number of processes may do
this at once, and die in the middle of it.

A blob is deleted at once, and again after a day, because a PUT that was given up may land late.
While Swift is down, what is to be deleted waits for it, in the rows, for longer and longer.

State, guarded by ``_lock``:

``_tasks``    what the cleaner has still to do, up to ``MOST_TASKS``.
``_has_more`` whether more was to be done than that: the rows remember it.
``_cleaner``  works beside the callers; None while there is nothing to do.
``_ended``    opens at the end of that cleaner.
``_next``     when this process looks again whether it is its turn to recover (monotonic seconds).
``_closed``   whether nothing more is to be begun.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from flask_fs_swift.concurrency import Latch, Strand, forget_after_fork, new_lock, program_ends
from flask_fs_swift.errors import FSError

from .retired import Retired
from .revisions import is_ours
from .rows import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flask_fs_swift.backend import Blobs

    from .leases import Lease
    from .rows import Rows

logger = logging.getLogger(__name__)

#: Tasks that wait for a cleaner in memory.
MOST_TASKS = 1000
#: Of an interval, the part for which nobody else recovers: over before who claimed it looks again.
CLAIMED = 0.9


@dataclass(frozen=True)
class Recovered:
    """What one recovery did."""

    #: Changes that were taken over.
    abandoned: int = 0
    #: Objects that had expired and were removed.
    expired: int = 0
    #: Blobs that were deleted.
    deleted: int = 0
    #: Blobs that could not be deleted, and are kept in mind.
    left: int = 0


class Recovery:
    """Keeps one container to what is pointed at. Lives as long as its backend.

    :param interval: seconds between two recoveries of all processes together; None: only when
        somebody calls for one.
    """

    def __init__(self, rows: Rows, blobs: Blobs, lease: Lease, interval: float | None) -> None:
        self._rows = rows
        self._blobs = blobs
        self._lease = lease
        self._interval = interval
        self._lock = new_lock()
        self._tasks: deque[Callable[[], object]] = deque()
        self._has_more = False
        self._cleaner: Strand | None = None
        self._ended = Latch()
        self._next = 0.0
        self._closed = False
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's work to the parent."""
        if self._cleaner is not None:
            self._cleaner.abandon()
        self._lock = new_lock()
        self._tasks = deque()
        self._has_more = False
        self._cleaner = None
        self._next = 0.0

    # Beside the caller.

    def tend(self) -> None:
        """Recover, beside the caller, if it is time to and nobody else does. Each verb calls it."""
        if self._interval is None or time.monotonic() < self._next:
            return
        with self._lock:
            is_time = time.monotonic() >= self._next
            self._next = time.monotonic() + self._interval
        if is_time:
            self._begin([self._run_in_turn])

    def clean(self, revisions: Iterable[str]) -> None:
        """Delete the blobs of retired revisions, beside the caller."""
        tasks = [partial(self._delete, Retired(revision)) for revision in revisions]
        if tasks:
            self._begin(tasks)

    def give_up(self, revision: str) -> None:
        """Retire a revision that was not committed. What fails here is left to its lease."""
        try:
            abandoned = self._rows.log.abandon(revision)
        except FSError:
            logger.warning("%r is left to a recovery", revision, exc_info=True)
        else:
            self.clean([revision] if abandoned else [])

    def close(self, timeout: float = 30.0) -> bool:
        """Begin nothing more; wait for what is being done. What is left is in the rows.

        :param timeout: seconds; what takes longer goes on.
        :returns: whether it has ended.
        """
        with self._lock:
            self._closed = True
            self._tasks.clear()
            self._has_more = False
            cleaner, ended = self._cleaner, self._ended
        if cleaner is None:
            return True
        if not ended.wait(timeout):
            return False
        cleaner.join()
        return True

    def wait(self) -> None:
        """Wait until all that was begun is done."""
        while (cleaner := self._cleaner) is not None:
            cleaner.join()

    def _begin(self, tasks: Sequence[Callable[[], object]]) -> None:
        cleaner = None
        with self._lock:
            if self._closed:
                return
            room = MOST_TASKS - len(self._tasks)
            self._tasks.extend(tasks[:room])
            self._has_more = self._has_more or len(tasks) > room
            if self._cleaner is None:
                self._ended = Latch()
                cleaner = self._cleaner = Strand(self._work, self._ended.open)
        if cleaner is None:
            return
        try:
            cleaner.start()
        except RuntimeError:  # No thread is left, or the program is ending.
            with self._lock:
                self._cleaner, ended = None, self._ended
            ended.open()
            logger.warning("retired blobs are left to a recovery", exc_info=True)

    def _work(self) -> None:
        while (task := self._next_task()) is not None:
            try:
                task()
            except Exception:  # Whatever it is, the others wait for this strand.
                logger.warning("retired blobs are left to a recovery", exc_info=True)
            except BaseException:
                # It ends, and what it has not done is done by the next one.
                with self._lock:
                    self._cleaner = None
                raise

    def _next_task(self) -> Callable[[], object] | None:
        with self._lock:
            if not program_ends():
                if self._tasks:
                    return self._tasks.popleft()
                if self._has_more:
                    self._has_more = False
                    return self.run
            self._cleaner = None
            return None

    def _run_in_turn(self) -> None:
        seconds = (self._interval or 0.0) * CLAIMED
        if self._rows.log.claim_recovery(self._lease.owner, seconds):
            self.run()

    # By whoever calls.

    def delete(self, revisions: Iterable[str]) -> None:
        """Delete the blobs of retired revisions now. What cannot be deleted now is in the rows."""
        for revision in revisions:
            self._delete(Retired(revision))

    def run(self) -> Recovered:
        """Take over what was left, and delete what is due. It may be run at any time.

        :raises DatabaseError: the rest is left to the next one.
        """
        abandoned = self._take_over()
        expired = self._expire()
        deleted = left = 0
        while due := self._rows.retired.due():
            for one in due:
                if self._closed or program_ends():
                    return Recovered(abandoned, expired, deleted, left)
                if self._delete(one):
                    deleted += 1
                else:
                    left += 1
            if left:
                break  # Swift fails: it is asked again when they are due again.
        return Recovered(abandoned, expired, deleted, left)

    def _take_over(self) -> int:
        count = 0
        while changes := self._rows.log.expired():
            for change in changes:
                count += self._rows.log.abandon(change.revision, expired=True)
        return count

    def _expire(self) -> int:
        count = 0
        while expired := self._rows.expired():
            removals = [Write(one.info.name, None, only=one.version) for one in expired]
            written = self._rows.compare_and_write(*removals)
            count += sum(one.result == "done" for one in written)
        return count

    def _delete(self, retired: Retired) -> bool:
        """Delete the blob of a retired revision, unless another does; False: it could not be."""
        revision = retired.revision
        if not self._rows.retired.claim(revision):
            return True
        if retired.deletions > 1:  # It has been gone for days.
            self._rows.retired.forget(revision)
            return True
        try:
            (self._blobs.purge if is_ours(revision) else self._blobs.delete)(revision)
        except FSError:
            pause = self._rows.retired.not_deleted(revision, retired.failures)
            logger.warning("%r is deleted later, in %.0f s", revision, pause, exc_info=True)
            return False
        self._rows.retired.deleted(revision)
        return True
