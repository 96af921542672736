"""What Swift's answers say: objects from headers and listings, errors from statuses."""

from __future__ import annotations

import calendar
import re
import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from swiftclient import ClientException

from .errors import Forbidden, QuotaExceeded, SwiftError
from .etag import is_manifest, unquoted
from .metadata import decode_metadata
from .objects import ObjectInfo
from .ranges import Span
from .transport import NotConnected, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swiftclient import Connection

#: What a network that fails raises, through requests, urllib3 or the socket.
NETWORK_ERRORS = (OSError, urllib3.exceptions.HTTPError)

_MONTHS = dict(zip(calendar.month_abbr, range(13), strict=True))

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")

_BY_STATUS: dict[int | None, type[SwiftError]] = {403: Forbidden, 413: QuotaExceeded}


def span(headers: Mapping[str, str]) -> Span | None:
    """Say which bytes an answer has; None where it does not say, or cannot be believed."""
    length = headers.get("content-length", "")
    said = headers.get("content-range")
    if said is None:
        return Span(0, int(length), int(length)) if length.isdecimal() else None
    found = _CONTENT_RANGE.fullmatch(said)
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    believed = first <= last < size and length in {"", str(last - first + 1)}
    return Span(first, last + 1, size) if believed else None


def size_without(error: SwiftError) -> int | None:
    """Return the size of an object that has none of the bytes that were asked for."""
    size = headers_of(error).get("content-range", "").removeprefix("bytes */")
    return int(size) if size.isdecimal() else None


def headers_of(error: SwiftError) -> dict[str, str]:
    """Return the headers of the answer that an error was made of, by lower-case name."""
    answer = error.__cause__
    headers = answer.http_response_headers if isinstance(answer, ClientException) else None
    return {name.lower(): value for name, value in (headers or {}).items()}


def last_headers(connection: Connection) -> dict[str, str]:
    """Return the headers of a connection's last answer, by lower-case name.

    swiftclient's own functions percent-decode them, which corrupts a
    ``Content-Disposition`` that is sent back.
    """
    response = connection.http_conn[1].resp if connection.http_conn else None
    if response is None:
        return {}
    if isinstance(response, Response):
        return response.fields
    return {name.lower(): value for name, value in response.getheaders()}


def object_info(name: str, headers: Mapping[str, str]) -> ObjectInfo:
    """Read an object's description from the headers of a HEAD, GET or PUT of it."""
    delete_at = headers.get("x-delete-at", "")
    answered = span(headers)
    return ObjectInfo(
        name=name,
        size=answered.size if answered is not None else None,
        etag=unquoted(headers.get("etag")),
        content_type=headers.get("content-type", "application/octet-stream"),
        modified=date(headers.get("last-modified")),
        metadata=decode_metadata(headers),
        expires=moment(int(delete_at)) if delete_at.isdigit() else None,
        cache_control=headers.get("cache-control"),
        content_disposition=headers.get("content-disposition"),
        content_encoding=headers.get("content-encoding"),
        is_manifest=is_manifest(headers),
    )


@lru_cache(maxsize=64)  # What is written within a second has one date.
def date(text: str | None) -> datetime | None:
    """Read a ``Last-Modified``; None where there is none that can be read."""
    if not text:
        return None
    try:
        if len(text) != 29 or not text.endswith(" GMT"):
            return parsedate_to_datetime(text)
        # The one form that servers may send (RFC 9110, section 5.6.7). The library's parser,
        # for all the others, takes as long as a small request.
        day, month, year = int(text[5:7]), _MONTHS[text[8:11]], int(text[12:16])
        hour, minute, second = int(text[17:19]), int(text[20:22]), int(text[23:25])
        return datetime(year, month, day, hour, minute, second, 0, timezone.utc)
    except (ValueError, KeyError):
        return None  # Some program's own idea of a date.


def moment(seconds: int) -> datetime | None:
    """Return a moment of Unix time, aware, in UTC; None beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def listed_names(entries: list[dict[str, Any]]) -> list[str]:
    """Read the names in a JSON listing, folders' where names are rolled up."""
    try:
        return [entry["name"] for entry in entries]
    except KeyError:
        return [entry["subdir" if "subdir" in entry else "name"] for entry in entries]


def listed_info(entry: Mapping[str, Any]) -> ObjectInfo:
    """Read one entry of a JSON listing (Swift API reference, "Show container details")."""
    if "subdir" in entry:
        return ObjectInfo(entry["subdir"], 0, None, "application/directory", None, is_prefix=True)
    # The "hash" of a manifest is that of its list of segments, not its ETag.
    manifest_etag = entry.get("slo_etag")
    return ObjectInfo(
        name=entry["name"],
        size=entry["bytes"],
        etag=unquoted(manifest_etag or entry["hash"]),
        content_type=entry["content_type"],
        modified=datetime.fromisoformat(entry["last_modified"] + "+00:00"),
        is_manifest=manifest_etag is not None,
    )


def swift_error(
    what: str, filename: str | None, answer: ClientException, *, maybe_applied: bool = False
) -> SwiftError:
    """Turn an answer that is no success into our error.

    :param what: was asked, with its object or container.
    """
    kind = _BY_STATUS.get(answer.http_status, SwiftError)
    error = kind(
        f"{what}: Swift answered {answer.http_status} {answer.http_reason}",
        filename=filename,
        maybe_applied=maybe_applied,
        http_status=answer.http_status,
        transaction_id=answer.transaction_id,
    )
    error.__cause__ = answer
    return error


def retry_after(answer: ClientException) -> str | None:
    """Return the ``Retry-After`` header of an answer."""
    headers = answer.http_response_headers
    return headers.get("Retry-After") if headers is not None else None


def never_sent(failure: BaseException) -> bool:
    """Tell whether a request failed before any of it was sent: there was no connection."""
    kinds = (
        NotConnected,
        requests.ConnectTimeout,
        urllib3.exceptions.NewConnectionError,
        ConnectionRefusedError,
    )
    return any(isinstance(cause, kinds) for cause in causes(failure))


def is_distrust(failure: BaseException, *, contexts: bool = False) -> bool:
    """Tell whether the server's certificate was refused: another attempt changes nothing."""
    found = causes(failure, contexts=contexts)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in found)


def causes(failure: BaseException, *, contexts: bool = False) -> list[BaseException]:
    """Return a failure and all that it is made of: requests keeps them in its arguments.

    :param contexts: also what was being handled when it was raised. keystoneauth names its
        causes in no other way; but it may be an exception that our caller is handling.
    """
    found: list[BaseException] = []
    pending: list[object] = [failure]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
            pending += [cause.__context__] if contexts else []
    return found
