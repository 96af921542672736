"""A PostgreSQL of one's own: to be killed, or for a whole run of the tests.

``python tests/tiered/postgres.py`` prints the URL of one, and ends it when it is ended itself.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

#: Where Debian has them.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
PATIENCE = 60.0  # seconds


def binary(name: str) -> str | None:
    """Return where a program of PostgreSQL is; None: nowhere."""
    folders = os.pathsep.join([*map(str, _FOLDERS), os.environ.get("PATH", "")])
    return shutil.which(name, path=folders)


class Postgres:
    """A server on a free port of loopback, which trusts everybody. Lives until it is stopped.

    :param data: a directory that does not exist.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        data.mkdir(parents=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            shutil.chown(data, "postgres")
        self._run(
            "initdb", "-A", "trust", "-U", "fs", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )

    @property
    def url(self) -> str:
        """What SQLAlchemy needs to know."""
        return f"postgresql+psycopg://fs@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, again on the same port; return when it can be asked."""
        self._port = self._port or _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "200",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self._data / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_needed("postgres"), "-D", self._data, "-p", str(self._port), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_postgres(),
            )
        deadline = time.monotonic() + PATIENCE
        ready = [_needed("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        while subprocess.run(ready, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._data / "log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash does: sessions get no word, and no data is written."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it; those who are connected are told."""
        self._end(signal.SIGINT)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)

    def _run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(
            [_needed(program), "-D", self._data, *arguments],
            capture_output=True,
            text=True,
            check=False,
            **_as_postgres(),
        )
        if ended.returncode:
            raise RuntimeError(f"{program} failed: {ended.stdout}{ended.stderr}")


def _needed(name: str) -> str:
    path = binary(name)
    if path is None:
        raise RuntimeError(f"PostgreSQL's {name} is not installed")
    return path


def _as_postgres() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {"cwd": "/"}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Run a server until somebody ends us."""
    with TemporaryDirectory(prefix="postgres") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "data")
        ended = Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: ended.set())
        server.start()
        print(server.url, flush=True)
        ended.wait()
        server.stop()


if __name__ == "__main__":
    main()
