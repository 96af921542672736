"""Cases in each of the four situations, each in a process of its own.

They run with this interpreter, or with the one that ``SITUATIONS_PYTHON`` names: it needs the
package's requirements and a gevent, not the development server's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Timer
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

TESTS = Path(__file__).parent.parent
PYTHON = os.environ.get("SITUATIONS_PYTHON", sys.executable)
PATIENCE = 100.0  # seconds; a case that takes longer is killed


class Situation:
    """A Python in one situation, which forks for each case. Lives as long as its ``with`` block."""

    def __init__(self, name: str) -> None:
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        self._python = subprocess.Popen(
            [PYTHON, "-W", "error", "-m", "situations", name],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        with self._python:
            self._to.close()

    def run(self, script: str, function: str, facts: Mapping[str, str]) -> tuple[int, str]:
        """Run a function of a script; return its process's exit code, and all that it said."""
        with NamedTemporaryFile("r") as output:
            case = {"script": script, "function": function, "facts": facts, "output": output.name}
            self._to.write(json.dumps(case) + "\n")
            self._to.flush()
            killing = Timer(PATIENCE, os.kill, (self._answer(), signal.SIGKILL))
            killing.start()
            try:
                return self._answer(), output.read()
            finally:
                killing.cancel()
                killing.join()

    @property
    def _to(self) -> IO[str]:
        assert self._python.stdin is not None
        return self._python.stdin

    def _answer(self) -> int:
        assert self._python.stdout is not None
        line = self._python.stdout.readline()
        assert line, "the Python of the situation has ended; its error is on standard error"
        return int(line)
