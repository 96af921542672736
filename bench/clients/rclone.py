"""rclone: a program that is started for each operation, as scripts do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .client import CONTAINER, Cannot, Client, Setup


class Program(Client):
    """It checks what it wrote with a HEAD, so it writes objects that the server knows."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        found = shutil.which("rclone")
        if found is None:
            raise Cannot("rclone is not on PATH")
        self.path = found
        self.environment = {
            **os.environ,
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_BENCH_TYPE": "swift",
            "RCLONE_CONFIG_BENCH_AUTH": setup.auth_url,
            "RCLONE_CONFIG_BENCH_AUTH_VERSION": "1",
            "RCLONE_CONFIG_BENCH_USER": setup.user,
            "RCLONE_CONFIG_BENCH_KEY": setup.key,
        }
        if setup.cacert:
            self.environment["RCLONE_CA_CERT"] = setup.cacert

    def version(self) -> str:
        return self._run("version").decode().splitlines()[0]

    def _run(self, *arguments: str, given: bytes | None = None) -> bytes:
        return subprocess.run(
            [self.path, *arguments],
            input=given,
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    def _at(self, name: str) -> str:
        return f"bench:{CONTAINER}/{name}"

    def write(self, name: str, data: bytes) -> None:
        self._run("rcat", "--size", str(len(data)), self._at(f"s{len(data)}"), given=data)

    def read(self, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return self._fetched(name, folder).read_bytes()

    def _fetched(self, name: str, folder: str) -> Path:
        self._run("copyto", self._at(name), f"{folder}/{name}")
        return Path(folder, name)

    def describe(self, name: str) -> None:
        self._run("lsjson", "--stat", self._at(name))

    def delete(self, name: str) -> None:
        self._run("deletefile", self._at(name))

    def write_file(self, name: str, path: str) -> None:
        size = Path(path).stat().st_size
        self._run("copyto", "--ignore-times", path, self._at(f"s{size}"))

    def read_chunks(self, name: str) -> int:
        with tempfile.TemporaryDirectory() as folder:
            return self._fetched(name, folder).stat().st_size

    def list_all(self, container: str) -> int:
        return self._run("lsf", "--files-only", "-R", "--format", "ps", f"bench:{container}").count(
            b"\n"
        )


client = Program
