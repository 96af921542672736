"""Keys of the API: those a server trusts, by their id, and the one that a client signs with.

An id may have several versions, so that a key can be replaced while its old one is still
in use: add the new version at the server, let the clients sign with it, remove the old one.
A directory is read once and is a value from then on. Workers that are started anew read it
anew; a file that is broken while they run harms nobody.

In the settings::

    {"reports": {"versions": [pem, other_pem], "max_permissions": ["object.read"]}}

As a folder, a file for each id, ``reports.pem``, with the versions one below the other. A
version is added by one rename::

    # The nightly reports.
    max_permissions: object.read object.write
    -----BEGIN PUBLIC KEY-----
    …

Errors name the id, and repeat nothing of a key: they end up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from flask_fs_swift.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

READ, WRITE, DELETE = "object.read", "object.write", "object.delete"
PERMISSIONS = frozenset((READ, WRITE, DELETE))

SUFFIX = ".pem"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s.*?\s-----END \1-----", re.DOTALL)
_MAX_PERMISSIONS = "max_permissions:"


@dataclass(frozen=True)
class Key:
    """Whom a server trusts under one id, and with what."""

    kid: str
    #: At least one; a signature is good if it is by any of them.
    versions: tuple[Ed25519PublicKey, ...] = field(repr=False)
    #: What its tokens can allow at most, whatever they claim.
    max_permissions: frozenset[str] = frozenset()


#: All that a server trusts, by id.
KeyDirectory: TypeAlias = Mapping[str, Key]


@dataclass(frozen=True)
class SigningKey:
    """What a client signs with. As good as a password."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True)
class KeyPair:
    """A new key, as PEM: the client keeps the private half, its server is told the public one."""

    private: str = field(repr=False)
    public: str


def read_keys(setting: str, value: object) -> KeyDirectory:
    """Return the keys of a mapping, or of the folder of which a path is given.

    :param setting: the setting's name, for the errors.
    :raises ConfigError: a key is not what the module says, or a package is missing.
    """
    need_extra(setting)
    if isinstance(value, Mapping):
        return {kid: _key_of_setting(setting, kid, entry) for kid, entry in value.items()}
    folder = Path(value) if isinstance(value, (str, Path)) and value else None
    if folder is None or not _is_there(folder):
        raise ConfigError(f"{setting} must be a dict of keys, or the path of a folder", key=setting)
    return _keys_of_folder(setting, folder)


def read_signing_key(setting: str, kid: str, pem: object) -> SigningKey:
    """Return the key that a client signs with.

    :param setting: the setting that has the PEM, for the errors.
    :raises ConfigError: it is no Ed25519 private key, or is encrypted, or a package is missing.
    """
    need_extra(setting)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(_bytes(pem), password=None)
    except _unreadable():
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(
            f"{setting}: key {kid!r} must be an Ed25519 private key as PEM, not encrypted",
            key=setting,
        )
    return SigningKey(kid, private)


def new_key_pair() -> KeyPair:
    """Make a key that nobody has had.

    :raises ConfigError: a package is missing.
    """
    need_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


def need_extra(setting: str | None = None) -> None:
    """See that the packages of the extra are there: all that is signed begins with a key.

    :raises ConfigError: they are not.
    """
    try:
        import_module("cryptography")
        import_module("jwt")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the API needs PyJWT and cryptography: pip install 'flask-fs-swift[api]'", key=setting
        ) from error


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def is_small(point: bytes) -> bool:
    """Tell whether a point of the curve is one of the eight whose multiples are only eight.

    By such a key, signatures are found that fit many texts; by none that was made honestly.
    What libraries call strict verification refuses them, as RFC 8032 does not ask to.
    """
    y = (int.from_bytes(point, "little") & (2**255 - 1)) % _P
    has_order_eight = (_D * y**4 + 2 * y**2 - 1) % _P == 0
    return y in {0, 1, _P - 1} or has_order_eight


def _key_of_setting(setting: str, kid: object, entry: object) -> Key:
    wrong = _Wrong(setting, kid)
    if not isinstance(kid, str) or not kid:
        raise wrong("an id must be a string that is not empty")
    if not isinstance(entry, Mapping):
        raise wrong("must be a dict with 'versions'")
    unknown = entry.keys() - {"versions", "max_permissions"}
    if unknown:
        raise wrong("has only 'versions' and 'max_permissions'")
    versions = _strings(entry.get("versions"))
    if versions is None:
        raise wrong("'versions' must be a list of public keys as PEM")
    permissions = _strings(entry.get("max_permissions", ()))
    if permissions is None:
        raise wrong("'max_permissions' must be a list of strings")
    blocks = [_single(wrong, number, text) for number, text in enumerate(versions, 1)]
    return _key(wrong, kid, blocks, permissions)


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        # Too long for a path: it may be a key that is in the wrong place.
        return False


def _keys_of_folder(setting: str, folder: Path) -> KeyDirectory:
    # Hidden ones are an editor's, or are how Kubernetes replaces a folder at once.
    paths = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    keys = [_key_of_file(setting, path) for path in sorted(paths)]
    return {key.kid: key for key in keys}


def _key_of_file(setting: str, path: Path) -> Key:
    kid = path.name.removesuffix(SUFFIX)
    wrong = _Wrong(setting, kid)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise wrong(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise wrong("is no text") from None
    blocks = list(_BLOCK.finditer(text))
    lines = [line.strip() for line in _BLOCK.sub("", text).splitlines()]
    notes = [line for line in lines if line and not line.startswith("#")]
    if not all(line.startswith(_MAX_PERMISSIONS) for line in notes) or len(notes) > 1:
        raise wrong(f"has, beside its versions and # comments, one line {_MAX_PERMISSIONS!r}")
    permissions = notes[0].removeprefix(_MAX_PERMISSIONS).split() if notes else []
    return _key(wrong, kid, blocks, permissions)


def _single(wrong: _Wrong, number: int, text: str) -> re.Match[str]:
    """Return the one block of a text: of two, a library would read the first only."""
    block = _BLOCK.fullmatch(text.strip())
    if block is None or text.count("-----BEGIN") != 1:
        raise wrong(f"version {number} must be one public key as PEM")
    return block


def _key(
    wrong: _Wrong, kid: str, blocks: Sequence[re.Match[str]], permissions: Sequence[str]
) -> Key:
    if not blocks:
        raise wrong("has no version")
    if not PERMISSIONS.issuperset(permissions):
        raise wrong(f"'max_permissions' are of {', '.join(sorted(PERMISSIONS))}")
    versions = [_version(wrong, number, block) for number, block in enumerate(blocks, 1)]
    return Key(kid, tuple(versions), frozenset(permissions))


def _version(wrong: _Wrong, number: int, block: re.Match[str]) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE" in block[1]:
        raise wrong(f"version {number} is a private key: a server has the public one only")
    try:
        public = load_pem_public_key(_bytes(block[0]))
    except _unreadable():
        public = None
    if not isinstance(public, Ed25519PublicKey) or is_small(public.public_bytes_raw()):
        raise wrong(f"version {number} is no Ed25519 public key")
    return public


@dataclass(frozen=True)
class _Wrong:
    """Says of one key what is wrong with it."""

    setting: str
    kid: object

    def __call__(self, what: str) -> ConfigError:
        return ConfigError(f"{self.setting}: key {self.kid!r}: {what}", key=self.setting)


def _bytes(pem: object) -> bytes:
    if not isinstance(pem, str):
        raise TypeError
    return pem.encode()


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what is raised for a PEM that is no key."""
    from cryptography.exceptions import UnsupportedAlgorithm

    return ValueError, TypeError, UnsupportedAlgorithm


def _strings(value: object) -> Sequence[str] | None:
    """Return a list of strings; None for anything else, and for a string, which is none."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return None
    return value if all(isinstance(one, str) for one in value) else None
