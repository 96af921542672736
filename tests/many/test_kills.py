"""A batch whose workers, or whose hirer, are killed: at whatever line that is, nothing is lost."""

from __future__ import annotations

import gc
import linecache
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from situations.here import NativeTask, until

from flask_fs_swift import batch

from .gates import Place, threads
from .test_many import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Killer:
    """Raises what ends a program, at one line of those that a batch runs.

    :param at: which line, counted from 0 in the order in which they are run.
    """

    def __init__(self, at: int, files: set[str]) -> None:
        self._left = at
        self._lock = threading.Lock()
        self._files = files
        #: Where it struck.
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        if event != "line":
            return self
        if self._takes_or_leaves_a_lock(frame):
            return self
        with self._lock:
            self._left -= 1
            strikes = self._left == -1
        if strikes:
            self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
            raise SystemExit
        return self

    def _takes_or_leaves_a_lock(self, frame: FrameType) -> bool:
        """Tell whether Python itself may lose a lock here (python/cpython#74174)."""
        name, line = frame.f_code.co_filename, frame.f_lineno
        here, before = linecache.getline(name, line), linecache.getline(name, line - 1)
        return "self._lock" in here or ("try:" in here and "self._lock" in before)


@contextmanager
def traced(killer: Killer, *, workers: bool) -> Iterator[None]:
    """Have a killer look at every line of the workers, or of this thread."""
    before = sys.gettrace()
    if workers:
        threading.settrace(killer)
    else:
        sys.settrace(killer)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(None)


def run(killer: Killer, *, workers: bool) -> None:
    """Do a small batch, with a killer around; all of the pool comes back, and no thread is left."""
    place = Place(4)

    def consume() -> None:
        with traced(killer, workers=workers), suppress(SystemExit):
            list(place.files.many(map(put, range(6)), concurrency=2))

    NativeTask(consume).result()
    gc.collect()
    until(lambda: not threads())
    place.assert_all_is_back()


#: Of each 27 lines: three are tried each time, the others take long.
STARTS = [
    start if start % 3 == 0 else pytest.param(start, marks=pytest.mark.large) for start in range(9)
]


# A thread that is killed before its first statement says so itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("workers", [True, False], ids=["worker", "consumer"])
@pytest.mark.parametrize("start", STARTS)
def test_wherever_it_is_killed_everything_comes_back(workers: bool, start: int) -> None:
    struck = set()
    for at in range(1 + start, 600, 27):
        killer = Killer(at, {batch.__file__})
        run(killer, workers=workers)
        struck.add(killer.where)
    assert len(struck) > 10
