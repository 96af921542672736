"""Share a token between processes, through a cache that they all reach.

A cache that fails, or holds something else, is a warning in the log: it costs an
authentication, never an operation.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from .auth import Token

if TYPE_CHECKING:
    from .config import LoginSettings

logger = logging.getLogger(__name__)


class SharedTokens:
    """The cache that processes share a token through; a cache that fails is a warning."""

    def __init__(self, settings: LoginSettings) -> None:
        self._cache = settings.token_cache
        # Equal credentials find each other's token; other ones, even a changed
        # password, never do.
        identity = json.dumps(asdict(settings.credentials), default=str, sort_keys=True)
        self._key = "flask-fs-swift:token:" + hashlib.sha256(identity.encode()).hexdigest()

        # A token that was refused, in case it cannot be taken out of the cache. Anybody
        # writes it; who reads an old value asks with a token that is refused again.
        self._refused: str | None = None

    def get(self) -> Token | None:
        """Return the token that some process put there; None if there is none."""
        stored = self._call("get", self._key)
        if stored is None:
            return None
        token = _read(stored)
        if token is None:
            logger.warning("the token cache holds something that is no token; ignored")
        return None if token is None or token.value == self._refused else token

    def put(self, token: Token) -> None:
        """Share a token until it ends."""
        life = 3600 if token.expires is None else int(token.expires - time.time())
        if life > 0:
            self._call("set", self._key, json.dumps(asdict(token)), timeout=life)

    def forget(self, token: Token) -> None:
        """Take a refused token out, unless another process has put a newer one there."""
        shared = self.get()
        self._refused = token.value
        if shared is not None and shared.value == token.value:
            self._call("delete", self._key)

    def _call(self, verb: str, *args: object, **options: object) -> object:
        if self._cache is None:
            return None
        try:
            return getattr(self._cache, verb)(*args, **options)
        except Exception as error:  # noqa: BLE001 - whatever a cache may raise
            logger.warning("the token cache failed to %s: %s", verb, type(error).__name__)
            return None


def _read(stored: object) -> Token | None:
    try:
        fields = json.loads(stored) if isinstance(stored, str) else None
        token = Token(**fields) if isinstance(fields, dict) else None
    except (ValueError, TypeError):
        return None
    return token if token is not None and _is_token(token) else None


def _is_token(token: Token) -> bool:
    times = (token.expires, token.renew_from)
    texts = (token.url, token.value)
    return all(isinstance(text, str) for text in texts) and all(
        time is None or isinstance(time, (int, float)) for time in times
    )
