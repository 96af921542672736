"""What rows are measured with: the server, the files, and the children, kept for the run."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flask_fs_swift.api.keys import new_key_pair
from flask_fs_swift.devserver import DevServer

from . import environments
from .children import Child, Failed
from .clients.client import MEMBER, MIB, Cannot, Setup, create_container
from .fast_server import FastServer
from .service import Service
from .tls_front import NoCertificate, TLSFront

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from flask_fs_swift.api.keys import KeyPair

    from .peers import Peer

#: Who speaks to the service.
SPEAKERS = ("ours-api", "objectstore")

#: Connections that a pool may have where a row needs no more: what it has by default.
POOL = 20

#: Milliseconds.
DELAY = 20.0

PATTERN = f"/v1/AUTH_test/files/s{MIB}"


#: Of the zip, of one mebibyte each.
MEMBERS = 1024


class Hollow(io.FileIO):
    """A file in which zeros take no space. Something else must be written last."""

    def write(self, data: Buffer, /) -> int:
        """Write it, or go on behind it."""
        block = memoryview(data).cast("B")
        if len(block) < MIB or any(block):
            return super().write(block)
        self.seek(len(block), os.SEEK_CUR)
        return len(block)


class Workshop:
    """Everything that runs; it ends with the ``with`` block.

    :param seconds: how long a slice should take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.versions: dict[str, str] = {}
        self._kept: dict[tuple[str, str, bool, int], Child] = {}
        self._refused: dict[tuple[str, str, bool, int], Exception] = {}
        self._cores = sorted(os.sched_getaffinity(0))
        self._counts: dict[tuple[Child, str], int] = {}
        self._files: dict[int, Path] = {}
        self._front: TLSFront | None = None
        self._distant: dict[float, FastServer] = {}
        self._services: dict[tuple[str, float], Service] = {}
        self._swift: DevServer | None = None
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory()))
        self.server = self._ending.enter_context(FastServer(self.folder))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_children()
        self._ending.close()

    def child(
        self, peer: Peer, kind: str = "plain", *, free: bool = False, pool: int = POOL
    ) -> Child:
        """Return a client's child, which is started when it is first asked for.

        :param free: see ``fresh``.
        :raises Cannot: the client cannot be run here.
        """
        self._place_server(free=free)
        key = (peer.name, kind, free, pool)
        if key in self._refused:
            raise self._refused[key]
        if key not in self._kept:
            try:
                self._kept[key] = self.fresh(peer, kind, free=free, pool=pool)
            except (Cannot, Failed) as why:
                self._refused[key] = why
                raise
        return self._kept[key]

    def _place_server(self, *, free: bool) -> None:
        self.server.pin(set(self._cores) if free else {self._cores[-1]})

    def fresh(
        self,
        peer: Peer,
        kind: str = "plain",
        *,
        tls: bool = False,
        free: bool = False,
        pool: int = POOL,
    ) -> Child:
        """Start a child that has done nothing yet; the caller ends it.

        Client and server have a core each. On a shared one an answer would be there as soon
        as it is waited for, and nobody would ever sleep: with a network between, all do.

        :param tls: whether its Swift is behind TLS.
        :param free: both may use every core: for work that has threads to overlap.
        """
        self._place_server(free=free)
        setup = Setup(
            self.server.auth_url,
            pool_size=pool,
            transport=peer.transport,
            uses=peer.borrows,
            one_object=peer.one_object,
            tiered=peer.tiered,
        )
        extra = {} if free else {"BENCH_CORES": str(self._cores[0])}
        if tls:
            front = self._tls_front()
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                extra[name] = str(front.bundle)
            url = self.server.tls_auth_url(front.port)
            setup = replace(setup, auth_url=url, cacert=str(front.bundle))
        child = Child(peer, kind, setup, extra)
        self.versions.setdefault(peer.name, child.version)
        return child

    def distant(self, peer: Peer, *, pool: int = POOL, delay: float = DELAY) -> Child:
        """Start a child whose server answers late; the caller ends it.

        Both may use every core: they mostly wait.

        :param delay: milliseconds.
        """
        return self._of_another(peer, Setup(self._server(delay).auth_url, pool_size=pool))

    def _server(self, delay: float) -> FastServer:
        if not delay:
            return self.server
        if delay not in self._distant:
            server = self._ending.enter_context(FastServer(self.folder, delay))
            self._distant[delay] = server
        return self._distant[delay]

    def of_service(self, peer: Peer, workers: str, delay: float) -> Child:
        """Start a child that speaks to a service; the caller ends it.

        :param workers: the class of the service's.
        :param delay: milliseconds for which the service waits for its objects.
        :raises Cannot: it does not, or the service cannot be run here.
        """
        if peer.name not in SPEAKERS:
            raise Cannot("does not speak the service's protocol")
        self._place_server(free=True)
        service = self.service(workers, delay)
        setup = Setup(self.server.auth_url, service=service.url, secret=self._keys.private)
        child = Child(peer, "plain", setup)
        self.versions.setdefault(peer.name, child.version)
        return child

    def service(self, workers: str, delay: float = 0.0) -> Service:
        """Return a service, which is started when it is first asked for."""
        key = (workers, delay)
        if key not in self._services:
            service = Service(workers, self._server(delay).auth_url, self._keys.public)
            self._services[key] = self._ending.enter_context(service)
        return self._services[key]

    @cached_property
    def _keys(self) -> KeyPair:
        return new_key_pair()

    def real(self, peer: Peer) -> Child:
        """Start a child whose server is the development Swift; the caller ends it.

        :raises Cannot: it is not installed.
        """
        if self._swift is None:
            data = self.folder / "swift"
            data.mkdir()
            self._swift = self._ending.enter_context(DevServer.start(data))
            create_container(Setup(self._swift.auth_url, self._swift.user, self._swift.key))
        return self._of_another(
            peer, Setup(self._swift.auth_url, self._swift.user, self._swift.key)
        )

    def _of_another(self, peer: Peer, setup: Setup) -> Child:
        setup = replace(
            setup, transport=peer.transport, one_object=peer.one_object, tiered=peer.tiered
        )
        child = Child(peer, "plain", setup)
        self.versions.setdefault(peer.name, child.version)
        return child

    def end_children(self) -> None:
        """End the children that are kept."""
        for child in self._kept.values():
            child.end()
        self._kept.clear()
        self._counts.clear()

    def sized(self, child: Child, verb: str, /, **options: object) -> dict[str, float]:
        """Have a child do as much of something as fits into a slice."""
        key = (child, f"{verb} {options}")
        if key not in self._counts:
            self._counts[key] = self._fitting(child, verb, options)
        return child.do(verb, count=self._counts[key], **options)

    def _fitting(self, child: Child, verb: str, options: dict[str, object]) -> int:
        count = 1
        if child.do(verb, count=1, **options)["wall"] > self.seconds:
            return 1
        for seconds in (self.seconds / 10, self.seconds):
            took = child.do(verb, count=count, **options)
            count = max(1, int(seconds * took["count"] / took["wall"]))
        if count > 1:  # Once more, so that every connection of a pool is open.
            child.do(verb, count=count, **options)
        return count

    def file(self, size: int) -> Path:
        """Return a file of this size: the pattern that the server serves."""
        if size not in self._files:
            block = self.server.get(PATTERN)
            path = self.folder / f"{size}.bin"
            with path.open("wb") as file:
                for at in range(0, size, len(block)):
                    file.write(block[: size - at])
            self._files[size] = path
        return self._files[size]

    def hollow(self, size: int) -> Path:
        """Return a file of this size that takes no space: all of it is zeros."""
        path = self.folder / f"{size}.hollow"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    def archive(self) -> int:
        """Have the server serve a zip of 1 GiB, most of it hollow; return its member's size."""
        if not self.server.archive.exists():
            other = self.server.archive.with_suffix(".new")
            with Hollow(other, "w") as file, zipfile.ZipFile(file, "w") as archive:
                for number in range(MEMBERS):
                    is_it = number == MEMBERS // 2
                    name = MEMBER if is_it else f"folder/{number}.bin"
                    archive.writestr(name, bytes([1 if is_it else 0]) * MIB)
            other.rename(self.server.archive)
        return MIB

    def import_seconds(self, peer: Peer) -> float:
        """Return how long an application that has imported Flask waits for a package.

        :raises Cannot: there is no package.
        """
        if peer.imports is None:
            raise Cannot("is no package that an application imports")
        code = (
            "import flask, time; start = time.perf_counter(); "
            f"import {peer.imports}; print(time.perf_counter() - start)"
        )
        self.child(peer)  # Or the reason why there is no such environment.
        command: list[str | Path] = [environments.python(peer.environment), "-c", code]
        variables = environments.variables(peer.environment)
        runs = [
            subprocess.run(
                command, env=variables, cwd=self.folder, capture_output=True, text=True, check=True
            )
            for _ in range(3)
        ]
        return statistics.median(float(run.stdout) for run in runs)

    def _tls_front(self) -> TLSFront:
        if self._front is None:
            try:
                front = TLSFront(self.folder, self.server.port)
            except NoCertificate as why:
                raise Cannot(str(why)) from why
            self._front = self._ending.enter_context(front)
        return self._front
