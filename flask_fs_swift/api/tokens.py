"""Tokens: who sends a request, and what they may do with it.

A token is a JWT (RFC 7519) that its sender signs with Ed25519. Its checks are in the order
of the protocol, which gives each its status:

1. There is a token, or 400.
2. Its header is readable, or 401.
3. It names a key, or 400, which is known, or 401.
4. Its algorithm is EdDSA, or 401: what a token says of itself chooses nothing.
5. A version of the key has signed it, or 401.
6. Its claims are whole and in time, or 401.

A refusal repeats nothing of what was sent.

Base64 has one spelling here. Decoders that let the last bits of a segment be anything
would take sixteen signatures for one.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from .keys import PERMISSIONS
from .refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .keys import Key, KeyDirectory, SigningKey

ALGORITHM = "EdDSA"
AUDIENCE = "objectstore"
ISSUERS = ("sentry", "relay")
#: The parameter of a URL that has a token in it.
PARAMETER = "os_auth"

#: Seconds for which an expired token is still good: clocks differ.
LEEWAY = 60
#: Seconds; a client makes a token for every request.
LIFETIME = 60
#: Characters: all that servers take for a header, about.
LONGEST = 8192

_USECASE = "os:usecase"
_ANY = "*"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_BEARER = "bearer "


@dataclass(frozen=True)
class Authority:
    """What the sender of one request may do, and where."""

    permissions: frozenset[str]
    #: None where the place itself was signed: the sender has no other.
    usecase: str | None
    #: Names and values; a value of ``*`` is every value.
    scopes: frozenset[tuple[str, str]] = frozenset()

    def allows(self, permission: str, usecase: str, scopes: Sequence[tuple[str, str]]) -> bool:
        """Tell whether something may be done in a place.

        Every scope of the place has to be one of the authority's, in any order. What the
        authority has beyond them does not count: who may use a project may use its
        organisation.
        """
        if permission not in self.permissions:
            return False
        return self.usecase is None or (usecase == self.usecase and self._covers(scopes))

    def _covers(self, scopes: Sequence[tuple[str, str]]) -> bool:
        return all(
            (name, value) in self.scopes or (name, _ANY) in self.scopes for name, value in scopes
        )


def find_token(x_os_auth: str | None, authorization: str | None, query: str) -> str:
    """Return the token of a request.

    A header comes before the URL. ``x-os-auth`` hides ``Authorization``, which a proxy may
    need for itself, even when there is no token in it.

    :param x_os_auth: the header's value; None: it was not sent.
    :param query: as it was sent.
    :raises Refusal: 400, there is none, or the URL has two.
    """
    header = authorization if x_os_auth is None else x_os_auth
    if header is not None and header[: len(_BEARER)].lower() == _BEARER:
        return header[len(_BEARER) :]
    pieces = [piece.partition("=") for piece in query.split("&")]
    found = [value for name, _, value in pieces if name == PARAMETER]
    if not found:
        raise Refusal(400, "there is no token")
    if len(found) > 1:
        raise Refusal(400, f"{PARAMETER} is given twice")
    return unquote(found[0])


def verify_token(token: str, keys: KeyDirectory, now: float) -> Authority:
    """Return what a token allows: what it claims, as far as its key may.

    :param now: Unix time, in seconds.
    :raises Refusal: 400 or 401; see the module.
    """
    header = _header(token)
    kid = header.get("kid")
    if kid is None:
        raise Refusal(400, "the token names no key")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise Refusal(401, "the token's key is not known")
    if header.get("alg") != ALGORITHM:
        raise Refusal(401, f"a token is signed with {ALGORITHM} only")
    claims = _signed_claims(token, key)
    _check_times_and_names(claims, now)
    usecase, scopes = _place(claims)
    return Authority(_permissions(claims) & key.max_permissions, usecase, scopes)


def new_token(
    key: SigningKey,
    usecase: str,
    scopes: Sequence[tuple[str, str]],
    permissions: Iterable[str],
    now: float,
    *,
    lifetime: int = LIFETIME,
) -> str:
    """Return a token for one place.

    :param now: Unix time, in seconds.
    :param lifetime: seconds; a server adds its leeway.
    :raises ValueError: there is no such permission, or a scope is there twice, which no
        token can say.
    """
    import jwt

    wanted = set(permissions)
    if not wanted <= PERMISSIONS:
        raise ValueError(f"permissions are of {', '.join(sorted(PERMISSIONS))}, not {wanted}")
    place = [(_USECASE, usecase), *scopes]
    if len(dict(place)) != len(place):
        raise ValueError("a token can name a scope only once")
    claims: dict[str, object] = {
        "res": dict(place),
        "permissions": sorted(wanted),
        "exp": int(now) + lifetime,
    }
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid})


def from_base64url(text: str) -> bytes:
    """Return what base64url without padding means, if there is no other way to write it.

    :raises ValueError: there is, or it means nothing.
    """
    if not _BASE64URL.fullmatch(text):
        raise ValueError("a character is not of base64url")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(content) != text:
        raise ValueError("the last bits mean nothing, and are not zero")
    return content


def to_base64url(content: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


# What a token says.


def _header(token: str) -> dict[str, object]:
    if len(token) > LONGEST:
        raise Refusal(401, "the token is too long")
    segments = token.split(".")
    if len(segments) != 3:
        raise Refusal(401, "the token is malformed")
    try:
        header = _object(from_base64url(segments[0]))
    except ValueError:
        raise Refusal(401, "the token's header is malformed") from None
    if "crit" in header:
        # Its sender asks for a refusal by all who do not know an extension (RFC 7515): by us.
        raise Refusal(401, "the token needs an extension that is not known")
    return header


def _signed_claims(token: str, key: Key) -> dict[str, object]:
    import jwt

    try:
        for segment in token.split("."):
            from_base64url(segment)
    except ValueError:
        raise Refusal(401, "the token is malformed") from None
    for version in key.versions:
        try:
            payload: bytes = jwt.PyJWS().decode(token, version, [ALGORITHM])
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, RecursionError):
            raise Refusal(401, "the token is malformed") from None
        return _claims(payload)
    raise Refusal(401, "the token is not signed by its key")


def _claims(payload: bytes) -> dict[str, object]:
    try:
        return _object(payload)
    except ValueError:
        raise Refusal(401, "the token's claims are malformed") from None


def _object(content: bytes) -> dict[str, object]:
    """Return a JSON object.

    :raises ValueError: it is none, or one too deep to be read.
    """
    try:
        value: object = json.loads(content.decode(), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("too many levels") from None
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - one error for all that is malformed
    return value


def _no_number(name: str) -> None:
    """Refuse what JSON does not have, and Python's reads: NaN would be in time always."""
    raise ValueError(name)


def _check_times_and_names(claims: dict[str, object], now: float) -> None:
    expires = claims.get("exp")
    if not isinstance(expires, (int, float)) or isinstance(expires, bool):
        raise Refusal(401, "the token does not say when it expires")
    if expires + LEEWAY <= now:
        raise Refusal(401, "the token has expired")
    if "aud" in claims and AUDIENCE not in _audience(claims["aud"]):
        raise Refusal(401, "the token is for another audience")
    if "iss" in claims and claims["iss"] not in ISSUERS:
        raise Refusal(401, "the token's issuer is not known")


def _audience(value: object) -> list[str]:
    """Return whom a token is for; nobody, where it is said in no way that is allowed."""
    if isinstance(value, str):
        return [value]
    return _strings(value) or []


def _place(claims: dict[str, object]) -> tuple[str, frozenset[tuple[str, str]]]:
    place = claims.get("res")
    if not isinstance(place, dict) or _strings(list(place.values())) is None:
        raise Refusal(401, "the token's place is malformed")
    if _USECASE not in place:
        raise Refusal(401, "the token names no usecase")
    scopes = cast("dict[str, str]", dict(place))
    return scopes.pop(_USECASE), frozenset(scopes.items())


def _permissions(claims: dict[str, object]) -> frozenset[str]:
    named = _strings(claims.get("permissions"))
    if named is None or not PERMISSIONS.issuperset(named):
        raise Refusal(401, "the token's permissions are malformed, or one is not known")
    return frozenset(named)


def _strings(value: object) -> list[str] | None:
    """Return a list of strings; None for anything else."""
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return cast("list[str]", value) if good else None
