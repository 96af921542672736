"""Large files in batches: a slot for each operation, and no segment left behind."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import Copy, Delete, Get, Put, Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeStorage

SEGMENT = 50_000
LARGE = os.urandom(4 * SEGMENT + 1)
NAMES = [f"{number:02}" for number in range(12)]


@pytest.fixture
def files(make_storage: MakeStorage) -> Iterator[Storage]:
    """A storage that never has more connections than its pool; nothing is left at the end."""
    storage = make_storage(segment_size=SEGMENT, segment_concurrency=4, pool_size=6)
    yield storage
    for name in list(storage.list_files()):
        storage.delete(name)
    assert storage.collect_garbage(0) == []


@pytest.mark.parametrize("concurrency", [1, 3, None])
def test_large_files_are_written_over_the_slots_of_the_batch(
    files: Storage, concurrency: int | None
) -> None:
    contents = {name: io.BytesIO(LARGE) if int(name) % 2 else b"small" for name in NAMES}
    puts = [Put(name, content) for name, content in contents.items()]
    assert [each.error for each in files.many(puts, concurrency)] == [None] * len(NAMES)
    for outcome in files.many(map(Get, NAMES), concurrency):
        assert outcome.value == (LARGE if outcome.index % 2 else b"small")
    assert files.info("01").is_manifest


def test_a_run_of_deletions_takes_the_segments_of_large_files_too(files: Storage) -> None:
    puts = [Put(name, LARGE if int(name) % 3 == 0 else b"small") for name in NAMES]
    assert [each.error for each in files.many(puts)] == [None] * len(NAMES)
    assert [each.error for each in files.many(map(Delete, NAMES))] == [None] * len(NAMES)
    assert list(files.list_files()) == []
    assert files.collect_garbage(0, dry_run=True) == []


def test_a_folder_with_large_files_goes_with_all_of_them(files: Storage) -> None:
    puts = [Put(f"folder/{name}", LARGE if name < "03" else b"small") for name in NAMES]
    assert [each.error for each in files.many(puts)] == [None] * len(NAMES)
    assert files.copy_prefix("folder/", "copy/") == len(NAMES)
    assert files.delete_prefix("folder/") == len(NAMES)
    assert files.collect_garbage(0, dry_run=True) == []
    assert files.read("copy/00") == LARGE
    assert files.delete_prefix("copy/") == len(NAMES)


def test_copies_of_large_files_are_independent(files: Storage) -> None:
    files.write("a", LARGE)
    copies = [Copy("a", name) for name in NAMES[:4]]
    assert [each.error for each in files.many(copies)] == [None] * 4
    files.delete("a")
    assert all(files.read(name) == LARGE for name in NAMES[:4])


@pytest.mark.parametrize("concurrency", [1, None])
def test_large_files_are_read_into_files_over_one_slot_each(
    files: Storage, concurrency: int | None, tmp_path: Path
) -> None:
    assert [each.error for each in files.many(Put(name, LARGE) for name in NAMES)] == [None] * 12
    gets = [Get(name, into=tmp_path / name) for name in NAMES]
    assert [each.error for each in files.many(gets, concurrency)] == [None] * len(NAMES)
    assert all((tmp_path / name).read_bytes() == LARGE for name in NAMES)


def test_a_large_file_is_downloaded_over_one_connection(
    make_storage: MakeStorage, tmp_path: Path
) -> None:
    files = make_storage(segment_size=SEGMENT, pool_size=1, pool_timeout=2)
    files.write("a", LARGE)
    files.download("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == LARGE


def test_what_takes_a_part_at_a_time_gets_all_of_a_file(files: Storage) -> None:
    taken: list[bytes] = []

    class Slow:
        def write(self, block: bytes) -> int:
            taken.append(block[:1000])
            return min(len(block), 1000)

    class Full:
        def write(self, _block: bytes) -> int:
            return 0

    files.write("a", LARGE)
    slow, full = files.many([Get("a", into=Slow()), Get("a", into=Full())], 1)
    assert slow.error is None
    assert b"".join(taken) == LARGE
    assert isinstance(full.error, BlockingIOError)


def test_an_operation_does_not_show_what_it_stores() -> None:
    assert "secret" not in repr(Put("a", b"secret"))


def test_a_class_of_ones_own_keeps_its_verbs_in_a_batch(files: Storage) -> None:
    class Shouting(Storage):
        def write(self, filename: str, content: Any, *args: Any, **options: Any) -> Any:
            return super().write(filename, content.upper(), *args, **options)

    shouting = Shouting(files.name)
    vars(shouting).update(vars(files))
    assert [each.error for each in shouting.many([Put("a", b"quiet")])] == [None]
    assert files.read("a") == b"QUIET"
