"""Large files in batches: a slot for each operation, and no segment left behind."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift import Copy, Delete, Get, Put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage

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
