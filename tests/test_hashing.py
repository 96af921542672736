"""Hashing and reading beside the caller: right, in order, and while greenlets run."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING

import pytest
from situations.hubs import below_a_hub, everywhere

from flask_fs_swift import StreamBroken
from flask_fs_swift.blocks import BLOCK
from flask_fs_swift.concurrency import Beside, breathe
from flask_fs_swift.content import SourceFailed, _Ahead, whole
from flask_fs_swift.hashing import MD5, WORTH_IT, FileMD5, md5_of
from flask_fs_swift.intake import HELD, take
from flask_fs_swift.ranges import Span
from flask_fs_swift.streams import ObjectStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from situations.hubs import RunIn

    from flask_fs_swift.content import Content

SIZES = [0, 1, WORTH_IT - 1, WORTH_IT, WORTH_IT + 1, BLOCK, 3 * BLOCK + 7]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def plain(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@everywhere
@pytest.mark.parametrize("size", SIZES)
def test_the_md5_is_the_md5(run_in: RunIn, size: int) -> None:
    content = noise(size)
    assert run_in(lambda: md5_of(content)) == plain(content)


@everywhere
@pytest.mark.parametrize("overlapping", [False, True])
def test_blocks_are_hashed_in_their_order(run_in: RunIn, overlapping: bool) -> None:
    content = noise(6 * BLOCK)
    sizes = [1, WORTH_IT, 5, BLOCK, BLOCK, WORTH_IT - 1, 0, 2 * BLOCK]

    def run() -> tuple[str, str]:
        digest = MD5(overlapping=overlapping)
        at = 0
        for size in sizes:
            digest.update(memoryview(content)[at : at + size])
            at += size
        return digest.hexdigest(), plain(content[:at])

    ours, right = run_in(run)
    assert ours == right


@everywhere
@pytest.mark.parametrize("size", [0, 1, BLOCK, 8 * BLOCK, 8 * BLOCK + 1, 20 * BLOCK])
def test_a_file_is_hashed_from_its_position(run_in: RunIn, size: int) -> None:
    content = noise(size)

    def run() -> tuple[str, int]:
        file = io.BytesIO(b"before" + content)
        file.seek(6)
        digest = FileMD5(file.readinto)
        while digest.more():
            pass
        return digest.hexdigest(), digest.size

    assert run_in(run) == (plain(content), size)


@everywhere
def test_what_fails_beside_is_raised_to_who_waits(run_in: RunIn) -> None:
    def fail(reason: str) -> None:
        raise RuntimeError(reason)

    def run() -> None:
        running = Beside(fail, "the disk is gone")
        running.join()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the disk is gone"):
                running.result()

    run_in(run)


def ticks_during(task: Callable[[], object]) -> int:
    """Run a task below a hub; return how often another greenlet ran meanwhile."""
    import gevent

    ticks = 0
    done = False

    def tick() -> None:
        nonlocal ticks
        while not done:
            ticks += 1
            gevent.sleep(0.0005)

    def run() -> int:
        nonlocal done
        ticker = gevent.spawn(tick)
        gevent.sleep(0.001)
        before = ticks
        task()
        counted = ticks - before
        done = True
        ticker.join()
        return counted

    return below_a_hub(run)


def blocks_of(content: Content) -> Iterator[bytes | memoryview]:
    """Yield a content's body as its sender takes it."""
    body = content.body()
    if not isinstance(body, bytes):
        while block := body.read(BLOCK):
            yield block


def file_of(folder: Path, content: bytes) -> Path:
    file = folder / "content"
    file.write_bytes(content)
    return file


def test_greenlets_run_while_content_is_hashed(tmp_path: Path) -> None:
    content = noise(32 * BLOCK)
    path = file_of(tmp_path, content)

    def hash_a_file() -> None:
        with path.open("rb") as file:
            assert take(file, filename="a").etag == plain_etag

    def hash_what_passes() -> None:
        blocks = (content[at : at + BLOCK] for at in range(0, len(content), BLOCK))
        with closing(take(blocks, filename="a")) as taken:
            assert taken.etag == plain_etag

    plain_etag = plain(content)
    # One for each piece of work, at the least: 8 MiB of a file, 1 MiB of anything else.
    assert ticks_during(hash_a_file) >= 4
    assert ticks_during(lambda: md5_of(content)) >= 16
    assert ticks_during(lambda: take(UnknownFile(content), filename="a")) >= 16
    assert ticks_during(hash_what_passes) >= 16


class UnknownFile(io.BytesIO):
    """A file that is none of the system: only its caller's thread may read it."""


def test_breathing_lets_greenlets_run_and_needs_no_hub() -> None:
    def breathe_often() -> None:
        for _ in range(1000):
            breathe()

    assert ticks_during(breathe_often) >= 1
    breathe_often()


# Reading ahead.


@everywhere
@pytest.mark.parametrize("size", [HELD + 1, HELD + BLOCK, 2 * HELD + 1])
@pytest.mark.parametrize("step", [BLOCK, 2 * BLOCK, 1000])
def test_a_file_is_sent_as_it_is_as_often_as_needed(
    run_in: RunIn, tmp_path: Path, size: int, step: int
) -> None:
    content = noise(size)
    path = file_of(tmp_path, b"before" + content + b"after")

    def run() -> None:
        with path.open("rb") as file:
            file.seek(6)
            path.write_bytes(b"before" + content)  # What is behind the file's end is no content.
            taken = take(file, filename="a")
            for _ in range(2):
                sent = io.BytesIO()
                body = taken.body()
                assert not isinstance(body, (bytes, Iterator))
                while block := body.read(step):
                    sent.write(block)
                taken.release()
                assert sent.getvalue() == content

    run_in(run)


@everywhere
def test_a_file_that_is_settled_is_its_callers_again(run_in: RunIn, tmp_path: Path) -> None:
    content = noise(HELD + 3 * BLOCK)
    path = file_of(tmp_path, content)

    def run() -> None:
        for _ in range(20):
            with path.open("rb") as file:
                taken = take(file, filename="a")
                assert next(blocks_of(taken)) == content[:BLOCK]
                taken.release()
                for at in (0, 5 * BLOCK, BLOCK):
                    file.seek(at)
                    assert file.read(10) == content[at : at + 10]

    run_in(run)


@everywhere
def test_a_file_that_becomes_shorter_is_noticed(run_in: RunIn, tmp_path: Path) -> None:
    path = file_of(tmp_path, noise(HELD + 3 * BLOCK))

    def run() -> SourceFailed:
        with path.open("rb") as file:
            taken = take(file, filename="a")
            path.write_bytes(b"short")
            file.seek(0)
            with pytest.raises(SourceFailed) as raised:
                list(blocks_of(taken))
            return raised.value

    failed = run_in(run)
    assert isinstance(failed.error, StreamBroken)
    assert failed.error.expected == HELD + 3 * BLOCK


@pytest.mark.parametrize("size", [1, HELD, HELD + 1])
def test_content_can_be_had_as_a_whole(tmp_path: Path, size: int) -> None:
    content = noise(size)
    with file_of(tmp_path, content).open("rb") as file:
        assert whole(take(file, filename="a")) == content


# What interrupts a wait.


class Disk:
    """A file whose disk is slow, and which knows whether it is being read."""

    def __init__(self) -> None:
        self.position = 0
        self.is_read = Event()
        self.may_go_on = Event()

    def seek(self, position: int, _whence: int = 0, /) -> int:
        self.position = position
        return position

    def tell(self) -> int:
        return self.position

    def read(self, _size: int = -1, /) -> bytes:
        return b""

    def readinto(self, room: memoryview, /) -> int:
        self.is_read.set()
        assert self.may_go_on.wait(20)
        self.position += len(room)
        return len(room)


@pytest.mark.parametrize("job", ["hash", "read"])
def test_a_file_is_left_alone_even_if_the_wait_for_it_is_interrupted(job: str) -> None:
    gevent = pytest.importorskip("gevent")
    disk = Disk()

    def read() -> None:
        if job == "hash":
            FileMD5(disk.readinto).more()
        ahead = _Ahead(disk, 8 * BLOCK)
        try:
            ahead.read(BLOCK)
        finally:
            ahead.join()

    def run() -> int:
        reader = gevent.spawn(read)
        while not disk.is_read.is_set():
            gevent.sleep(0.001)
        for _ in range(3):
            reader.kill(block=False)
            gevent.sleep(0.01)
        assert not reader.dead, "the disk is still being read"
        disk.may_go_on.set()
        reader.join()
        return disk.position

    left_at = below_a_hub(run)
    time.sleep(0.05)
    assert disk.position == left_at <= BLOCK


class Digest:
    """An MD5 that takes its time, and knows whether a block is being read."""

    def __init__(self) -> None:
        self.is_reading = Event()
        self.may_go_on = Event()

    def update(self, _block: bytes | memoryview) -> None:
        self.is_reading.set()
        assert self.may_go_on.wait(20)
        self.is_reading.clear()

    def hexdigest(self) -> str:
        return "never asked for"


class Breaking:
    """A download of one block, which breaks while that is hashed, for good."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._has_come = False

    def read(self, size: int, /) -> bytes:
        raise NotImplementedError

    def readinto(self, room: memoryview, /) -> int:
        if self._has_come:
            assert self._digest.is_reading.wait(20)
            raise ConnectionError("the network is gone")
        self._has_come = True
        return len(room) // 2

    def resume(self, _received: int, cause: Exception | None, /) -> Breaking:
        raise StreamBroken("for good") from cause

    def finish(self) -> None: ...

    def abort(self) -> None: ...


@pytest.mark.parametrize("job", ["hash", "receive"])
def test_a_block_is_left_alone_whatever_ends_the_wait_for_its_hashing(
    job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gevent = pytest.importorskip("gevent")
    digest = Digest()
    download = Breaking(digest)
    monkeypatch.setattr("flask_fs_swift.hashing.hashlib.md5", lambda **_: digest)

    def read() -> None:
        if job == "hash":
            md5 = MD5()
            md5.update(bytes(BLOCK))
            md5.join()
            return
        stream = ObjectStream(
            "a.bin",
            download,
            describe=lambda: pytest.fail("nobody asks"),
            resume=download.resume,
            md5_of_object="0" * 32,
            span=Span(0, 2 * BLOCK, 2 * BLOCK),
        )
        with pytest.raises(StreamBroken):
            stream.readinto(bytearray(2 * BLOCK))

    def run() -> None:
        reader = gevent.spawn(read)
        while not digest.is_reading.is_set():
            gevent.sleep(0.001)
        for _ in range(3 if job == "hash" else 0):
            reader.kill(block=False)
            gevent.sleep(0.01)
        gevent.sleep(0.01)
        assert not reader.dead, "the block is still being read"
        digest.may_go_on.set()
        reader.get()
        assert not digest.is_reading.is_set()

    below_a_hub(run)


def test_content_is_hashed_while_the_program_ends() -> None:
    """Threads may outlive the main one; then nobody starts new ones."""
    program = """
import io, threading, time
from flask_fs_swift.intake import take

class File(io.BytesIO):
    pass

def write():
    main.join()
    print(take(File(bytes(6 << 20)), filename="a").etag)

main = threading.main_thread()
threading.Thread(target=write).start()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == plain(bytes(6 << 20))
    assert ended.stderr == ""
