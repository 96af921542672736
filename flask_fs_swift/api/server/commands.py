"""``flask fs serve``, ``flask fs keys …`` and ``flask fs service …``: the service, for operators.

The commands only ask and print; what they do is in the modules beside this one.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from flask import current_app
from flask.cli import AppGroup, ScriptInfo, with_appcontext

from flask_fs_swift.api.keys import PERMISSIONS, new_key_pair, read_keys, read_signing_key
from flask_fs_swift.api.places import Place
from flask_fs_swift.api.tokens import new_token
from flask_fs_swift.config import read_settings
from flask_fs_swift.errors import FSError
from flask_fs_swift.storage import EXTENSION

from .expired import AGE, sweep_expired
from .keyfiles import add_version, check_kid, private_file, public_text
from .settings import Served, Server, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift.storage import Mount

    from .settings import WorkerClass

keys = AppGroup("keys", help="Keys of the service, and tokens that are signed with them.")
service = AppGroup("service", help="Storages that are served by the objectstore protocol.")

#: Where no storage is named, and the application has none.
_STORAGE = "files"
_SHORT = {permission.removeprefix("object."): permission for permission in sorted(PERMISSIONS)}


def _permissions(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> list[str] | None:
    if value is None:
        return None
    words = [word.strip() for word in value.split(",")]
    unknown = [word for word in words if word not in _SHORT and word not in PERMISSIONS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(_SHORT)}")
    return sorted({_SHORT.get(word, word) for word in words})


_kid = click.option("--kid", required=True, help="The id of the key.")
_allowed = click.option(
    "--permissions", callback=_permissions, metavar="read,write,delete", help="What it may allow."
)


@keys.command("new", with_appcontext=False)
@_kid
@_allowed
@click.option("--private", metavar="FILE", help="For the private half; '-': print it.")
@click.option(
    "--keys",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of a server, which then trusts it. By default the public half is printed.",
)
def new(kid: str, permissions: list[str] | None, private: str | None, folder: Path | None) -> None:
    """Make a key: a private half to sign with, and a public one for the servers.

    The private half gets a new file, called after the key, that only its owner reads. An id
    that is in the folder gets one version more: see the documentation for how to replace a key.
    """
    with _told():
        check_kid(kid)
        pair = new_key_pair()
        if private == "-":
            if folder is None:
                raise click.UsageError("where the private half is printed, --keys takes the other")
            add_version(folder, kid, pair.public, permissions)
            click.echo(pair.private, nl=False)
            return
        if folder is None and permissions is None:
            raise click.UsageError("say with --permissions what the key's tokens may allow")
        path = Path(private or f"{kid}.key")
        with private_file(path, pair.private):
            if folder is None:
                click.echo(public_text(pair.public, permissions or ()), nl=False)
            else:
                written = add_version(folder, kid, pair.public, permissions)
                click.echo(f"{written}: trusted by servers that are started from now on", err=True)
        click.echo(f"{path}: the private half; whoever has it is trusted", err=True)


@keys.command("token", with_appcontext=False)
@_kid
@click.option(
    "--private",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file of the private half; by default it is called after the key.",
)
@_allowed
@click.option("--scope", "scopes", multiple=True, metavar="NAME=VALUE", help="In their order.")
@click.option(
    "--lifetime", type=click.IntRange(1, 7 * 86400), default=3600, help="Seconds; by default 3600."
)
@click.argument("usecase")
def token(
    kid: str,
    private: Path | None,
    permissions: list[str] | None,
    scopes: tuple[str, ...],
    lifetime: int,
    usecase: str,
) -> None:
    """Print a token for a usecase and its scopes, to try a service with.

    It allows to read, unless --permissions says otherwise. Whoever sees it may use it.
    """
    path = private or Path(f"{kid}.key")
    with _told():
        key = read_signing_key("--private", kid, path.read_text(encoding="utf-8"))
        pairs = [(name, value) for name, _, value in (scope.partition("=") for scope in scopes)]
        place = Place.of(usecase, pairs)
        wanted = permissions or [_SHORT["read"]]
        now = time.time()
        click.echo(new_token(key, place.usecase, place.scopes, wanted, now, lifetime=lifetime))


@click.command("serve")
@click.argument("storage", required=False)
@click.option("--keys", "folder", type=click.Path(path_type=Path), help="Whom it trusts: a folder.")
@click.option("--no-auth", is_flag=True, help="Trust everybody on this machine.")
@click.option("--prefix", default="/v1", help="Of all paths; by default /v1, as clients have it.")
@click.option("--bind", multiple=True, default=["127.0.0.1:8000"], help="Addresses to listen on.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes; by default 1.")
@click.option("--worker-class", type=click.Choice(["sync", "gthread", "gevent"]), default="gthread")
@click.option("--threads", type=click.IntRange(1), default=16, help="Of a worker; by default 16.")
@click.option(
    "--timeout", type=click.IntRange(0), default=300, help="Seconds; of a sync worker: a request."
)
@click.option(
    "--graceful-timeout", type=click.IntRange(1), default=30, help="Seconds to end requests in."
)
@click.option("--backend", type=click.Choice(["swift", "tiered", "memory"]))
@click.option("--embedded", is_flag=True, help="Run a development Swift.")
@click.option("--container", help="Of the storage.")
@click.option("--create-container", is_flag=True, help="Create it, if it is not there.")
@with_appcontext
def serve(
    storage: str | None,
    folder: Path | None,
    no_auth: bool,
    prefix: str,
    bind: tuple[str, ...],
    workers: int,
    worker_class: WorkerClass,
    threads: int,
    timeout: int,
    graceful_timeout: int,
    backend: str | None,
    embedded: bool,
    container: str | None,
    create_container: bool,
) -> None:
    """Serve a storage by the objectstore protocol, with gunicorn, until SIGTERM.

    The storage has the settings of the application, and those that are given here beside them.
    Requests that have begun are answered before it ends.
    """
    if (folder is None) != no_auth:
        raise click.UsageError("say whom it trusts: --keys FOLDER, or --no-auth for everybody")
    server = Server(bind, workers, worker_class, threads, timeout, graceful_timeout)
    name = _storage_of(storage)
    settings = _settings(name, backend, container, embedded=embedded, create=create_container)
    with _told():
        server.check()
        if no_auth and not server.is_local:
            raise click.UsageError("--no-auth is for addresses of this machine only: 127.0.0.1:…")
        if folder is not None:
            read_keys("--keys", folder)
        given = read_settings(
            settings_of(current_app.config, settings), name, current_app.instance_path
        )
    if given.backend == "memory" and workers > 1:
        raise click.UsageError("each worker would have a memory of its own: --workers 1")
    if no_auth:
        click.secho(
            f"Nobody is asked for a token: every program on this machine, and every web page in a "
            f"browser on it, may read, change and delete all of {name!r}.",
            err=True,
            fg="red",
        )
    trusted = str(folder.resolve()) if folder is not None else None
    served = Served(_app_path(), name, settings, trusted, prefix)
    sys.stdout.flush()
    os.execve(sys.executable, server.command, {**os.environ, **served.variables})  # noqa: S606


@service.command("sweep")
@click.argument("storage", required=False)
@click.option("--usecase", help="Of its objects only.")
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=AGE,
    help="Seconds that they are overdue, at least; by default 3600.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
def sweep(storage: str | None, usecase: str | None, older_than: float, dry_run: bool) -> None:
    """Delete for good what nobody asked for until its time to idle was over.

    Such objects are absent to all clients, and still stored. It may be run at any time.
    """
    name = _storage_of(storage)
    mounts = _mounts()
    if name not in mounts:
        raise click.ClickException(f"there is no storage {name!r}, only {sorted(mounts)}")
    done = left = 0
    with _told():
        files = mounts[name].storage
        for each in sweep_expired(files, usecase, older_than=older_than, dry_run=dry_run):
            where = f"{name}: {'/'.join(each.place.segments)}: {each.key!r}"
            if each.error is not None:
                click.echo(f"{where}: left: {each.error}")
                left += 1
            else:
                click.echo(f"{where}: expired {each.expired}")
                done += 1
    click.echo(f"{name}: {done} {'to delete' if dry_run else 'deleted'}, {left} left")
    if left:
        sys.exit(1)


@contextmanager
def _told() -> Iterator[None]:
    """Say what has failed, without a traceback."""
    try:
        yield
    except (FSError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _mounts() -> dict[str, Mount]:
    return cast("dict[str, Mount]", current_app.extensions[EXTENSION].mounts)


def _storage_of(name: str | None) -> str:
    """Return the storage that is named, or the only one."""
    mounts = _mounts()
    if name is None and len(mounts) > 1:
        raise click.ClickException(f"say which storage: {sorted(mounts)}")
    return name or next(iter(mounts), _STORAGE)


def _settings(
    storage: str, backend: str | None, container: str | None, *, embedded: bool, create: bool
) -> dict[str, object]:
    said = {
        "BACKEND": backend,
        "CONTAINER": container,
        "AUTHURL": "embedded" if embedded else None,
        "CREATE_CONTAINER": create or embedded or None,
    }
    own = {f"{storage.upper()}_FS_{key}": value for key, value in said.items()}
    return {key: value for key, value in own.items() if value is not None}


def _app_path() -> str | None:
    """Return how this process was told its application: so that gunicorn's finds the same."""
    return click.get_current_context().ensure_object(ScriptInfo).app_import_path
