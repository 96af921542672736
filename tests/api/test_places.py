"""Where an object is, and what its name is in a storage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_fs_swift.api.escaping import header_of, key_of, path_of, text_of, value_of
from flask_fs_swift.api.places import Place, place_of
from flask_fs_swift.errors import InvalidName
from flask_fs_swift.names import MAX_NAME, check_name

#: Spaces, percent signs, slashes, dots, marks of URLs, letters of many alphabets.
AWKWARD = [
    "a b",
    "100%",
    "a%20b",
    "%2F",
    "a+b",
    "a?b=c",
    "a#b",
    "a\\b",
    "dir/sub/file.txt",
    "/lead",
    "trail/",
    "a//b",
    ".",
    "../x/./..",
    "välue €😀",
    "a\r\nx-os-auth: b\0\x7f\x85",
]

WORDS = st.text("abcZ09_-()$!+'", min_size=1, max_size=8)
PLACES = st.builds(
    Place,
    st.from_regex(r"[A-Za-z0-9_-]{3,8}", fullmatch=True) | st.sampled_from(["objects", "usecase"]),
    st.lists(st.tuples(WORDS | st.just("objects"), WORDS), max_size=3).map(tuple),
)
KEYS = (
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
    | st.text("./%2Ee\n", min_size=1, max_size=12)
    | st.sampled_from(AWKWARD)
)


@given(PLACES, KEYS, PLACES, KEYS)
def test_no_two_keys_share_a_name(one: Place, key: str, other: Place, another: str) -> None:
    assert (one.name_of(key) == other.name_of(another)) == ((one, key) == (other, another))


@given(PLACES, KEYS)
def test_a_name_tells_its_place_and_key(place: Place, key: str) -> None:
    name = place.name_of(key)
    assert check_name(name) == name
    assert name.startswith(place.prefix)
    assert place_of(name) == (place, key)


@given(PLACES, PLACES)
def test_no_prefix_begins_with_another(one: Place, other: Place) -> None:
    assert one == other or not one.prefix.startswith(other.prefix)


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text("abco./%2Ebjects", max_size=30))
def test_a_name_of_no_key_is_refused(name: str) -> None:
    for text in (name, f"abc/objects/{name}", f"abc/a.b/{name}"):
        try:
            place, key = place_of(text)
        except ValueError:
            continue
        assert place.name_of(key) == text


@pytest.mark.parametrize("name", ["abc/objects/%2e", "abc/objects/%41", "abc/a/objects/k"])
def test_a_name_that_was_escaped_otherwise_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of no key"):
        place_of(name)


@pytest.mark.parametrize(
    ("scopes", "key", "name"),
    [
        ((), "a", "abc/objects/a"),
        ((("org", "42"), ("project", "7")), "a/b.txt", "abc/org.42/project.7/objects/a/b.txt"),
        ((), "..", "abc/objects/%2E%2E"),
        ((), "a/./...", "abc/objects/a/%2E/..."),
        ((), "%2E", "abc/objects/%252E"),
        ((), "\n\x85é", "abc/objects/%0A%C2%85é"),
    ],
)
def test_names_can_be_read(scopes: tuple[tuple[str, str], ...], key: str, name: str) -> None:
    assert Place("abc", scopes).name_of(key) == name


@pytest.mark.parametrize("letter", ["a", "é", "%", "\n"])
def test_a_key_that_does_not_fit_is_refused(letter: str) -> None:
    place = Place("abc")
    width = len(place.name_of(letter).encode()) - len(place.prefix)
    most = (MAX_NAME - len(place.prefix)) // width
    assert place_of(place.name_of(letter * most)) == (place, letter * most)
    with pytest.raises(InvalidName, match=r"bytes? too long: .* at most 1024"):
        place.name_of(letter * (most + 1))


def test_scopes_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="leave none for a key"):
        Place("abc", (("a", "b" * 1024),))


@pytest.mark.parametrize("usecase", ["abc", "A-b_9", "x" * 64])
def test_a_usecase_comes_back(usecase: str) -> None:
    assert Place.parse(usecase, "_") == Place(usecase)


@pytest.mark.parametrize(
    "usecase", ["", "ab", "x" * 65, "a.b.c", "a/b/c", "a%2Fbc", "äbc", "abc\n"]
)
def test_another_usecase_is_refused(usecase: str) -> None:
    with pytest.raises(ValueError, match="usecase"):
        Place.parse(usecase, "_")


@pytest.mark.parametrize(
    ("segment", "scopes"),
    [
        ("_", ()),
        ("org=42", (("org", "42"),)),
        ("org=42;project=1337", (("org", "42"), ("project", "1337"))),
        ("project=1337;org=42", (("project", "1337"), ("org", "42"))),
        ("a=1;a=1", (("a", "1"), ("a", "1"))),
        ("_=_", (("_", "_"),)),
        ("a-(b)$!+'=c_D", (("a-(b)$!+'", "c_D"),)),
    ],
)
def test_scopes_come_back_in_their_order(segment: str, scopes: tuple[tuple[str, str], ...]) -> None:
    place = Place.parse("abc", segment)
    assert place.scopes == scopes
    assert place.segments == ("abc", segment)


def test_scopes_may_be_escaped() -> None:
    assert Place.parse("abc", "a%3D1%3Bb=%28c%29").scopes == (("a", "1"), ("b", "(c)"))


@pytest.mark.parametrize(
    "segment",
    ["", "a", "=", "a=", "=b", "a=1;", ";a=1", "a=1;;b=2", "a=b=c", "a.b=c", "a=b.c", "a=b c",
     "a=%2F", "a=é", "a=%C3%A9", "a=%ff", "a=%", "a=b%0D%0A", "__"],
)  # fmt: skip
def test_other_scopes_are_refused(segment: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        Place.parse("abc", segment)


def test_a_client_gives_scopes_as_values() -> None:
    assert Place.of("abc", [("org", 42), ("on", True)]).segments == ("abc", "org=42;on=True")


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("dir/a b%é;=", "dir/a%20b%25%C3%A9;="),
        ("a?b#c\\d", "a%3Fb%23c%5Cd"),
        ("/:@!$&'()*+,;=-._~", "/:@!$&'()*+,;=-._~"),
        ("//../", "//../"),
        ('"<>[]^`{|}\n', "%22%3C%3E%5B%5D%5E%60%7B%7C%7D%0A"),
    ],
)
def test_a_key_stands_in_a_path_as_clients_send_it(key: str, sent: str) -> None:
    assert path_of(key) == sent
    assert key_of(sent) == key


@given(KEYS)
def test_a_key_comes_back_from_a_path_and_from_a_part(key: str) -> None:
    assert key_of(path_of(key)) == key
    assert key_of(header_of(key)) == key
    assert re.fullmatch(r"(?:[A-Za-z0-9]|%[0-9A-F]{2})+", header_of(key))
    assert re.fullmatch(r"[!-~]+", path_of(key))


@pytest.mark.parametrize("key", AWKWARD)
def test_awkward_keys_stay_what_they_are(key: str) -> None:
    place = Place("abc", (("org", "42"),))
    assert key_of(path_of(key)) == key
    assert key_of(header_of(key)) == key
    assert place_of(place.name_of(key)) == (place, key)


def test_a_key_is_decoded_once() -> None:
    assert key_of("%252F") == "%2F"
    assert key_of("a%2Fb") == "a/b"
    assert key_of("a+b") == "a+b"


@pytest.mark.parametrize("sent", ["", "%", "%zz", "a%2", "%ff", "%C3", "%ED%A0%80", "é", "a b\n"])
def test_what_is_no_key_is_refused(sent: str) -> None:
    with pytest.raises(ValueError, match="a key"):
        key_of(sent)


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_what_no_key_can_be_is_not_sent(key: str) -> None:
    for function in (path_of, header_of, Place("abc").name_of):
        with pytest.raises(ValueError, match="a key"):
            function(key)


def test_a_key_in_a_part_is_letters_and_digits() -> None:
    assert header_of("k/1 é-._~") == "k%2F1%20%C3%A9%2D%2E%5F%7E"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("välue 100%", "v%C3%A4lue 100%25"),
        ('a "b"; c', 'a "b"; c'),
        ("a\r\nb\0\x7f", "a%0D%0Ab%00%7F"),
        ("  a ", "%20%20a%20"),
        ("", ""),
        (" ", "%20"),
    ],
)
def test_a_text_stands_in_a_header(text: str, sent: str) -> None:
    assert value_of(text) == sent
    assert text_of(sent, "x") == text


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_comes_back_from_a_header(text: str) -> None:
    assert re.fullmatch(r"(?:[!-~](?:[ -~]*[!-~])?)?", value_of(text))
    assert text_of(value_of(text), "x") == text


def test_a_percent_sign_that_earlier_clients_left_bare_is_one() -> None:
    assert text_of("100% sure %zz", "x") == "100% sure %zz"


@pytest.mark.parametrize("sent", ["é", "a\tb", "a\r\nb", "\x7f", "%ff", "%C3"])
def test_what_is_no_text_is_refused(sent: str) -> None:
    with pytest.raises(ValueError, match="x-sn-origin"):
        text_of(sent, "x-sn-origin")
