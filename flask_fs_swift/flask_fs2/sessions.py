"""One session, so one token and one pool, for all storages that can share it.

flask-fs2 makes a backend for each storage and knows of nothing that they have in common.
They share a session where their login and pool settings are equal, and their class, which
may make its own connections.

State: ``_sessions``, guarded by ``_lock``. It keeps none of them alive.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from flask import has_request_context

from flask_fs_swift.concurrency import new_lock
from flask_fs_swift.swift import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftclient import Connection

    from flask_fs_swift.config import LoginSettings, SwiftSettings

# A cache may be of a kind that has no hash; its identity is what counts.
_Key: TypeAlias = "tuple[type, LoginSettings, int]"

_lock = new_lock()
_sessions: WeakValueDictionary[_Key, Session] = WeakValueDictionary()


def shared_session(
    kind: type, settings: SwiftSettings, open_connection: Callable[[], Connection]
) -> Session:
    """Return the session of all that have this class and these login settings.

    :param open_connection: for the session, if this one makes it.
    """
    key = _key(kind, settings.login)
    with _lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = Session(
                settings.login,
                settings.persistence,
                # A web request fails fast when Keystone hiccups; a job, or a script, waits.
                patient=lambda: not has_request_context(),
                open_connection=open_connection,
            )
    return session


def forget(session: Session) -> None:
    """Share a session no longer with storages that are made from now on."""
    with _lock:
        for key, known in list(_sessions.items()):
            if known is session:
                del _sessions[key]


def _key(kind: type, login: LoginSettings) -> _Key:
    return kind, replace(login, token_cache=None), id(login.token_cache)
