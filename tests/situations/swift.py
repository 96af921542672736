"""The storage that the scripts work on, and what can be seen of its connections."""

from __future__ import annotations

import secrets
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask

from flask_fs_swift import ALL, FS, Pool, Storage
from flask_fs_swift.devserver.control import Faults

from . import here

POOL_SIZE = 5
#: What a script says whose facts cannot be seen on this machine.
SKIPPED = "only Linux tells the sockets of a process"


def new_storage(**settings: object) -> tuple[Storage, Pool]:
    """Return a storage on the Swift of the test, in a fresh container, and its pool.

    :param settings: without ``FS_SWIFT_``.
    """
    app = Flask("situations")
    app.config.update(
        FS_SWIFT_AUTHURL=here.facts["auth_url"],
        FS_SWIFT_USER=here.facts["user"],
        FS_SWIFT_KEY=here.facts["key"],
        FS_SWIFT_AUTH_VERSION="1",
        FS_SWIFT_CREATE_CONTAINER=True,
        FS_SWIFT_POOL_SIZE=POOL_SIZE,
        FS_SWIFT_POOL_TIMEOUT=50,
    )
    app.config.update({f"FS_SWIFT_{key.upper()}": value for key, value in settings.items()})
    files = Storage(f"s{secrets.token_hex(6)}", ALL)
    FS(app, files)
    [pool] = app.extensions["flask_fs_swift"].pools
    return files.bound(app), pool


def faults() -> Faults:
    """Return what can be done to the Swift of the test."""
    return Faults(here.facts["url"])


def authentications() -> int:
    """Count the requests for a token that the Swift of the test has logged."""
    return sum(request.path == "/auth/v1.0" for request in faults().requests())


def assert_all_is_back(pool: Pool) -> None:
    """Check that no slot is missing, and none is waited for."""
    stats = pool.stats()
    assert (stats.lent, stats.waiting) == (0, 0), pool
    assert stats.idle <= POOL_SIZE, pool


class Sockets:
    """How many sockets this process has connected to the Swift of the test."""

    def __init__(self) -> None:
        #: The most that were ever seen.
        self.most = 0
        if sys.platform != "linux":
            sys.exit(SKIPPED)
        self._port = f":{urlsplit(here.facts['url']).port:04X}"

    def look(self) -> None:
        """Count them now."""
        self.most = max(self.most, self.connected())

    def connected(self) -> int:
        """Return how many there are now."""
        ours = _own_inodes()
        lines = Path("/proc/self/net/tcp").read_text().splitlines()
        established = [line.split() for line in lines if f"{self._port} 01 " in line]
        # While others come and go, the kernel may list one twice.
        return len(ours & {row[9] for row in established if row[2].endswith(self._port)})


def _own_inodes() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # It was closed meanwhile.
            found.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found
