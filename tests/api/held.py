"""A storage whose reads of descriptions wait until a test lets them go, and that counts them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Flask
from situations.here import until

from flask_fs_swift import ALL, FS, Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift import ObjectInfo


class Held(Storage):
    """Files in memory. While ``gate`` is shut, ``info`` runs and does not end."""

    def __init__(self) -> None:
        super().__init__("files", ALL)
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        # A list, as copies of a storage share it: how many run, and how many did at most.
        self.counts = [0, 0]

    def info(self, filename: str) -> ObjectInfo:
        with self.lock:
            self.counts[0] += 1
            self.counts[1] = max(self.counts)
        try:
            assert self.gate.wait(20), "nobody has opened the gate"
            return super().info(filename)
        finally:
            with self.lock:
                self.counts[0] -= 1

    @property
    def most(self) -> int:
        return self.counts[1]

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Let nothing end meanwhile."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    def wait_for(self, running: int) -> None:
        until(lambda: self.counts[0] == running)


def held_files() -> Held:
    app = Flask("held")
    app.config["FS_BACKEND"] = "memory"
    files = Held()
    FS(app, files)
    return files.bound(app)
