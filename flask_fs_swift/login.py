"""Log in to Swift: one token and one pool of connections for all who share the credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .auth import without_secrets
from .connection import SwiftConnection
from .pool import Pool
from .tokens import Tokens
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftclient import Connection

    from .auth import Token
    from .concurrency import Deadline
    from .config import LoginSettings, RetrySettings
    from .events import EventHook


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
        open_connection: Callable[[], Connection] | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        self.settings = settings
        self.tokens = Tokens(settings, retrying, patient=patient)
        self.pool = Pool(
            open_connection or (lambda: SwiftConnection(settings)),
            size=settings.pool_size,
            timeout=settings.pool_timeout,
            share=settings.bulk_share,
            ceiling=settings.bulk_ceiling,
            name=settings.credentials.user or without_secrets(settings.credentials.authurl),
            on_event=on_event,
        )


def attach(
    connection: Connection,
    token: Token,
    timeout: float,
    deadline: Deadline | None = None,
) -> None:
    """Point a connection at our token, and say how long it may wait.

    :param timeout: seconds per socket operation.
    :param deadline: of the call; our transport ends answers that drip then.
    """
    if connection.url != token.url:
        connection.close()
    connection.url, connection.token = token.url, token.value
    if connection.http_conn is None:
        connection.http_conn = connection.http_connection()
    http = connection.http_conn[1]
    if isinstance(http, Transport):
        http.limit(timeout, deadline)
    else:
        # A request that followed a redirect would take the token along.
        http.requests_args.update(timeout=timeout, allow_redirects=False)
