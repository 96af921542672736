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
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from .auth import Busy, Token, authenticate, without_secrets
from .concurrency import Deadline, Latch, forget_after_fork, new_lock
from .errors import AuthFailed
from .retry import Attempts
from .tokencache import SharedTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import LoginSettings, RetrySettings

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Exception)

#: Seconds before a token's end at which it is renewed; a tenth of its life, if that is less.
AHEAD = 300.0
#: Seconds to leave Keystone alone after it failed to renew a token that is still good.
RESPITE = 10.0


class _Flight(Latch):
    """One authentication, open once it has ended."""

    #: Why there is no token; set before it opens. None also where the leader was killed.
    failure: AuthFailed | Busy | None = None


class Tokens:
    """The tokens of one login, one at a time.

    Lives as long as its application. A forked child keeps the token, and nothing else.

    :param patient: asked at each authentication that failed in a way that may pass:
        whether this caller can wait for another. A web request cannot.
    """

    def __init__(
        self,
        settings: LoginSettings,
        retrying: RetrySettings,
        *,
        patient: Callable[[], bool] = lambda: True,
    ) -> None:
        self._credentials = settings.credentials
        self._timeout = settings.timeout
        self._cache = SharedTokens(settings)
        self._retrying = retrying
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
        newest = self._token
        if newest is not None and not newest.is_due(now := time.time()) and newest.is_good(now):
            return newest
        attempts = Attempts(self._retrying, deadline)
        while True:
            token, flight, leads = self._decide()
            if token is not None and not leads:
                return token
            try:
                if leads:
                    return self._lead(flight, deadline, fallback=token)
                self._wait_for(flight, deadline)
            except Busy as busy:
                if not self._patient() or not attempts.again(busy.retry_after):
                    raise _own(busy.error) from busy.__cause__

    def _decide(self) -> tuple[Token | None, _Flight, bool]:
        """Return the token that is still good, the flight, and whether the caller leads it."""
        now = time.time()
        with self._lock:
            token = self._token if self._token and self._token.is_good(now) else None
            leads = (token is None or token.is_due(now)) and self._flight is None
            if leads:
                self._flight = _Flight()
            return token, self._flight or _Flight(), leads

    def refused(self, token: Token) -> None:
        """Take note that Swift refused a token: the next caller renews it."""
        with self._lock:
            is_ours = self._token == token
            if is_ours:
                self._token = None
        if is_ours:
            self._cache.forget(token)

    def unreachable(self, token: Token) -> None:
        """Take note that there is no Swift where a token says.

        An embedded one may have been killed: who logs in to it starts it again.
        """
        if self._credentials.embedded_in is not None:
            self.refused(token)

    def _wait_for(self, flight: _Flight, deadline: Deadline) -> None:
        """Return when a flight has ended.

        :raises Busy: it failed in a way that may pass.
        :raises AuthFailed: the credentials were refused, or the time is over.
        """
        remaining = deadline.remaining()
        if not (remaining and flight.wait(remaining)):
            raise AuthFailed(f"{self._where()} did not answer in time; Swift was sent nothing")
        if flight.failure is not None:
            raise _own(flight.failure)

    def _lead(self, flight: _Flight, deadline: Deadline, fallback: Token | None) -> Token:
        """Obtain a token for everybody who waits for the flight."""
        token = None
        try:
            token = self._obtain(deadline)
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

    def _obtain(self, deadline: Deadline) -> Token:
        shared = self._cache.get()
        if shared is not None and not shared.is_due(time.time()):
            return shared
        left = max(deadline.remaining(), 0.001)
        token = _ahead(authenticate(self._credentials, min(self._timeout, left)))
        self._cache.put(token)
        return token

    def _where(self) -> str:
        return without_secrets(self._credentials.authurl)


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
