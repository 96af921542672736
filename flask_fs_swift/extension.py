"""FS: bind storages to a Flask application.

Everything that an application has of this package is in its
``extensions["flask_fs_swift"]``. Nothing is connected before the first operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app

from .concurrency import Deadline
from .config import Credentials, StorageSettings, read_settings
from .errors import ConfigError
from .login import Login
from .memory import MemoryBackend
from .storage import EXTENSION, Mount, Storage, may_wait
from .swift import SwiftBackend

if TYPE_CHECKING:
    from flask import Flask

    from .backend import Backend
    from .config import SwiftSettings
    from .events import EventHook
    from .pool import Pool


class State:
    """What one application has of this package. Complete before it serves its first request."""

    def __init__(self) -> None:
        #: The storages, by name.
        self.mounts: dict[str, Mount] = {}
        # The logins, each with the name of the storage that was the first to have it.
        self._logins: dict[Credentials, tuple[str, Login]] = {}

    @property
    def pools(self) -> list[Pool]:
        """The pools, one for each login."""
        return [login.pool for _, login in self._logins.values()]

    def mount(self, storage: Storage, settings: StorageSettings, hook: EventHook | None) -> None:
        """Give a storage its backend.

        :raises ConfigError: there is a storage of that name.
        """
        if storage.name in self.mounts:
            raise ConfigError(f"storage {storage.name!r} is registered with this application twice")
        backend = self._backend(settings, hook)
        self.mounts[storage.name] = Mount(storage, settings, backend, hook)

    def _backend(self, settings: StorageSettings, hook: EventHook | None) -> Backend:
        if settings.swift is None:
            return MemoryBackend()
        return SwiftBackend(settings.swift, self._login(settings.name, settings.swift, hook))

    def _login(self, name: str, swift: SwiftSettings, hook: EventHook | None) -> Login:
        """Return the login of a storage: the one that another storage has, if one has."""
        first, login = self._logins.get(swift.login.credentials, (name, None))
        if login is None:
            login = Login(swift.login, swift.retrying, patient=may_wait, on_event=hook)
            self._logins[swift.login.credentials] = (first, login)
        if login.settings != swift.login:
            raise ConfigError(
                f"storages {first!r} and {name!r} have the same credentials but other pool "
                "settings: one login has one pool, so give both the same"
            )
        return login

    def close(self, timeout: float) -> bool:
        """Close every pool, after what is lent has come back; tell whether all has."""
        deadline = Deadline(timeout)
        closed = [pool.close(deadline.remaining()) for pool in self.pools]
        return all(closed)


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

    def close(self, app: Flask | None = None, timeout: float = 30.0) -> bool:
        """Lend no more connections, and close them: now, or when they come back.

        :param app: the current application by default.
        :param timeout: seconds to wait for those that are lent.
        :returns: whether all have come back.
        """
        return _state(app or current_app).close(timeout)


def init_app(app: Flask, *storages: Storage, on_event: EventHook | None = None) -> None:
    """Register storages with an application.

    :raises ConfigError: a setting is wrong, or a storage is registered twice.
    """
    FS(app, *storages, on_event=on_event)


def by_name(name: str) -> Storage:
    """Return the storage of this name in the current application.

    :raises ConfigError: there is none.
    """
    mounts = _state(current_app).mounts
    if name not in mounts:
        raise ConfigError(f"there is no storage {name!r}, only {sorted(mounts)}")
    return mounts[name].storage


def _state(app: Flask) -> State:
    state: State | None = app.extensions.get(EXTENSION)
    if state is None:
        raise ConfigError("no storage is registered with this application: call FS(app, …)")
    return state
