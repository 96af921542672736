"""Traps of the plugin that ours replaces: each was seen to happen there."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import flask_fs
import pytest

from flask_fs_swift import InvalidName, StreamBroken
from flask_fs_swift.flask_fs2 import OpenStackBackend

from .conftest import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftclient import Connection

    from flask_fs_swift.devserver import Faults

    from .conftest import MakeFiles


@pytest.fixture
def other(make_files: MakeFiles) -> Any:
    """The container next door."""
    files = make_files()
    files.write("secret.txt", "not yours")
    return files


def test_no_name_reaches_another_container(files: Any, other: Any) -> None:
    files.write("a", "x")
    name = f"../{other.name}/secret.txt"
    assert not files.exists(name)
    with pytest.raises(flask_fs.FileNotFound):
        files.read(name)
    changes: tuple[Callable[[], object], ...] = (
        lambda: files.write(name, "mine", overwrite=True),
        lambda: files.save(io.BytesIO(b"mine"), name, overwrite=True),
        lambda: files.delete(name),
        lambda: files.copy("a", name),
        lambda: files.backend.copy(name, "b"),
        lambda: files.backend.move("a", name),
        lambda: contextlib.ExitStack().enter_context(files.open(name, "w")),
        lambda: files.backend.read(name),
        lambda: files.backend.metadata(name),
    )
    for change in changes:
        with pytest.raises(InvalidName):
            change()
    assert other.read("secret.txt") == b"not yours"


def test_nothing_is_read_for_a_name_that_cannot_be(files: Any) -> None:
    file = io.BytesIO(b"x")
    with pytest.raises(InvalidName):
        files.write("a/../b", file)
    assert file.tell() == 0


def test_an_empty_name_is_not_the_container(files: Any) -> None:
    files.write("a", "x")
    assert not files.exists("")
    for act in (files.backend.read, files.delete):
        with pytest.raises(InvalidName):
            act("")
    assert list(files.list_files()) == ["a"]


def test_a_file_that_is_moved_to_its_own_name_is_kept(files: Any) -> None:
    files.write("a", "x")
    files.backend.move("a", "a")
    assert files.read("a") == b"x"


def test_a_write_whose_answer_was_lost_is_sent_again(files: Any, swift_faults: Faults) -> None:
    files.write("a", "x")
    swift_faults.forget()
    swift_faults.add("reset", method="PUT", path=f"{files.name}/b")
    files.write("b", b"bytes")
    assert asked(swift_faults) == ["HEAD", "PUT", "PUT"]
    assert files.read("b") == b"bytes"


def test_a_read_that_broke_goes_on(files: Any, swift_faults: Faults) -> None:
    files.write("a", b"x" * 100_000)
    swift_faults.add("truncate", method="GET", path=f"{files.name}/a", bytes=50_000)
    assert files.read("a") == b"x" * 100_000


def test_a_read_that_breaks_for_good_is_not_short_and_keeps_no_broken_connection(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    files = make_files(retries=0)
    files.write("a", b"x" * 100_000)
    swift_faults.add("truncate", method="GET", path=f"{files.name}/a", bytes=50_000, times=-1)
    with pytest.raises(StreamBroken):
        files.read("a")
    swift_faults.clear()
    assert files.backend.pool.stats().lent == 0
    assert files.read("a") == b"x" * 100_000


def test_one_after_another_use_one_connection(make_files: MakeFiles) -> None:
    files = make_files(pool_size=19)
    files.write("warm", "x")
    opened = files.backend.pool.stats().opened
    for number in range(20):
        files.write(str(number), "x")
    assert files.backend.pool.stats().opened == opened


@pytest.mark.parametrize("taken", [0, 1])
def test_a_stream_that_is_dropped_gives_its_slot_back(files: Any, taken: int) -> None:
    files.write("a", b"x" * 1000)
    chunks = files.read_chunks("a", 100)
    for _ in range(taken):
        next(chunks)
    assert files.backend.pool.stats().lent == 1
    del chunks
    assert files.backend.pool.stats().lent == 0


def test_a_connection_that_cannot_be_made_loses_no_slot(make_files: MakeFiles) -> None:
    class Failing(OpenStackBackend):
        fails = 1

        def _new_connection(self) -> Connection:
            self.fails -= 1
            if self.fails >= 0:
                raise LookupError("no connection today")
            return super()._new_connection()

    files = make_files(kind=Failing, pool_size=1, pool_timeout=0)
    with pytest.raises(LookupError):
        files.write("a", "x")
    files.write("a", "x")
    assert files.read("a") == b"x"


def test_the_checksum_of_a_large_object_is_not_said_to_be_its_md5(files: Any) -> None:
    with files.backend._borrow() as connection:
        connection.put_object(files.name, "segment", b"x")
        connection.put_object(
            files.name,
            "large",
            json.dumps([{"path": f"/{files.name}/segment"}]),
            query_string="multipart-manifest=put",
        )
    assert files.backend.metadata("large")["checksum"] is None
    assert files.read("large") == b"x"
