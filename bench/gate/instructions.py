"""Count the instructions of a program, with valgrind."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds that a client may take; it needs some ten.
PATIENCE = 120

_REFS = re.compile(r"^==\d+== I\s+refs:\s+([\d,]+)$", re.MULTILINE)


class NotMeasured(Exception):
    """There is no figure; the message says why."""


def valgrind() -> str:
    """Return where valgrind is.

    :raises NotMeasured: it is not on PATH.
    """
    found = shutil.which("valgrind")
    if found is None:
        raise NotMeasured("there is no valgrind on PATH; on Debian: apt-get install valgrind")
    return found


def run(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Let a program do its work, in an empty folder; return what it prints.

    :param variables: its whole environment.
    :raises NotMeasured: it failed, or did not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"a client did not end within {PATIENCE} seconds") from None
    if done.returncode:
        raise NotMeasured(f"a client ended with {done.returncode}:\n{done.stdout.strip()}")
    return done.stdout


def count(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Return the instructions that a program executes outside the kernel.

    :param variables: its whole environment.
    :raises NotMeasured: it failed, or there is no valgrind.
    """
    tool = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    return summary(run([valgrind(), *tool, "--trace-children=no", *command], variables))


def summary(said: str) -> int:
    """Return the instructions that cachegrind says it saw.

    :raises NotMeasured: it does not say.
    """
    found = _REFS.search(said)
    if found is None:
        raise NotMeasured(f"cachegrind did not say how many instructions it saw:\n{said}")
    return int(found[1].replace(",", ""))
