"""What one run of a client does, and what all of them share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Protocol

CONTAINER = "files"

#: 1 KiB.
DATA = bytes(range(256)) * 4
MD5 = hashlib.md5(DATA).hexdigest()

#: Operations before those that count: caches are filled and the interpreter has specialised.
WARM = 50
#: Operations of a short run and of a long one.
FEW, MANY = 200, 600

#: Each is used once in a run: nobody asks for the same file all the time.
NAMES = tuple(f"photos/{number:05}.jpg" for number in range(WARM + MANY))

#: What stands for a name, and for the MD5 of what is sent, in the head of a request.
NAME, ETAG = "{name}", "{etag}"


@dataclass(frozen=True)
class Job:
    """What a client is told."""

    #: The module of the client: ``ours`` or ``raw``.
    who: str
    #: ``write`` or ``read``.
    verb: str
    #: Operations, after the warm-up; at most ``MANY``.
    count: int
    #: Where the server is.
    port: int
    #: For ``raw``: the head of the requests that ours sends, with ``NAME`` and ``ETAG`` in it.
    head: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        return cls(**json.loads(text))


class Client(Protocol):
    """Who is counted; lives as long as its process."""

    def write(self, name: str) -> object:
        """Store ``DATA``, verified."""

    def read(self, name: str) -> object:
        """Return an object, verified."""

    def close(self) -> None:
        """Close the connection."""
