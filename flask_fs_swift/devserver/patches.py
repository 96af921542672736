"""What is changed inside Swift for a development server."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import swift.common.db
from eventlet import tpool
from swift.common import utils
from swift.common.utils import logs
from swift.obj import diskfile
from swift.proxy.controllers import base

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class _StandardError(logging.Handler):
    """A log handler that Swift makes as it would make one for syslog."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def setFormatter(self, _: logging.Formatter | None) -> None:  # noqa: N802
        """Keep our format: Swift's leaves the time to syslog."""
        super().setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, if it can be written: no request fails for a full disk's log."""
        with suppress(OSError):
            sys.stderr.write(self.format(record) + "\n")


def log_to_standard_error() -> None:
    """Let no line go to the machine's syslog."""
    logs.ThreadSafeSysLogHandler = _StandardError


def never_sync() -> None:
    """Leave it to the kernel when data reaches the disk.

    What is stored survives the death of the server, but not a power cut: this is data for
    development, and syncing costs most of the time of a small PUT.
    """
    for module in (utils, diskfile, swift.common.db):
        for name in ("fsync", "fdatasync", "fsync_dir"):
            if hasattr(module, name):
                setattr(module, name, _do_nothing)
    swift.common.db.get_db_connection = _unsynced(swift.common.db.get_db_connection)


def stay_in_one_thread() -> None:
    """Wait for the disk where it is asked for: to hand a small file to a thread takes longer."""
    tpool.set_num_threads(0)


def look_at_methods_once() -> None:
    """Look up once for each kind of controller, not for each request, which methods it has."""
    for name in ("allowed_methods", "private_methods"):
        asked = getattr(base.Controller, name).fget
        setattr(base.Controller, name, property(_once_for_each_kind(asked)))


def _once_for_each_kind(asked: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[type, Any] = {}

    def methods(controller: Any) -> Any:
        kind = type(controller)
        if kind not in known:
            known[kind] = asked(controller)
        return known[kind]

    return methods


def _do_nothing(*_: object, **__: object) -> None:
    pass


def _unsynced(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connect_unsynced(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    return connect_unsynced
