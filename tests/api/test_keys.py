"""Keys: what a server takes for one, and what it says of the others."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from flask_fs_swift import ConfigError
from flask_fs_swift.api.keys import (
    PERMISSIONS,
    READ,
    WRITE,
    is_small,
    new_key_pair,
    read_keys,
    read_signing_key,
)

from .signing import OTHER_PAIR, PAIR

if TYPE_CHECKING:
    from pathlib import Path

    from flask_fs_swift.api.keys import Key

P = 2**255 - 19


def public_pem(key: rsa.RSAPublicKey | Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def point(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


RSA = public_pem(rsa.generate_private_key(65537, 2048).public_key())
X25519 = (
    X25519PrivateKey.generate()
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
IDENTITY = public_pem(Ed25519PublicKey.from_public_bytes(point(1)))
BROKEN = PAIR.public.replace("MC", "M!", 1)


def numbered(_: object) -> str:
    """Name a case by its number: keys are others in every process that collects tests."""
    return ""


def raw(key: Key) -> list[bytes]:
    return [version.public_bytes_raw() for version in key.versions]


def raw_of(pem: str) -> bytes:
    return raw(read_keys("KEYS", {"a": {"versions": [pem]}})["a"])[0]


def test_a_new_pair_signs_and_verifies() -> None:
    pair = new_key_pair()
    key = read_signing_key("KEY", "a", pair.private)
    read_keys("KEYS", {"a": {"versions": [pair.public]}})["a"].versions[0].verify(
        key.private.sign(b"text"), b"text"
    )


def test_no_two_pairs_are_equal() -> None:
    assert new_key_pair() != new_key_pair()


def test_no_repr_shows_a_private_key() -> None:
    secret = PAIR.private.splitlines()[1]
    key = read_signing_key("KEY", "a", PAIR.private)
    assert secret not in repr(PAIR) + repr(key)


def test_a_key_may_do_nothing_unless_it_is_said() -> None:
    keys = read_keys("KEYS", {"a": {"versions": [PAIR.public]}})
    assert keys["a"].max_permissions == frozenset()


def test_a_setting_has_versions_and_permissions() -> None:
    entry = {"versions": [PAIR.public, OTHER_PAIR.public], "max_permissions": [READ, WRITE]}
    key = read_keys("KEYS", {"a": entry})["a"]
    assert key.kid == "a"
    assert key.max_permissions == {READ, WRITE}
    assert raw(key) == [raw_of(PAIR.public), raw_of(OTHER_PAIR.public)]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (PAIR.public, "must be a dict"),
        ([PAIR.public], "must be a dict"),
        ({}, "'versions' must be a list"),
        ({"versions": PAIR.public}, "'versions' must be a list"),
        ({"versions": [PAIR.public.encode()]}, "'versions' must be a list"),
        ({"versions": []}, "has no version"),
        ({"versions": [""]}, "version 1 must be one public key"),
        ({"versions": [PAIR.public, PAIR.public + OTHER_PAIR.public]}, "version 2 must be one"),
        ({"versions": [PAIR.public + "MCow"]}, "version 1 must be one public key"),
        ({"versions": [PAIR.public, BROKEN]}, "version 2 is no Ed25519 public key"),
        ({"versions": [RSA]}, "version 1 is no Ed25519 public key"),
        ({"versions": [X25519]}, "version 1 is no Ed25519 public key"),
        ({"versions": [IDENTITY]}, "version 1 is no Ed25519 public key"),
        ({"versions": [PAIR.private]}, "version 1 is a private key"),
        ({"versions": [PAIR.public], "max_permissions": READ}, "must be a list of strings"),
        ({"versions": [PAIR.public], "max_permissions": [1]}, "must be a list of strings"),
        ({"versions": [PAIR.public], "max_permissions": ["object.all"]}, "are of object.delete"),
        ({"versions": [PAIR.public], "permissions": [READ]}, "has only 'versions' and"),
    ],
    ids=numbered,
)
def test_an_error_names_the_key_and_repeats_nothing_of_it(entry: object, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^FS_API_KEYS: key 'mine': .*{re.escape(why)}") as info:
        read_keys("FS_API_KEYS", {"mine": entry})
    assert info.value.key == "FS_API_KEYS"
    assert_nothing_shown(info.value)


def assert_nothing_shown(error: BaseException) -> None:
    """See that an error and its causes have no line of a PEM in them."""
    for pem in (PAIR.public, PAIR.private, OTHER_PAIR.public, RSA, X25519, IDENTITY):
        for line in pem.splitlines()[1:-1]:
            assert line not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize("kid", ["", 5, None])
def test_an_id_is_a_string(kid: object) -> None:
    with pytest.raises(ConfigError, match="an id must be a string"):
        read_keys("KEYS", {kid: {"versions": [PAIR.public]}})


@pytest.mark.parametrize(
    "value",
    [None, 5, "", [PAIR.public], "/nowhere/at/all", PAIR.public, PAIR.private * 50],
    ids=numbered,
)
def test_keys_are_a_dict_or_a_folder(value: object) -> None:
    with pytest.raises(ConfigError, match="KEYS must be a dict of keys, or the path") as info:
        read_keys("KEYS", value)
    assert_nothing_shown(info.value)


# A folder.


def test_a_folder_has_a_file_for_each_key(tmp_path: Path) -> None:
    text = f"# Since May.\n\nmax_permissions: {READ}  {WRITE}\n{PAIR.public}\n{OTHER_PAIR.public}"
    (tmp_path / "one.two.pem").write_text(text)
    (tmp_path / "plain.pem").write_text(PAIR.public.replace("\n", "\r\n"))
    (tmp_path / "README").write_text("no key")
    (tmp_path / ".hidden.pem").write_text("no key")
    for folder in (tmp_path, str(tmp_path)):
        keys = read_keys("KEYS", folder)
        assert sorted(keys) == ["one.two", "plain"]
        assert keys["one.two"].max_permissions == {READ, WRITE}
        assert raw(keys["one.two"]) == [raw_of(PAIR.public), raw_of(OTHER_PAIR.public)]
        assert keys["plain"].max_permissions == frozenset()


def test_an_empty_folder_has_no_keys(tmp_path: Path) -> None:
    assert read_keys("KEYS", tmp_path) == {}


def test_what_was_read_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    file.write_text(PAIR.public)
    keys = read_keys("KEYS", tmp_path)
    file.write_text(OTHER_PAIR.public)
    assert raw(keys["a"]) == [raw_of(PAIR.public)]
    assert raw(read_keys("KEYS", tmp_path)["a"]) == [raw_of(OTHER_PAIR.public)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no version"),
        ("# nothing\n", "has no version"),
        (PAIR.private, "version 1 is a private key"),
        (PAIR.public + RSA, "version 2 is no Ed25519"),
        (PAIR.public[:-10], "has, beside its versions"),
        ("permissions: object.read\n" + PAIR.public, "has, beside its versions"),
        ("max_permissions:\n" * 2 + PAIR.public, "has, beside its versions"),
        ("max_permissions: object.all\n" + PAIR.public, "are of object.delete"),
        ("\udcff", "is no text"),
    ],
    ids=numbered,
)
def test_an_error_names_the_key_of_the_file(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "mine.pem").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=f"^KEYS: key 'mine': .*{why}") as info:
        read_keys("KEYS", tmp_path)
    assert_nothing_shown(info.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.pem").mkdir()
    with pytest.raises(ConfigError, match=r"^KEYS: key 'mine': cannot be read: "):
        read_keys("KEYS", tmp_path)


# A client's key.


@pytest.mark.parametrize(
    "pem", [None, 5, "", "text", PAIR.public, RSA, PAIR.private[:-40]], ids=numbered
)
def test_a_client_needs_a_private_key(pem: object) -> None:
    with pytest.raises(ConfigError, match=r"^FS_KEY: key 'mine' must be an Ed25519 priv") as info:
        read_signing_key("FS_KEY", "mine", pem)
    assert_nothing_shown(info.value)


def test_an_encrypted_key_is_refused() -> None:
    key = load_pem_private_key(PAIR.private.encode(), None)
    encryption = BestAvailableEncryption(b"password")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
    with pytest.raises(ConfigError, match="not encrypted"):
        read_signing_key("FS_KEY", "mine", pem)


@pytest.mark.parametrize("package", ["jwt", "cryptography"])
def test_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for call in (
        new_key_pair,
        lambda: read_keys("KEYS", {}),
        lambda: read_signing_key("KEY", "a", PAIR.private),
    ):
        with pytest.raises(ConfigError, match=re.escape("flask-fs-swift[api]")):
            call()


# Points of small order.


def test_the_eight_small_points_are_found_however_they_are_written() -> None:
    d = -121665 * pow(121666, -1, P) % P
    # What an order of eight needs: d·y⁴ + 2y² = 1, so y² = (±√(1 + d) - 1) / d.
    root = square_root(1 + d)
    eights = [square_root((sign * root - 1) * pow(d, -1, P) % P) for sign in (1, -1)]
    eight = next(y for y in eights if y)
    for y in (0, 1, P - 1, eight, P - eight, P, P + 1):
        assert is_small(point(y))
        assert is_small(point(y, sign=1))
    assert not is_small(raw_of(PAIR.public))
    assert not is_small(point(4 * pow(5, -1, P) % P))


def square_root(square: int) -> int:
    """Return a root, or 0 where there is none."""
    square %= P
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square:
            return candidate
    return 0


def test_there_are_three_permissions() -> None:
    assert {"object.read", "object.write", "object.delete"} == PERMISSIONS
