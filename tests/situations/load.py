"""Many borrowers, five connections: every byte is right, and no slot is lost."""

from __future__ import annotations

import gc
import io
import os
import random
import tempfile
import warnings
from functools import partial
from typing import TYPE_CHECKING

from flask_fs_swift import ContainerNotFound

from . import here
from .swift import POOL_SIZE, Sockets, assert_all_is_back, new_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift import Storage

PREPARED = 10
DROPPERS = 12
DROPS_EACH = 3
LARGE_TICKS = 3


class Work:
    """Reads that hold a connection half-way; each eighth time a write, read again at once."""

    def __init__(self, files: Storage) -> None:
        self._files = files
        self._prepared = prepare(files, PREPARED, lambda: random.randint(30_000, 100_000))
        self.sockets = Sockets()

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            (self._write if number % 8 == 0 else self._read)(number)

    def _read(self, number: int) -> None:
        name = f"prepared/{number % PREPARED}"
        with self._files.read_chunks(name, 8192) as stream:
            half = stream.read(len(self._prepared[name]) // 2)
            # Others come to want the connection that we hold.
            here.breathe()
            if number % 3 == 1:  # The kernel lists those of the whole machine.
                self.sockets.look()
            assert half + stream.read() == self._prepared[name]

    def _write(self, number: int) -> None:
        content = os.urandom(random.randint(0, 60_000))
        self._files.write(f"own/{number}", content)
        here.breathe()
        assert self._files.read(f"own/{number}") == content


def every_byte_comes_back() -> None:
    files, pool = new_storage()
    work = Work(files)
    many, each = (120, 1) if here.has_greenlets() else (30, 4)
    here.at_once([partial(work, range(n, n + each)) for n in range(0, many * each, each)])
    assert_all_is_back(pool)
    assert work.sockets.most == POOL_SIZE, work.sockets.most


def native_threads_share_with_patched_greenlets() -> None:
    """A socket that gevent patched works in the thread that opened it, and in no other."""
    files, pool = new_storage()
    work = Work(files)
    here.at_once(
        [partial(work, range(n, n + 2)) for n in range(0, 60, 2)],
        beside=[partial(work, range(n, n + 8)) for n in range(1000, 1040, 8)],
    )
    assert_all_is_back(pool)
    assert work.sockets.most == POOL_SIZE, work.sockets.most


def others_run_while_one_waits() -> None:
    files, pool = new_storage()
    prepare(files, 1, lambda: 300_000)
    streams = [files.read_chunks("prepared/0", 1000) for _ in range(POOL_SIZE)]
    waiter = here.Spawned(lambda: files.read("prepared/0"))
    here.until(lambda: pool.stats().waiting == 1)
    for _ in range(100):
        here.breathe()
    assert pool.stats().waiting == 1
    streams.pop().close()
    waiter.result()
    for stream in streams:
        stream.close()
    assert_all_is_back(pool)


def an_error_that_is_kept_keeps_no_socket() -> None:
    files, pool = new_storage(create_container=False)
    sockets = Sockets()
    kept = []
    for _ in range(3):
        try:
            files.write("anything", b"content")
        except ContainerNotFound as error:
            kept.append(error)
    gc.collect()
    assert pool.stats().discarded == len(kept) == 3
    assert sockets.connected() == pool.stats().idle == 0


def closing_the_pool_closes_its_sockets() -> None:
    files, pool = new_storage()
    prepare(files, 1, lambda: 300_000)
    sockets = Sockets()
    gc.disable()
    here.at_once([partial(files.read, "prepared/0") for _ in range(POOL_SIZE)])
    assert sockets.connected() == pool.stats().idle
    pool.close()
    assert sockets.connected() == 0


def dropped_streams_give_their_slots_back() -> None:
    # The collector may come to the socket in a cycle before it comes to the stream.
    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
    files, pool = new_storage()
    size = 2 * 1024 * 1024
    prepared = prepare(files, 1, lambda: size)
    beginning = prepared["prepared/0"][:100_000]
    before = pool.stats().discarded

    def drop(number: int) -> None:
        for _ in range(DROPS_EACH):
            stream = files.read_chunks("prepared/0")
            assert stream.read(100_000) == beginning
            here.breathe()
            if number % 4 == 0:
                # In a cycle, which only the collector finds.
                cycle: list[object] = [stream]
                cycle.append(cycle)
                del cycle
            del stream
            if number % 4 == 0:
                gc.collect()

    here.at_once([partial(drop, number) for number in range(DROPPERS)])
    # A collection does nothing while one is running in another thread.
    gc.collect()
    assert_all_is_back(pool)
    assert pool.stats().discarded - before == DROPPERS * DROPS_EACH
    contents = here.at_once([partial(files.read, "prepared/0") for _ in range(2 * POOL_SIZE)])
    assert all(content == prepared["prepared/0"] for content in contents)
    assert_all_is_back(pool)


def prepare(files: Storage, count: int, size: Callable[[], int]) -> dict[str, bytes]:
    """Store objects of random content; return what they are."""
    contents = {f"prepared/{number}": os.urandom(size()) for number in range(count)}
    for name, content in contents.items():
        files.write(name, content)
    # The socket of the authentication is no connection of the pool's.
    gc.collect()
    return contents


def others_run_while_large_content_moves() -> None:
    files, pool = new_storage()
    content = random.randbytes(24 * 1024 * 1024)
    done: list[bool] = []
    ticks: list[bool] = []

    def tick() -> None:
        while not done:
            ticks.append(True)
            here.nap()

    def move() -> None:
        try:
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.seek(0)
                for kind in (file, io.BytesIO(content), pieces(content), content):
                    before = len(ticks)
                    files.write("large", kind, overwrite=True)
                    written = len(ticks)
                    assert files.read("large") == content
                    assert written - before >= LARGE_TICKS, (kind, written - before)
                    assert len(ticks) > written, (kind, "read")
        finally:
            done.append(True)

    here.at_once([move, tick])
    assert_all_is_back(pool)


def pieces(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 100_000] for at in range(0, len(content), 100_000))
