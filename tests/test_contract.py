"""What every backend promises, through the storage: the same tests for all of them."""

from __future__ import annotations

import io
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from werkzeug.datastructures import FileStorage

from flask_fs_swift import (
    FileExists,
    FileNotFound,
    InvalidName,
    OperationNotSupported,
    StreamBroken,
)
from flask_fs_swift.hashing import md5_of
from flask_fs_swift.intake import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask_fs_swift import Storage
    from flask_fs_swift.intake import RawContent

MIB = 1024 * 1024
#: More than is held in memory, and no multiple of a block.
LONG = os.urandom(5 * MIB + 17)

STRANGE_NAMES = [
    "a b.txt",
    " leading and trailing ",
    "100%.txt",
    "%41%2e%2e",
    "why?.txt",
    "#1.txt",
    "a+b=c&d;e.txt",
    "'single' \"double\"",
    "grüße/日本語/🎉.txt",
    "/leading",
    "//two leading",
    "a//b",
    "trailing/",
    "...",
    "a/..b/c..",
    "back\\slash",
    "<tag>&amp;",
    "x" * 1024,
]


class Once(io.RawIOBase):
    """A raw file that can be read once, in pieces of its own size, and not be sought."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(min(size, 70_001) if size >= 0 else size)


def blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_003):
        yield data[start : start + 100_003]
        yield b""  # Nothing yet is not the end.


KINDS: dict[str, Callable[[bytes], RawContent]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "file": io.BytesIO,
    "FileStorage": lambda data: FileStorage(io.BytesIO(data), "upload.bin"),
    "reader without seek": Once,
    "iterable": blocks,
    "list": lambda data: list(blocks(data)),
}


def test_an_upload_is_taken_for_the_file_that_it_is() -> None:
    """It passes on what it is asked to a file inside, and its class knows nothing of that."""
    with tempfile.NamedTemporaryFile() as temporary:
        temporary.write(LONG)
        temporary.seek(0)
        for file in (FileStorage(io.BytesIO(LONG)), temporary):
            content = take(file, filename="file.bin")
            assert (content.size, content.etag) == (len(LONG), md5_of(LONG))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"x", LONG], ids=["empty", "one byte", "long"])
def test_what_is_written_is_read(files: Storage, kind: str, data: bytes) -> None:
    info = files.write("file.bin", KINDS[kind](data))
    assert files.read("file.bin") == data
    assert (info.name, info.size, info.etag) == ("file.bin", len(data), md5_of(data))


def test_text_is_stored_as_utf8(files: Storage) -> None:
    files.write("file.txt", "grüße 🎉")
    assert files.read("file.txt") == "grüße 🎉".encode()


def test_a_pipe_can_be_stored(files: Storage) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source:
        with os.fdopen(writer, "wb") as sink:
            sink.write(b"through a pipe")
        files.write("file.bin", source)
    assert files.read("file.bin") == b"through a pipe"


def test_a_file_is_stored_from_its_position_to_its_end(files: Storage, tmp_path: Path) -> None:
    path = tmp_path / "source"
    for content in (b"0123456789", LONG):
        path.write_bytes(content)
        with path.open("rb") as source:
            source.seek(4)
            files.write("file.bin", source, overwrite=True)
            assert not source.closed
        assert files.read("file.bin") == content[4:]


def test_a_file_at_its_end_is_stored_empty(files: Storage) -> None:
    source = io.BytesIO(b"read already")
    source.read()
    files.write("file.bin", source)
    assert files.read("file.bin") == b""


@pytest.mark.parametrize("content", [7, None, object(), io.StringIO("text"), ["text"]])
def test_what_is_no_content_is_refused(files: Storage, content: object) -> None:
    with pytest.raises(TypeError):
        files.write("file.bin", content)  # type: ignore[arg-type]
    assert not files.exists("file.bin")


class SourceBroke(OSError):
    """An OSError, as a network failure would be."""


def breaking(data: bytes) -> Iterator[bytes]:
    yield from blocks(data)
    raise SourceBroke("the disk is gone")


@pytest.mark.parametrize("data", [b"short", LONG], ids=["short", "long"])
def test_a_source_that_raises_stores_nothing(files: Storage, data: bytes) -> None:
    files.write("file.bin", b"old")
    with pytest.raises(SourceBroke, match="the disk is gone") as caught:
        files.write("file.bin", breaking(data), overwrite=True)
    assert type(caught.value) is SourceBroke
    assert files.read("file.bin") == b"old"


def test_a_file_that_shrinks_while_it_is_sent_stores_nothing(files: Storage) -> None:
    class Shrinking(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            if self.tell() == len(LONG):  # It was read to its end, to be hashed.
                self.truncate(MIB)
            return super().seek(offset, whence)

    with pytest.raises(StreamBroken, match="became shorter"):
        files.write("file.bin", Shrinking(LONG))
    assert not files.exists("file.bin")


def test_an_existing_file_is_not_overwritten(files: Storage) -> None:
    files.write("file.txt", b"old")
    with pytest.raises(FileExists) as caught:
        files.write("file.txt", b"new")
    assert caught.value.filename == "file.txt"
    assert not caught.value.maybe_applied
    assert isinstance(caught.value, FileExistsError)
    assert files.read("file.txt") == b"old"


def test_an_existing_file_is_overwritten_when_asked(files: Storage) -> None:
    files.write("file.txt", b"old", metadata={"kept": "no"})
    files.write("file.txt", b"new", overwrite=True)
    assert files.read("file.txt") == b"new"
    assert files.info("file.txt").metadata == {}


def test_content_that_passes_once_is_not_taken_for_a_name_that_exists(files: Storage) -> None:
    files.write("file.bin", b"old")
    with pytest.raises(FileExists):
        files.write("file.bin", Once(LONG))
    assert files.read("file.bin") == b"old"


def test_of_many_creates_at_least_one_succeeds_and_one_whole_object_stays(files: Storage) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]

    def create(content: bytes) -> bool:
        try:
            files.write("file.bin", content)
        except FileExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, contents))
    assert any(created)
    assert files.read("file.bin") in contents


def test_of_many_creates_in_memory_exactly_one_succeeds(memory_files: Storage) -> None:
    def create(number: int) -> bool:
        try:
            memory_files.write("file.bin", bytes([number]) * 1000)
        except FileExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, range(200)))
    assert sum(created) == 1
    assert memory_files.read("file.bin") == bytes([created.index(True)]) * 1000


def test_a_missing_file_is_not_found(files: Storage) -> None:
    files.write("other.txt", b"")
    verbs: list[Callable[[str], object]] = [
        files.read,
        files.read_chunks,
        files.open,
        files.metadata,
        files.info,
        lambda name: files.copy(name, "target.txt"),
        lambda name: files.move(name, "target.txt"),
        lambda name: files.move(name, name),
        lambda name: files.set_metadata(name, {"a": "b"}),
    ]
    for verb in verbs:
        with pytest.raises(FileNotFound) as caught:
            verb("file.txt")
        assert caught.value.filename == "file.txt"
        assert caught.value.http_status == 404
        assert isinstance(caught.value, FileNotFoundError)
    assert not files.exists("target.txt")


def test_exists_says_what_is_there(files: Storage) -> None:
    assert not files.exists("file.txt")
    assert "file.txt" not in files
    files.write("file.txt", b"")
    assert files.exists("file.txt")
    assert "file.txt" in files


def test_delete_removes_exactly_one_file(files: Storage) -> None:
    for name in ("a/b", "a/b2", "a/b/c"):
        files.write(name, b"")
    files.delete("a/b")
    assert list(files.list_files()) == ["a/b/c", "a/b2"]


def test_deleting_what_is_absent_is_silent(files: Storage) -> None:
    files.write("other.txt", b"")
    files.delete("file.txt")
    files.delete("file.txt")


def test_delete_prefix_removes_a_folder_at_every_depth_and_nothing_else(files: Storage) -> None:
    for name in ("a/b", "a/b/1", "a/b/c/2", "a/b2", "a/bc/3"):
        files.write(name, b"")
    assert files.delete_prefix("a/b/") == 2
    assert list(files.list_files()) == ["a/b", "a/b2", "a/bc/3"]


@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_delete_prefix_wants_a_folder(files: Storage, prefix: str) -> None:
    with pytest.raises(ValueError, match="ends with a slash"):
        files.delete_prefix(prefix)


def test_a_copy_has_the_content_and_all_that_is_stored_beside_it(files: Storage) -> None:
    files.write("a.txt", b"content", content_type="text/x-odd", metadata={"owner": "me"})
    files.copy("a.txt", "sub/b.txt")
    info = files.info("sub/b.txt")
    assert files.read("sub/b.txt") == files.read("a.txt") == b"content"
    assert (info.content_type, info.metadata) == ("text/x-odd", {"owner": "me"})


def test_copy_and_move_do_not_overwrite_unless_asked(files: Storage) -> None:
    files.write("a.txt", b"a")
    files.write("b.txt", b"b")
    for verb in (files.copy, files.move):
        with pytest.raises(FileExists):
            verb("a.txt", "b.txt")
    assert (files.read("a.txt"), files.read("b.txt")) == (b"a", b"b")
    files.copy("a.txt", "b.txt", overwrite=True)
    assert files.read("b.txt") == b"a"


def test_move_leaves_nothing_behind(files: Storage) -> None:
    files.write("a.txt", b"content")
    files.move("a.txt", "b.txt")
    assert list(files.list_files()) == ["b.txt"]
    assert files.read("b.txt") == b"content"


def test_moving_or_copying_a_file_to_its_own_name_keeps_it(files: Storage) -> None:
    files.write("a.txt", b"content")
    files.move("a.txt", "a.txt")
    files.copy("a.txt", "a.txt")
    assert files.read("a.txt") == b"content"


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_strange_name_comes_back_exactly(files: Storage, name: str) -> None:
    files.write(name, name)
    assert files.read(name) == name.encode()
    assert list(files.list_files()) == [name]
    target = "copy " + name[:1000]
    files.copy(name, target)
    assert files.info(target).name == target
    files.delete(name)
    assert list(files.list_files()) == [target]


BAD_NAMES = ["", ".", "..", "a/../b", "../b", "a/.", "./a", "a\x00b", "a\nb", "a\x7f", "a\x9f"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * 1025, "ü" * 513, "\udcff"])
def test_an_impossible_name_is_refused(files: Storage, name: str) -> None:
    files.write("fine", b"")
    verbs: list[Callable[[], object]] = [
        lambda: files.write(name, b""),
        lambda: files.read(name),
        lambda: files.read_chunks(name),
        lambda: files.open(name, "wb"),
        lambda: files.exists(name),
        lambda: files.delete(name),
        lambda: files.copy(name, "b"),
        lambda: files.copy("fine", name),
        lambda: files.move("fine", name),
        lambda: files.metadata(name),
        lambda: files.set_metadata(name, {}),
        lambda: files.url(name),
    ]
    for verb in verbs:
        with pytest.raises(InvalidName):
            verb()
    assert list(files.list_files()) == ["fine"]


def test_files_are_listed_in_byte_order(files: Storage) -> None:
    names = ["b", "a", "B", "ä", "a/b", "🎉", "\uffee", "a0"]
    for name in names:
        files.write(name, b"")
    assert list(files.list_files()) == sorted(names, key=str.encode)


def test_a_prefix_selects_and_a_delimiter_rolls_up(files: Storage) -> None:
    for name in ("a/1", "a/b/2", "a/b/3", "a/c", "b"):
        files.write(name, b"")
    assert list(files.list_files(prefix="a/")) == ["a/1", "a/b/2", "a/b/3", "a/c"]
    assert list(files.list_files(prefix="a/", delimiter="/")) == ["a/1", "a/b/", "a/c"]
    assert list(files.list_files(delimiter="/")) == ["a/", "b"]
    folders = [info.name for info in files.list_infos(delimiter="/") if info.is_prefix]
    assert folders == ["a/"]
    assert list(files.list_files(prefix="zzz")) == []


def test_a_listing_can_go_on_after_a_name(files: Storage) -> None:
    for name in ("a", "b/1", "b/2", "b0", "ü"):
        files.write(name, b"")
    assert list(files.list_files(after="b/1")) == ["b/2", "b0", "ü"]
    assert list(files.list_files(after="aa")) == ["b/1", "b/2", "b0", "ü"]
    assert list(files.list_files("b", after="b/2")) == ["b0"]
    assert list(files.list_files(delimiter="/", after="b/")) == ["b0", "ü"]
    assert list(files.list_files(after="ü")) == []


def test_a_listing_describes_what_it_lists(files: Storage) -> None:
    files.write("a.txt", b"content")
    (info,) = files.list_infos()
    assert (info.name, info.size, info.content_type) == ("a.txt", 7, "text/plain")
    assert info.checksum == f"md5:{md5_of(b'content')}"
    assert info.modified is not None
    assert info.modified.utcoffset() == timedelta(0)


def test_an_empty_storage_lists_nothing(files: Storage) -> None:
    assert list(files.list_files()) == []


def test_metadata_speaks_flask_fs(files: Storage) -> None:
    files.write("folder/a.txt", b"content")
    metadata = files.metadata("folder/a.txt")
    modified = metadata.pop("modified")  # type: ignore[misc]
    assert metadata == {
        "filename": "a.txt",
        "size": 7,
        "checksum": f"md5:{md5_of(b'content')}",
        "mime": "text/plain",
        "url": None,
    }
    assert isinstance(modified, datetime)
    assert abs(datetime.now(timezone.utc) - modified) < timedelta(minutes=1)


def test_headers_are_kept_beside_the_content(files: Storage) -> None:
    files.write(
        "a.bin",
        b"",
        content_type="text/html; charset=utf-8",
        expires_after=3600,
        metadata={"Owner": "Grüße", "percent": "100% %41 ", "empty": ""},
    )
    info = files.info("a.bin")
    assert info.content_type == "text/html; charset=utf-8"
    assert info.metadata == {"owner": "Grüße", "percent": "100% %41 ", "empty": ""}
    assert info.expires is not None
    life = info.expires - datetime.now(timezone.utc)
    assert timedelta(seconds=3500) < life <= timedelta(seconds=3600)


def test_setting_metadata_keeps_everything_else(files: Storage) -> None:
    files.write(
        "a.txt", b"content", metadata={"a": "1", "b": "50%"}, expires_after=3600,
        content_type="text/x-odd",
    )  # fmt: skip
    before = files.info("a.txt")
    files.set_metadata("a.txt", {"A": "2", "new": "ü"})
    files.set_metadata("a.txt", {"absent": None})
    after = files.info("a.txt")
    assert after.metadata == {"a": "2", "b": "50%", "new": "ü"}
    assert (after.expires, after.content_type) == (before.expires, "text/x-odd")
    files.set_metadata("a.txt", {"a": None})
    assert files.info("a.txt").metadata == {"b": "50%", "new": "ü"}
    assert files.read("a.txt") == b"content"


@pytest.mark.parametrize("key", ["", "a b", "a:b", "a\r\nb", "a_b", "-a", "ü", "fs-nonce"])
def test_metadata_keys_that_are_no_header_names_are_refused(files: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="metadata key"):
        files.write("a.txt", b"", metadata={key: "x"})
    files.write("a.txt", b"")
    with pytest.raises(ValueError, match="metadata key"):
        files.set_metadata("a.txt", {key: "x"})


@pytest.mark.parametrize(
    "header", ["content_type", "cache_control", "content_disposition"]
)  # fmt: skip
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "ü", " a", "a\x00"])
def test_headers_cannot_be_smuggled(files: Storage, header: str, value: str) -> None:
    with pytest.raises(ValueError, match=header):
        files.write("a.txt", b"", **{header: value})  # type: ignore[arg-type]
    assert not files.exists("a.txt")


@pytest.mark.parametrize("seconds", [0, 0.5, -1])
def test_an_expiry_below_one_second_is_refused(files: Storage, seconds: float) -> None:
    with pytest.raises(ValueError, match="expires_after"):
        files.write("a.txt", b"", expires_after=seconds)


def test_chunks_are_of_the_size_that_was_asked_for(files: Storage) -> None:
    files.write("a.bin", LONG)
    with files.read_chunks("a.bin", 100_000) as stream:
        chunks = list(stream)
    assert {len(chunk) for chunk in chunks[:-1]} == {100_000}
    assert b"".join(chunks) == LONG
    assert stream.info.size == len(LONG)


def test_a_stream_can_be_read_in_pieces(files: Storage) -> None:
    files.write("a.bin", b"0123456789")
    with files.read_chunks("a.bin") as stream:
        assert [stream.read(4), stream.read(0), stream.read(4), stream.read(), stream.read(9)] == [
            b"0123",
            b"",
            b"4567",
            b"89",
            b"",
        ]


def test_a_closed_stream_can_be_closed_again_and_not_be_read(files: Storage) -> None:
    files.write("a.bin", LONG)
    stream = files.read_chunks("a.bin")
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []
    with pytest.raises(ValueError, match="closed"):
        stream.read()


@pytest.mark.parametrize("size", [0, -5])
def test_a_chunk_has_at_least_one_byte(files: Storage, size: int) -> None:
    files.write("a.bin", b"content")
    with pytest.raises(ValueError, match="chunk_size"):
        files.read_chunks("a.bin", size)


def test_open_reads_bytes_and_text(files: Storage) -> None:
    files.write("a.txt", "erste\nzweite ü\n")
    with files.open("a.txt") as text:
        assert list(text) == ["erste\n", "zweite ü\n"]
    with files.open("a.txt", "rb") as binary:
        assert binary.readline() == b"erste\n"
        assert binary.read() == "zweite ü\n".encode()


def test_open_stores_what_was_written_on_a_clean_close(files: Storage) -> None:
    with files.open("a.txt", "w") as text:
        text.write("grüße\n")
        text.writelines(["a\n", "b\n"])
        assert not files.exists("a.txt")
    assert files.read("a.txt") == "grüße\na\nb\n".encode()
    binary = files.open("b.bin", "wb")
    binary.write(b"0123")
    binary.seek(1)
    binary.write(b"x")
    binary.close()
    binary.close()
    assert files.read("b.bin") == b"0x23"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_open_stores_nothing_when_the_block_raises_or_the_file_is_dropped(
    files: Storage, mode: str
) -> None:
    data = "half" if mode == "w" else b"half"

    def write_half() -> None:
        with files.open("a.txt", mode) as file:  # type: ignore[call-overload]
            file.write(data)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    file = files.open("a.txt", mode)  # type: ignore[call-overload]
    file.write(data)
    del file
    assert not files.exists("a.txt")


def test_open_for_writing_does_not_overwrite_unless_asked(files: Storage) -> None:
    files.write("a.txt", b"old")
    with pytest.raises(FileExists), files.open("a.txt", "wb") as file:
        file.write(b"new")
    with files.open("a.txt", "wb", overwrite=True) as file:
        file.write(b"new")
    assert files.read("a.txt") == b"new"


@pytest.mark.parametrize("mode", ["a", "r+", "x", "rw", "", "b", "w+b"])
def test_other_modes_are_refused(files: Storage, mode: str) -> None:
    files.write("a.txt", b"old")
    with pytest.raises(ValueError, match="mode must be"):
        files.open("a.txt", mode)  # type: ignore[call-overload]
    assert files.read("a.txt") == b"old"


def test_there_is_no_path(files: Storage) -> None:
    with pytest.raises(OperationNotSupported):
        files.path("a.txt")
