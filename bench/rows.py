"""The rows of the table: one function each, from a client to the figures of one slice.

To add a row, write a function and give it its name, its title and its figures with ``@row``;
what the client does for it is a function of ``clients/work.py``. What a client cannot do, it
says itself, by raising ``Cannot`` with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .clients.client import KIB, MIB, Cannot
from .service import PATCHED, THREADED
from .workshop import DELAY, SPEAKERS
from .workshop import POOL as DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .children import Child
    from .peers import Peer
    from .workshop import Workshop

    Figures = dict[str, float]
    Work = Callable[[Workshop, Peer], Figures]

GIB = 1024 * MIB
LISTED = 100_000
CREWS = (1, 5, 20, 100)
SIZES = {"64 KiB": 64 * KIB, "1 MiB": MIB, "16 MiB": 16 * MIB, "256 MiB": 256 * MIB}


@dataclass(frozen=True)
class Figure:
    """One number of a row: what it is, in which unit, and how a slice gives it."""

    name: str
    unit: str
    of: Callable[[Figures], float]
    less_is_better: bool = True
    #: Whether a ratio of it says anything.
    compared: bool = True


@dataclass(frozen=True)
class Row:
    """One row, and what the report must know of it."""

    name: str
    title: str
    section: str
    figures: tuple[Figure, ...]
    work: Work
    #: The most rounds it is worth; None: as many as the run has.
    most_rounds: int | None = None
    #: The cores that must be idle for its wall-clock figures.
    cores: int = 0
    #: Columns beyond the usual ones.
    also: tuple[str, ...] = ()


CPU_EACH = Figure("CPU", "µs", lambda f: f["cpu"] / f["count"] * 1e6)
WALL_EACH = Figure("wall", "µs", lambda f: f["wall"] / f["count"] * 1e6)
RATE = Figure("rate", "1/s", lambda f: f["count"] / f["wall"], less_is_better=False)
SPEED = Figure("speed", "MB/s", lambda f: f["bytes"] / f["wall"] / 1e6, less_is_better=False)
CPU_PER_GIB = Figure("CPU", "s/GiB", lambda f: f["cpu"] / f["bytes"] * GIB)
CPU = Figure("CPU", "ms", lambda f: f["cpu"] / f["count"] * 1e3)
ADDED = Figure("added", "MiB", lambda f: f["added"])
STALL = Figure("longest pause", "ms", lambda f: f["stall"] * 1e3)
IMPORT = Figure("import", "ms", lambda f: f["wall"] * 1e3)
CONNECTIONS = Figure("connections", "", lambda f: f["connections"], compared=False)
AUTHENTICATIONS = Figure("authentications", "", lambda f: f["authentications"], compared=False)
MOVED = Figure("moved", "MiB", lambda f: f["sent"] / MIB)
REQUESTS = Figure("requests", "", lambda f: f["requests"], compared=False)

ABOVE = Figure(
    "CPU above as many calls", "µs", lambda f: (f["cpu"] - f["alone"]) / f["count"] * 1e6
)
ROUNDS = Figure("time, in rounds of the delay", "", lambda f: f["wall"] / f["rounds"])

FIRST = Figure("until the first", "% of its time", lambda f: f["first"] / f["wall"] * 100)
AT_SERVICE = Figure("added to the service", "MiB", lambda f: f["at_service"])
PARTS = Figure("rate", "parts/s", lambda f: f["count"] / f["cpu"], less_is_better=False)
OF_CORE = Figure("speed", "MB/s", lambda f: f["bytes"] / f["cpu"] / 1e6, less_is_better=False)

OF_FIRST = Figure("of a page at the beginning", "", lambda f: f["wall"] / f["first"])

ROWS: list[Row] = []


def row(
    name: str,
    title: str,
    section: str,
    *figures: Figure,
    most_rounds: int | None = None,
    cores: int = 0,
    also: tuple[str, ...] = (),
) -> Callable[[Work], Work]:
    """Register a function as a row."""

    def register(work: Work) -> Work:
        ROWS.append(Row(name, title, section, figures, work, most_rounds, cores, also))
        return work

    return register


MANY = "Many in one call: files of 1 KiB, to a server that answers after 20 ms"
TIERS = "Two tiers: small files in SQLite, side by side with files in Swift"
SERVICE = (
    "Over HTTP: clients of a service below gunicorn with a worker of gevent, whose objects are in "
    "the fast server"
)
SMALL = "Small files: CPU per operation"
AT_ONCE = "Many at once: operations per second, writing and reading 1 KiB in turn"
LARGE = "Large files"
PART = "A part of a large file"
MEMORY = "Memory that an operation adds at its peak"
HUB = "The longest pause of other greenlets"
LISTING = f"Listing {LISTED:,} objects"
COLD = "Cold start"
LENDING = "The pool, nobody waiting"


@row("write-1k", "write 1 KiB", SMALL, CPU_EACH)
def write_1k(shop: Workshop, peer: Peer) -> Figures:
    """Write a new file, with the client's own default for files that exist."""
    return shop.sized(shop.child(peer), "write")


@row("read-1k", "read 1 KiB", SMALL, CPU_EACH)
def read_1k(shop: Workshop, peer: Peer) -> Figures:
    return shop.sized(shop.child(peer), "read")


@row("describe", "describe (HEAD)", SMALL, CPU_EACH)
def describe(shop: Workshop, peer: Peer) -> Figures:
    return shop.sized(shop.child(peer), "describe")


@row("delete", "delete", SMALL, CPU_EACH)
def delete(shop: Workshop, peer: Peer) -> Figures:
    return shop.sized(shop.child(peer), "delete")


def _at_once(crew: int, kind: str) -> None:
    many = {"gevent": "greenlet", "threads": "thread"}[kind]
    title = f"{crew} {many}{'s' if crew > 1 else ''}"

    @row(f"{kind}-{crew}", title, AT_ONCE, RATE, cores=2)
    def at_once(shop: Workshop, peer: Peer) -> Figures:
        """Each writes and reads in turn; the pool fits, or each has a client of its own."""
        refuse_many(peer, kind)
        patched = "gevent" if kind == "gevent" else "plain"
        child = shop.child(peer, patched, pool=max(crew, DEFAULT_POOL))
        return shop.sized(child, "together", crew=crew, kind=kind)


def refuse_many(peer: Peer, kind: str) -> None:
    """Refuse what would measure something else, or hang.

    :raises Cannot: with the reason.
    """
    if peer.name == "rclone":
        raise Cannot("is a program, started for each operation")
    if peer.name == "service":
        raise Cannot("spreads its work over threads of its own")
    if peer.name == "swiftspec" and kind == "gevent":
        raise Cannot("asyncio does not run in a process that gevent has patched")


for _kind in ("gevent", "threads"):
    for _crew in CREWS:
        _at_once(_crew, _kind)


def _by_size(label: str, size: int) -> None:
    few = 7 if size >= 256 * MIB else None
    slug = label.replace(" ", "")

    @row(
        f"write-file-{slug}",
        f"write a file of {label}, verified",
        LARGE,
        SPEED,
        CPU_PER_GIB,
        most_rounds=few,
        cores=2,
        also=("md5",),
    )
    def write_file(shop: Workshop, peer: Peer) -> Figures:
        return shop.sized(shop.child(peer, free=True), "write_file", path=str(shop.file(size)))

    @row(
        f"write-bytes-{slug}",
        f"write {label} of bytes, verified",
        LARGE,
        SPEED,
        CPU_PER_GIB,
        most_rounds=few,
        cores=2,
    )
    def write_bytes(shop: Workshop, peer: Peer) -> Figures:
        return shop.sized(shop.child(peer, free=True), "write", size=size)

    @row(
        f"read-chunks-{slug}",
        f"read {label} in chunks",
        LARGE,
        SPEED,
        CPU_PER_GIB,
        most_rounds=few,
        cores=2,
    )
    def read_chunks(shop: Workshop, peer: Peer) -> Figures:
        return shop.sized(shop.child(peer, free=True), "read_chunks", size=size)


for _label, _size in SIZES.items():
    _by_size(_label, _size)


@row(
    "write-file-1GiB",
    "write a file of 1 GiB, verified",
    LARGE,
    SPEED,
    CPU_PER_GIB,
    most_rounds=5,
    cores=2,
    also=("md5", "ours-segments"),
)
def write_large_file(shop: Workshop, peer: Peer) -> Figures:
    path = str(shop.file(GIB))
    return shop.child(peer, free=True).do("write_file", count=1, path=path)


@row(
    "zip-member",
    "read one of 1,024 files in a zip of 1 GiB",
    PART,
    MOVED,
    REQUESTS,
    CPU,
    most_rounds=3,
)
def zip_member(shop: Workshop, peer: Peer) -> Figures:
    """Open the zip where it is; count what the server has been asked for, and has sent."""
    size = shop.archive()
    child = shop.child(peer, free=True)
    child.do("describe", count=1)  # Who must authenticate has done so now.
    before = shop.server.stats()
    figures = child.do("read_member", count=1, size=size)
    return {**figures, **seen_since(before, shop)}


def seen_since(before: dict[str, int], shop: Workshop) -> Figures:
    """Return what the server has counted since then, but for the question itself."""
    now = shop.server.stats()
    seen = {name: float(now[name] - before[name]) for name in now}
    seen["connections"] -= 1
    seen["requests"] -= 1
    return seen


def in_fresh_child(shop: Workshop, peer: Peer, measured: dict[str, object]) -> Figures:
    """Measure what some work adds to a process that has only done a little of it before."""
    if peer.imports is None:
        raise Cannot("is no Python package with a memory of its own")
    warm = {**measured}
    if "size" in warm:
        warm["size"] = MIB
    if "path" in warm:
        warm["path"] = str(shop.file(MIB))
    if "objects" in warm:
        warm["objects"] = 10
    child = shop.fresh(peer, free=True)
    try:
        return child.do("added", warm=warm, measured=measured)
    finally:
        child.end()


@row(
    "memory-save",
    "save a file of 1 GiB",
    MEMORY,
    ADDED,
    most_rounds=3,
    also=("ours-segments",),
)
def memory_save(shop: Workshop, peer: Peer) -> Figures:
    path = str(shop.hollow(GIB))
    return in_fresh_child(shop, peer, {"do": "save_file", "count": 1, "path": path})


@row(
    "memory-passing",
    "write 1 GiB that can be read only once",
    MEMORY,
    ADDED,
    most_rounds=3,
    also=("ours-segments",),
)
def memory_passing(shop: Workshop, peer: Peer) -> Figures:
    return in_fresh_child(shop, peer, {"do": "write_passing", "count": 1, "size": GIB})


@row("memory-read", "read 1 GiB in chunks", MEMORY, ADDED, most_rounds=3)
def memory_read(shop: Workshop, peer: Peer) -> Figures:
    return in_fresh_child(shop, peer, {"do": "read_chunks", "count": 1, "size": GIB})


@row("memory-serve", "serve 1 GiB", MEMORY, ADDED, most_rounds=3)
def memory_serve(shop: Workshop, peer: Peer) -> Figures:
    """Answer a request in a view, and take the answer as a server does, chunk by chunk."""
    return in_fresh_child(shop, peer, {"do": "serve", "count": 1, "size": GIB})


@row(
    "memory-list",
    f"list the names of {LISTED:,} objects",
    MEMORY,
    ADDED,
    most_rounds=3,
    also=("ours-orjson",),
)
def memory_list(shop: Workshop, peer: Peer) -> Figures:
    return in_fresh_child(shop, peer, {"do": "list_names", "count": 1, "objects": LISTED})


def _hub(verb: str, title: str) -> None:
    @row(f"stall-{verb}", title, HUB, STALL, most_rounds=5, cores=2)
    def stall(shop: Workshop, peer: Peer) -> Figures:
        if peer.name == "swiftspec":
            refuse_many(peer, "gevent")
        size = 256 * MIB
        child = shop.child(peer, "gevent", free=True)
        return child.do("stall", verb=verb, path=str(shop.file(size)), size=size)


_hub("write_file", "while a file of 256 MiB is written")
_hub("read_chunks", "while 256 MiB are read in chunks")


def first_listing(shop: Workshop, peer: Peer, work: str) -> Figures:
    """List in a process that has no memory to use again: to ask for memory takes time, too."""
    child = shop.fresh(peer)
    try:
        child.do(work, count=1, objects=10)
        return child.do(work, count=1, objects=LISTED)
    finally:
        child.end()


@row("list-names", "list all names", LISTING, CPU, also=("ours-orjson",))
def list_names(shop: Workshop, peer: Peer) -> Figures:
    return first_listing(shop, peer, "list_names")


@row("list-infos", "list all, with size and hash", LISTING, CPU, also=("ours-orjson",))
def list_all(shop: Workshop, peer: Peer) -> Figures:
    return first_listing(shop, peer, "list_all")


@row("import", "import, in an application that has Flask", COLD, IMPORT)
def import_time(shop: Workshop, peer: Peer) -> Figures:
    return {"wall": shop.import_seconds(peer)}


@row("first-write", "first write", COLD, CONNECTIONS, AUTHENTICATIONS, REQUESTS, CPU, most_rounds=5)
def first_write(shop: Workshop, peer: Peer) -> Figures:
    """Start a child; count what the server sees from then until its first file is stored."""
    before = shop.server.stats()
    child = shop.fresh(peer)
    try:
        figures = child.do("write", count=1)
    finally:
        child.end()
    return {**figures, **seen_since(before, shop)}


@row("tls", "request on a new TLS connection", COLD, CPU, most_rounds=5)
def tls(shop: Workshop, peer: Peer) -> Figures:
    """Describe a file again and again; the server ends the connection after each answer."""
    child = shop.fresh(peer, tls=True)
    try:
        child.do("describe", count=3)
        return child.do("describe", count=20 if peer.imports else 3)
    finally:
        child.end()


@row("pool", "take a connection and give it back", LENDING, CPU_EACH)
def pool(shop: Workshop, peer: Peer) -> Figures:
    return shop.sized(shop.child(peer), "borrow")


def _in_tiers(slug: str, where: str, open_shop: Callable[[Workshop, Peer], Child]) -> None:
    @row(f"tiers-{slug}-write", f"write 2 KiB, {where}", TIERS, WALL_EACH, most_rounds=5,
         also=("ours-tiered",))  # fmt: skip
    def tiers_write(shop: Workshop, peer: Peer) -> Figures:
        child = open_shop(shop, peer)
        try:
            return shop.sized(child, "replace", size=2 * KIB)
        finally:
            child.end()

    @row(f"tiers-{slug}-read", f"read 2 KiB, {where}", TIERS, WALL_EACH, most_rounds=5,
         also=("ours-tiered",))  # fmt: skip
    def tiers_read(shop: Workshop, peer: Peer) -> Figures:
        child = open_shop(shop, peer)
        try:
            return shop.sized(child, "read_back", name="s2048", size=2 * KIB)
        finally:
            child.end()


_in_tiers("swift", "Swift beside", lambda shop, peer: shop.real(peer))
_in_tiers("5ms", "Swift 5 ms away", lambda shop, peer: shop.distant(peer, delay=5.0))


@row("tiers-large", "write 16 MiB of bytes", TIERS, SPEED, most_rounds=5, also=("ours-tiered",))
def tiers_large(shop: Workshop, peer: Peer) -> Figures:
    return shop.sized(shop.child(peer, free=True), "replace", size=16 * MIB)


@row(
    "tiers-page",
    f"list 1,000 names at the end of {LISTED:,}",
    TIERS,
    WALL_EACH,
    OF_FIRST,
    most_rounds=3,
    also=("ours-tiered",),
)
def tiers_page(shop: Workshop, peer: Peer) -> Figures:
    if not peer.tiered:
        raise Cannot("has its files in Swift")
    child = shop.child(peer)
    child.do("pages", count=1, objects=LISTED)
    return child.do("pages", count=20, objects=LISTED)


#: The threads that SwiftService has by default, and what a pool of 20 gives a batch.
WIDTHS = (10, 16)
PUT = 1000
DELETED = 10_000


def _many(width: int) -> None:
    @row(f"many-{width}", f"write {PUT:,}, {width} at a time", MANY, RATE, CPU_EACH, ROUNDS,
         most_rounds=5)  # fmt: skip
    def many(shop: Workshop, peer: Peer) -> Figures:
        """Write over a pool that lets a batch be as wide as that, and no wider."""
        child = shop.distant(peer, pool=-(-width * 10 // 8))
        try:
            child.do("write_many", count=width, width=width)
            figures = child.do("write_many", count=PUT, width=width)
        finally:
            child.end()
        return {**figures, "rounds": PUT / width * DELAY / 1000}


for _width in WIDTHS:
    _many(_width)


@row("many-overhead", "write one at a time, in one call", MANY, CPU_EACH, ABOVE, most_rounds=5)
def many_overhead(shop: Workshop, peer: Peer) -> Figures:
    """Compare it with as many calls; the server answers at once."""
    child = shop.child(peer)
    child.do("write_many", count=100, width=1)
    alone = child.do("write", count=PUT)
    return {**child.do("write_many", count=PUT, width=1), "alone": alone["cpu"]}


@row("many-delete", f"remove {DELETED:,}", MANY, REQUESTS, RATE, CPU_EACH, most_rounds=5)
def many_delete(shop: Workshop, peer: Peer) -> Figures:
    child = shop.child(peer)
    child.do("describe", count=1)
    before = shop.server.stats()["requests"]
    figures = child.do("delete_many", count=DELETED)
    # The question itself is a request.
    return {**figures, "requests": float(shop.server.stats()["requests"] - before - 1)}


#: The threads that the published client is used with, and the requests at once of ours.
REQUESTS_AT_ONCE = 3


def _of_service(
    name: str,
    title: str,
    *figures: Figure,
    most_rounds: int = 5,
    workers: str = PATCHED,
    delay: float = 0.0,
) -> Callable[[Callable[[Workshop, Child], Figures]], None]:
    """Register what a client of the service does as a row."""

    def register(work: Callable[[Workshop, Child], Figures]) -> None:
        @row(f"service-{name}", title, SERVICE, *figures, most_rounds=most_rounds,
             also=SPEAKERS)  # fmt: skip
        def of_service(shop: Workshop, peer: Peer) -> Figures:
            child = shop.of_service(peer, workers, delay)
            try:
                return work(shop, child)
            finally:
                child.end()

    return register


def _many_over_http(name: str, title: str, *, workers: str = PATCHED, delay: float = 0.0) -> None:
    @_of_service(
        f"{name}put", f"put {PUT:,} of 1 KiB{title}", RATE, CPU_EACH, workers=workers, delay=delay
    )
    def put(_shop: Workshop, child: Child) -> Figures:
        child.do("write_many", count=100, width=REQUESTS_AT_ONCE)
        return child.do("write_many", count=PUT, width=REQUESTS_AT_ONCE)

    @_of_service(
        f"{name}get", f"get {PUT:,} of 1 KiB{title}", RATE, CPU_EACH, workers=workers, delay=delay
    )
    def get(_shop: Workshop, child: Child) -> Figures:
        child.do("read_many", count=100, width=REQUESTS_AT_ONCE, size=KIB)
        return child.do("read_many", count=PUT, width=REQUESTS_AT_ONCE, size=KIB)


_many_over_http("", "")
_many_over_http("threads-", ", to a service of threads", workers=THREADED)
_many_over_http("5ms-", ", where Swift is 5 ms away", delay=5.0)


@_of_service("first", f"get {PUT:,} of 64 KiB in one request", SPEED, FIRST)
def service_first(_shop: Workshop, child: Child) -> Figures:
    child.do("read_many", count=10, width=1, size=64 * KIB)
    return child.do("read_many", count=PUT, width=1, size=64 * KIB)


def added_on_both_sides(shop: Workshop, child: Child, verb: str) -> Figures:
    """Move 1 GiB after 1 MiB; tell what that adds to the client and to the service."""
    child.do(verb, count=1, size=MIB)
    service = shop.service(PATCHED)
    before = service.forget_peak()
    figures = child.do(
        "added",
        warm={"do": verb, "count": 1, "size": MIB},
        measured={"do": verb, "count": 1, "size": GIB},
    )
    return {**figures, "at_service": service.peak() - before}


@_of_service("memory-put", "put 1 GiB that can be read only once", ADDED, AT_SERVICE, most_rounds=3)
def service_memory_put(shop: Workshop, child: Child) -> Figures:
    return added_on_both_sides(shop, child, "write_passing")


@_of_service("memory-get", "get 1 GiB in chunks", ADDED, AT_SERVICE, most_rounds=3)
def service_memory_get(shop: Workshop, child: Child) -> Figures:
    return added_on_both_sides(shop, child, "read_chunks")


def _codec(verb: str, title: str) -> None:
    @_of_service(f"{verb}-64KiB", f"{title} parts of 64 KiB, per core", OF_CORE)
    def large(_shop: Workshop, child: Child) -> Figures:
        return child.do(verb, count=5000, size=64 * KIB)

    @_of_service(f"{verb}-empty", f"{title} empty parts, per core", PARTS)
    def empty(_shop: Workshop, child: Child) -> Figures:
        return child.do(verb, count=100_000, size=0)


_codec("encode", "make")
_codec("decode", "take apart")
