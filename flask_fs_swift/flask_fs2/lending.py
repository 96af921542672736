"""Lend a connection to code that makes swiftclient's calls itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from swiftclient import ClientException

from flask_fs_swift.concurrency import Deadline
from flask_fs_swift.login import attach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swiftclient import Connection

    from flask_fs_swift.auth import Token
    from flask_fs_swift.config import SwiftSettings
    from flask_fs_swift.login import Login
    from flask_fs_swift.tokens import Tokens


def leave_to_us(connection: Connection) -> Connection:
    """Keep a connection, whoever made it, from asking again and from authenticating."""
    connection.retries = 0
    connection.authurl = connection.session = None
    return connection


@contextmanager
def lend(login: Login, settings: SwiftSettings) -> Iterator[Connection]:
    """Lend a connection that is logged in, for any of swiftclient's calls.

    It retries and renews its token as swiftclient does, so that a block may last; the
    token is the login's. A block that raises costs the pool its connection, unless
    Swift answered with a 4xx, after which nothing is left on it.

    :raises PoolExhaustedError: none came free in time; Swift was sent nothing.
    :raises AuthFailed: there is no token. Swift was sent nothing.
    """
    deadline = Deadline(settings.retrying.deadline)
    token = login.tokens.token(deadline)
    checkout = login.pool.checkout(deadline.remaining())
    try:
        attach(checkout.connection, token, settings.login.timeout)
        with _on_its_own(checkout.connection, settings, _renewal(login.tokens, token, settings)):
            yield checkout.connection
    except BaseException as error:
        (checkout.checkin if _left_nothing(error) else checkout.discard)()
        raise
    checkout.checkin()


def _left_nothing(error: BaseException) -> bool:
    status = error.http_status if isinstance(error, ClientException) else None
    return status is not None and 400 <= status < 500 and status not in {401, 408, 499}


def _renewal(
    tokens: Tokens, token: Token, settings: SwiftSettings
) -> Callable[[], tuple[str, str]]:
    def renew() -> tuple[str, str]:
        nonlocal token
        tokens.refused(token)
        token = tokens.token(Deadline(settings.retrying.deadline))
        return token.url, token.value

    return renew


@contextmanager
def _on_its_own(
    connection: Connection, settings: SwiftSettings, renew: Callable[[], tuple[str, str]]
) -> Iterator[None]:
    """Let a connection retry and renew its token for the length of a block."""
    # swiftclient renews a token only where it sees credentials; these are not used.
    connection.authurl = connection.user = connection.key = "those of the login"
    connection.retries = settings.retrying.retries
    connection.get_auth = renew
    try:
        yield
    finally:
        leave_to_us(connection)
