"""What every client is asked to do, in the words of a storage."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from typing_extensions import Self

KIB = 1024
MIB = 1024 * KIB

#: The container of everything but listings.
CONTAINER = "files"

#: What clients of the service sign with, and where they keep their objects.
KEY_ID = "bench"
USECASE = "files"
SCOPES = {"org": 1}

#: An object that is absent before it is written and after: the server stores nothing.
ABSENT = "new.bin"

#: A zip, with the one of its members that is read.
ARCHIVE = "archive"
MEMBER = "folder/member.bin"

#: The same as ``ABSENT``, with an extension that every storage takes.
SAVED = "new.txt"


class Cannot(Exception):
    """The client has no way of doing this; the message says why."""


@dataclass(frozen=True)
class Setup:
    """What a client is told: where its Swift is, and how many will use it at once."""

    auth_url: str
    user: str = "test:tester"
    key: str = "testing"
    pool_size: int = 20
    #: A bundle of certificates, for a Swift behind TLS.
    cacert: str | None = None
    #: A package that it must use, or the figures are not what they are said to be.
    uses: str | None = None
    #: Which of its own transports it uses; None where there is no choice.
    transport: str | None = None
    #: Bytes up to which it stores a file as one object; None: what it does by itself.
    one_object: int | None = None
    #: Whether small files are in a database of its own.
    tiered: bool = False
    #: The service's URL and the PEM of a key that it trusts, where there is a service.
    service: str | None = None
    secret: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, text: str) -> Setup:
        return cls(**json.loads(text))

    @cached_property
    def session(self) -> tuple[str, str]:
        """The storage's URL and a token, for clients that do not authenticate."""
        headers = {"X-Auth-User": self.user, "X-Auth-Key": self.key}
        request = urllib.request.Request(self.auth_url, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]


def create_container(setup: Setup) -> None:
    """Create the container of everything but listings."""
    url, token = setup.session
    request = urllib.request.Request(
        f"{url}/{CONTAINER}", headers={"X-Auth-Token": token}, method="PUT"
    )
    urllib.request.urlopen(request).close()


def of_service(setup: Setup) -> tuple[str, str]:
    """Return the service's URL and a secret key.

    :raises Cannot: it is not about the service.
    """
    if setup.service is None:
        raise Cannot("speaks to the service, not to Swift")
    return setup.service, setup.secret


def resident(entry: str, process: int | str = "self") -> float:
    """Return a field of a process's memory, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(entry + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(entry)


class Client:
    """One client; what a subclass does not override it cannot do.

    Lives as long as the child process that measures it.
    """

    #: The distributions whose versions say what was measured.
    distributions: tuple[str, ...] = ()

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def for_another(self) -> Self:
        """Return what one more thread or greenlet uses: this, where it may be shared."""
        return self

    def version(self) -> str:
        """Say which program or package is measured."""
        from importlib.metadata import version

        return ", ".join(f"{name} {version(name)}" for name in self.distributions)

    def write(self, name: str, data: bytes) -> None:
        """Store bytes, verified if the client can."""
        raise Cannot("has no such operation")

    def read(self, name: str) -> bytes:
        """Return the whole of an object."""
        raise Cannot("has no such operation")

    def describe(self, name: str) -> None:
        """Ask for an object's headers."""
        raise Cannot("has no such operation")

    def delete(self, name: str) -> None:
        """Remove an object."""
        raise Cannot("has no such operation")

    def write_file(self, name: str, path: str) -> None:
        """Store a file, verified if the client can."""
        raise Cannot("has no such operation")

    def save_file(self, name: str, path: str) -> None:
        """Take a file as an upload is taken, where the client has a call for that."""
        self.write_file(name, path)

    def write_passing(self, name: str, blocks: Iterator[bytes]) -> None:
        """Store what can be read only once."""
        raise Cannot("has no such operation")

    def read_chunks(self, name: str) -> int:
        """Read an object in chunks; return how many bytes that was."""
        raise Cannot("has no such operation")

    def serve(self, name: str) -> int:
        """Answer a request for an object; return how many bytes that was."""
        raise Cannot("answers no requests")

    def open_file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open an object as a file that seeks."""
        raise Cannot("opens no files")

    def list_all(self, container: str) -> int:
        """List a container with sizes and hashes; return how many objects it has."""
        raise Cannot("has no such operation")

    def list_names(self, container: str) -> int:
        """List a container by names, where the client has a call for that."""
        return self.list_all(container)

    def write_many(self, names: list[str], data: bytes, width: int) -> None:
        """Store the same bytes under many names, so many at a time."""
        raise Cannot("has no call for many")

    def read_many(self, names: list[str], width: int) -> Iterator[bytes]:
        """Read many objects, so many at a time; yield them as they come."""
        raise Cannot("has no call for many")

    def encode(self, count: int, size: int) -> Iterator[bytes]:
        """Yield a stream of so many parts."""
        raise Cannot("has no parts")

    def decode(self, stream: Iterable[bytes]) -> int:
        """Return how many parts there are in what ``encode`` yields."""
        raise Cannot("has no parts")

    def delete_many(self, container: str, names: list[str]) -> None:
        """Remove many objects of a container."""
        raise Cannot("has no call for many")

    def replace(self, name: str, data: bytes) -> None:
        """Store bytes, verified if the client can, whatever has the name."""
        self.write(name, data)

    def fill(self, count: int) -> None:
        """Have so many small files, quickly."""
        raise Cannot("has its files in Swift")

    def list_page(self, after: str) -> int:
        """List a thousand names that come after one; return how many there are."""
        raise Cannot("has its files in Swift")

    def borrow(self) -> None:
        """Take a connection from the pool and give it back."""
        raise Cannot("has no pool")
