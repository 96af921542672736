"""Pre-signed URLs: good as they were signed, for as long, and in no other way."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flask_fs_swift.api.keys import (
    DELETE,
    READ,
    WRITE,
    KeyDirectory,
    SigningKey,
    new_key_pair,
    read_keys,
    read_signing_key,
)
from flask_fs_swift.api.presigned import (
    EARLY,
    LONGEST,
    canonical,
    is_presigned,
    presign,
    verify_presigned,
)
from flask_fs_swift.api.tokens import Authority, to_base64url

from .published import published
from .signing import IMPOSTOR, KEY, KEYS, KID, NOW, OTHER_PAIR, PAIR, directory, refusal

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PATH = "/v1/objects/photos/org=42;project=1337/dir/a%20b"
SIGNED = presign(KEY, "GET", PATH, NOW, 3600)

AWKWARD = [
    "plain",
    "with spaces",
    "50% off",
    "%41%2F",
    "a+b",
    "why?now",
    "one#two",
    "//lead/and//middle//",
    "../up/./down/..",
    ";x=1;y",
    "a&os_sig=b&c=d",
    "\N{PILE OF POO}/Grüße",
    "new\nline\r\ttab",
    "back\\slash\"quote'",
    ":@!$&'()*,",
    "~-._ \x7f",
]


def status(target: str, method: str = "GET", now: float = NOW, keys: KeyDirectory = KEYS) -> int:
    return refusal(lambda: verify_presigned(method, target, keys, now))


def signed(query: str, method: str = "GET", key: SigningKey = KEY, path: str = PATH) -> str:
    """Return a target that says anything, and is signed."""
    signature = to_base64url(key.private.sign(canonical(method, path, query).encode()))
    return f"{path}?{query}&os_sig={signature}"


def query(
    kid: str = "key%20one", timestamp: str = "2027-01-15T08:00:00Z", duration: object = 3600
) -> str:
    return f"os_kid={kid}&os_timestamp={timestamp}&os_duration={duration}"


def test_what_is_signed_can_be_read() -> None:
    authority = verify_presigned("GET", SIGNED, KEYS, NOW)
    assert authority == Authority(frozenset({READ}), usecase=None)
    assert authority.allows(READ, "photos", [("org", "42")])
    assert not authority.allows(WRITE, "photos", [])
    assert not authority.allows(DELETE, "photos", [])


def test_a_signed_url_looks_as_it_is_agreed() -> None:
    assert SIGNED.startswith(f"{PATH}?{query()}&os_sig=")
    assert len(SIGNED.rpartition("=")[2]) == 86
    assert signed(query()) == SIGNED


@pytest.mark.parametrize("made", ["GET", "HEAD", "get", "Head"])
@pytest.mark.parametrize("used", ["GET", "HEAD", "get"])
def test_get_and_head_are_one(made: str, used: str) -> None:
    assert status(presign(KEY, made, PATH, NOW, 60), used) == 0


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", ""])
def test_other_methods_are_403(method: str) -> None:
    assert status(SIGNED, method) == 403
    assert status(signed(query(), method), method) == 403
    assert status(signed(query(), method)) == 401


@pytest.mark.parametrize(
    "origin", ["http://localhost", "HTTPS://user@shop.example:8080", "http://"]
)
def test_the_origin_is_not_signed(origin: str) -> None:
    assert status(origin + SIGNED) == 0


@pytest.mark.parametrize("target", [PATH, "/base" + PATH, "/", "//v1/a", PATH + "?download=1&b"])
def test_any_target_can_be_signed(target: str) -> None:
    assert status(presign(KEY, "GET", target, NOW, 60)) == 0


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_can_be_signed(name: str) -> None:
    assert status(presign(KEY, "GET", f"/v1/objects/u/_/{quote(name)}", NOW, 60)) == 0
    assert status(presign(KEY, "GET", f"/v1/objects/u/_/{quote(name, safe='')}", NOW, 60)) == 0


# What was changed.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dir/a%20b", "dir/a%20c"),
        ("dir/a%20b", "dir/a+b"),
        ("dir/a%20b", "dir%2Fa%20b"),
        ("dir/a%20b", "dir/./a%20b"),
        ("dir/a%20b", "dir/a%20b/"),
        ("/v1/", "//v1/"),
        ("/v1/", "/base/v1/"),
        ("org=42;project=1337", "project=1337;org=42"),
        ("a%20b?", "a%20b?more=1&"),
        ("a%20b?", "a%20b?&more&"),
        ("08:00:00Z", "08:00:01Z"),
        ("08:00:00Z", "08%3A00:00Z"),
        ("08:00:00Z", "08:00:00z"),
        ("08:00:00Z", "08:00:00+00:00"),
        ("os_duration=3600", "os_duration=3601"),
        ("os_duration=3600", "os_duration=03600"),
        ("os_duration=3600", "os_duration=604800"),
        ("os_kid=key%20one", "os_kid=other"),
        ("os_kid=key%20one", "os_kid=key%20On%65"),
    ],
)
def test_a_url_that_was_changed_is_401(old: str, new: str) -> None:
    assert old in SIGNED
    assert status(SIGNED.replace(old, new)) == 401


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("&os_sig=", "&os_sig=a&os_sig="),
        ("&os_sig=", "&OS_SIG=a&os_sig="),
        ("&os_sig=", "&OS_SIG="),
        ("&os_sig=", "&os_duration=3600&os_sig="),
        ("&os_sig=", "&OS_DURATION=3600&os_sig="),
        ("os_kid=", "OS_KID="),
        ("os_kid=", "os%5Fkid="),
        ("os_kid=key%20one&", ""),
        ("os_kid=key%20one", "os_kid=%ff"),
        ("os_timestamp", "Os_Timestamp"),
        ("os_duration=3600", "os_duration=604801"),
        ("os_duration=3600", "os_duration"),
        ("os_duration=3600", "os_duration=-1"),
        ("os_duration=3600", "os_duration=%2B3600"),
        ("os_duration=3600", "os_duration=1e3"),
        ("os_duration=3600", "os_duration=\N{ARABIC-INDIC DIGIT ONE}"),
        ("os_duration=3600", f"os_duration={quote(chr(0x661))}"),
        ("os_duration=3600", f"os_duration={'9' * 5000}"),
        ("2027-01-15T08:00:00Z", ""),
        ("2027-01-15T08:00:00Z", "1800000000"),
        ("2027-01-15T08:00:00Z", "2027-01-15"),
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00"),
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00Z%0A"),
        ("2027-01-15T08:00:00Z", "2027-02-30T08:00:00Z"),
        ("2027-01-15T08:00:00Z", "0000-01-15T08:00:00Z"),
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00+24:00"),
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00+01:60"),
        ("dir/a%20b", "dir/é"),
        ("dir/a%20b", "dir/\n"),
    ],
)
def test_a_url_that_cannot_be_read_is_400(old: str, new: str) -> None:
    assert old in SIGNED
    assert status(SIGNED.replace(old, new)) == 400
    path, _, rest = SIGNED.rpartition("&os_sig=")[0].replace(old, new).partition("?")
    if path == PATH and rest.count("OS_SIG") == 0 and old != "&os_sig=":
        assert status(signed(rest)) == 400


def test_parameters_may_come_in_any_order() -> None:
    path, _, text = presign(KEY, "GET", f"{PATH}?b=2&a=1&b=1&Name=x", NOW, 60).partition("?")
    pieces = text.split("&")
    assert status(f"{path}?{'&'.join(reversed(pieces))}") == 0
    assert status(f"{path}?&{'&&'.join(sorted(pieces))}&") == 0
    assert status(f"{path}?{text.replace('Name', 'name')}") == 0
    assert status(f"{path}?{text.replace('Name=x', 'Name=X')}") == 401
    assert status(f"{path}?{text}&b=2") == 401
    assert status(f"{path}?{text.replace('b=1&', '')}") == 401
    assert status(f"{path}?{text.replace('a=1&', 'a=2&')}") == 401


def test_a_signature_with_any_other_character_is_401() -> None:
    start = SIGNED.rindex("=") + 1
    for at in range(start, len(SIGNED)):
        for other in f"{ALPHABET}=+/. %":
            if other != SIGNED[at]:
                assert status(SIGNED[:at] + other + SIGNED[at + 1 :]) == 401


@pytest.mark.parametrize("more", ["=", "==", "A", "AA", "%3D", "."])
def test_a_signature_with_more_at_its_end_is_401(more: str) -> None:
    assert status(SIGNED + more) == 401


@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_401(size: int) -> None:
    assert status(f"{PATH}?{query()}&os_sig={to_base64url(b'a' * size)}") == 401


def test_a_path_with_any_other_character_is_refused() -> None:
    for at in range(SIGNED.index("&os_sig")):
        for other in "aA1%/;=+&?":
            if other != SIGNED[at]:
                changed = SIGNED[:at] + other + SIGNED[at + 1 :]
                assert status(changed) in {400, 401}


# When.


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - EARLY - 0.01, 401),
        (NOW - EARLY, 0),
        (NOW - 30, 0),
        (NOW, 0),
        (NOW + 3600, 0),
        (NOW + 3600.01, 401),
        (NOW + 10**9, 401),
        (0, 401),
    ],
)
def test_a_url_is_good_from_a_minute_before_until_its_end(now: float, expected: int) -> None:
    assert status(SIGNED, now=now) == expected


@pytest.mark.parametrize(
    ("duration", "expected"), [(0, 0), (1, 0), (LONGEST, 0), (LONGEST + 1, 400), ("9" * 18, 400)]
)
def test_a_url_is_good_for_seven_days_at_most(duration: object, expected: int) -> None:
    assert status(signed(query(duration=duration))) == expected


@pytest.mark.parametrize(
    "timestamp",
    [
        "2027-01-15T08:00:00z",
        "2027-01-15t08:00:00.999Z",
        "2027-01-15T08:00:00+00:00",
        "2027-01-15T08:00:00%2B00:00",
        "2027-01-15T10:30:00%2B02:30",
        "2027-01-15T05:30:00-02:30",
        "2027-01-15T08%3A00%3A00.5Z",
    ],
)
def test_a_time_can_be_written_in_every_way_of_rfc_3339(timestamp: str) -> None:
    assert status(signed(query(timestamp=timestamp, duration=10)), now=NOW + 5) == 0
    assert status(signed(query(timestamp=timestamp, duration=10)), now=NOW + 12) == 401


@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_ends_of_the_calendar_are_401(timestamp: str) -> None:
    assert status(signed(query(timestamp=timestamp))) == 401


# By whom.


def test_checks_come_in_the_order_of_the_protocol() -> None:
    no_reader = directory(permissions=frozenset({WRITE, DELETE}))
    late = NOW + 10**7
    everything = signed(query("no", duration=LONGEST + 1), key=IMPOSTOR)
    assert status(everything, "PUT", late, no_reader) == 403
    assert status(everything.replace("no", "%ff"), "GET", late, no_reader) == 400
    assert status(everything, "GET", late, no_reader) == 401
    too_long = signed(query(duration=LONGEST + 1), key=IMPOSTOR)
    assert status(too_long, "GET", late, no_reader) == 400
    assert status(signed(query(), key=IMPOSTOR), "GET", late, no_reader) == 401
    assert status(signed(query(), key=IMPOSTOR), "GET", NOW, no_reader) == 401
    assert status(signed(query()), "GET", NOW, no_reader) == 403
    assert status(signed(query()), "GET", NOW) == 0


def test_any_version_of_a_key_will_do() -> None:
    for versions in ((PAIR.public, OTHER_PAIR.public), (OTHER_PAIR.public, PAIR.public)):
        for key in (KEY, IMPOSTOR):
            assert status(signed(query(), key=key), keys=directory(*versions)) == 0
    assert status(SIGNED, keys=directory(OTHER_PAIR.public)) == 401


@pytest.mark.parametrize("kid", ["a b", "50%", "a+b", "a&b=c", "\N{PILE OF POO}", "a/b#?"])
def test_awkward_ids_of_keys_can_be_signed(kid: str) -> None:
    pair = new_key_pair()
    keys = read_keys("K", {kid: {"versions": [pair.public], "max_permissions": [READ]}})
    key = read_signing_key("K", kid, pair.private)
    assert status(presign(key, "GET", PATH, NOW, 60), keys=keys) == 0


def test_a_signature_whose_point_is_small_is_401() -> None:
    text = canonical("GET", PATH, query()).encode()
    digest = hashlib.sha512(KEY.private.private_bytes_raw()).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    public = KEY.private.public_key()
    identity = (1).to_bytes(32, "little")
    hashed = hashlib.sha512(identity + public.public_bytes_raw() + text).digest()
    order = 2**252 + 27742317777372353535851937790883648493
    proof = int.from_bytes(hashed, "little") * scalar % order
    signature = identity + proof.to_bytes(32, "little")
    public.verify(signature, text)
    assert status(f"{PATH}?{query()}&os_sig={to_base64url(signature)}") == 401


# What is presigned, and what is not signed at all.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os_sig=a", True),
        ("os_sig", True),
        ("a=b&os_sig=", True),
        ("", False),
        ("OS_SIG=a", False),
        ("os%5Fsig=a", False),
        ("a=os_sig", False),
        ("os_sig2=a", False),
    ],
)
def test_a_signature_is_known_by_its_name(text: str, expected: bool) -> None:
    assert is_presigned(text) is expected


@pytest.mark.parametrize(
    ("method", "target", "duration"),
    [
        ("PUT", PATH, 60),
        ("GET", PATH, 0),
        ("GET", PATH, LONGEST + 1),
        ("GET", PATH + "é", 60),
        ("GET", PATH + " ", 60),
        ("GET", PATH + "\n", 60),
        ("GET", PATH + "#a", 60),
        ("GET", SIGNED, 60),
        ("GET", PATH + "?OS_KID=a", 60),
    ],
)
def test_what_no_server_takes_is_not_signed(method: str, target: str, duration: int) -> None:
    with pytest.raises(ValueError, match=r"method|duration|target|signature"):
        presign(KEY, method, target, NOW, duration)


# The other client.


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("base", ["", "/base"])
def test_what_the_other_client_signs_can_be_read(name: str, method: str, base: str) -> None:
    other = published("objectstore_client")
    client = other.Client(f"http://localhost:9{base}", token=other.SecretKey(KID, PAIR.private))
    session = client.session(other.Usecase("photos"), org=42, project=1337)
    url = session.presigned_object_url(method, name, duration=timedelta(minutes=5))
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}"
    assert is_presigned(parts.query)
    for used in ("GET", "HEAD"):
        assert status(target, used, time.time()) == 0
        assert status(url, used, time.time()) == 0
    assert status(target.replace("photos", "photoz"), now=time.time()) == 401
    assert status(target, now=time.time() + 301) == 401
    since = target.partition("os_timestamp=")[2][:20]
    assert signed(query(timestamp=since, duration=300), path=parts.path) == target


PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E))
QUERY = st.lists(
    st.sampled_from(["a", "A=1", "a=", "b=2", "os_sig=x", "OS_SIG=y", "os_sig", "os_sigh=1", "="])
    | PRINTABLE
).map("&".join)


@given(st.sampled_from(["GET", "HEAD", "put"]), PRINTABLE, QUERY)
def test_the_other_client_signs_the_same_text(method: str, path: str, text: str) -> None:
    other = published("objectstore_client.presign")
    assert canonical(method, path, text) == other.build_canonical_form(method, path, text)


# Anything at all.


@given(PRINTABLE, QUERY)
def test_any_target_that_is_signed_is_good(path: str, text: str) -> None:
    target = f"/{path}?{text}"
    assume("#" not in target and "os_" not in target.lower())
    assert status(presign(KEY, "GET", target, NOW, 60)) == 0


@given(st.text(), st.text())
def test_any_text_is_refused(method: str, target: str) -> None:
    assert status(target, method) in {400, 401, 403}
    assert status(target) in {400, 401}
    assert is_presigned(target) in {True, False}


@given(st.text(), st.text(), st.text(), st.text())
def test_any_parameters_are_refused(kid: str, timestamp: str, duration: str, text: str) -> None:
    for quoted in (quote, str):
        fields = [quoted(value) for value in (kid, timestamp, duration, text)]
        values = zip(("os_kid", "os_timestamp", "os_duration", "os_sig"), fields, strict=True)
        assert status(f"{PATH}?{'&'.join(map('='.join, values))}") in {400, 401}
    assert status(f"{PATH}?{query()}&os_sig={quote(text)}") == 401
