"""``flask fs …``: what operators do; and the commands of storages in two tiers.

The commands only print; what they do is in ``tiered``. Names of files come from strangers: they
are printed as Python writes them, so that none of them commands a terminal.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import click
from flask import current_app
from flask.cli import AppGroup

from .errors import FSError
from .storage import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask import Flask

    from .storage import Mount
    from .tiered.backend import TieredBackend
    from .tiered.moving import Moved

#: What is said of objects that were left, by their outcome.
_LEFT = {
    "exists": "the storage and Swift have different files of this name; both are left alone",
    "refused": "no file may have this name",
    "unknown": "it is called as revisions are, and no file has it",
    "held": "it is being written or deleted: 'flask fs tiered recover', and again in a minute",
}

tiered = AppGroup("tiered", help="Storages in two tiers: small files in SQL, large ones in Swift.")

_names = click.argument("storages", nargs=-1)
_name = click.argument("storage", required=False)


def add_commands(app: Flask) -> None:
    """Give an application its commands. A group that is called ``fs`` already gets them, too.

    A command of that name that is no group stays what it is, and ours are not there.
    """
    from .api.server.commands import keys, serve, service

    group = app.cli.commands.get("fs")
    if group is None:
        group = AppGroup("fs", help="File storages.")
        app.cli.add_command(group)
    if isinstance(group, click.Group):
        for command in (tiered, keys, serve, service):
            if command.name not in group.commands:
                group.add_command(command)


@tiered.command("init")
@_names
def init(storages: tuple[str, ...]) -> None:
    """Create the tables that do not exist yet.

    Of all storages in two tiers, or of those that are named. It may be run again.
    """
    for name, backend in _chosen(storages):
        with _told(name):
            backend.create_tables()
        click.echo(f"{name}: has its tables")


@tiered.command("recover")
@_names
def recover(storages: tuple[str, ...]) -> None:
    """Take over what crashes have left, and delete what is due.

    Of all storages in two tiers, or of those that are named. It may be run at any time.
    """
    left = 0
    for name, backend in _chosen(storages):
        with _told(name):
            done = backend.recovery.run()
        click.echo(
            f"{name}: {done.abandoned} changes taken over, {done.expired} expired files removed, "
            f"{done.deleted} blobs deleted, {done.left} left"
        )
        left += done.left
    if left:
        raise click.ClickException("Swift fails: what is left is deleted later")


@tiered.command("import")
@_name
@click.option("--inline", is_flag=True, help="Move small objects into the database.")
def import_(storage: str | None, inline: bool) -> None:
    """Take over the objects that are in the container of a storage.

    No bytes move, unless --inline is given. What was taken over already is skipped, so that it
    may be run again after an interruption.
    """
    name, backend = _the_one(storage)
    with _told(name):
        _move(name, backend.moving_in.run(inline=inline), "taken over")


@tiered.command("export")
@_name
@click.option(
    "--overwrite", is_flag=True, help="Replace what others have stored under names of files."
)
def export(storage: str | None, overwrite: bool) -> None:
    """Give all files back to the container of a storage, each under its own name.

    After that the storage may go on as it is, or with FS_BACKEND = "swift". What was written
    meanwhile is given back when it is run again.
    """
    name, backend = _the_one(storage)
    with _told(name):
        _move(name, backend.moving_out.run(overwrite=overwrite), "given back")


@tiered.command("check")
@_names
@click.option("--content/--no-content", default=True, help="Read the content of small files.")
def check(storages: tuple[str, ...], content: bool) -> None:
    """Compare the database with Swift, and print what they disagree about.

    Of all storages in two tiers, or of those that are named. It changes nothing, and may be run
    while files are written.
    """
    count = 0
    for name, backend in _chosen(storages):
        found = 0
        with _told(name):
            for finding in backend.checking.run(content=content):
                click.echo(f"{name}: {finding.kind}: {finding.name!r}: {finding.detail}")
                found += 1
        click.echo(f"{name}: {found} findings")
        count += found
    if count:
        sys.exit(1)


def _move(storage: str, moving: Iterator[Moved], done: str) -> None:
    """Move objects, and print what is left.

    :param done: what became of those that were moved, in words.
    """
    counts: Counter[str] = Counter()
    left = 0
    # How many there are is not known before.
    hidden = not sys.stderr.isatty()
    with click.progressbar(
        moving, label=storage, show_pos=True, file=sys.stderr, hidden=hidden
    ) as outcomes:
        for moved in outcomes:
            counts[moved.outcome] += 1
            if moved.is_left:
                left += 1
                reason = _LEFT.get(moved.outcome, str(moved.error))
                click.echo(f"{storage}: {moved.outcome}: {moved.name!r}: {reason}")
    click.echo(f"{storage}: {counts['moved']} {done}, {counts['there']} were already, {left} left")
    if left:
        sys.exit(1)


@contextmanager
def _told(storage: str) -> Iterator[None]:
    """Say what has failed, without a traceback."""
    try:
        yield
    except FSError as error:
        raise click.ClickException(f"{storage}: {error}") from error


def _tiered() -> dict[str, TieredBackend]:
    """Return the storages of the application that are in two tiers."""
    mounts: dict[str, Mount] = current_app.extensions[EXTENSION].mounts
    return {
        name: cast("TieredBackend", mount.backend)
        for name, mount in mounts.items()
        if mount.settings.tiered is not None
    }


def _chosen(names: Sequence[str]) -> list[tuple[str, TieredBackend]]:
    """Return the storages that are named, or all."""
    found = _tiered()
    if not found:
        raise click.ClickException("no storage of this application is in two tiers")
    for name in names:
        if name not in found:
            raise click.ClickException(f"{name!r} is no storage in two tiers, only {sorted(found)}")
    return [(name, found[name]) for name in names or found]


def _the_one(name: str | None) -> tuple[str, TieredBackend]:
    """Return the storage that is named, or the only one."""
    chosen = _chosen([name] if name is not None else [])
    if len(chosen) > 1:
        raise click.ClickException(f"say which storage: {sorted(name for name, _ in chosen)}")
    return chosen[0]
