"""Resident memory that large transfers and long listings add: ``python -m bench.memory``.

Needs Linux (``/proc``) and the extra ``dev``. Each figure is the peak of the resident
set during the operation, less what was resident before it, after a warm-up.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1024 * 1024
GIB = 1024 * MIB
LISTED = 100_000


def status(field: str) -> float:
    """Return a field of this process's memory, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def added(operation: Callable[[], object]) -> float:
    """Return the MiB that an operation adds at its peak, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
        before = status("VmRSS")
        operation()
        os.write(writer, f"{status('VmHWM') - before}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        os.waitpid(child, 0)
        return float(answer.read())


def passing(size: int) -> Iterator[bytes]:
    for number in range(size // MIB):
        yield bytes([number % 256]) * MIB


def fill(data: Path, container: str) -> None:
    """Put names into a container's database, as Swift's own container server would."""
    from swift.container.backend import ContainerBroker

    for path in data.glob("devices/*/containers/**/*.db"):
        broker = ContainerBroker(str(path))
        if broker.get_info()["container"] == container:
            now = f"{time.time():016.5f}"
            for number in range(LISTED):
                name = f"folder/{number:08d}.txt"
                broker.put_object(name, now, 0, "text/plain", "d41d8cd98f00b204e9800998ecf8427e")
            broker._commit_puts()  # noqa: SLF001 - there is no other way to end a batch
            return
    raise LookupError(container)


def main() -> int:
    """Print each figure beside its limit; fail when one is above it."""
    worst = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        DevServer.start(Path(folder), faults=False) as server,
    ):
        app = Flask("bench")
        app.config.update(
            FS_SWIFT_AUTHURL=server.auth_url,
            FS_SWIFT_USER=server.user,
            FS_SWIFT_KEY=server.key,
            FS_SWIFT_AUTH_VERSION=1,
            FS_SWIFT_CREATE_CONTAINER=True,
        )
        storage, listed = Storage("files", ALL, overwrite=True), Storage("listed", ALL)
        FS(app, storage, listed)
        files, many = storage.bound(app), listed.bound(app)
        source = Path(folder) / "source"
        with source.open("wb") as sparse:
            sparse.truncate(GIB)

        def write_file() -> None:
            with source.open("rb") as file:
                files.write("file", file)

        many.write("warm.txt", b"")
        many.delete("warm.txt")
        fill(Path(folder), "listed")
        files.write("warm", passing(8 * MIB))
        files.read("warm")
        list(many.list_files(prefix="none"))
        rows: list[tuple[str, Callable[[], object], float]] = [
            ("write 1 GiB that passes once", lambda: files.write("big", passing(GIB)), 8),
            ("write 1 GiB from a file", write_file, 8),
            ("read 1 GiB in chunks", lambda: deque(files.read_chunks("big"), maxlen=0), 8),
            (f"list {LISTED:,} files", lambda: deque(many.list_files(), maxlen=0), 4),
        ]
        for label, operation, limit in rows:
            mib = added(operation)
            print(f"{label:32} {mib:6.1f} MiB of {limit:.0f}")
            worst = max(worst, int(mib > limit))
        print(f"listed: {sum(1 for _ in many.list_files()):,}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
