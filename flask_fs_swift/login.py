"""One token per login and process: obtain it once, share it, renew it.

However many connections ask, one of them authenticates and the others wait for what
comes of it (*single flight*): its token, or its failure. After a failure that may pass,
those who can wait pause, each at their own pace, and then one of them leads again. A
token is renewed ahead of its end by one caller while the others still use it, and on a
401 by the first who meets it. Processes can share a token through a cache; a cache that
fails costs an authentication, never an operation.

State, guarded by ``_lock``: ``_token``, the newest one; ``_flight``, open while somebody
authenticates. Nobody asks anybody anything while the lock is held.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypeVar

from .auth import Busy, Token, authenticate, public
from .concurrency import Deadline, Latch, forget_after_fork, new_lock
from .errors import AuthFailed
from .retry import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import LoginSettings, Persistence

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Exception)

#: Seconds before a token's end at which it is renewed, unless it lives shorter than that.
AHEAD = 300.0
#: Seconds to leave Keystone alone after it failed to renew a token that is still good.
RESPITE = 10.0


class _Flight(Latch):
    """One authentication, open once it has ended."""

    #: Why there is no token; set before it opens. None also where the leader was killed.
    failure: AuthFailed | Busy | None = None


class Login:
    """The token of one set of credentials.

    Lives as long as its application. A forked child keeps the token, and nothing else.

    :param patient: asked at each authentication that failed in a way that may pass:
        whether this caller can wait for another. A web request cannot.
    """

    def __init__(
        self,
        settings: LoginSettings,
        persistence: Persistence,
        *,
        patient: Callable[[], bool] = lambda: True,
    ) -> None:
        self._credentials = settings.credentials
        self._timeout = settings.timeout
        self._cache = _SharedTokens(settings)
        self._persistence = persistence
        self._patient = patient
        self._token: Token | None = None
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        """Forget who was authenticating: it was the parent."""
        self._lock = new_lock()
        self._flight: _Flight | None = None

    def token(self, deadline: Deadline) -> Token:
        """Return a token that is good as far as we know.

        :raises AuthFailed: the credentials were refused, or the service could not be
            asked. Swift was sent nothing.
        """
        attempts = None
        while True:
            now = time.time()
            with self._lock:
                token = self._token
                good = token is not None and token.is_good(now)
                flight, leads = self._flight, False
                if token is None or not good or token.is_due(now):
                    leads = flight is None
                    flight = self._flight = flight or _Flight()
            if token is not None and good and not leads:
                return token
            attempts = attempts or Attempts(self._persistence, deadline)
            try:
                if leads and flight is not None:
                    return self._lead(flight, fallback=token if good else None)
                self._wait_for(flight, deadline)
            except Busy as busy:
                if not self._patient() or not attempts.again(busy.retry_after):
                    raise _own(busy.error) from busy.__cause__

    def refused(self, token: Token) -> None:
        """Take note that Swift refused a token: the next caller renews it."""
        with self._lock:
            is_ours = self._token == token
            if is_ours:
                self._token = None
        if is_ours:
            self._cache.forget(token)

    def _wait_for(self, flight: _Flight | None, deadline: Deadline) -> None:
        """Return when a flight has ended.

        :raises Busy: it failed in a way that may pass.
        :raises AuthFailed: the credentials were refused, or the time is over.
        """
        if flight is None:
            return
        remaining = deadline.remaining()
        if not (remaining and flight.wait(remaining)):
            raise AuthFailed(f"{self._where()} did not answer in time; Swift was sent nothing")
        if flight.failure is not None:
            raise _own(flight.failure)

    def _lead(self, flight: _Flight, fallback: Token | None) -> Token:
        """Obtain a token for everybody who waits for the flight."""
        token = None
        try:
            token = self._obtain()
        except (AuthFailed, Busy) as error:
            if fallback is None:
                flight.failure = _own(error)
                raise
            logger.warning("the token could not be renewed ahead of its end: %s", error)
            token = replace(fallback, renew_from=time.time() + RESPITE)
        finally:
            with self._lock:
                self._token = token or self._token
                if self._flight is flight:
                    self._flight = None
            flight.open()
        return token

    def _obtain(self) -> Token:
        shared = self._cache.get()
        if shared is not None and not shared.is_due(time.time()):
            return shared
        token = _ahead(authenticate(self._credentials, self._timeout))
        self._cache.put(token)
        return token

    def _where(self) -> str:
        return public(self._credentials.authurl)


def _own(error: E) -> E:
    """Return an equal exception: each thread raises its own, because raising marks it."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own


def _ahead(token: Token) -> Token:
    """Say from when a new token should be renewed."""
    if token.expires is None:
        return token
    life = token.expires - time.time()
    return replace(token, renew_from=token.expires - min(AHEAD, life / 10))


class _SharedTokens:
    """The cache that processes share a token through; a cache that fails is a warning."""

    def __init__(self, settings: LoginSettings) -> None:
        self._cache = settings.token_cache
        # Equal credentials find each other's token; other ones, even a changed
        # password, never do.
        identity = json.dumps(asdict(settings.credentials), default=str, sort_keys=True)
        self._key = "flask-fs-swift:token:" + hashlib.sha256(identity.encode()).hexdigest()

    def get(self) -> Token | None:
        """Return the token that some process put there; None if there is none."""
        stored = self._call("get", self._key)
        if not isinstance(stored, str):
            return None
        try:
            return Token(**json.loads(stored))
        except (ValueError, TypeError):
            logger.warning("the token cache holds something that is no token; ignored")
            return None

    def put(self, token: Token) -> None:
        """Share a token until it ends."""
        life = 3600 if token.expires is None else int(token.expires - time.time())
        if life > 0:
            self._call("set", self._key, json.dumps(asdict(token)), timeout=life)

    def forget(self, token: Token) -> None:
        """Take a refused token out, unless another process has put a newer one there."""
        shared = self.get()
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
