"""Keys of the tests, and tokens that no client of ours would make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask_fs_swift.api.keys import (
    PERMISSIONS,
    KeyDirectory,
    SigningKey,
    new_key_pair,
    read_keys,
    read_signing_key,
)
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.tokens import to_base64url

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
KID = "key one"
PAIR = new_key_pair()
OTHER_PAIR = new_key_pair()
KEY = read_signing_key("KEY", KID, PAIR.private)
#: By another key, and of the same name.
IMPOSTOR = read_signing_key("KEY", KID, OTHER_PAIR.private)


def directory(*versions: str, permissions: frozenset[str] = PERMISSIONS) -> KeyDirectory:
    """Return what a server trusts: one key, and another of which no test signs anything."""
    entry = {"versions": versions or (PAIR.public,), "max_permissions": sorted(permissions)}
    return read_keys("KEYS", {KID: entry, "other": {"versions": [new_key_pair().public]}})


KEYS = directory()

CLAIMS: dict[str, object] = {
    "res": {"os:usecase": "photos", "org": "42", "project": "1337"},
    "permissions": ["object.read", "object.write"],
    "exp": int(NOW) + 60,
}
HEADER: dict[str, object] = {"alg": "EdDSA", "kid": KID, "typ": "JWT"}


def segment(value: object) -> str:
    return to_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def token(claims: object = CLAIMS, header: object = HEADER, key: SigningKey = KEY) -> str:
    """Return a token that says anything, and is signed."""
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(key.private.sign(text.encode()))}"


def claiming(**claims: object) -> str:
    """Return a token in which some claims are others; those that are ``...`` are left out."""
    changed = {**CLAIMS, **claims}
    return token({name: value for name, value in changed.items() if value is not ...})


def refusal(call: Callable[[], object]) -> int:
    """Return the status with which something is refused; 0 where it is not."""
    try:
        call()
    except Refusal as refused:
        return refused.status
    return 0
