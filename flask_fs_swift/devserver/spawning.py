"""Start a server process and wait until it answers."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .conf import SETTINGS_VARIABLE
from .datadir import Ready
from .errors import DevServerError
from .program import command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .datadir import DataDirectory
    from .locks import Lock

_LARGEST_LOG = 16 * 2**20  # bytes; a larger one is begun anew
_TAIL = 2000  # characters
_LEAD = 1.0  # seconds by which a server gives up before we do, so that it never comes too late


@dataclass(frozen=True)
class Spawned:
    """A process that was started, and the facts of the server in it."""

    #: A shared server is its child, detached from it; then this process has ended.
    process: subprocess.Popen[bytes]
    ready: Ready


def spawn(
    directory: DataDirectory,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    start_lock: Lock,
    deadline: float,
) -> Spawned:
    """Start a server, which inherits ``start_lock`` until it is ready.

    :param deadline: in seconds of the monotonic clock.
    :raises DevServerError: it ended, or did not answer in time and was ended.
    """
    begin = _log_begin(directory.log)
    timeout = max(1.0, deadline - time.monotonic() - _LEAD)
    own = [str(directory.path), "--start-lock", str(start_lock.fd), "--timeout", str(timeout)]
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as announcement:
        with os.fdopen(writer, "wb") as stdout, directory.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                command([*own, *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                cwd=directory.path,  # the import path begins there: not in the user's program
                env=os.environ | {SETTINGS_VARIABLE: json.dumps(dict(settings))},
                pass_fds=[start_lock.fd],
                start_new_session=True,  # an interrupt from the terminal is not meant for it
            )
        line = _read_line(announcement.fileno(), deadline)
    if not line.endswith(b"\n"):
        process.kill()
        process.wait()
        raise DevServerError(_explanation(directory.log, begin, timeout))
    return Spawned(process, Ready.from_json(line))


def _log_begin(log: Path) -> int:
    """Return where a new server's part of the log begins, in bytes."""
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.unlink()
    log.touch(mode=0o600)
    return log.stat().st_size


def _read_line(fd: int, deadline: float) -> bytes:
    """Read until a line is whole, the stream ends, or time is up."""
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            block = os.read(fd, 65536)
            if not block:
                break
            line += block
    return line


def _explanation(log: Path, begin: int, timeout: float) -> str:
    said = log.read_bytes()[begin:].decode(errors="replace").strip()[-_TAIL:]
    if not said:
        return f"the development server did not answer within {timeout:.0f} s; it said nothing"
    return f"the development server did not start; it said:\n{said}"
