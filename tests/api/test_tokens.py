"""Tokens: whose are believed, and what they are good for."""

from __future__ import annotations

import hashlib
import hmac
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from flask_fs_swift.api.keys import DELETE, PERMISSIONS, READ, WRITE
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.tokens import (
    LEEWAY,
    LONGEST,
    Authority,
    find_token,
    from_base64url,
    new_token,
    to_base64url,
    verify_token,
)

from .published import published
from .signing import (
    CLAIMS,
    HEADER,
    IMPOSTOR,
    KEY,
    KEYS,
    KID,
    NOW,
    OTHER_PAIR,
    PAIR,
    claiming,
    directory,
    refusal,
    segment,
    token,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PLACE = [("org", "42"), ("project", "1337")]


def status(text: str, now: float = NOW) -> int:
    return refusal(lambda: verify_token(text, KEYS, now))


# Where the token is.


@pytest.mark.parametrize(
    ("x_os_auth", "authorization", "query", "found"),
    [
        ("Bearer a", None, "", "a"),
        ("bEARER a", None, "", "a"),
        (None, "Bearer b", "", "b"),
        (None, "bearer b", "", "b"),
        (None, None, "os_auth=c", "c"),
        (None, None, "x=y&os_auth=%63.d", "c.d"),
        (None, None, "os_auth=", ""),
        (None, None, "os_auth", ""),
        ("Bearer a", "Bearer b", "os_auth=c", "a"),
        (None, "Bearer b", "os_auth=c", "b"),
        ("a", None, "os_auth=c", "c"),
        (None, "Basic b", "os_auth=c", "c"),
        ("a", "Bearer b", "os_auth=c", "c"),
        ("Bearer a", None, "os_auth=c&os_auth=d", "a"),
        ("Bearer ", None, "", ""),
    ],
)
def test_a_header_comes_before_the_url(
    x_os_auth: str | None, authorization: str | None, query: str, found: str
) -> None:
    assert find_token(x_os_auth, authorization, query) == found


@pytest.mark.parametrize(
    ("x_os_auth", "authorization", "query"),
    [
        (None, None, ""),
        ("a", None, ""),
        ("Basic a", None, ""),
        ("Bearera", None, ""),
        ("Bearer", None, ""),
        (" Bearer a", None, ""),
        ("", "Bearer b", ""),
        ("a", "Bearer b", ""),
        (None, None, "OS_AUTH=c"),
        (None, None, "os%5Fauth=c"),
        (None, None, "os_auth=c&os_auth=c"),
    ],
)
def test_no_token_is_400(x_os_auth: str | None, authorization: str | None, query: str) -> None:
    assert refusal(lambda: find_token(x_os_auth, authorization, query)) == 400


# What a token allows.


def test_a_token_allows_what_it_claims() -> None:
    authority = verify_token(token(), KEYS, NOW)
    assert authority == Authority(
        frozenset({READ, WRITE}), "photos", frozenset({("org", "42"), ("project", "1337")})
    )
    assert authority.allows(READ, "photos", PLACE)
    assert authority.allows(WRITE, "photos", PLACE)
    assert not authority.allows(DELETE, "photos", PLACE)
    assert not authority.allows("object.all", "photos", PLACE)


@pytest.mark.parametrize(
    ("usecase", "scopes", "allowed"),
    [
        ("photos", [("org", "42"), ("project", "1337")], True),
        ("photos", [("project", "1337"), ("org", "42")], True),
        ("photos", [("org", "42")], True),
        ("photos", [], True),
        ("photos", [("org", "42"), ("org", "42")], True),
        ("photos", [("org", "42"), ("org", "43")], False),
        ("photos", [("org", "43"), ("project", "1337")], False),
        ("photos", [("org", "42"), ("project", "1337"), ("team", "1")], False),
        ("photos", [("team", "1")], False),
        ("photos", [("Org", "42")], False),
        ("photos", [("org", "*")], False),
        ("photos", [("os:usecase", "photos")], False),
        ("Photos", [], False),
        ("*", [], False),
        ("other", [("org", "42"), ("project", "1337")], False),
    ],
)
def test_a_token_is_for_one_place_and_all_above_it(
    usecase: str, scopes: list[tuple[str, str]], allowed: bool
) -> None:
    assert verify_token(token(), KEYS, NOW).allows(READ, usecase, scopes) is allowed


def test_a_star_is_every_value_of_its_scope() -> None:
    text = claiming(res={"os:usecase": "photos", "org": "*", "project": "1"})
    authority = verify_token(text, KEYS, NOW)
    assert authority.allows(READ, "photos", [("org", "1"), ("project", "1")])
    assert authority.allows(READ, "photos", [("org", "2")])
    assert not authority.allows(READ, "photos", [("org", "2"), ("project", "2")])
    assert not authority.allows(READ, "photos", [("team", "1")])


def test_a_star_is_no_usecase() -> None:
    authority = verify_token(claiming(res={"os:usecase": "*"}), KEYS, NOW)
    assert not authority.allows(READ, "photos", [])


@pytest.mark.parametrize(
    ("most", "left"),
    [
        (frozenset(), frozenset()),
        (frozenset({READ}), frozenset({READ})),
        (frozenset({DELETE}), frozenset()),
        (PERMISSIONS, frozenset({READ, WRITE})),
    ],
)
def test_a_token_allows_no_more_than_its_key_may(
    most: frozenset[str], left: frozenset[str]
) -> None:
    keys = directory(permissions=most)
    assert verify_token(token(), keys, NOW).permissions == left


@pytest.mark.parametrize(
    "permissions",
    [..., None, "object.read", {READ: 1}, ["object.all"], [READ, "*"], [READ, 5], [[READ]], [None]],
)
def test_permissions_that_are_not_known_are_401(permissions: object) -> None:
    assert status(claiming(permissions=permissions)) == 401


def test_no_permissions_are_none() -> None:
    assert verify_token(claiming(permissions=[]), KEYS, NOW).permissions == frozenset()


@pytest.mark.parametrize(
    "place",
    [
        ...,
        None,
        "photos",
        ["photos"],
        {},
        {"org": "42"},
        {"os:usecase": 5},
        {"os:usecase": None},
        {"os:usecase": "photos", "org": 42},
        {"os:usecase": "photos", "org": True},
        {"os:usecase": "photos", "org": ["42"]},
        {"os:usecase": "photos", "org": {"a": "b"}},
    ],
)
def test_a_place_that_is_malformed_is_401(place: object) -> None:
    assert status(claiming(res=place)) == 401


# When, by whom and for whom.


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        (NOW + 1, 0),
        (NOW, 0),
        (NOW - LEEWAY + 1, 0),
        (NOW - LEEWAY + 0.5, 0),
        (NOW - LEEWAY, 401),
        (NOW - LEEWAY - 1, 401),
        (10**300, 0),
        (10**400, 0),
        (-(10**400), 401),
        (0, 401),
        (..., 401),
        (None, 401),
        (True, 401),
        (str(NOW + 60), 401),
        ([NOW + 60], 401),
        (float("nan"), 401),
        (float("inf"), 401),
        (float("-inf"), 401),
    ],
)
def test_a_token_is_good_for_a_minute_after_its_end(expires: object, expected: int) -> None:
    assert status(claiming(exp=expires)) == expected


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (..., 0),
        ("objectstore", 0),
        (["objectstore"], 0),
        (["other", "objectstore"], 0),
        ("other", 401),
        ("Objectstore", 401),
        ("objectstore2", 401),
        ("", 401),
        ([], 401),
        (["other"], 401),
        (["objectstore", 5], 401),
        (None, 401),
        (5, 401),
        ({"objectstore": 1}, 401),
    ],
)
def test_a_token_for_others_is_401(audience: object, expected: int) -> None:
    assert status(claiming(aud=audience)) == expected


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (..., 0),
        ("sentry", 0),
        ("relay", 0),
        ("other", 401),
        ("", 401),
        (None, 401),
        (["sentry"], 401),
        ({"sentry": 1}, 401),
    ],
)
def test_a_token_of_others_is_401(issuer: object, expected: int) -> None:
    assert status(claiming(iss=issuer)) == expected


@pytest.mark.parametrize("claim", ["nbf", "iat", "sub", "jti", "more"])
@pytest.mark.parametrize("value", [NOW + 10**6, "text", None, {"a": []}])
def test_other_claims_do_not_count(claim: str, value: object) -> None:
    assert status(claiming(**{claim: value})) == 0


# Which key.


@pytest.mark.parametrize(
    ("kid", "expected"),
    [
        (KID, 0),
        (None, 400),
        ("", 401),
        ("no such", 401),
        ("other", 401),
        (KID.upper(), 401),
        (f" {KID}", 401),
        (5, 401),
        ([KID], 401),
        ({"kid": KID}, 401),
    ],
)
def test_a_token_names_a_key_that_is_known(kid: object, expected: int) -> None:
    assert status(token(header={**HEADER, "kid": kid})) == expected


def test_no_key_id_is_400_whatever_else_is_wrong() -> None:
    assert status(token(header={"alg": "EdDSA"})) == 400
    assert status(token(header={"alg": "none"}, claims=b"no JSON")) == 400


def test_a_token_of_another_key_is_401() -> None:
    assert status(token(key=IMPOSTOR)) == 401


def test_any_version_of_a_key_will_do() -> None:
    for versions in ((PAIR.public, OTHER_PAIR.public), (OTHER_PAIR.public, PAIR.public)):
        keys = directory(*versions)
        for key in (KEY, IMPOSTOR):
            assert verify_token(token(key=key), keys, NOW).usecase == "photos"


def test_a_version_that_was_removed_is_401() -> None:
    keys = directory(OTHER_PAIR.public)
    assert refusal(lambda: verify_token(token(), keys, NOW)) == 401


def test_with_a_bad_signature_nothing_is_said_of_the_claims() -> None:
    good, _, _ = claiming(exp=0).rpartition(".")
    with pytest.raises(Refusal, match="not signed by its key"):
        verify_token(f"{good}.{'A' * 86}", KEYS, NOW)


# Which algorithm.


@pytest.mark.parametrize("alg", [..., None, "none", "HS256", "RS256", "eddsa", "Ed25519", 5, []])
def test_a_token_does_not_choose_its_algorithm(alg: object) -> None:
    header = {**HEADER, "alg": alg}
    if alg is ...:
        del header["alg"]
    assert status(token(header=header)) == 401


def test_a_token_without_a_signature_is_401() -> None:
    for alg in ("none", "EdDSA"):
        assert status(f"{segment({**HEADER, 'alg': alg})}.{segment(CLAIMS)}.") == 401


def test_the_public_key_is_no_password() -> None:
    text = f"{segment({**HEADER, 'alg': 'HS256'})}.{segment(CLAIMS)}"
    digest = hmac.new(PAIR.public.encode(), text.encode(), hashlib.sha256).digest()
    assert status(f"{text}.{segment(digest)}") == 401


def test_rsa_is_401() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert status(jwt.encode(CLAIMS, key, "RS256", headers={"kid": KID})) == 401


@pytest.mark.parametrize("more", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}])
def test_what_a_server_does_not_know_and_has_to_is_401(more: dict[str, object]) -> None:
    assert status(token(header={**HEADER, **more})) == 401


# What is no token.


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}"[:1],
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b'{"alg":"EdDSA","kid":"\xff"}',
        '{"alg":"EdDSA","kid":"key one"}'.encode("utf-16"),
        b'{"a":' * 1100,
        b'{"a":' + b"[" * 5000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"alg":"EdDSA","kid":"key one","a":NaN}',
    ],
)
def test_a_header_that_cannot_be_read_is_401(header: bytes) -> None:
    assert status(token(header=header)) == 401


@pytest.mark.parametrize("claims", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 3000, b"5"])
def test_claims_that_cannot_be_read_are_401(claims: bytes) -> None:
    assert status(token(claims=claims)) == 401


@pytest.mark.parametrize("levels", range(850, 1010, 3))
def test_a_deep_header_is_refused_or_read(levels: int) -> None:
    deep = b'{"alg":"EdDSA","kid":"key one","a":' + b"[" * levels + b"]" * levels + b"}"
    assert status(token(header=deep)) in {0, 401}


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "\udcff..", "é"])
def test_text_that_is_no_token_is_401(text: str) -> None:
    assert status(text) == 401


def test_a_token_has_an_end() -> None:
    assert status(claiming(more="a" * LONGEST)) == 401
    assert status("a" * 10**6) == 401


def test_more_around_a_token_is_401() -> None:
    good = token()
    for more in ("=", "==", " ", "\n", "."):
        assert status(good + more) == 401
        assert status(more + good) == 401


def test_a_token_with_any_other_character_is_refused() -> None:
    good = new_token(KEY, "photos", PLACE, [READ], NOW)
    assert status(good) == 0
    signature = good.rindex(".")
    for at, character in enumerate(good):
        others = set(ALPHABET if at > signature else "AQgw-_09z=.+/ é") - {character}
        for other in sorted(others):
            assert status(good[:at] + other + good[at + 1 :]) in {400, 401}
        assert status(good[:at] + good[at + 1 :]) in {400, 401}


# Base64.


@given(st.binary())
def test_base64url_comes_back(content: bytes) -> None:
    assert from_base64url(to_base64url(content)) == content


@pytest.mark.parametrize("text", ["A", "AB", "QQ==", "Q Q", "QQ\n", "+/AA", "é", "QUI=", "AAB"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|last bits|padding|data characters"):
        from_base64url(text)


def test_of_sixteen_last_characters_one_is_right() -> None:
    good = token()
    accepted = [last for last in ALPHABET if status(good[:-1] + last) == 0]
    assert accepted == [good[-1]]


# Our own tokens.


def test_our_tokens_are_good_for_what_was_asked() -> None:
    authority = verify_token(new_token(KEY, "photos", PLACE, [DELETE], NOW), KEYS, NOW)
    assert authority == Authority(frozenset({DELETE}), "photos", frozenset(PLACE))


def test_our_tokens_are_short() -> None:
    text = new_token(KEY, "photos", [], [READ], NOW)
    assert status(text, NOW + 119) == 0
    assert status(text, NOW + 120) == 401
    text = new_token(KEY, "photos", [], [READ], NOW, lifetime=3600)
    assert status(text, NOW + 3659) == 0
    assert status(text, NOW + 3660) == 401


def test_no_token_says_what_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="permissions are of"):
        new_token(KEY, "photos", [], ["object.all"], NOW)
    for scopes in ([("org", "1"), ("org", "2")], [("os:usecase", "other")]):
        with pytest.raises(ValueError, match="only once"):
            new_token(KEY, "photos", scopes, [READ], NOW)


# The other client.


@pytest.mark.parametrize("scopes", [{}, {"org": 42, "project": "1337"}, {"flag": True}])
def test_the_tokens_of_the_other_client_are_good(scopes: dict[str, str | int | bool]) -> None:
    other = published("objectstore_client")
    client = other.Client("http://localhost:9", token=other.SecretKey(KID, PAIR.private))
    text = client.session(other.Usecase("photos"), **scopes).mint_token()
    place = [(name, str(value)) for name, value in scopes.items()]
    authority = verify_token(text, KEYS, time.time())
    assert authority == Authority(PERMISSIONS, "photos", frozenset(place))
    ours = new_token(KEY, "photos", place, PERMISSIONS, time.time())
    assert jwt.get_unverified_header(ours) == jwt.get_unverified_header(text)
    assert shape(ours) == shape(text)


def shape(text: str) -> dict[str, object]:
    """Return the claims of a token, its time and the order of its permissions aside."""
    claims: dict[str, object] = jwt.decode(text, options={"verify_signature": False})
    named = claims["permissions"]
    assert isinstance(named, list)
    return {**claims, "permissions": sorted(named), "exp": type(claims["exp"])}


def test_the_token_in_a_url_of_the_other_client_is_good() -> None:
    other = published("objectstore_client")
    from datetime import timedelta

    client = other.Client("http://localhost:9", token=other.SecretKey(KID, PAIR.private))
    session = client.session(other.Usecase("photos"), org=1)
    url = session.object_url("a b?", token_validity=timedelta(hours=1))
    text = find_token(None, None, url.partition("?")[2])
    assert verify_token(text, KEYS, time.time() + 3600).permissions == {READ}
    assert refusal(lambda: verify_token(text, KEYS, time.time() + 3661)) == 401


# Anything at all.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMED = st.fixed_dictionaries({}, optional=dict.fromkeys((*HEADER, *CLAIMS, "aud", "iss"), JSON))


@given(st.text())
def test_any_text_is_refused_or_read(text: str) -> None:
    assert status(text) in {400, 401}
    assert status(f"{segment(HEADER)}.{text}") in {400, 401}
    refusal(lambda: find_token(text, text, text))


@given(JSON | NAMED, JSON | NAMED)
def test_any_signed_claims_are_refused_or_read(header: object, claims: object) -> None:
    status(token(claims, header))
    status(token({**CLAIMS, **claims} if isinstance(claims, dict) else claims))
    status(token(header={**HEADER, **header} if isinstance(header, dict) else header))
