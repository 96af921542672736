"""Let strangers ask something of Swift without a token: temporary URLs, and forms.

Nothing is sent here. Swift finds the same signature (HMAC-SHA256) with the key that its
container keeps, or refuses (Swift's documentation of the TempURL and FormPost middleware).
Whoever has a URL can try keys on it for as long as they like, so a key has to be long.
"""

from __future__ import annotations

import hmac
import math
import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from .errors import OperationNotSupported

if TYPE_CHECKING:
    from collections.abc import Iterable

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
#: Seconds: a week. What is good for longer is forgotten, and cannot be taken back by itself.
LONGEST = 7 * 24 * 3600
#: Characters of a key; Swift keeps no more than the second in a header.
SHORTEST_KEY, LONGEST_KEY = 16, 256
#: Bytes that Swift reads of a form's field.
LONGEST_FIELD = 4096

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._~\[\]:-]+|\*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class Grant:
    """What a temporary URL allows. It is as good as a password until it expires."""

    method: str
    #: Unix time, in seconds.
    expires: int
    #: Whether it is for everything whose name begins as its own.
    is_prefix: bool = False
    #: The network that it may be used from; None: any.
    ip_range: str | None = None
    #: What the browser calls the file when it saves it; None: the file's own name.
    download_name: str | None = None
    #: Whether the browser is to show the file in place of saving it.
    inline: bool = False


def signed_url(storage_url: str, container: str, name: str, grant: Grant, key: str) -> str:
    """Return a URL that does what a grant allows to an object, or to all below a prefix.

    :raises OperationNotSupported: Swift signs no such name, or not below such an address.
    """
    path = _signed_path(storage_url, container, name)
    if not name.strip("/"):
        raise OperationNotSupported(f"Swift signs no name of slashes only: {name!r}", filename=name)
    scope = f"prefix:{path}" if grant.is_prefix else path
    lines = [grant.method, str(grant.expires), scope]
    query = {"temp_url_expires": str(grant.expires)}
    if grant.ip_range is not None:
        lines.insert(0, f"ip={grant.ip_range}")
        query["temp_url_ip_range"] = grant.ip_range
    if grant.is_prefix:
        query["temp_url_prefix"] = name
    if grant.download_name:
        query["filename"] = grant.download_name
    query = {"temp_url_sig": _signature(key, lines), **query}
    fields = [f"{field}={quote(value, safe='')}" for field, value in query.items()]
    if grant.inline:
        fields.append("inline")
    return f"{_address(storage_url, container, name)}?{'&'.join(fields)}"


def signed_form(
    storage_url: str,
    container: str,
    prefix: str,
    key: str,
    *,
    redirect: str | None,
    max_size: int,
    max_count: int,
    expires: int,
) -> tuple[str, dict[str, str]]:
    """Return where a browser's form is to be sent, and its fields, which come before its files.

    :param prefix: what the names of all that is uploaded begin with.
    :param max_size: bytes of each file.
    :param expires: Unix time, in seconds.
    :raises OperationNotSupported: Swift signs nothing below such an address.
    """
    fields = {
        "redirect": redirect or "",
        "max_file_size": str(max_size),
        "max_file_count": str(max_count),
        "expires": str(expires),
    }
    lines = [_signed_path(storage_url, container, prefix), *fields.values()]
    fields["signature"] = _signature(key, lines)
    if redirect is None:
        del fields["redirect"]
    return _address(storage_url, container, prefix), fields


def _signature(key: str, lines: list[str]) -> str:
    return hmac.new(key.encode(), "\n".join(lines).encode(), "sha256").hexdigest()


def _signed_path(storage_url: str, container: str, name: str) -> str:
    """Return a path as Swift sees it, unquoted; what a gateway has before it is not Swift's."""
    account = unquote(urlsplit(storage_url).path).rstrip("/")
    _, version, after = f"{account}/".partition("/v1/")
    if not version:
        raise OperationNotSupported("Swift signs paths of its version 1 only: /v1/…")
    return f"{version}{after}{container}/{name}"


def _address(storage_url: str, container: str, name: str) -> str:
    return f"{storage_url}/{quote(container, safe='')}/{quote(name)}"


# What callers may ask for.


def check_key(key: str) -> str:
    """Return a key unchanged.

    :raises ValueError: it is not 16 to 256 characters of printable ASCII without spaces
        around them. The key is not repeated.
    """
    good = isinstance(key, str) and _PRINTABLE.fullmatch(key)
    if not good or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(
            f"a key of temporary URLs has {SHORTEST_KEY} to {LONGEST_KEY} characters of "
            "printable ASCII, and no spaces around them"
        )
    return key


def check_lifetime(seconds: float) -> int:
    """Return for how many whole seconds something is good: no less than was asked for.

    :raises ValueError: it is not from 1 second to 7 days.
    """
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"expires_in must be 1 second to 7 days ({LONGEST}), not {seconds}")
    return math.ceil(seconds)


def check_method(method: str) -> str:
    """Return a method unchanged.

    :raises ValueError: Swift grants no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    return method


def check_ip_range(ip_range: str | None) -> str | None:
    """Return an address or a network as Swift compares it.

    :raises ValueError: it is neither, or is an address inside a network: 10.0.0.1/8.
    """
    return None if ip_range is None else str(ip_network(str(ip_range)))


def check_redirect(url: str | None) -> str | None:
    """Return where a browser is sent after an upload, unchanged.

    :raises ValueError: it is no http or https URL of printable ASCII, is too long, or ends
        with a hyphen, which Swift cuts off before it looks at the signature.
    """
    if url is None:
        return None
    is_good = _PRINTABLE.fullmatch(url) and " " not in url and not url.endswith("-")
    if not is_good or len(url) > LONGEST_FIELD or not url.startswith(("http://", "https://")):
        raise ValueError(
            f"redirect must be an http or https URL of at most {LONGEST_FIELD} characters of "
            f"ASCII that does not end with a hyphen, not {url!r}"
        )
    return url


def check_origins(origins: Iterable[str]) -> str:
    """Return the origins of web pages as Swift keeps them (RFC 6454, section 6.2).

    :raises ValueError: one is no origin: it has a path, or a slash at its end.
    """
    return _joined(origins, _ORIGIN, "an origin: https://shop.example, or *")


def check_header_names(names: Iterable[str]) -> str:
    """Return the names of headers as Swift keeps them.

    :raises ValueError: one is no name.
    """
    return _joined(names, _TOKEN, "the name of a header")


def _joined(values: Iterable[str], form: re.Pattern[str], what: str) -> str:
    given = [values] if isinstance(values, str) else list(values)
    for value in given:
        if not form.fullmatch(value):
            raise ValueError(f"{value!r} is not {what}")
    return " ".join(given)
