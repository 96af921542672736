"""The process of a development server.

``python -m flask_fs_swift.devserver.server DIRECTORY`` serves a directory until it gets a
SIGTERM. It logs to its standard error; when it answers, it writes its facts to its standard
output on one line of JSON.

It is one process with one listening port. Eventlet changes Python's standard library in it,
so it never runs inside a user's process, and :mod:`.program` keeps our own package out of it.

In order:

1. take ``start.lock``, or inherit it from the launcher, then ``server.lock``;
2. listen, write the configuration, build Swift from it;
3. prove it with a request that goes through to the disk;
4. publish ``ready.json``, let go of ``start.lock``: from here on it can be found;
5. serve, until the :class:`.lifetime.Lifetime` is over;
6. take ``ready.json`` back, let requests in flight finish for three seconds, exit.

Until step 4 it is killed by an alarm when it takes too long.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import socket
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import conf
from .datadir import DataDirectory, Ready
from .errors import DevServerError
from .lifetime import Lifetime
from .locks import Lock
from .program import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .front import Front

_PREDECESSORS_END = 5.0  # seconds
_PREDECESSORS_DEATH = 0.5  # seconds from a SIGKILL until the kernel has cleared up
_BACKLOG = 1024
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104


def main(arguments: Sequence[str]) -> None:
    """Serve until told to end."""
    options = _parse(arguments)
    if options.shared:
        _detach()
    os.environ["TZ"] = "UTC+0"  # what Swift's own programs set
    time.tzset()
    os.umask(0o077)
    signal.setitimer(signal.ITIMER_REAL, options.timeout)
    try:
        _run(options)
    except DevServerError as error:
        sys.exit(f"flask-fs-swift development server: {error}")
    except ModuleNotFoundError as error:
        needed = "keystonemiddleware" if "keystone" in str(error) else '"flask-fs-swift[dev]"'
        sys.exit(f"flask-fs-swift development server: {error}; pip install {needed}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="flask_fs_swift.devserver.server", description="Run a Swift for development and tests."
    )
    parser.add_argument("directory", type=Path, help="where it keeps its data")
    parser.add_argument("--host", default="127.0.0.1", help="anything else opens it to others")
    parser.add_argument("--port", type=int, default=0, help="0: one that is free")
    parser.add_argument("--or-any-port", action="store_true", help="when PORT is taken")
    parser.add_argument("--faults", action="store_true", help="offer /__devserver__/")
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="SECTION.KEY=VALUE"
    )
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to start in")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when it is not ours")
    parser.add_argument("--shared", action="store_true", help="detach, end with the last user")
    parser.add_argument("--start-lock", type=int, metavar="FD", help="inherited")
    return parser.parse_args(arguments)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} has no '='")
    return name, value


def _detach() -> None:
    """Become nobody's child: a shared server outlives the process that started it."""
    if os.fork():
        os._exit(0)


def _run(options: argparse.Namespace) -> None:
    directory = DataDirectory.open(options.directory)
    with _starting(directory, options.start_lock):
        _claim(directory)
        front, ready = _start(directory, options)
        lifetime = Lifetime(directory, parent=options.parent, shared=options.shared)
        lifetime.end_on_signals()
        directory.publish(ready)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _announce(ready)
    front.serve_until(lifetime.is_over)
    directory.unpublish()
    front.finish()
    os._exit(0)  # sys.exit would wait for Swift's threads


@contextmanager
def _starting(directory: DataDirectory, inherited: int | None) -> Iterator[None]:
    if inherited is None:
        lock = Lock.wait(directory.start_lock, time.monotonic() + _PREDECESSORS_END)
    else:
        lock = Lock(inherited)
    try:
        yield
    finally:
        lock.end()


def _claim(directory: DataDirectory) -> None:
    """Take ``server.lock`` for as long as we live."""
    owner = directory.ready()  # one that ends in good order has taken it back
    patience = _PREDECESSORS_DEATH if owner else _PREDECESSORS_END
    try:
        Lock.wait(directory.server_lock, time.monotonic() + patience)
    except DevServerError:
        who = f"pid {owner.pid}" if owner else "another server"
        raise DevServerError(f"{directory.path} is in use by {who}") from None


def _start(directory: DataDirectory, options: argparse.Namespace) -> tuple[Front, Ready]:
    settings = json.loads(os.environ.pop(conf.SETTINGS_VARIABLE, "{}"))
    settings |= dict(options.set)
    directory.prepare()
    listener = _listen(options.host, options.port, or_any_port=options.or_any_port)
    configuration = conf.write(directory, settings)
    front = _import_front(configuration.etc)(configuration, faults=options.faults)
    front.listen(listener, options.timeout)
    host, port = listener.getsockname()
    url = f"http://{'127.0.0.1' if host == _EVERY_ADDRESS else host}:{port}"
    account = conf.Account.at(url, settings)
    ready = Ready(
        pid=os.getpid(), url=url, shared=options.shared, faults=options.faults, **vars(account)
    )
    return front, ready


def _listen(host: str, port: int, *, or_any_port: bool) -> socket.socket:
    """Bind a port.

    Not with ``eventlet.listen``: it shares the port with whoever else wants to, so that two
    servers that ask for a free one can be given the same.
    """
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        if or_any_port and error.errno == errno.EADDRINUSE:
            return socket.create_server((host, 0), backlog=_BACKLOG)
        raise DevServerError(f"cannot listen on {host}:{port}: {error}") from error


def _import_front(etc: Path) -> type[Front]:
    """Import Swift, which takes its limits and its hash suffix from ``etc`` as it is imported."""
    warnings.simplefilter("ignore")  # eventlet says that it is to be retired
    from swift.common import utils

    utils.monkey_patch()
    utils.set_swift_dir(str(etc))
    from swift.common import constraints, storage_policy

    constraints.reload_constraints()
    storage_policy.reload_storage_policies()
    from .front import Front

    return Front


def _announce(ready: Ready) -> None:
    with suppress(BrokenPipeError):  # the starter has died; others may wait for ready.json
        sys.stdout.write(ready.to_json() + "\n")
        sys.stdout.flush()
    # Whoever waits for the line sees the end of the stream after it.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    os.execv(sys.executable, command(sys.argv[1:]))  # noqa: S606
