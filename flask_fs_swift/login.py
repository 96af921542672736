"""Log in to Swift: one token and one pool of connections for all who share the credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import swiftclient

from .auth import without_secrets
from .pool import Pool
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import LoginSettings, RetrySettings
    from .events import EventHook


def new_connection(settings: LoginSettings) -> swiftclient.Connection:
    """Return a connection that is not connected yet, and leaves retries to us."""
    credentials = settings.credentials
    return swiftclient.Connection(
        retries=0,
        cacert=credentials.cacert,
        insecure=credentials.insecure,
        timeout=settings.timeout,
    )


class Login:
    """One complete set of credentials at work in one process: one token, one pool.

    Shared by every storage that has the same. Lives as long as its application.

    :param patient: whether an authentication that fails for the moment may wait; asked
        in the thread that would.
    """

    def __init__(
        self,
        settings: LoginSettings,
        retrying: RetrySettings,
        *,
        patient: Callable[[], bool] = lambda: True,
        open_connection: Callable[[], swiftclient.Connection] | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        self.settings = settings
        self.tokens = Tokens(settings, retrying, patient=patient)
        self.pool = Pool(
            open_connection or (lambda: new_connection(settings)),
            size=settings.pool_size,
            timeout=settings.pool_timeout,
            name=settings.credentials.user or without_secrets(settings.credentials.authurl),
            on_event=on_event,
        )
