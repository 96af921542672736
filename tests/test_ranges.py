"""Parts of files: by their bytes, and through a file that seeks."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import (
    ETagMismatchError,
    FileNotFound,
    ObjectChanged,
    ObjectStream,
    RangeNotSatisfiable,
    Storage,
)
from flask_fs_swift.ranges import NEARBY, ByteRange, merged
from flask_fs_swift.seekable import FIRST, LONGEST_PIECE, PIECE

if TYPE_CHECKING:
    from conftest import MakeStorage

    from flask_fs_swift.devserver import Faults


SHORT = b"0123456789"
LONG = random.Random(4).randbytes(3_000_000)


@pytest.fixture
def short(files: Storage) -> Storage:
    files.write("short", SHORT)
    files.write("empty", b"")
    return files


@pytest.fixture
def long(files: Storage) -> Storage:
    files.write("long", LONG)
    return files


@pytest.fixture
def on_swift(make_storage: MakeStorage) -> Storage:
    files = make_storage(create_container=True)
    files.write("long", LONG)
    return files


# Bytes.


@pytest.mark.parametrize(
    ("start", "end", "content"),
    [
        (0, None, SHORT),
        (0, 1, b"0"),
        (0, 10, SHORT),
        (0, 11, SHORT),
        (0, 10**15, SHORT),
        (3, 5, b"34"),
        (3, None, b"3456789"),
        (9, None, b"9"),
        (9, 10, b"9"),
        (-3, None, b"789"),
        (-10, None, SHORT),
        (-(10**15), None, SHORT),
    ],
)
def test_a_range_is_what_a_slice_would_be(
    short: Storage, start: int, end: int | None, content: bytes
) -> None:
    assert short.read("short", start=start, end=end) == content
    with short.read_chunks("short", 2, start=start, end=end) as stream:
        assert stream.info.size == 10
        assert b"".join(stream) == content


@pytest.mark.parametrize("start", [10, 11, 10**15])
def test_a_range_beyond_the_end_is_an_error(short: Storage, start: int) -> None:
    for read in (short.read, short.read_chunks):
        with pytest.raises(RangeNotSatisfiable, match="10 bytes") as raised:
            read("short", start=start)
        assert (raised.value.size, raised.value.filename) == (10, "short")
        assert raised.value.http_status == 416


@pytest.mark.parametrize("end", [None, 1, 100])
def test_a_file_without_bytes_has_all_of_those_that_begin_at_0(
    short: Storage, end: int | None
) -> None:
    assert short.read("empty", start=0, end=end) == b""
    with pytest.raises(RangeNotSatisfiable):
        short.read("empty", start=1, end=end if end != 1 else 2)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 5), (5, 4), (0, -1), (-5, -1), (-5, 5)])
def test_what_is_no_range_is_refused_without_a_request(
    short: Storage, start: int, end: int
) -> None:
    with pytest.raises(ValueError, match=r"no bytes|from the end"):
        short.read("short", start=start, end=end)
    with pytest.raises(ValueError, match=r"no bytes|from the end"):
        short.read_ranges("short", [(start, end)])


def test_a_range_of_an_absent_file_is_an_absent_file(files: Storage) -> None:
    files.write("other", b"")
    with pytest.raises(FileNotFound):
        files.read("absent", start=3)
    with pytest.raises(FileNotFound):
        files.open("absent", "rb")


def test_a_range_is_one_request(on_swift: Storage, swift_faults: Faults) -> None:
    swift_faults.forget()
    assert on_swift.read("long", start=5, end=50_000) == LONG[5:50_000]
    assert [asked.method for asked in swift_faults.requests()] == ["GET"]


def test_a_range_that_breaks_goes_on_where_it_broke(
    on_swift: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("truncate", method="GET", bytes=100_000)
    assert on_swift.read("long", start=1000, end=2_000_000) == LONG[1000:2_000_000]


def test_a_range_is_of_one_version(on_swift: Storage) -> None:
    with on_swift.read_chunks("long", start=1000) as stream:
        assert stream.read(10) == LONG[1000:1010]
        on_swift.write("long", LONG[::-1], overwrite=True)
        rest = stream.read()
    assert rest == LONG[1010:]


# Several.


def test_ranges_come_in_the_order_in_which_they_were_asked_for(long: Storage) -> None:
    wanted = [(2_000_000, 2_000_010), (5, 10), (0, 7), (2_999_990, None), (100_000, 100_001)]
    assert long.read_ranges("long", wanted) == [LONG[start:end] for start, end in wanted]
    assert long.read_ranges("long", []) == []


def test_a_range_among_others_that_is_beyond_the_end_is_an_error(short: Storage) -> None:
    for ranges in ([(0, 5), (10, 20)], [(0, 5), (10 + 10 * NEARBY, None)]):
        with pytest.raises(RangeNotSatisfiable):
            short.read_ranges("short", ranges)


def test_ranges_that_are_near_are_one_request(on_swift: Storage, swift_faults: Faults) -> None:
    swift_faults.forget()
    ranges = [(n * 1000, n * 1000 + 10) for n in range(50)] + [(2_000_000, 2_000_001)]
    assert on_swift.read_ranges("long", ranges) == [LONG[start:end] for start, end in ranges]
    assert [asked.method for asked in swift_faults.requests()] == ["GET", "GET"]


def test_ranges_are_of_one_version(
    on_swift: Storage, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = on_swift._mount().backend
    get = backend.get

    def get_and_replace(*wanted: Any) -> ObjectStream:
        stream = get(*wanted)
        on_swift.write("long", LONG[::-1], overwrite=True)
        return stream

    monkeypatch.setattr(backend, "get", get_and_replace)
    swift_faults.forget()
    with pytest.raises(ObjectChanged, match="long"):
        on_swift.read_ranges("long", [(0, 1), (2_000_000, 2_000_001)])


@pytest.mark.parametrize(
    ("ranges", "together"),
    [
        ([], []),
        ([(5, 10), (0, 5)], [(0, 10)]),
        ([(0, 5), (5 + NEARBY, 6 + NEARBY)], [(0, 6 + NEARBY)]),
        ([(0, 5), (6 + NEARBY, 7 + NEARBY)], [(0, 5), (6 + NEARBY, 7 + NEARBY)]),
        ([(0, 100), (10, 20)], [(0, 100)]),
        ([(10, None), (5, 7), (100, 200)], [(5, None)]),
    ],
)
def test_ranges_that_touch_are_fetched_together(
    ranges: list[tuple[int, int | None]], together: list[tuple[int, int | None]]
) -> None:
    assert merged(ByteRange(*each) for each in ranges) == [ByteRange(*each) for each in together]


# A file that seeks.


def test_a_file_is_a_file(long: Storage) -> None:
    with long.open("long", "rb") as file:
        assert isinstance(file, io.BufferedReader)
        assert isinstance(file.raw, io.RawIOBase)
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert file.tell() == 0
        assert file.read(10) == LONG[:10]
        assert file.seek(-10, io.SEEK_END) == len(LONG) - 10
        assert file.read() == LONG[-10:]
        assert file.read(1) == b""
        assert file.seek(1_000_000) == 1_000_000
        assert file.peek(1)[:1] == LONG[1_000_000:1_000_001]
        assert file.seek(5, io.SEEK_CUR) == 1_000_005
        room = bytearray(100)
        assert file.readinto(room) == 100
        assert room == LONG[1_000_005:1_000_105]
        assert file.seek(len(LONG) + 100) == len(LONG) + 100
        assert file.read(1) == b""
        with pytest.raises(ValueError, match=r"before the beginning|negative|Invalid"):
            file.seek(-1)
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_reads_and_seeks_at_random_give_the_right_bytes(long: Storage) -> None:
    rng = random.Random(7)
    with long.open("long", "rb") as file:
        for _ in range(200):
            at = file.tell()
            size = rng.choice([0, 1, 100, PIECE - 1, PIECE, PIECE + 1, FIRST, 1_000_000])
            assert file.read(size) == LONG[at : at + size]
            if rng.random() < 0.7:
                file.seek(rng.choice([rng.randrange(len(LONG)), at, at + 100, 0, len(LONG) - 5]))


@pytest.mark.parametrize("size", [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + 4 * PIECE, 2_000_000])
@pytest.mark.parametrize("step", [-1, 1000, PIECE, 500_000])
def test_a_file_is_read_from_its_beginning_to_its_end(files: Storage, size: int, step: int) -> None:
    files.write("file", LONG[:size])
    with files.open("file", "rb") as file:
        content = file.read() if step < 0 else b"".join(iter(lambda: file.read(step), b""))
    assert content == LONG[:size]


def test_a_small_file_is_one_request(on_swift: Storage, swift_faults: Faults) -> None:
    on_swift.write("small", LONG[:FIRST])
    swift_faults.forget()
    with on_swift.open("small", "rb") as file:
        assert file.read() == LONG[:FIRST]
    assert [asked.method for asked in swift_faults.requests()] == ["GET"]


def test_a_file_that_is_read_in_order_takes_few_requests(
    on_swift: Storage, swift_faults: Faults
) -> None:
    swift_faults.forget()
    with on_swift.open("long", "rb") as file:
        while file.read(10_000):
            pass
    assert len(swift_faults.requests()) == 3  # 256 KiB, 1 MiB, and the rest.
    swift_faults.forget()
    with on_swift.open("long", "rb") as file:
        file.read()
    assert len(swift_faults.requests()) == 2


def test_one_member_of_an_archive_moves_little_of_it(
    on_swift: Storage, swift_faults: Faults
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(100):
            archive.writestr(f"{n}.bin", LONG[n * 1000 :][:300_000])
    on_swift.write("a.zip", packed.getvalue())
    opened = on_swift._mount().backend.pool.stats().opened  # type: ignore[attr-defined]
    swift_faults.forget()
    with zipfile.ZipFile(on_swift.open("a.zip", "rb")) as archive:
        assert archive.read("57.bin") == LONG[57_000:357_000]
    assert len(swift_faults.requests()) <= 6
    assert on_swift._mount().backend.pool.stats().opened == opened  # type: ignore[attr-defined]


def test_a_file_is_one_version_of_its_object(on_swift: Storage) -> None:
    with on_swift.open("long", "rb") as file:
        assert file.read(10) == LONG[:10]
        on_swift.write("long", LONG[::-1], overwrite=True)
        file.seek(2_000_000)
        with pytest.raises(ObjectChanged, match="long"):
            file.read(10)
    on_swift.write("other", LONG)
    with on_swift.open("other", "rb") as file:
        on_swift.delete("other")
        file.seek(2_000_000)
        with pytest.raises(FileNotFound):
            file.read(10)


@pytest.mark.parametrize("step", [10_000, 1_000_000, -1])
def test_a_file_that_is_read_as_a_whole_is_verified(
    on_swift: Storage, swift_faults: Faults, step: int
) -> None:
    swift_faults.add("corrupt", method="GET", offset=100)
    with on_swift.open("long", "rb") as file, pytest.raises(ETagMismatchError) as raised:
        list(iter(lambda: file.read(step), b""))
    assert raised.value.expected == hashlib.md5(LONG).hexdigest()


def test_a_file_gives_its_connection_back_however_it_ends(on_swift: Storage) -> None:
    pool = on_swift._mount().backend.pool  # type: ignore[attr-defined]
    file = on_swift.open("long", "rb")
    file.read(10)
    assert pool.stats().lent == 1
    file.close()
    file.close()
    assert pool.stats().lent == 0
    file = on_swift.open("long", "rb")
    file.read(FIRST)
    assert pool.stats().lent == 0, "with the last byte of a piece"
    file.seek(2_000_000)
    file.read(1)
    del file
    assert pool.stats().lent == 0


def test_text_can_seek_too(files: Storage) -> None:
    text = "Grüße\n" * 100_000
    files.write("text", text)
    with files.open("text") as file:
        assert file.readline() == "Grüße\n"
        mark = file.tell()
        rest = file.read()
        file.seek(mark)
        assert file.read() == rest == text[6:]


def test_pieces_do_not_grow_for_ever() -> None:
    assert LONGEST_PIECE <= 64 * 1024 * 1024
