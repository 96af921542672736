"""Refuse the tokens of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .requestlog import token_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .cache import Cache


class Tokens:
    """A WSGI application that refuses revoked tokens before another sees them.

    ``_seen``, ``_revoked``  the ids of tokens that were sent here. They are needed for a
    Keystone's tokens alone: it would still vouch for them. tempauth knows none but those in
    the cache, and would issue the same token again if it stayed there.
    """

    def __init__(self, app: WSGIApplication, cache: Cache) -> None:
        self._app = app
        self._cache = cache
        self._seen: set[str | None] = set()
        self._revoked: set[str | None] = set()

    def revoke(self) -> None:
        """Refuse every token that has been issued or seen until now."""
        self._cache.clear()
        self._revoked |= self._seen
        self._seen.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Refuse a request that bears a revoked token, or pass it on."""
        token = token_id(environ.get("HTTP_X_AUTH_TOKEN"))
        if token in self._revoked:
            headers = [("Www-Authenticate", 'Swift realm="unknown"'), ("Content-Length", "0")]
            start_response("401 Unauthorized", headers)
            return [b""]
        if token:
            self._seen.add(token)
        return self._app(environ, start_response)
