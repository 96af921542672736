"""How far a write or a copy has come, told to who wants to know."""

from __future__ import annotations

import io
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest
from situations.hubs import everywhere
from werkzeug.datastructures import FileStorage

from flask_fs_swift import StreamBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeStorage
    from situations.hubs import RunIn

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import Faults

MIB = 1024 * 1024
SIZE = 6 * MIB + 1
CONTENT = bytes(range(256)) * (SIZE // 256) + b"1"


def a_file() -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(CONTENT)
    file.seek(0)
    return file


KINDS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENT,
    "file": a_file,
    "memory": lambda: io.BytesIO(CONTENT),
    "passing": lambda: (CONTENT[at : at + 700_000] for at in range(0, SIZE, 700_000)),
}


@everywhere
@pytest.mark.parametrize("kind", KINDS)
def test_progress_only_grows_up_to_the_end(files: Storage, run_in: RunIn, kind: str) -> None:
    told: list[tuple[int, int | None]] = []
    threads: set[int] = set()
    content = KINDS[kind]()
    files.write("other", b"")  # The container is there: nothing has to be sent again.

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())

    def write() -> None:
        files.write("a", content, progress=tell)
        assert threads == {threading.get_ident()}

    run_in(write)
    if kind == "file":
        content.close()
    assert files.read("a") == CONTENT
    assert told == sorted(set(told))
    assert len(told) >= 7
    assert {total for _, total in told} == {SIZE}
    assert told[-1][0] == SIZE


@pytest.mark.parametrize("size", [0, 1, MIB])
def test_small_content_is_told_at_once(files: Storage, size: int) -> None:
    told: list[tuple[int, int | None]] = []
    files.write("other", bytes(2000))  # What sends it again is that there was no container.
    files.write("a", bytes(size), progress=lambda *each: told.append(each))
    assert files.read("a") == bytes(size)
    assert told == sorted(set(told))
    assert told[-1:] == ([(size, size)] if size else [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [ConnectionError, ValueError, KeyboardInterrupt])
def test_what_it_raises_ends_the_transfer(
    files: Storage, kind: str, error: type[BaseException]
) -> None:
    files.write("a", b"before")
    content = KINDS[kind]()
    told: list[int] = []

    def give_up(done: int, _total: int | None) -> None:
        told.append(done)
        raise error("enough")

    with pytest.raises(error, match="enough"):
        files.write("a", content, overwrite=True, progress=give_up)
    if kind == "file":
        content.close()
    assert len(told) == 1
    assert files.read("a") == b"before"


def test_what_is_sent_again_is_told_again(swift_files: Storage, swift_faults: Faults) -> None:
    told: list[int] = []
    swift_files.write("other", b"")
    swift_faults.add("reset", method="PUT", bytes=3 * MIB)
    swift_files.write("a", CONTENT, progress=lambda done, _: told.append(done))
    assert told.count(MIB) == 2
    assert told[-1] == SIZE
    assert swift_files.read("a") == CONTENT


def test_uploads_are_told_too(files: Storage) -> None:
    told: list[int] = []
    upload = FileStorage(io.BytesIO(CONTENT), "a.txt")
    files.save(upload, progress=lambda done, _: told.append(done))
    assert told[-1] == SIZE


def test_a_source_that_fails_raises_what_it_would_without_progress(files: Storage) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            if not block:  # It was read to its end once: hashed.
                self.truncate(5 * MIB)
            return block

    with pytest.raises(StreamBroken, match="shorter"):
        files.write("a", Shrinking(CONTENT), progress=lambda *_: None)
    assert "a" not in files


def test_a_large_write_over_one_connection_is_told_part_by_part(make_storage: MakeStorage) -> None:
    told: list[int] = []
    files = make_storage(segment_size=MIB, pool_size=1)
    files.write("a", CONTENT, progress=lambda done, _: told.append(done))
    assert told == [*range(MIB, SIZE, MIB), SIZE]


# Copies.


@pytest.mark.parametrize("target", ["a", "b"])
@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("size", [0, 1000])
def test_a_small_copy_is_told_once(files: Storage, verb: str, target: str, size: int) -> None:
    told: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        assert target in files
        told.append((done, total))

    files.write("a", bytes(size))
    getattr(files, verb)("a", target, progress=tell)
    assert told == [(size, size)]
    assert list(files.list_files()) == (
        ["a", "b"] if target == "b" and verb == "copy" else [target]
    )


def test_what_it_raises_at_the_end_of_a_move_leaves_both(files: Storage) -> None:
    def give_up(_done: int, _total: int | None) -> None:
        raise KeyError("enough")

    files.write("a", b"1")
    with pytest.raises(KeyError):
        files.move("a", "b", progress=give_up)
    assert files.read("a") == files.read("b") == b"1"


@everywhere
@pytest.mark.parametrize(
    ("verb", "width", "least"), [("copy", 1, 7), ("copy", 4, 2), ("move", 4, 2)]
)
def test_a_large_copy_is_told_as_it_grows(
    make_storage: MakeStorage,
    swift_faults: Faults,
    run_in: RunIn,
    verb: str,
    width: int,
    least: int,
) -> None:
    files = make_storage(segment_size=MIB, segment_concurrency=width)
    files.write("a", CONTENT)
    swift_faults.add("delay", method="COPY", path="/000007/")  # The others have come by then.
    told: list[tuple[int, int | None]] = []
    threads: set[int] = set()

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())

    def copy() -> None:
        getattr(files, verb)("a", "b", progress=tell)
        assert threads == {threading.get_ident()}

    run_in(copy)
    assert files.read("b") == CONTENT
    assert told == sorted(set(told))
    assert {total for _, total in told} == {SIZE}
    assert len(told) >= least
    assert told[-1][0] == SIZE


@pytest.mark.parametrize("after", [MIB, SIZE])
@pytest.mark.parametrize("error", [ConnectionError, KeyboardInterrupt])
def test_what_it_raises_ends_a_large_copy(
    make_storage: MakeStorage, error: type[BaseException], after: int
) -> None:
    files = make_storage(segment_size=MIB)
    files.write("a", CONTENT)
    files.write("b", b"before")

    def give_up(done: int, _total: int | None) -> None:
        if done >= after:
            raise error("enough")

    with pytest.raises(error, match="enough"):
        files.move("a", "b", overwrite=True, progress=give_up)
    assert files.read("a") == CONTENT
    assert files.read("b") == b"before"
    assert files.collect_garbage(0) == []
