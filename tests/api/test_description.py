"""What is said beside an object's bytes: as headers, and as a storage keeps it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_fs_swift.api.description import (
    MOST_BYTES,
    MOST_CUSTOM,
    Description,
    format_time,
    from_microseconds,
    parse_time,
)
from flask_fs_swift.api.escaping import text_of, value_of
from flask_fs_swift.api.expiration import MANUAL, Expiration, Kind
from flask_fs_swift.api.server.stored import (
    MAX_TOTAL,
    MAX_VALUE,
    description_of,
    to_metadata,
    to_update,
)
from flask_fs_swift.errors import FSError
from flask_fs_swift.metadata import checked_metadata, decode_metadata, encode_metadata
from flask_fs_swift.objects import ObjectInfo

CREATED = datetime(2026, 11, 20, 21, 39, 45, 123456, tzinfo=timezone.utc)
EXPIRES = CREATED + timedelta(days=1)
FULL = Description(
    content_type="text/plain; charset=utf-8",
    compression="zstd",
    expiration=Expiration("ttl", timedelta(days=1)),
    origin="203.0.113.7",
    filename='rép"ort.pdf',
    custom={"my-key": "välue 100%", "build_id": ""},
    created=CREATED,
    expires=EXPIRES,
    size=6,
)
WRITTEN = {
    "content-type": "text/plain; charset=utf-8",
    "content-encoding": "zstd",
    "x-sn-expiration": "ttl:1d",
    "x-sn-origin": "203.0.113.7",
    "x-sn-filename": 'r%C3%A9p"ort.pdf',
    "x-snme-my-key": "v%C3%A4lue 100%25",
    "x-snme-build_id": "",
}
SAID = {
    "x-sn-time-created": "2026-11-20T21:39:45.123456Z",
    "x-sn-time-expires": "2026-11-21T21:39:45.123456Z",
    "x-sn-size": "6",
}

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.text(' %\x7f\r\n\\"u0', max_size=20)
TIMES = st.integers(0, 2**52).map(from_microseconds)
DESCRIPTIONS = st.builds(
    Description,
    content_type=st.sampled_from(["text/plain", 'a/b; c="d\\" e"']),
    compression=st.sampled_from([None, "zstd"]),
    expiration=st.just(MANUAL)
    | st.builds(
        Expiration,
        st.sampled_from([kind for kind in get_args(Kind) if kind != "manual"]),
        st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    ),
    origin=st.none() | TEXTS,
    filename=st.none() | TEXTS,
    custom=st.dictionaries(st.from_regex(r"[a-z0-9_.!-]{1,9}", fullmatch=True), TEXTS, max_size=5),
    created=TIMES,
    expires=st.none() | TIMES,
    size=st.integers(0, 2**50),
)


def test_a_writer_sends_what_it_may_say() -> None:
    assert FULL.writable() == WRITTEN


def test_a_server_sends_everything() -> None:
    assert FULL.headers() == WRITTEN | SAID


def test_a_server_reads_what_a_writer_may_say() -> None:
    assert Description.of_request((WRITTEN | SAID).items()) == replace(
        FULL, created=None, expires=None, size=None
    )


def test_a_client_reads_everything() -> None:
    assert Description.of_response((WRITTEN | SAID).items()) == FULL


def test_without_headers_there_are_defaults() -> None:
    assert Description.of_request([]) == Description()
    assert Description().headers() == {"content-type": "application/octet-stream"}


def test_names_come_in_any_case() -> None:
    headers = {name.title(): value for name, value in WRITTEN.items()}
    assert Description.of_request(headers.items()).custom == FULL.custom


@given(DESCRIPTIONS)
def test_a_description_comes_back_from_headers(description: Description) -> None:
    headers = description.headers()
    assert Description.of_response(headers.items()) == description
    for name, value in headers.items():
        assert re.fullmatch(r"[!#$%&'*+.^_`|~a-z0-9-]+", name)
        assert re.fullmatch(r"(?:[!-~](?:[ -~]*[!-~])?)?", value)


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_only_a_server_says_is_left_unread_in_a_request(name: str) -> None:
    assert Description.of_request([(name, "\x00 no sense"), (name, "x" * 9000)]) == Description()


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_only_a_server_says_makes_sense_in_an_answer(name: str) -> None:
    with pytest.raises(ValueError, match=r"no time|no number"):
        Description.of_response([(name, "no sense")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "text"),
        ("content-type", "text/"),
        ("content-type", "text/plain; charset"),
        ("content-type", "text/plain\r\nx: y"),
        ("content-type", "text/plain; a=b\n"),
        ("content-type", "tëxt/plain"),
        ("content-encoding", "gzip"),
        ("content-encoding", "zstd, gzip"),
        ("content-encoding", ""),
        ("x-sn-expiration", "soon"),
        ("x-sn-expiration", ""),
        ("x-sn-origin", "é"),
        ("x-sn-origin", "%ff"),
        ("x-sn-origin", "a\r\nb: c"),
        ("x-sn-filename", "a\r\nb: c"),
        ("x-sn-filename", "%C3"),
        ("x-snme-a", "a\nb"),
        ("x-snme-a", "a\0"),
        ("x-snme-", "a"),
        ("x-snme-a b", "a"),
        ("x-snme-a\r\nb", "a"),
        ("x-snme-é", "a"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        Description.of_request([(name, value)])


@pytest.mark.parametrize("text", ["a/b", "a/b;", 'a/b; charset="utf-8" ;c=d;', "a/b ; ;;c=d"])
def test_a_content_type_has_parameters_and_spaces_around_them(text: str) -> None:
    assert Description.of_request([("content-type", text)]).content_type == text


def test_no_header_takes_for_ever() -> None:
    """Where a space could be matched twice, or began a search of its own, neither would end."""
    with pytest.raises(ValueError, match="content-type"):
        Description.of_request([("content-type", f"a/b{'; ' * 2000}!")])
    text = f"\x7f{' ' * 1_000_000}\x7f"
    assert text_of(value_of(text), "x") == text


@pytest.mark.parametrize("name", ["x-sn-origin", "X-SN-Origin", "x-sn-filename", "x-snme-a"])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="came twice"):
        Description.of_request([(name.lower(), "a"), (name, "b")])


def test_an_object_has_so_many_custom_entries() -> None:
    headers = [(f"x-snme-{number}", "") for number in range(MOST_CUSTOM)]
    assert len(Description.of_request(headers).custom) == MOST_CUSTOM
    with pytest.raises(ValueError, match="more than 64 custom entries"):
        Description.of_request([*headers, ("x-snme-one-more", "")])


@pytest.mark.parametrize("make", [Description.of_request, lambda headers: Description(origin=dict(headers)["x-sn-origin"])])  # fmt: skip  # noqa: E501
def test_an_object_has_so_many_bytes_of_metadata(make: object) -> None:
    assert callable(make)
    most = MOST_BYTES - len("content-typeapplication/octet-streamx-sn-origin")
    kind = ("content-type", "application/octet-stream")
    make([kind, ("x-sn-origin", "x" * most)])
    with pytest.raises(ValueError, match="metadata of 8193 bytes"):
        make([kind, ("x-sn-origin", "x" * (most + 1))])


@pytest.mark.parametrize(
    ("filename", "disposition"),
    [
        (None, "attachment"),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"b', 'attachment; filename="a\\"b"'),
        ("../etc\\passwd", 'attachment; filename="..-etc-passwd"'),
        (".", 'attachment; filename="-"'),
        ("..", 'attachment; filename="--"'),
        ("", 'attachment; filename=""'),
        ("a\r\nb: c\x7f", 'attachment; filename="a__b: c_"'),
        ("é.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
        ("é\r\n'*", "attachment; filename=\"___'*\"; filename*=UTF-8''%C3%A9%0D%0A%27%2A"),
    ],
)
def test_a_file_name_is_one_line_and_no_path(filename: str | None, disposition: str) -> None:
    assert Description(filename=filename).disposition == disposition


@given(TEXTS)
def test_any_file_name_is_one_line(filename: str) -> None:
    assert re.fullmatch(r"[ -~]+", Description(filename=filename).disposition)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-20T21:39:45Z", "2026-11-20T21:39:45.000000Z"),
        ("2026-11-20t21:39:45.1z", "2026-11-20T21:39:45.100000Z"),
        ("2026-11-20T21:39:45.123456789Z", "2026-11-20T21:39:45.123456Z"),
        ("2026-11-20T21:39:45+00:00", "2026-11-20T21:39:45.000000Z"),
        ("2026-11-20T21:39:45-01:30", "2026-11-20T23:09:45.000000Z"),
    ],
)
def test_times_are_written_in_utc(text: str, written: str) -> None:
    assert format_time(parse_time(text)) == written


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-20", "2026-11-20T21:39:45", "2026-13-20T21:39:45Z",
     "0001-01-01T00:00:00+01:00",
     "2026-11-20T21:39:45+25:00", "2026-11-20T21:39:45Z\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        parse_time(text)


# As a storage keeps it.


def stored(description: Description, metadata: dict[str, str] | None = None) -> ObjectInfo:
    """Return what Swift says of an object that was stored with a description."""
    kept = to_metadata(description) if metadata is None else metadata
    headers = encode_metadata(checked_metadata(kept))
    sizes = [len(name) - len("x-object-meta-") + len(value) for name, value in headers.items()]
    assert sum(sizes) <= MAX_TOTAL
    assert len(headers) <= 90
    for value in headers.values():
        assert re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value)
        assert len(value) <= MAX_VALUE
    return ObjectInfo(
        name="a",
        size=description.size,
        etag=None,
        content_type=description.content_type,
        modified=CREATED,
        metadata=decode_metadata(headers),
    )


@given(DESCRIPTIONS)
def test_a_description_comes_back_from_a_storage(description: Description) -> None:
    assert description_of(stored(description)) == description


def test_a_description_is_stored_in_few_bytes() -> None:
    kept = to_metadata(Description(created=CREATED))
    assert kept == {"api-0": '<{"c":1795210785123456}>'}


@pytest.mark.parametrize("letter", [" ", "%", "x", "é", "😀", "\\", "\x7f"])
def test_what_swift_does_not_keep_is_refused(letter: str) -> None:
    with pytest.raises(ValueError, match="Swift keeps 4056 of them"):
        to_metadata(Description(filename=f"a{letter * 300}a", origin="x" * 4000))


@pytest.mark.parametrize("letter", [" ", "%", "x", "é", "😀", "\\", "\x7f"])
def test_what_swift_keeps_is_counted_as_swift_counts(letter: str) -> None:
    fitting = 0
    for length in range(0, 4096, 64):
        try:
            stored(Description(filename=f"a{letter * length}a"))
        except ValueError:
            break
        fitting = length
    assert 256 <= fitting < 4096


def test_a_shorter_description_leaves_nothing_of_a_longer_one() -> None:
    long, short = Description(origin="x" * 600, created=CREATED), Description(created=CREATED)
    before = {**to_metadata(long), "mine": "kept"}
    update = to_update(short, before)
    assert update == {**to_metadata(short), "api-1": None, "api-2": None}
    after = {key: value for key, value in (before | update).items() if value is not None}
    assert description_of(stored(short, after)) == short


def test_a_longer_description_that_was_written_meanwhile_makes_no_nonsense() -> None:
    short = Description(created=CREATED)
    update = to_update(short, to_metadata(short))
    found = to_metadata(Description(origin="y" * 900)) | update
    after = {key: value for key, value in found.items() if value is not None}
    assert description_of(stored(short, after)) == short


def test_an_object_that_others_stored_has_what_the_storage_knows() -> None:
    info = ObjectInfo("a", 3, None, "text/plain", CREATED, {"mine": "x"}, EXPIRES)
    assert description_of(info) == Description(
        "text/plain", created=CREATED, expires=EXPIRES, size=3
    )


@pytest.mark.parametrize(
    "text",
    ["<>", "<{>", "<[]>", "<1>", '<{"c":"x"}>', '<{"c":1e99}>', '<{"x":"ttl"}>', '<{"m":1}>',
     '<{"x":"no","l":1}>', '<{"z":"gzip"}>', '<{"o":1}>', '<{"m":{"A":"b"}}>', '<{"m":{"a":1}}>'],
)  # fmt: skip
def test_what_others_changed_is_an_error_of_the_storage_or_left_out(text: str) -> None:
    info = ObjectInfo("a", 3, None, "text/plain", CREATED, {"api-0": text})
    if text == "<>":
        assert description_of(info).created == CREATED
    else:
        with pytest.raises(FSError, match="was changed"):
            description_of(info)
