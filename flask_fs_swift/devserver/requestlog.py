"""Remember what a development server was asked."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NO_ANSWER = "000 No Answer"
_KEPT = 10_000


@dataclass(frozen=True)
class LoggedRequest:
    """One request, as it came."""

    #: Seconds since the epoch.
    time: float
    method: str
    #: As it came, percent-encoded, without the query.
    path: str
    query: str
    #: None: it was not answered, or is not yet.
    status: int | None
    #: Tells connections apart.
    peer_port: int
    #: What Content-Length said, in bytes.
    length: int | None
    transfer_encoding: str | None
    #: The ETag that the client sent.
    etag: str | None
    #: Tells tokens apart; the token cannot be found from it.
    token_id: str | None


class RequestLog:
    """A WSGI application that logs the requests of another.

    ``_requests``  the newest 10,000, by number, oldest first. No green thread runs while it
                   changes.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._requests: deque[list[LoggedRequest]] = deque(maxlen=_KEPT)

    def requests(self) -> list[LoggedRequest]:
        """Return what was asked, oldest first."""
        return [entry for [entry] in self._requests]

    def forget(self) -> None:
        """Begin anew."""
        self._requests.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on, and log it."""
        slot = [logged(environ)]
        self._requests.append(slot)

        def start_logged_response(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            slot[0] = replace(slot[0], status=int(status[:3]) or None)
            return start_response(status, headers, exc_info)

        return self._app(environ, start_logged_response)


def raw_path(environ: WSGIEnvironment) -> str:
    """Return the path as it came."""
    path: str = environ.get("RAW_PATH_INFO") or environ["PATH_INFO"]
    return path


def token_id(token: str | None) -> str | None:
    """Return a name for a token that does not give it away."""
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else None


def logged(environ: WSGIEnvironment) -> LoggedRequest:
    """Return a request that has just come."""
    length = environ.get("CONTENT_LENGTH")
    return LoggedRequest(
        time=time.time(),
        method=environ["REQUEST_METHOD"],
        path=raw_path(environ),
        query=environ.get("QUERY_STRING", ""),
        status=None,
        peer_port=int(environ["REMOTE_PORT"]),
        length=int(length) if length and length.isdigit() else None,
        transfer_encoding=environ.get("HTTP_TRANSFER_ENCODING"),
        etag=environ.get("HTTP_ETAG"),
        token_id=token_id(environ.get("HTTP_X_AUTH_TOKEN")),
    )
