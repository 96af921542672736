"""What flask-fs2 asks of a backend."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask_fs.backends import BaseBackend
from flask_fs.errors import FileExists, FileNotFound, OperationNotSupported
from werkzeug.datastructures import FileStorage

from flask_fs_swift import FileTooLarge, container
from flask_fs_swift.flask_fs2 import OpenStackBackend, backend

from .conftest import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from flask_fs_swift.devserver import Faults

    from .conftest import MakeFiles

MIB = 1024 * 1024
LONG = os.urandom(5 * MIB + 17)


def pipe(data: bytes) -> io.FileIO:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return io.FileIO(reading)


def test_flask_fs2_finds_the_plugin_by_its_name(files: Any) -> None:
    assert type(files.backend) is OpenStackBackend
    assert isinstance(files.backend, BaseBackend)
    assert OpenStackBackend.backend_name == "openstack"
    assert files.backend.encryptor is None
    assert files.backend.name == files.name
    assert files.backend.config is files.config


def test_files_have_no_path(files: Any) -> None:
    assert files.root is None
    with pytest.raises(OperationNotSupported):
        files.path("a.txt")


@pytest.mark.parametrize(
    "content",
    [
        lambda: "hé",
        "hé".encode,
        lambda: bytearray("hé".encode()),
        lambda: memoryview("hé".encode()),
        lambda: io.BytesIO("hé".encode()),
        lambda: FileStorage(io.BytesIO("hé".encode()), "other.txt"),
    ],
    ids=["text", "bytes", "bytearray", "memoryview", "file", "upload"],
)
def test_what_was_written_is_read(files: Any, content: Callable[[], Any]) -> None:
    files.write("a.txt", content())
    assert files.read("a.txt") == "hé".encode()


def test_a_pipe_can_be_written(files: Any) -> None:
    with pipe(b"flow") as reading:
        files.write("a.txt", reading)
    assert files.read("a.txt") == b"flow"


def test_an_existing_file_is_replaced_only_when_asked(files: Any) -> None:
    files.write("a.txt", "old")
    with pytest.raises(FileExists):
        files.write("a.txt", "new")
    assert files.read("a.txt") == b"old"
    files.write("a.txt", "new", overwrite=True)
    assert files.read("a.txt") == b"new"


def test_a_missing_file_is_flask_fs2s_own_error(files: Any) -> None:
    assert not files.exists("a.txt")
    for verb in (files.read, files.read_chunks, lambda name: files.copy(name, "b.txt")):
        with pytest.raises(FileNotFound):
            verb("a.txt")


@pytest.mark.parametrize("size", [1, 7, MIB, 8 * MIB])
def test_chunks_have_the_size_that_was_asked_for(files: Any, size: int) -> None:
    content = LONG if size >= MIB else LONG[:20]
    files.write("a.bin", content)
    chunks = list(files.read_chunks("a.bin", size))
    assert b"".join(chunks) == content
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}


def test_a_read_of_the_backend_is_one_request(files: Any, swift_faults: Faults) -> None:
    files.write("a.txt", "x")
    with counted(swift_faults) as asked:
        assert files.backend.read("a.txt") == b"x"
        assert b"".join(files.backend.read_chunks("a.txt", 5)) == b"x"
        assert files.backend.exists("a.txt")
        files.backend.metadata("a.txt")
        files.backend.write("a.txt", "y")
    assert asked == ["GET", "GET", "HEAD", "HEAD", "PUT"]


class Watched(io.BytesIO):
    """A file that remembers how much was read of it at once, in bytes."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.most = max(self.most, len(block))
        return block


@pytest.mark.parametrize("verb", ["write", "save"])
def test_a_file_is_stored_piece_by_piece_and_left_open(files: Any, verb: str) -> None:
    file = Watched(LONG)
    if verb == "write":
        files.write("a.bin", file)
    else:
        files.save(file, "a.bin")
    assert files.read("a.bin") == LONG
    assert file.most <= MIB
    assert not file.closed


def test_an_upload_keeps_its_content_type_and_is_left_open(files: Any) -> None:
    upload = FileStorage(io.BytesIO(b"<p>"), "A Page.HTML", content_type="text/x-mine")
    name = files.save(upload, prefix="in")
    assert name == "in/A_Page.html"
    assert files.backend.metadata(name)["mime"] == "text/x-mine"
    assert not upload.stream.closed


def test_save_answers_the_name_and_guesses_the_type(files: Any) -> None:
    assert files.backend.save(io.BytesIO(b"x"), "a.png") == "a.png"
    assert files.backend.metadata("a.png")["mime"] == "image/png"


def test_too_large_a_file_is_not_stored(make_files: MakeFiles) -> None:
    files = make_files(max_size=3)
    files.write("a.txt", "abc")
    with pytest.raises(FileTooLarge):
        files.write("b.txt", "abcd")
    assert list(files.list_files()) == ["a.txt"]


# Opening.


@pytest.mark.parametrize(
    ("mode", "content"), [("w", "a\r\nbé"), ("wt", "a\r\nbé"), ("wb", "a\r\nbé".encode())]
)
def test_what_was_written_to_a_file_is_read_from_one(
    files: Any, mode: str, content: str | bytes
) -> None:
    with files.open("a.txt", mode) as file:
        file.write(content)
    assert files.read("a.txt") == "a\r\nbé".encode()
    with files.open("a.txt", mode.replace("w", "r")) as file:
        assert file.read() == content


def test_a_file_is_read_in_its_encoding(files: Any) -> None:
    files.write("a.txt", "é".encode("latin-1"))
    with files.open("a.txt", encoding="latin-1") as file:
        assert file.read() == "é"


def test_an_open_file_can_seek_and_holds_no_connection(files: Any) -> None:
    with files.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in", LONG)
    with files.open("a.zip", "rb") as file, zipfile.ZipFile(file) as archive:
        assert files.backend.pool.stats().lent == 0
        assert archive.read("in") == LONG


def test_a_block_that_raises_stores_nothing(files: Any) -> None:
    def write_half() -> None:
        with files.open("a.txt", "w") as file:
            file.write("half")
            raise LookupError

    with pytest.raises(LookupError):
        write_half()
    assert not files.exists("a.txt")


@pytest.mark.parametrize("mode", ["a", "r+", "w+", "rw", "x", "", "b"])
def test_no_mode_does_something_else_than_it_says(files: Any, mode: str) -> None:
    files.write("a.txt", "kept")
    with pytest.raises(ValueError, match="mode must be"), files.open("a.txt", mode):
        pass
    assert files.read("a.txt") == b"kept"


# Names.


def test_a_folder_is_deleted_at_all_levels_and_no_other_is(
    make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "PAGE", 2)
    files = make_files()
    inside = ["a/b", "a/b/", "a/b/1", "a/b/2", "a/b/c/3", "a/b/c/d/4", "a/b/é"]
    outside = ["a", "a/b2", "a/b.txt", "a/b2/1"]
    for name in inside + outside:
        files.write(name, "x")
    files.delete("a/b")
    assert sorted(files.list_files()) == sorted(outside)


def test_a_folder_takes_few_requests(
    make_files: MakeFiles, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "RUN", 20)
    files = make_files(segment_size=1000)
    for number in range(30):
        files.write(f"a/{number:02}", "x")
    files.write("a/large", bytes(2500))
    files.write("b", "x")
    with counted(swift_faults) as methods:
        files.delete("a")
    assert methods.count("POST") == 2
    # The folder's own name, what is large, and its three segments.
    assert methods.count("DELETE") == 5
    assert list(files.list_files()) == ["b"]


@pytest.mark.parametrize(("count", "said"), [(2, None), (5, '{"swift": {}}'), (5, "nonsense")])
def test_a_folder_is_deleted_one_by_one_where_that_is_better(
    files: Any, swift_faults: Faults, count: int, said: str | None
) -> None:
    """Or where Swift does nothing else."""
    for number in range(count):
        files.write(f"a/{number}", "x")
    if said is not None:
        swift_faults.add("status", path="^/info", status=200, body=said, times=-1)
    with counted(swift_faults) as methods:
        files.delete("a")
    assert methods.count("DELETE") == count + 1
    assert "POST" not in methods
    assert list(files.list_files()) == []


@pytest.mark.parametrize("name", ["a", "a/"])
def test_a_folder_is_deleted_under_either_of_its_names(files: Any, name: str) -> None:
    files.write("a/1", "x")
    files.delete(name)
    assert list(files.list_files()) == []


def test_deleting_what_is_absent_is_no_error(files: Any) -> None:
    files.write("b", "x")
    files.delete("a")
    assert list(files.list_files()) == ["b"]


def test_a_copy_has_content_and_type(files: Any) -> None:
    files.save(FileStorage(io.BytesIO(b"x"), content_type="text/x-mine"), "a.txt")
    files.copy("a.txt", "b/ö %41.txt")
    assert files.read("b/ö %41.txt") == b"x"
    assert files.backend.metadata("b/ö %41.txt")["mime"] == "text/x-mine"
    assert files.exists("a.txt")


def test_a_move_takes_exactly_one_file(files: Any) -> None:
    files.write("a", "x")
    files.write("a/1", "y")
    files.backend.move("a", "b")
    assert sorted(files.list_files()) == ["a/1", "b"]


def test_a_move_of_nothing_is_an_error(files: Any) -> None:
    for target in ("a", "b"):
        with pytest.raises(FileNotFound):
            files.backend.move("a", target)


def test_a_listing_has_all_pages(make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "PAGE", 2)
    files = make_files()
    names = [f"{number}.txt" for number in range(5)]
    for name in names:
        files.write(name, "x")
    assert list(files.list_files()) == names


def test_the_metadata_are_those_that_flask_fs2_promises(files: Any, app: Flask) -> None:
    files.write("in/a.txt", "abc")
    with app.test_request_context():
        metadata = files.metadata("in/a.txt")
    assert metadata.pop("modified").utcoffset() == timedelta(0)
    assert metadata == {
        "filename": "a.txt",
        "url": f"http://localhost/fs/{files.name}/in/a.txt",
        "checksum": "md5:900150983cd24fb0d6963f7d28e17f72",
        "size": 3,
        "mime": "text/plain",
    }


def test_two_storages_have_containers_of_their_own(make_files: MakeFiles) -> None:
    one, other = make_files(), make_files()
    one.write("a.txt", "x")
    assert list(other.list_files()) == []


def test_a_storage_can_have_a_container_of_another_name(make_files: MakeFiles) -> None:
    files = make_files()
    files.write("a.txt", "x")
    assert make_files(container=files.name).read("a.txt") == b"x"


def test_the_context_that_an_operation_runs_in_is_left_alone(files: Any, app: Flask) -> None:
    torn_down = []
    app.teardown_appcontext(lambda _: torn_down.append(True))
    with app.app_context():
        files.write("a.txt", "x")
        files.read("a.txt")
        list(files.list_files())
        files.delete("a.txt")
        assert not torn_down
    assert torn_down
