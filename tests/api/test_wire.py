"""The parts of a batch, as bytes."""

from __future__ import annotations

import random
from contextlib import suppress
from itertools import islice, pairwise, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_fs_swift.api.wire import (
    LONGEST_HEAD,
    PART_END,
    Closed,
    Data,
    Decoder,
    End,
    FramingError,
    Head,
    boundary_of,
    closing,
    content_type_of,
    new_boundary,
    part_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

B = "os-boundary-0123456789abcdef0123456789abcdef"
STREAM = b'--B\r\nA: 1\r\nb:\t"two" \r\n\r\nbody\r\n--B\r\n\r\n\r\n--B--'

Part = tuple[dict[str, str], bytes]


def parts_of(chunks: Iterable[bytes], decoder: Decoder) -> list[Part]:
    """Return what a stream has, and hold it to its grammar."""
    parts: list[Part] = []
    is_open = False
    for chunk in chunks:
        for event in decoder.feed(chunk):
            assert not decoder.is_closed or isinstance(event, Closed)
            if isinstance(event, Head):
                assert not is_open
                is_open = True
                parts.append((event.headers, b""))
            elif isinstance(event, Data):
                assert is_open
                assert event.data.nbytes
                parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
            else:
                assert is_open == isinstance(event, End)
                is_open = False
        assert len(decoder._rest) < decoder._max_head + 4 + len(decoder._delimiter)
    decoder.finish()
    return parts


def silently(decoder: Decoder, chunks: Iterable[bytes]) -> None:
    """Feed what is no event."""
    for chunk in chunks:
        assert not [*decoder.feed(chunk)]


def encoded(parts: list[Part], boundary: str = B) -> bytes:
    pieces = [part_head(boundary, headers) + body + PART_END for headers, body in parts]
    return b"".join(pieces) + closing(boundary)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


NAMES = st.from_regex(r"[a-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
VALUES = st.from_regex(r"([!-~]([\t -~]*[!-~])?)?", fullmatch=True)
# What looks like a boundary, and what does not.
BODIES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"-", b"--", b"\r\n--", B[:-1].encode(), b"\r\n--os-"])
    | st.binary(max_size=20)
).map(b"".join)
PARTS = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=5), BODIES), max_size=5)


@given(PARTS, st.data())
def test_a_stream_cut_anywhere_has_the_same_parts(parts: list[Part], data: st.DataObject) -> None:
    stream = encoded(parts)
    edges = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    assert parts_of(cut(stream, edges), Decoder(B)) == parts


@given(PARTS, BODIES)
def test_a_stream_that_comes_byte_by_byte_has_the_same_parts(
    parts: list[Part], epilogue: bytes
) -> None:
    stream = encoded(parts) + epilogue
    assert parts_of((bytes([byte]) for byte in stream), Decoder(B)) == parts


def test_names_are_lower_case_and_values_have_no_blanks_around_them() -> None:
    assert parts_of([STREAM], Decoder("B")) == [({"a": "1", "b": '"two"'}, b"body"), ({}, b"")]


def test_a_part_needs_no_content_disposition() -> None:
    assert parts_of([b"--B\r\n\r\nx\r\n--B--"], Decoder("B")) == [({}, b"x")]


def test_no_parts_are_the_closing_line_alone() -> None:
    assert closing("B") == b"--B--"
    assert parts_of([closing("B")], Decoder("B")) == []


@pytest.mark.parametrize("preamble", [b"\r\n", b"hello\r\n", b"--\r\n", b"x--B\r\n", b"\r\r\n"])
def test_a_preamble_is_skipped(preamble: bytes) -> None:
    for chunks in ([preamble + STREAM], [bytes([byte]) for byte in preamble + STREAM]):
        assert len(parts_of(chunks, Decoder("B"))) == 2


def test_nothing_comes_after_the_closing_boundary() -> None:
    decoder = Decoder("B")
    assert isinstance([*decoder.feed(STREAM + b"\r\n--B\r\n\r\nx")][-1], Closed)
    assert [*decoder.feed(STREAM)] == []
    decoder.finish()


def test_a_body_is_handed_out_as_it_comes() -> None:
    decoder = Decoder("B")
    assert [*decoder.feed(b"--B\r\n\r\n")] == [Head({})]
    for _ in range(3):
        (event,) = decoder.feed(bytes(100_000))
        assert isinstance(event, Data)
        assert event.data.nbytes == 100_000


def test_the_end_of_a_part_is_told_before_the_next_head_is_whole() -> None:
    decoder = Decoder("B")
    assert [*decoder.feed(b"--B\r\n\r\nx\r\n--B\r\n")][-1] == End()


@pytest.mark.parametrize(
    "stream",
    [
        b"--B\r\nno colon\r\n\r\n",
        b"--B\r\n: no name\r\n\r\n",
        b"--B\r\nna me: x\r\n\r\n",
        b"--B\r\nname : x\r\n\r\n",
        b"--B\r\na: 1\r\n folded\r\n\r\n",
        b"--B\r\na: 1\nb: 2\r\n\r\n",
        b"--B\r\na: 1\rb: 2\r\n\r\n",
        b"--B\r\na: \0\r\n\r\n",
        b"--B\r\na: \x7f\r\n\r\n",
        b"--B\r\n\xe9: 1\r\n\r\n",
        b"--B\r\na: 1\r\nA: 2\r\n\r\n",
        b"--B\r\na: 1\r\n--B\r\n\r\n",
        b"--B \r\n",
        b"--B\t--",
        b"--B\n\n",
        b"--BB\r\n\r\n",
        b"--B-\r\n",
        b"preamble\r\n--Bxx",
    ],
)
def test_what_is_no_stream_is_refused_once_and_nothing_comes_after_it(stream: bytes) -> None:
    for chunks in ([stream], [bytes([byte]) for byte in stream]):
        decoder = Decoder("B")
        with pytest.raises(FramingError):
            silently(decoder, chunks)
        assert [*decoder.feed(STREAM)] == []
        with pytest.raises(FramingError):
            decoder.finish()


def test_parts_before_a_fault_are_whole() -> None:
    events = Decoder("B").feed(b"--B\r\na: 1\r\n\r\nx\r\n--B\r\nbad\r\n\r\n")
    assert [type(event) for event in islice(events, 3)] == [Head, Data, End]
    with pytest.raises(FramingError, match="not the headers"):
        next(events)


@pytest.mark.parametrize("end", range(len(STREAM)))
def test_a_stream_without_its_closing_boundary_was_cut_off(end: int) -> None:
    decoder = Decoder("B")
    assert Closed() not in [*decoder.feed(STREAM[:end])]
    with pytest.raises(FramingError, match=r"no boundary|before its closing"):
        decoder.finish()


def test_a_decoder_whose_events_were_dropped_is_silent() -> None:
    decoder = Decoder("B")
    next(decoder.feed(STREAM))
    assert [*decoder.feed(STREAM)] == []
    with pytest.raises(FramingError):
        decoder.finish()


@pytest.mark.parametrize("step", [1, 1000, 10**6])
@pytest.mark.parametrize(("excess", "is_refused"), [(0, False), (1, True)])
def test_a_head_has_at_most_so_many_bytes(step: int, excess: int, *, is_refused: bool) -> None:
    line = b"a: " + b"x" * (100 - len("a: \r\n") + excess) + b"\r\n"
    stream = b"--B\r\n" + line + b"\r\n\r\n--B--"
    chunks = [stream[at : at + step] for at in range(0, len(stream), step)]
    if is_refused:
        with pytest.raises(FramingError, match="more than 100 bytes"):
            parts_of(chunks, Decoder("B", max_head=100))
    else:
        assert len(parts_of(chunks, Decoder("B", max_head=100))) == 1


def test_a_head_that_never_ends_is_not_held() -> None:
    decoder = Decoder("B")
    silently(decoder, [b"--B\r\n"])
    with pytest.raises(FramingError, match="more than 65536 bytes"):
        silently(decoder, repeat(b"a: b\r\n", LONGEST_HEAD))


def test_a_part_has_at_most_so_many_headers() -> None:
    headers = {f"x{number}": "" for number in range(3)}
    assert parts_of([encoded([(headers, b"")])], Decoder(B, max_headers=3))
    with pytest.raises(FramingError, match="more than 2 headers"):
        parts_of([encoded([(headers, b"")])], Decoder(B, max_headers=2))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "a\0"])
def test_a_name_that_is_none_is_not_sent(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a header"):
        part_head(B, {name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\nb", "a\rb", "a\0", "a\x7f", "é", " a", "a ", "\t"]
)
def test_a_value_that_would_not_come_back_is_not_sent(value: str) -> None:
    with pytest.raises(ValueError, match="not printable ASCII"):
        part_head(B, {"x": value})


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="abc"', "abc"),
        ('Multipart/Form-Data;BOUNDARY="a b"', "a b"),
        ("multipart/form-data; charset=utf-8; boundary=a=b/c", "a=b/c"),
        ('multipart/form-data; x="; boundary=no"; boundary=yes;', "yes"),
        (r'multipart/form-data; boundary="\a\b"', "ab"),
        (f"multipart/form-data; boundary={'x' * 70}", "x" * 70),
    ],
)
def test_a_boundary_is_found_quoted_or_not(content_type: str, boundary: str) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="a',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=a\r\nb",
        'multipart/form-data; boundary="a\r\n"',
        "multipart/form-data boundary=a",
        "multipart/form-datax; boundary=a",
        "multipart/mixed; boundary=a",
        "application/json; boundary=a",
        f"multipart/form-data; boundary={'x' * 71}",
    ],
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(ValueError, match=r"boundar|multipart|parameter"):
        boundary_of(content_type)


@given(st.text(max_size=100))
def test_any_text_has_a_boundary_or_is_refused(text: str) -> None:
    with suppress(ValueError):
        Decoder(boundary_of(f"multipart/form-data;{text}"))


def test_boundaries_are_new_and_come_back() -> None:
    first, second = new_boundary(), new_boundary()
    assert first != second
    assert boundary_of(content_type_of(first)) == first


def mutated(chance: random.Random) -> list[bytes]:
    """Return a stream that somebody spoiled, in pieces."""
    bodies = [chance.randbytes(chance.choice([0, 1, 20, 300])) for _ in range(chance.randrange(4))]
    stream = bytearray(encoded([({"x-key": "a", "b": ""}, body) for body in bodies], "B"))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(stream) + 1)
        what = chance.choice([b"", b"\r", b"\n", b"\r\n--B", b"--", b":", b"\0", bytes([at % 256])])
        stream[at : at + chance.randrange(4)] = what
    edges = [chance.randrange(len(stream) + 1) for _ in range(chance.randrange(6))]
    return cut(bytes(stream), edges)


def play(seed: int) -> None:
    """Decode a spoiled stream in its pieces and at once: the same comes of both."""
    pieces = mutated(random.Random(seed))
    outcomes = []
    for chunks in (pieces, [b"".join(pieces)]):
        try:
            outcomes.append(parts_of(chunks, Decoder("B")))
        except FramingError:
            outcomes.append([({}, b"refused")])
    assert outcomes[0] == outcomes[1], seed


@settings(max_examples=2_000, deadline=None)
@given(st.integers(0, 2**64))
def test_a_spoiled_stream_is_read_or_refused(seed: int) -> None:
    play(seed)


@pytest.mark.large
@pytest.mark.timeout(1200)
def test_a_million_spoiled_streams_are_read_or_refused() -> None:
    for seed in range(1_000_000):
        play(seed)
