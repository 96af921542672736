"""Files that come in ranges at once: every byte is right, others run, nothing is left."""

from __future__ import annotations

import random
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flask_fs_swift.parallel import at_once

from . import here
from .swift import assert_all_is_back, new_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 40 * 1024 * 1024
TICKS = 10


def others_run_while_ranges_are_fetched() -> None:
    """Two downloads at once, of eight ranges at a time, over the five connections of the pool."""
    files, pool = new_storage()
    content = random.randbytes(SIZE)
    files.write("large", content)
    done: list[bool] = []
    ticks: list[bool] = []
    told: list[int] = []

    def tick() -> None:
        while len(done) < 2:
            ticks.append(True)
            here.nap()

    def download(folder: Path) -> None:
        try:
            files.download("large", folder / "a", concurrency=8, progress=tell)
            assert (folder / "a").read_bytes() == content
            assert [path.name for path in folder.iterdir()] == ["a"]
        finally:
            done.append(True)

    def tell(_done: int, _total: int | None) -> None:
        told.append(threading.get_ident())

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        here.at_once([lambda: download(Path(one)), lambda: download(Path(other)), tick])
    assert len(ticks) >= TICKS, len(ticks)
    assert len(set(told)) == (1 if here.name == here.GREENLETS else 2)
    assert_all_is_back(pool)
    assert_no_thread_is_left()


class Enough(Exception):
    """Told by a consumer."""


def what_is_interrupted_leaves_nothing() -> None:
    files, pool = new_storage()
    files.write("large", random.randbytes(SIZE))

    def give_up(done: int, _total: int | None) -> None:
        if done:
            raise Enough

    def download(folder: Path) -> None:
        try:
            files.download("large", folder / "a", progress=give_up)
        except Enough:
            return
        raise AssertionError("it went on")

    with tempfile.TemporaryDirectory() as folder:
        here.at_once([lambda: download(Path(folder))] * 3)
        assert list(Path(folder).iterdir()) == []
    assert_all_is_back(pool)
    assert_no_thread_is_left()


def tasks_at_once_are_what_the_situation_has() -> None:
    """Greenlets of one thread where they have taken the place of threads, else threads."""
    running: list[bool] = []
    most: list[int] = []
    idents: set[object] = set()

    def count() -> None:
        idents.add(_native_ident())
        running.append(True)
        most.append(len(running))
        (here.nap if here.name == here.PATCHED else here.native_nap)()
        running.pop()

    def consume() -> int:
        with at_once(tasks(), 4) as results:
            return sum(1 for _ in results)

    def tasks() -> Iterator[partial[None]]:
        for _ in range(100):
            yield partial(count)

    assert here.at_once([consume, consume]) == [100, 100]
    assert len(most) == 200
    assert 4 < max(most) <= 8  # Of both, if the machine has time for both.
    assert (len(idents) == 1) == (here.name == here.PATCHED)
    assert_no_thread_is_left()
    [there] = here.at_once([], beside=[consume])
    assert there == 100
    assert_no_thread_is_left()


def _native_ident() -> object:
    if here.name != here.PATCHED:
        return threading.get_ident()
    from gevent import monkey

    return monkey.get_original("_thread", "get_ident")()


def assert_no_thread_is_left() -> None:
    """Check that nothing that ran at once is left; helpers live as long as the process."""
    left = [each.name for each in threading.enumerate()]
    assert "flask-fs-swift" not in left, left
