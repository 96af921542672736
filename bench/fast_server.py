"""The project's own C server: compiled for the run, on a port that the system chooses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

SOURCE = Path(__file__).parent / "server.c"


class NoCompiler(Exception):
    """There is no C compiler on PATH."""


class FastServer:
    """A running server; it lives until it is stopped or this process ends.

    :param folder: where the program is put.
    :param delay: milliseconds by which answers to requests of objects come late.
    :raises NoCompiler: nothing was started.
    """

    def __init__(self, folder: Path, delay: float = 0) -> None:
        program = folder / "server"
        if not program.exists():
            compile_to(program)
        #: What it serves as the object ``archive``, once it is there; it must not change then.
        self.archive = folder / "archive.zip"
        command = [str(program), str(self.archive), str(delay)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def auth_url(self) -> str:
        """Where v1 authentication is."""
        return f"{self.url}/auth/v1.0"

    def tls_auth_url(self, port: int) -> str:
        """Return where to authenticate for a storage URL behind a TLS front on a port."""
        return f"{self.url}/tls/{port}/auth/v1.0"

    def pin(self, cores: set[int]) -> None:
        """Let it run on these cores only."""
        os.sched_setaffinity(self._process.pid, cores)

    def stats(self) -> dict[str, int]:
        """Count connections, authentications, requests and bytes sent, this question included."""
        with urllib.request.urlopen(f"{self.url}/stats") as answer:
            counted: dict[str, int] = json.load(answer)
        return counted

    def get(self, path: str) -> bytes:
        """Return what a GET answers."""
        request = urllib.request.Request(self.url + path, headers={"X-Auth-Token": "any"})
        with urllib.request.urlopen(request) as answer:
            body: bytes = answer.read()
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Doing it twice is fine."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def compile_to(program: Path) -> None:
    """Compile the server.

    :raises NoCompiler: there is none.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler("no C compiler: there is no cc on PATH")
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
