"""FS: bind storages to a Flask application.

Everything that an application has of this package is in its
``extensions["flask_fs_swift"]``. Nothing is connected before the first operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app, has_request_context

from .config import Credentials, StorageSettings, read_settings
from .errors import ConfigError
from .memory import MemoryBackend
from .storage import EXTENSION, Mount, Storage
from .swift import Session, SwiftBackend

if TYPE_CHECKING:
    from flask import Flask

    from .backend import Backend
    from .config import SwiftSettings
    from .objects import EventHook
    from .pool import Pool


class State:
    """The storages of one application, and the logins that they share."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.mounts: dict[str, Mount] = {}
        self._sessions: dict[Credentials, tuple[SwiftSettings, Session]] = {}

    @property
    def pools(self) -> list[Pool]:
        """The pools, one for each login."""
        return [session.pool for _, session in self._sessions.values()]

    def mount(self, storage: Storage, settings: StorageSettings, hook: EventHook | None) -> None:
        """Give a storage its backend.

        :raises ConfigError: there is a storage of that name.
        """
        if storage.name in self.storages:
            raise ConfigError(f"storage {storage.name!r} is registered with this application twice")
        backend = self._backend(settings, hook)
        self.storages[storage.name] = storage
        self.mounts[storage.name] = Mount(settings, backend, hook)

    def _backend(self, settings: StorageSettings, hook: EventHook | None) -> Backend:
        if settings.swift is None:
            return MemoryBackend()
        return SwiftBackend(settings.swift, self._session(settings, settings.swift, hook))

    def _session(
        self, settings: StorageSettings, swift: SwiftSettings, hook: EventHook | None
    ) -> Session:
        """Return the session of a login: the one that another storage has, if one has."""
        known = self._sessions.get(swift.login.credentials)
        if known is None:
            session = Session(swift.login, swift.persistence, patient=_may_wait, on_event=hook)
            self._sessions[swift.login.credentials] = (swift, session)
            return session
        if known[0].login != swift.login:
            raise ConfigError(
                f"storages {known[0].container!r} and {settings.name!r} have the same credentials "
                "but other pool settings: one login has one pool, so give both the same"
            )
        return known[1]

    def close(self, timeout: float) -> None:
        """Close every pool, after what is lent has come back."""
        for _, session in self._sessions.values():
            session.pool.close(timeout)


def _may_wait() -> bool:
    # A web request fails fast when Keystone hiccups; a job, or a script, waits.
    return not has_request_context()


class FS:
    """The extension. Lives beside the application, and keeps nothing of it.

    ``FS(app, files, avatars)`` registers at once; ``FS(None, files)``, or ``FS()``, with
    the first ``init_app``.

    :param on_event: called with an :class:`~flask_fs_swift.Event` after every operation
        and for every connection that is borrowed.
    """

    def __init__(
        self, app: Flask | None = None, *storages: Storage, on_event: EventHook | None = None
    ) -> None:
        self._on_event = on_event
        self._storages = storages if app is None else ()
        if app is not None:
            self.init_app(app, *storages)

    def init_app(self, app: Flask, *storages: Storage, on_event: EventHook | None = None) -> None:
        """Register storages with an application: these, after any that the constructor kept.

        :raises ConfigError: a setting is wrong, or a storage is registered twice. None
            of the storages after it is registered.
        """
        state: State = app.extensions.setdefault(EXTENSION, State())
        for storage in (*self._storages, *storages):
            settings = read_settings(app.config, storage.name, app.instance_path)
            state.mount(storage, settings, on_event or self._on_event)

    def close(self, app: Flask | None = None, timeout: float = 30.0) -> None:
        """Lend no more connections, wait for those that are lent, close them all.

        :param app: the current application by default.
        :param timeout: seconds to wait for each login's.
        """
        _state(app or current_app).close(timeout)


def init_app(app: Flask, *storages: Storage, on_event: EventHook | None = None) -> None:
    """Register storages with an application.

    :raises ConfigError: a setting is wrong, or a storage is registered twice.
    """
    FS(app, *storages, on_event=on_event)


def by_name(name: str) -> Storage:
    """Return the storage of this name in the current application.

    :raises ConfigError: there is none.
    """
    storages = _state(current_app).storages
    if name not in storages:
        raise ConfigError(f"there is no storage {name!r}, only {sorted(storages)}")
    return storages[name]


def _state(app: Flask) -> State:
    state: State | None = app.extensions.get(EXTENSION)
    if state is None:
        raise ConfigError("no storage is registered with this application: call FS(app, …)")
    return state
