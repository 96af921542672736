"""What a child measures: each function is one slice of work and returns its figures.

``cpu`` and ``wall`` are seconds, of this process and of those it started; ``count`` is the
number of operations that they are for, ``bytes`` what was transferred.
"""

from __future__ import annotations

import itertools
import resource
import threading
import time
import zipfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from .client import ABSENT, ARCHIVE, KIB, MEMBER, MIB, SAVED, Client, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Figures = dict[str, float]

BLOCK = bytes(range(256)) * 4

#: One client for each thread or greenlet, kept between slices with its connection.
_crew: list[Client] = []


def used() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(operation: Callable[[], object], count: int = 1) -> Figures:
    """Repeat an operation and measure that."""
    cpu, wall = used(), time.perf_counter()
    for _ in range(count):
        operation()
    return {"wall": time.perf_counter() - wall, "cpu": used() - cpu, "count": count}


def write(client: Client, count: int, size: int = KIB) -> Figures:
    data = (BLOCK * (size // len(BLOCK) + 1))[:size]
    return {**timed(lambda: client.write(ABSENT, data), count), "bytes": size * count}


def read(client: Client, count: int, size: int = KIB) -> Figures:
    name = f"s{size}"
    if len(client.read(name)) != size:
        raise OSError("half an object")
    return {**timed(lambda: client.read(name), count), "bytes": size * count}


def describe(client: Client, count: int) -> Figures:
    return timed(lambda: client.describe("s1024"), count)


def delete(client: Client, count: int) -> Figures:
    return timed(lambda: client.delete("s1024"), count)


def write_file(client: Client, count: int, path: str) -> Figures:
    size = Path(path).stat().st_size
    return {**timed(lambda: client.write_file(ABSENT, path), count), "bytes": size * count}


def save_file(client: Client, count: int, path: str) -> Figures:
    size = Path(path).stat().st_size
    return {**timed(lambda: client.save_file(SAVED, path), count), "bytes": size * count}


def write_passing(client: Client, count: int, size: int) -> Figures:
    def blocks() -> Iterator[bytes]:
        for number in range(size // MIB):
            yield bytes([number % 256]) * MIB

    figures = timed(lambda: client.write_passing(ABSENT, blocks()), count)
    return {**figures, "bytes": size * count}


def read_chunks(client: Client, count: int, size: int) -> Figures:
    def check() -> None:
        if client.read_chunks(f"s{size}") != size:
            raise OSError("half an object")

    return {**timed(check, count), "bytes": size * count}


def serve(client: Client, count: int, size: int) -> Figures:
    def check() -> None:
        if client.serve(f"s{size}") != size:
            raise OSError("half an object")

    return {**timed(check, count), "bytes": size * count}


def read_member(client: Client, count: int, size: int) -> Figures:
    def check() -> None:
        with client.open_file(ARCHIVE) as file, zipfile.ZipFile(file) as archive:
            if len(archive.read(MEMBER)) != size:  # Its CRC is checked by now.
                raise OSError("half a member")

    return {**timed(check, count), "bytes": size * count}


def list_all(client: Client, count: int, objects: int) -> Figures:
    return _listed(client.list_all, count, objects)


def list_names(client: Client, count: int, objects: int) -> Figures:
    return _listed(client.list_names, count, objects)


def _listed(listing: Callable[[str], int], count: int, objects: int) -> Figures:
    def check() -> None:
        if (found := listing(f"c{objects}")) != objects:
            raise OSError(f"{found} objects instead of {objects}")

    return timed(check, count)


def replace(client: Client, count: int, size: int) -> Figures:
    """Write ten files again and again."""
    data = (BLOCK * (size // len(BLOCK) + 1))[:size]
    names = itertools.cycle(f"f{number}" for number in range(10))
    figures = timed(lambda: client.replace(next(names), data), count)
    return {**figures, "bytes": size * count}


def read_back(client: Client, count: int, name: str, size: int) -> Figures:
    """Read a file that the client has written."""
    client.replace(name, (BLOCK * (size // len(BLOCK) + 1))[:size])
    return timed(lambda: client.read(name), count)


def pages(client: Client, count: int, objects: int) -> Figures:
    """List a page at the end of many small files, and one at the beginning."""
    client.fill(objects)
    last = f"{objects - 1001:07}"
    if client.list_page(last) != 1000:
        raise OSError("half a page")
    first = timed(lambda: client.list_page(""), count)["wall"]
    return {**timed(lambda: client.list_page(last), count), "first": first}


def borrow(client: Client, count: int) -> Figures:
    return timed(client.borrow, count)


def write_many(client: Client, count: int, width: int) -> Figures:
    """Write so many small files in one call."""
    names = [f"new-{number}.bin" for number in range(count)]
    return {**timed(lambda: client.write_many(names, BLOCK, width)), "count": count, "width": width}


def read_many(client: Client, count: int, width: int, size: int) -> Figures:
    """Read so many objects in one call; tell also when the first was there."""
    names = [f"{number}/s{size}" for number in range(count)]
    first = 0.0
    began = time.perf_counter()

    def check() -> None:
        nonlocal first
        for content in client.read_many(names, width):
            first = first or time.perf_counter() - began
            if len(content) != size:
                raise OSError("half an object")

    return {**timed(check), "count": count, "first": first, "bytes": size * count}


def encode(client: Client, count: int, size: int) -> Figures:
    """Make a stream of parts."""
    figures = timed(lambda: deque(client.encode(count, size), maxlen=0))
    return {**figures, "count": count, "bytes": size * count}


def decode(client: Client, count: int, size: int) -> Figures:
    """Take a stream of parts apart, 64 KiB at a time."""
    stream = b"".join(client.encode(count, size))
    blocks = [stream[at : at + 64 * KIB] for at in range(0, len(stream), 64 * KIB)]

    def check() -> None:
        if client.decode(blocks) != count:
            raise OSError("half the parts")

    return {**timed(check), "count": count, "bytes": size * count}


def delete_many(client: Client, count: int) -> Figures:
    """Remove so many listed objects in one call."""
    names = [f"photos/2026/01/{number:07}-image.jpeg" for number in range(count)]
    return {**timed(lambda: client.delete_many(f"c{count}", names)), "count": count}


def together(client: Client, count: int, crew: int, kind: str) -> Figures:
    """Write and read in turn, by so many threads or greenlets at once."""
    while len(_crew) < crew:
        _crew.append(client.for_another())
    each = max(1, count // crew // 2)
    start = _spawn_greenlets if kind == "gevent" else _spawn_threads

    def turns(member: Client) -> None:
        for _ in range(each):
            member.write(ABSENT, BLOCK)
            member.read("s1024")

    failed: list[Exception] = []

    def guarded(member: Client) -> None:
        try:
            turns(member)
        except Exception as error:  # noqa: BLE001 - it is raised below, in the child's own thread
            failed.append(error)

    figures = timed(lambda: start(guarded, _crew[:crew]))
    if failed:
        raise failed[0]
    return {**figures, "count": each * crew * 2}


def _spawn_threads(task: Callable[[Client], None], crew: list[Client]) -> None:
    threads = [threading.Thread(target=task, args=(member,)) for member in crew]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _spawn_greenlets(task: Callable[[Client], None], crew: list[Client]) -> None:
    import gevent

    gevent.joinall([gevent.spawn(task, member) for member in crew])


def stall(client: Client, verb: str, path: str, size: int) -> Figures:
    """Tell the longest pause, in seconds, of a greenlet that sleeps a millisecond at a time."""
    import gevent

    operations = {
        "write_file": lambda: client.write_file(ABSENT, path),
        "read_chunks": lambda: client.read_chunks(f"s{size}"),
    }
    operation = operations[verb]
    worst = 0.0

    def tick() -> None:
        nonlocal worst
        last = time.perf_counter()
        while True:
            gevent.sleep(0.001)
            now = time.perf_counter()
            worst, last = max(worst, now - last), now

    client.describe("s1024")
    ticking = gevent.spawn(tick)
    gevent.sleep(0.05)
    worst = 0.0
    figures = timed(operation)
    gevent.sleep(0.002)  # A pause that has not ended is told at the next tick.
    ticking.kill()
    return {**figures, "stall": worst}


def added(client: Client, warm: dict[str, object], measured: dict[str, object]) -> Figures:
    """Tell the MiB that work adds to the resident memory at its peak, after a smaller warm-up."""
    perform(client, warm)
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    before = resident("VmRSS")
    figures = perform(client, measured)
    return {**figures, "added": resident("VmHWM") - before}


def perform(client: Client, command: dict[str, object]) -> Figures:
    """Do what a command says."""
    options = dict(command)
    verb = globals()[str(options.pop("do"))]
    figures: Figures = verb(client, **options)
    return figures
