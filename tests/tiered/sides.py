"""One container from three sides: a storage in two tiers, one in Swift alone, another program."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import swiftclient
from flask import Flask
from sqlalchemy import create_engine, text

from flask_fs_swift import ALL, FS, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest
    from flask.testing import FlaskCliRunner

    from flask_fs_swift import ObjectInfo
    from flask_fs_swift.devserver import DevServer
    from flask_fs_swift.tiered.backend import TieredBackend

#: A PostgreSQL that others may use at the same time; without it SQLite has to do.
POSTGRESQL = os.environ.get("TIERED_TEST_DATABASE")
#: Retries follow each other at once.
QUICK = {"FS_SWIFT_BACKOFF": 0.01, "FS_SWIFT_TRANSPORT": os.environ.get("TEST_TRANSPORT", "native")}
#: Bytes.
THRESHOLD = 1000
SEGMENT = 64 * 1024


class Killed(BaseException):
    """The process was killed."""


class Outside:
    """A container, as another program sees it."""

    def __init__(self, server: DevServer, container: str) -> None:
        self.container = container
        self.connection: Any = swiftclient.Connection(  # type: ignore[call-arg]
            authurl=server.auth_url, user=server.user, key=server.key
        )
        self.connection.put_container(container)

    def put(self, name: str, content: bytes = b"", **headers: str) -> None:
        """Store an object; headers are written with underscores."""
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        self.connection.put_object(self.container, name, content, headers=fields)

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        return bytes(self.connection.get_object(self.container, name)[1])

    def delete(self, name: str) -> None:
        """Remove an object."""
        self.connection.delete_object(self.container, name)

    def headers(self, name: str) -> dict[str, str]:
        """Return an object's headers, but for those that say when."""
        self.connection.head_object(self.container, name)
        answer = dict(self.connection.http_conn[1].resp.headers)
        when = {"Date", "Last-Modified", "X-Timestamp", "X-Trans-Id", "X-Openstack-Request-Id"}
        return {key: value for key, value in answer.items() if key not in when}

    def names(self) -> list[str]:
        """Return what there is."""
        listed = self.connection.get_container(self.container, full_listing=True)[1]
        return [entry["name"] for entry in listed]

    def blobs(self) -> list[str]:
        """Return what is called as revisions are."""
        return [name for name in self.names() if name.startswith("revisions/")]


@dataclass
class Sides:
    """One container from all sides."""

    app: Flask
    #: In two tiers.
    files: Storage
    #: In Swift alone.
    plain: Storage
    outside: Outside
    database: str

    @property
    def backend(self) -> TieredBackend:
        """What is below the storage in two tiers."""
        backend: TieredBackend = (
            self.app.extensions["flask_fs_swift"].mounts[self.files.name].backend
        )
        return backend

    def cli(self) -> FlaskCliRunner:
        """Return what runs the commands of the application in two tiers."""
        return self.app.test_cli_runner()

    def sql(self, query: str, **values: object) -> list[Any]:
        """Run some SQL past the package; return the rows, if there are any."""
        engine = create_engine(self.database)
        with engine.begin() as connection:
            result = connection.execute(text(query), values)
            rows = list(result) if result.returns_rows else []
        engine.dispose()
        return rows

    def revisions(self) -> dict[str, str | None]:
        """Return where the content of each file is; None: in its row."""
        return dict(map(tuple, self.sql("SELECT name, revision FROM fs_objects")))

    def changes(self) -> list[tuple[str, str]]:
        """Return what the change log has: kinds and revisions."""
        query = "SELECT kind, revision FROM fs_changes WHERE kind <> 'recovery'"
        return [tuple(row) for row in self.sql(query)]

    def retired(self) -> set[str]:
        """Return what is to be deleted and was not."""
        return {row[0] for row in self.sql("SELECT revision FROM fs_retired WHERE deletions = 0")}


@contextmanager
def sides_of(
    server: DevServer, swift_settings: dict[str, object], path: Path, **settings: object
) -> Iterator[Sides]:
    """Lend a container of its own from all sides; settings are those of the two tiers."""
    name = f"t{secrets.token_hex(6)}"
    with _database(path, name) as database:
        yield from _sides_in(database, name, server, swift_settings, path, settings)


@contextmanager
def _database(path: Path, name: str) -> Iterator[str]:
    """Lend a database of its own: where ``TIERED_TEST_DATABASE`` says, or SQLite."""
    if POSTGRESQL is None:
        yield f"sqlite:///{path / name}.sqlite3"
        return
    engine = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield engine.url.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def _sides_in(
    database: str,
    name: str,
    server: DevServer,
    swift_settings: dict[str, object],
    path: Path,
    settings: dict[str, object],
) -> Iterator[Sides]:
    apps = []
    for backend in ("tiered", "swift"):
        app = Flask("tests", instance_path=str(path))
        app.config.update(swift_settings, **QUICK)
        app.config.update(FS_BACKEND=backend, FS_SWIFT_SEGMENT_SIZE=SEGMENT)
        app.config.update(FS_TIERED_DATABASE=database, FS_TIERED_THRESHOLD=THRESHOLD)
        app.config.update(FS_TIERED_RECOVERY_INTERVAL=0)
        app.config.update({f"FS_TIERED_{key.upper()}": value for key, value in settings.items()})
        apps.append((app, FS(app, Storage(name, ALL, overwrite=True))))
    app = apps[0][0]
    storages = [Storage(name, ALL, overwrite=True).bound(each) for each, _ in apps]
    outside = Outside(server, name)
    found = Sides(app, storages[0], storages[1], outside, database)
    found.backend.create_tables()
    yield found
    outside.connection.close()
    for each, fs in apps:
        fs.close(each, timeout=5)


def described(info: ObjectInfo) -> tuple[object, ...]:
    """Return what does not change when a file is moved, but for when it expires."""
    return (
        info.name,
        info.size,
        info.content_type,
        dict(info.metadata),
        info.cache_control,
        info.content_disposition,
        info.content_encoding,
    )


def die(
    monkeypatch: pytest.MonkeyPatch, owner: type, verb: str, *, after: bool, call: int = 1
) -> Callable[[], None]:
    """Have the process killed before or after a call of a verb; return what brings it to life.

    :param call: which call of it, from 1.
    """
    original = getattr(owner, verb)
    calls = 0

    def killing(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > call or (calls == call and not after):
            raise Killed
        answer = original(self, *args, **kwargs)
        if calls == call:
            calls += 1
            raise Killed
        return answer

    def dead(*_args: object, **_kwargs: object) -> None:
        raise Killed

    from flask_fs_swift.tiered.changelog import ChangeLog

    patch = monkeypatch.context()
    patched = patch.__enter__()
    patched.setattr(owner, verb, killing)
    patched.setattr(ChangeLog, "abandon", dead)

    def revive() -> None:
        patch.__exit__(None, None, None)

    return revive
