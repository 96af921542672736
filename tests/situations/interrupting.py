"""Interrupt a call before any of its instructions, as a finaliser or a signal may."""

from __future__ import annotations

import math
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from flask_fs_swift import concurrency, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_CODE = {concurrency.__file__, pool.__file__}


class Interruption:
    """Does something once, before the instruction of this number."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        #: When it came, on the monotonic clock.
        self.time = math.inf
        self._left = number
        self._act = act

    def during(self, call: Callable[[], Any]) -> Any:
        """Make a call, and interrupt it if it has so many instructions in our code."""
        before = sys.gettrace()
        # Python 3.12 traces instructions only if some frame wants it when tracing begins.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if frame.f_code.co_filename not in _CODE:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if self._left == 0:
                self._act()
                self.time = time.monotonic()
            self._left -= 1
        return self._trace


def interruptions(act: Callable[[], object]) -> Iterator[Interruption]:
    """Yield one interruption for each instruction, until one has not come any more."""
    for number in count():
        interruption = Interruption(number, act)
        yield interruption
        if interruption.time == math.inf:
            assert number, "the call has no instruction of ours"
            return
