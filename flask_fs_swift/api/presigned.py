"""Pre-signed URLs: let somebody without a token read one object for a while.

What is signed is the URL as it is sent, so a server has to look at the raw target: a path
that was decoded is another one. Four parameters belong to the signature::

    os_kid          whose it is
    os_timestamp    since when it is good (RFC 3339)
    os_duration     for how long: seconds
    os_sig          the signature

The other parameters are signed with them. Checks of a server, in the order of the protocol:

1. The method reads, or 403.
2. The parameters are there, once each, and readable, or 400.
3. The key is known, or 401.
4. The duration is no more than seven days, or 400.
5. It is in time, or 401.
6. A version of the key has signed it, or 401.
7. The key may read, or 403.

A scope is not asked for: the place is in what was signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from .keys import READ, is_small
from .refusals import Refusal
from .tokens import Authority, from_base64url, to_base64url

if TYPE_CHECKING:
    from .keys import Key, KeyDirectory, SigningKey

METHODS = ("GET", "HEAD")
#: Seconds: a week.
LONGEST = 7 * 24 * 3600
#: Seconds before its timestamp for which a URL is good already: clocks differ.
EARLY = 60

KID, TIMESTAMP, DURATION, SIGNATURE = PARAMETERS = (
    "os_kid",
    "os_timestamp",
    "os_duration",
    "os_sig",
)

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-5][0-9]))"
)
_DURATION = re.compile(r"[0-9]{1,18}")
#: Bytes of the point at the beginning of a signature.
_POINT = 32


def is_presigned(query: str) -> bool:
    """Tell whether a request has a signature in its URL: then its tokens do not count.

    :param query: as it was sent.
    """
    return any(name == SIGNATURE for name, _ in _pieces(query))


def presign(key: SigningKey, method: str, target: str, now: float, duration: int) -> str:
    """Return a target with its signature: append it to the origin of the server.

    :param target: the path and the query as they will be sent, in ASCII, without a fragment.
    :param now: Unix time, in seconds.
    :param duration: seconds.
    :raises ValueError: a signed URL only reads, for a second to seven days; or the target
        cannot be sent, or has a parameter of a signature.
    """
    if method.upper() not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if not 1 <= duration <= LONGEST:
        raise ValueError(f"duration must be 1 second to 7 days ({LONGEST}), not {duration}")
    if not target.isascii() or not target.isprintable() or set(target) & {" ", "#"}:
        raise ValueError(f"a target is of quoted ASCII and has no fragment: {target!r}")
    path, _, query = target.partition("?")
    if any(name.lower() in PARAMETERS for name, _ in _pieces(query)):
        raise ValueError(f"there is a signature already: {target!r}")
    since = datetime.fromtimestamp(int(now), timezone.utc)
    fields = [
        f"{KID}={quote(key.kid, safe='')}",
        f"{TIMESTAMP}={since:%Y-%m-%dT%H:%M:%SZ}",
        f"{DURATION}={duration}",
    ]
    query = "&".join([query, *fields] if query else fields)
    signature = key.private.sign(canonical(method, path, query).encode())
    return f"{path}?{query}&{SIGNATURE}={to_base64url(signature)}"


def verify_presigned(method: str, target: str, keys: KeyDirectory, now: float) -> Authority:
    """Return what a signed URL allows: to read what it names.

    :param target: as it was sent, with or without the origin of the server.
    :param now: Unix time, in seconds.
    :raises Refusal: 400, 401 or 403; see the module.
    """
    if method.upper() not in METHODS:
        raise Refusal(403, "a signed URL only reads")
    if not target.isascii() or not target.isprintable():
        raise Refusal(400, "a signed URL is of printable ASCII")
    origin = _ORIGIN.match(target)
    path, _, query = target[origin.end() if origin else 0 :].partition("?")
    signed = _signed(query)
    key = keys.get(signed.kid)
    if key is None:
        raise Refusal(401, "the URL's key is not known")
    if signed.duration > LONGEST:
        raise Refusal(400, f"a signed URL is good for 7 days at most: {LONGEST} seconds")
    if not signed.since - EARLY <= now <= signed.since + signed.duration:
        raise Refusal(401, "the signed URL has expired, or is not good yet")
    if not _has_signed(key, signed.signature, canonical(method, path, query).encode()):
        raise Refusal(401, "the URL is not signed by its key")
    if READ not in key.max_permissions:
        raise Refusal(403, "the URL's key may not read")
    return Authority(frozenset({READ}), usecase=None)


def canonical(method: str, path: str, query: str) -> str:
    """Return what is signed of a request.

    :param path: as it is sent, and ``query`` too.
    """
    pieces = [name.lower() + rest for name, rest in _pieces(query) if name.lower() != SIGNATURE]
    verb = method.upper()
    return "\n".join(["GET" if verb == "HEAD" else verb, path, "&".join(sorted(pieces))])


@dataclass(frozen=True)
class _Signed:
    """What a URL says of its signature."""

    kid: str
    #: Unix time, in seconds.
    since: float
    #: Seconds.
    duration: int
    signature: str


def _signed(query: str) -> _Signed:
    """Read the parameters of a signature.

    Their names are in lower case, though any case has the same signature: there is one way
    to write each of them.
    """
    given = [(name, rest) for name, rest in _pieces(query) if name.lower() in PARAMETERS]
    values = {name: rest.removeprefix("=") for name, rest in given}
    if len(given) != len(PARAMETERS) or values.keys() != set(PARAMETERS):
        raise Refusal(400, f"a signed URL has once each: {', '.join(PARAMETERS)}")
    return _Signed(
        _unquoted(values[KID]),
        _timestamp(_unquoted(values[TIMESTAMP])),
        _duration(_unquoted(values[DURATION])),
        values[SIGNATURE],
    )


def _pieces(query: str) -> list[tuple[str, str]]:
    """Split a query into names, and what is after each: an equals sign and a value, or nothing."""
    pieces = [piece.partition("=") for piece in query.split("&") if piece]
    return [(name, equals + value) for name, equals, value in pieces]


def _unquoted(value: str) -> str:
    """Decode a value. A plus is one: timestamps have it, and clients write a space as %20."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Refusal(400, "a parameter of the signed URL is no UTF-8") from None


def _timestamp(text: str) -> float:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise Refusal(400, f"{TIMESTAMP} is no time of RFC 3339")
    *date, fraction, sign, hours, minutes = match.groups()
    try:
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
        year, month, day, hour, minute, second = map(int, date)
        since = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        raise Refusal(400, f"{TIMESTAMP} is no time of the calendar") from None
    return since.timestamp() + float(fraction or 0)


def _duration(text: str) -> int:
    if not _DURATION.fullmatch(text):
        raise Refusal(400, f"{DURATION} is no number of seconds")
    return int(text)


def _has_signed(key: Key, signature: str, text: bytes) -> bool:
    """Tell whether any version of a key has signed a text; strictly, see ``is_small``."""
    from cryptography.exceptions import InvalidSignature

    try:
        content = from_base64url(signature)
    except ValueError:
        return False
    if is_small(content[:_POINT]):
        return False
    for version in key.versions:
        try:
            version.verify(content, text)
        except InvalidSignature:
            continue
        return True
    return False
