"""What stands where in the data directory of a development server.

``users.lock``, ``start.lock``, ``server.lock``: see :mod:`.locks`.
``identity.json``  says that the directory is ours, and holds the secrets that must outlive
                   a server: with another hash suffix Swift would not find its own objects.
``ready.json``     the facts of the running server. A server removes its predecessor's before
                   it starts and its own when it ends; after a SIGKILL it is left behind, so
                   it counts only while ``server.lock`` is held.
``server.log``     whatever the server writes to its standard error.
``etc``, ``devices``, ``recon``  Swift's own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .errors import DevServerError

if TYPE_CHECKING:
    from pathlib import Path

_BEFORE_IDENTITY = {"users.lock", "start.lock", "server.lock", "server.log", "identity.json.new"}


@dataclass(frozen=True)
class Ready:
    """The facts of a server that answers. They hold until it ends."""

    pid: int
    url: str
    auth_url: str
    user: str
    key: str
    storage_url: str
    shared: bool
    faults: bool

    def to_json(self) -> str:
        """Write the facts on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Ready:
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class DataDirectory:
    """A directory that holds the data of one development server, and nothing else."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> DataDirectory:
        """Take a directory into use: ours, an empty one, or a new one.

        :raises DevServerError: it holds somebody else's files, or cannot be written; nothing
            in it was changed.
        """
        try:
            path = path.resolve()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = cls(path)
            directory._refuse_what_is_not_ours()
            path.chmod(0o700)
        except OSError as error:
            raise DevServerError(f"{path} cannot be the data directory: {error}") from error
        return directory

    def _refuse_what_is_not_ours(self) -> None:
        # First the names: a server that is starting meanwhile writes identity.json before the rest.
        names = {entry.name for entry in self.path.iterdir()}
        if names - _BEFORE_IDENTITY and not self.identity_file.exists():
            raise DevServerError(
                f"{self.path} is not empty and is not a development server's data directory;"
                " name an empty or a new one"
            )

    @property
    def users_lock(self) -> Path:
        """Every process that uses a shared server holds this one, shared."""
        return self.path / "users.lock"

    @property
    def start_lock(self) -> Path:
        """Whoever starts a server holds this one, until the server is ready."""
        return self.path / "start.lock"

    @property
    def server_lock(self) -> Path:
        """The server holds this one as long as it lives."""
        return self.path / "server.lock"

    @property
    def identity_file(self) -> Path:
        """The secrets that outlive a server."""
        return self.path / "identity.json"

    @property
    def ready_file(self) -> Path:
        """The facts of the running server."""
        return self.path / "ready.json"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.path / "server.log"

    @property
    def etc(self) -> Path:
        """Swift's configuration and rings."""
        return self.path / "etc"

    @property
    def devices(self) -> Path:
        """Swift's data."""
        return self.path / "devices"

    @property
    def recon(self) -> Path:
        """Swift's statistics and lock files."""
        return self.path / "recon"

    def prepare(self) -> None:
        """Make room for a server, and remove what a killed one left.

        The caller holds ``start.lock`` and ``server.lock``.

        :raises DevServerError: the file system does not keep extended attributes.
        """
        if not self.identity_file.exists():
            _write_whole(self.identity_file, json.dumps({"hash_suffix": secrets.token_hex(8)}))
        self.unpublish()
        unfinished = self.devices / "d1" / "tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.recon.mkdir(exist_ok=True)
        try:
            os.setxattr(unfinished, "user.swift.metadata", bytes(1024))
        except OSError as error:
            raise DevServerError(
                f"the file system of {self.path} keeps no extended attributes ({error.strerror}),"
                " which Swift stores metadata in; ext4, xfs and btrfs do"
            ) from error

    def hash_suffix(self) -> str:
        """Return the secret that Swift mixes into its file names."""
        suffix: str = json.loads(self.identity_file.read_text())["hash_suffix"]
        return suffix

    def publish(self, ready: Ready) -> None:
        """Tell everyone who looks that the server answers."""
        _write_whole(self.ready_file, ready.to_json())

    def ready(self) -> Ready | None:
        """Return the facts last published; None when they were taken back or make no sense."""
        try:
            return Ready.from_json(self.ready_file.read_text())
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def unpublish(self) -> None:
        """Take the facts back."""
        self.ready_file.unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees all of the old one or all of the new one."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
