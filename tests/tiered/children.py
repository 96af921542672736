"""Forked children that do as they are told."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Child:
    """A forked child that does one thing after another, each when it is told."""

    def __init__(self, *tasks: Callable[[], object]) -> None:
        self._done, done = os.pipe()
        turn, self._turn = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._turn)
            self._run(tasks, turn, done)
        os.close(done)
        os.close(turn)

    def _run(self, tasks: tuple[Callable[[], object], ...], turn: int, done: int) -> None:
        code = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(100)  # It does not outlive a parent that gave it up.
        try:
            for task in tasks:
                if not os.read(turn, 1):
                    break  # The parent is gone.
                task()
                os.write(done, b".")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def begin(self) -> None:
        """Let it do the next thing."""
        os.write(self._turn, b".")

    def wait(self) -> None:
        """Return when that is done."""
        assert os.read(self._done, 1) == b".", "the child failed"

    def go_on(self) -> None:
        """Let it do the next thing; return when that is done."""
        self.begin()
        self.wait()

    def end(self, code: int = 0) -> None:
        """Wait for its end, which must be a good one.

        :param code: or another one; negative, the signal that ended it.
        """
        os.close(self._turn)
        assert os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == code
        os.close(self._done)
