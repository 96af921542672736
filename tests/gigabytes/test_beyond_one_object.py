"""A file that Swift would not take as one object goes up and comes down intact.

It is sparse here, but not in Swift: that takes as many bytes of disk. Run by
``python -m pytest -m large``; ``--basetemp`` says on which disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeStorage

GIB = 1024**3
SIZE = 6 * GIB + 12345

pytestmark = [pytest.mark.large, pytest.mark.timeout(1800)]


def hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A file with something to be told apart in each GiB, and holes between."""
    if shutil.disk_usage(tmp_path).free < 2.5 * SIZE:
        pytest.fail(f"{tmp_path} needs {2.5 * SIZE / GIB:.0f} GiB")
    path = tmp_path / "sparse.bin"
    with path.open("wb") as file:
        for start in range(0, SIZE, GIB // 3):
            file.seek(start)
            file.write(os.urandom(100_000))
        file.truncate(SIZE)
    return path


def test_six_gigabytes_go_up_and_come_down(
    make_storage: MakeStorage, sparse: Path, tmp_path: Path
) -> None:
    files = make_storage()
    told: list[int] = []
    with sparse.open("rb") as file:
        info = files.write("big.bin", file, progress=lambda done, _: told.append(done))
    assert (info.size, info.is_manifest) == (SIZE, True)
    assert told[-1] == SIZE
    target = tmp_path / "back.bin"
    assert files.download("big.bin", target).size == SIZE
    assert hash_of(target) == hash_of(sparse)
    with files.open("big.bin", "rb") as file, sparse.open("rb") as expected:
        for position in (5 * GIB, SIZE - 100, GIB // 3):
            file.seek(position)
            expected.seek(position)
            assert file.read(64) == expected.read(64)
    target.unlink()
    files.delete("big.bin")
    assert files.collect_garbage(0) == []
