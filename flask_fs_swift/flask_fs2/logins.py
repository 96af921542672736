"""One login, so one token and one pool, for all storages that can share it.

flask-fs2 makes a backend for each storage and knows of nothing that they have in common.
They share a login where its settings are equal, and their class, which
may make its own connections.

State: ``_logins``, guarded by ``_lock``. It keeps none of them alive.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from flask_fs_swift.concurrency import new_lock
from flask_fs_swift.login import Login
from flask_fs_swift.storage import may_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftclient import Connection

    from flask_fs_swift.config import LoginSettings, SwiftSettings

# A cache may be of a kind that has no hash; its identity is what counts.
_Key: TypeAlias = "tuple[type, LoginSettings, int]"

_lock = new_lock()
_logins: WeakValueDictionary[_Key, Login] = WeakValueDictionary()


def shared_login(
    kind: type, settings: SwiftSettings, open_connection: Callable[[], Connection]
) -> Login:
    """Return the login of all that have this class and these login settings.

    :param open_connection: for the login, if this one makes it.
    """
    key = _key(kind, settings.login)
    with _lock:
        login = _logins.get(key)
        if login is None:
            login = _logins[key] = Login(
                settings.login,
                settings.retrying,
                patient=may_wait,
                open_connection=open_connection,
            )
    return login


def forget(login: Login) -> None:
    """Share a login no longer with storages that are made from now on."""
    with _lock:
        for key, known in list(_logins.items()):
            if known is login:
                del _logins[key]


def _key(kind: type, login: LoginSettings) -> _Key:
    return kind, replace(login, token_cache=None), id(login.token_cache)
