"""Who is measured: the columns of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import environments


@dataclass(frozen=True)
class Peer:
    """One column: a client in its environment."""

    name: str
    title: str
    #: In ``bench.clients``.
    module: str
    environment: str = environments.PROJECT
    #: What an application imports to use it; None: it is no Python package.
    imports: str | None = None
    transport: str | None = None
    #: Bytes up to which it is told to store a file as one object.
    one_object: int | None = None
    #: Whether small files are in a database of its own.
    tiered: bool = False
    #: Whether it uses the packages of another environment too.
    borrows: str | None = None
    #: Packages that it must not find, besides: in processes that gevent has not patched.
    hidden: tuple[str, ...] = ()
    hidden_if_plain: tuple[str, ...] = ()
    #: Whether it is only measured where a row asks for it.
    on_request: bool = False
    notes: tuple[str, ...] = ()
    #: What must be known of its figures in rows whose name begins so.
    caveats: tuple[tuple[str, str], ...] = ()

    def caveat(self, row: str) -> str | None:
        """Return what must be known of its figures in a row."""
        return next((said for start, said in self.caveats if row.startswith(start)), None)


OURS = Peer(
    "ours",
    "flask-fs-swift",
    "ours",
    "ours",
    imports="flask_fs_swift",
    hidden=("orjson",),
    one_object=5 * 1024**3,
    notes=(
        "verifies every write, and every read of a whole file",
        "stores every file as one object, as the others do, but where it says “in segments”",
    ),
)

_UNVERIFIED_READS = (("read-", "not verified"), ("memory-passing", "not verified"))

_PEERS = (
    Peer(
        "swiftclient",
        "swiftclient",
        "swiftclient",
        "swiftclient",
        "swiftclient",
        notes=("a Connection for each thread; MD5 sent along; reads are not verified",),
        caveats=_UNVERIFIED_READS,
    ),
    Peer(
        "service",
        "SwiftService",
        "swift_service",
        "swiftclient",
        "swiftclient.service",
        notes=("an upload also creates the container; verifies reads and writes",),
    ),
    Peer(
        "flask-fs2",
        "flask-fs2",
        "flask_fs2",
        "flask-fs2",
        "flask_fs, flask_fs.backends.swift",
        hidden_if_plain=("gevent",),
        notes=(
            "two requests for most calls; MD5 sent along; reads are not verified",
            "in threads gevent is hidden from it: its queue would fail there",
        ),
        caveats=_UNVERIFIED_READS,
    ),
    Peer(
        "swiftspec",
        "swiftspec",
        "swiftspec",
        "swiftspec",
        "swiftspec",
        notes=("given a token, and plain http where it says https; MD5 sent along",),
        caveats=_UNVERIFIED_READS,
    ),
    Peer(
        "opendal",
        "opendal",
        "opendal",
        "opendal",
        "opendal",
        notes=("given a token; neither writes nor reads are verified; blocks the gevent hub",),
        caveats=(*_UNVERIFIED_READS, ("write-", "not verified")),
    ),
    Peer(
        "rclone",
        "rclone",
        "rclone",
        notes=(
            "a process for each operation; its files are verified, and asked for again",
            "lists names and sizes: a hash would be a request for each object",
        ),
        caveats=(("list", "names and sizes"),),
    ),
    Peer("raw", "raw socket", "raw", notes=("the floor: text on a socket, and MD5",)),
    Peer(
        "objectstore",
        "objectstore-client",
        "objectstore",
        "objectstore-client",
        "objectstore_client",
        on_request=True,
        notes=("a call for each object, by three threads",),
    ),
    Peer("md5", "MD5 alone", "md5", on_request=True, notes=("reads the file and hashes it",)),
)


def peers(transports: tuple[str, ...]) -> tuple[Peer, ...]:
    """Return the columns in their order; ours in each transport that there is to choose."""
    first = replace(OURS, transport=transports[0]) if transports else OURS
    others = [
        replace(OURS, name=f"ours-{name}", title=f"… on {name}", transport=name)
        for name in transports[1:]
    ]
    faster = replace(
        first,
        name="ours-orjson",
        title="… with orjson",
        borrows="orjson",
        hidden=(),
        on_request=True,
    )
    in_segments = replace(
        first, name="ours-segments", title="… in segments", one_object=None, on_request=True
    )
    in_tiers = replace(
        first,
        name="ours-tiered",
        title="… in two tiers",
        tiered=True,
        on_request=True,
        notes=("its small files are in SQLite, on the disk of the machine, and synchronous",),
    )
    over_http = Peer(
        "ours-api",
        "… over HTTP",
        "api",
        "service",
        "flask_fs_swift.api",
        on_request=True,
        notes=("its client of the service",),
    )
    return (first, *others, faster, in_segments, in_tiers, over_http, *_PEERS)
