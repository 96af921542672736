"""The service of a run: a process of gunicorn that keeps its objects in the fast server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import environments
from .clients.client import CONTAINER, KEY_ID, Cannot, resident

if TYPE_CHECKING:
    from types import TracebackType

    from flask import Flask
    from typing_extensions import Self

#: Classes of its workers.
PATCHED, THREADED = "gevent", "gthread"
#: Requests that it does at once, where these have threads.
THREADS = 16


class Service:
    """A running service; it lives until it is stopped.

    :param workers: the class of gunicorn's worker.
    :param auth_url: of the Swift that has its objects.
    :param public: the PEM of the key that its clients sign with.
    :raises Cannot: what it needs could not be installed.
    """

    def __init__(self, workers: str, auth_url: str, public: str) -> None:
        try:
            interpreter = environments.python("service")
        except environments.NotInstalled as why:
            raise Cannot(str(why)) from why
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            # Whoever connects before it is up waits in the queue of this socket.
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._process = subprocess.Popen(
                [
                    *(interpreter, "-m", "gunicorn", "bench.service:create_app()"),
                    *("--worker-class", workers),
                    *(("--threads", str(THREADS)) if workers == THREADED else ()),
                    *("--bind", f"fd://{listener.fileno()}", "--log-level", "error"),
                    "--no-control-socket",
                ],
                env={
                    **environments.variables("service"),
                    "BENCH_SERVICE": json.dumps({"auth_url": auth_url, "public": public}),
                },
                pass_fds=[listener.fileno()],
                stderr=sys.stderr if "-v" in sys.argv else subprocess.DEVNULL,
            )

    @property
    def worker(self) -> int:
        """The process that answers; it is there once something was answered."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        (pid,) = (tasks / str(self._process.pid) / "children").read_text().split()
        return int(pid)

    def forget_peak(self) -> float:
        """Begin to look for the most memory that it has; return how much it has, in MiB."""
        Path(f"/proc/{self.worker}/clear_refs").write_text("5")
        return resident("VmRSS", self.worker)

    def peak(self) -> float:
        """Return the most memory that it had since then, in MiB."""
        return resident("VmHWM", self.worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()


def create_app() -> Flask:
    """Return what gunicorn runs."""
    from flask import Flask

    from flask_fs_swift import ALL, FS, Storage
    from flask_fs_swift.api import objectstore

    told = json.loads(os.environ["BENCH_SERVICE"])
    app = Flask("service")
    app.config.update(
        FS_SWIFT_AUTHURL=told["auth_url"],
        FS_SWIFT_USER="test:tester",
        FS_SWIFT_KEY="testing",
        FS_SWIFT_AUTH_VERSION=1,
        FS_SWIFT_POOL_SIZE=THREADS + 4,
    )
    files = Storage(CONTAINER, ALL)
    FS(app, files)
    keys = {
        KEY_ID: {
            "versions": [told["public"]],
            "max_permissions": ["object.read", "object.write", "object.delete"],
        }
    }
    app.register_blueprint(objectstore(files, keys=keys), url_prefix="/v1")
    return app
