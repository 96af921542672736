"""Files longer than a segment: stored, read, replaced, collected, and others run meanwhile."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from . import here
from .downloads import assert_no_thread_is_left
from .swift import assert_all_is_back, new_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
SEGMENTS = 4
TICKS = 10


def pieces(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 100_000] for at in range(0, len(content), 100_000))


def others_run_while_segments_move() -> None:
    """Two writers at once, of four segments each, over the five connections of the pool."""
    files, pool = new_storage(segment_size=MIB, segment_concurrency=8)
    contents = {name: random.randbytes(SEGMENTS * MIB + 1) for name in ("a", "b")}
    done: list[bool] = []
    ticks: list[bool] = []

    def tick() -> None:
        while len(done) < len(contents):
            ticks.append(True)
            here.nap()

    def write(name: str) -> None:
        content = contents[name]
        try:
            files.write(
                name, (content[at : at + 100_000] for at in range(0, len(content), 100_000))
            )
            assert files.read(name) == content
            files.write(name, content[::-1], overwrite=True)
            assert files.read(name) == content[::-1]
            files.write(name, b"small", overwrite=True)
        finally:
            done.append(True)

    here.at_once([lambda: write("a"), lambda: write("b"), tick])
    assert len(ticks) >= TICKS, len(ticks)
    assert files.collect_garbage(0) == []
    assert_all_is_back(pool)
    assert_no_thread_is_left()


class Enough(BaseException):
    """Told by a writer."""


def what_is_interrupted_leaves_nothing() -> None:
    files, pool = new_storage(segment_size=MIB)
    content = random.randbytes(SEGMENTS * MIB)
    files.write("a", b"old")

    def give_up(moved: int, _total: int | None) -> None:
        if moved:
            raise Enough

    def write() -> None:
        try:
            files.write("a", content, overwrite=True, progress=give_up)
        except Enough:
            return
        raise AssertionError("it went on")

    here.at_once([write] * 2)
    if here.has_greenlets():
        writer = here.Spawned(partial(files.write, "a", content, overwrite=True))
        here.until(lambda: pool.stats().lent)
        writer.greenlet.kill()
    assert files.read("a") == b"old"
    assert files.collect_garbage(0) == []
    assert_all_is_back(pool)
    assert_no_thread_is_left()
