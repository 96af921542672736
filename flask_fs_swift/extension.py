"""FS: bind storages to a Flask application.

Everything that an application has of this package is in its
``extensions["flask_fs_swift"]``. Nothing is connected before the first operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.routing import PathConverter

from .concurrency import Deadline
from .config import Credentials, StorageSettings, read_settings
from .errors import ConfigError, InvalidName
from .login import Login
from .memory import MemoryBackend
from .storage import EXTENSION, Mount, Storage, may_wait
from .swift import SwiftBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from werkzeug.wrappers import Response

    from .backend import Backend
    from .config import SwiftSettings, TieredSettings
    from .events import EventHook
    from .pool import Pool
    from .tiered.database import Database


class State:
    """What one application has of this package. Complete before it serves its first request."""

    def __init__(self, prefix: str | None) -> None:
        #: The storages, by name.
        self.mounts: dict[str, Mount] = {}
        # The logins, each with the name of the storage that was the first to have it.
        self._logins: dict[Credentials, tuple[str, Login]] = {}
        # Of the storages in two tiers, by URL: those that share one share its connections.
        self._databases: dict[str, Database] = {}
        # What is to end before the pools are closed: given seconds, each tells whether it has.
        self._closing: list[Callable[[float], bool]] = []
        # Below which path the files are served; None: they are not.
        self._prefix = prefix

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
        base = f"{self._prefix}/{storage.name}/" if self._prefix is not None else None
        self.mounts[storage.name] = Mount(storage, settings, backend, hook, base)

    def _backend(self, settings: StorageSettings, hook: EventHook | None) -> Backend:
        if settings.swift is None:
            return MemoryBackend()
        swift = SwiftBackend(settings.swift, self._login(settings.name, settings.swift, hook))
        if settings.tiered is None:
            return swift
        return self._tiered(swift, settings.swift, settings.tiered)

    def _tiered(self, swift: SwiftBackend, blobs: SwiftSettings, tiered: TieredSettings) -> Backend:
        try:
            from .tiered import in_two_tiers
        except ModuleNotFoundError as error:
            raise ConfigError(
                "two tiers need SQLAlchemy: pip install 'flask-fs-swift[sql]'", key="FS_BACKEND"
            ) from error
        backend = in_two_tiers(swift, blobs, tiered, self._databases)
        self._closing.append(backend.recovery.close)
        return backend

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
        closed = [close(deadline.remaining()) for close in self._closing]
        for database in self._databases.values():
            database.close()
        closed += [pool.close(deadline.remaining()) for pool in self.pools]
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
        if EXTENSION not in app.extensions:
            from .cli import add_commands

            app.extensions[EXTENSION] = State(serve_in(app))
            add_commands(app)
        state: State = app.extensions[EXTENSION]
        for storage in (*self._storages, *storages):
            settings = read_settings(app.config, storage.name, app.instance_path)
            state.mount(storage, settings, on_event or self._on_event)

    def close(self, app: Flask | None = None, timeout: float = 30.0) -> bool:
        """Lend no more connections, and close them: now, or when they come back.

        :param app: the current application by default.
        :param timeout: seconds to wait for those that are lent; with two tiers, also for a
            deletion that is under way.
        :returns: whether all have come back, and nothing is under way.
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


class AnyName(PathConverter):
    """Any name, in the path of a URL. A ``path`` would not take one that begins with a slash."""

    regex = ".+?"
    part_isolating = False


def serve_in(app: Flask) -> str | None:
    """Have an application serve its storages' files, if it is to; return below which path.

    :raises ConfigError: ``FS_PREFIX`` is no path.
    """
    if not app.config.get("FS_SERVE", False):
        return None
    prefix = app.config.get("FS_PREFIX", "/fs")
    if not isinstance(prefix, str) or not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigError(
            "FS_PREFIX must be a path that begins with a slash and ends without", key="FS_PREFIX"
        )
    app.url_map.converters["fs_name"] = AnyName
    # "a//b" and "a/b" are two files.
    rule = f"{prefix}/<storage>/<fs_name:filename>"
    app.add_url_rule(rule, "fs.serve", _serve, methods=["GET"], merge_slashes=False)
    return prefix


def _serve(storage: str, filename: str) -> Response:
    mount = _state(current_app).mounts.get(storage)
    if mount is None:
        raise NotFound
    if not mount.storage.may_serve(filename):
        raise Forbidden
    try:
        return mount.storage.serve(filename)
    except InvalidName as error:
        raise NotFound from error


def _state(app: Flask) -> State:
    state: State | None = app.extensions.get(EXTENSION)
    if state is None:
        raise ConfigError("no storage is registered with this application: call FS(app, …)")
    return state
