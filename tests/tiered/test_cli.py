"""The commands: what they print, and how they end."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import click
import pytest
from flask import Flask
from flask.cli import AppGroup

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.tiered import moving

from .sides import SEGMENT, Sides, sides_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from flask_fs_swift.devserver import DevServer, Faults

LARGE = os.urandom(SEGMENT + 5)
OURS = f"revisions/{'a' * 64}/{'b' * 32}"


@pytest.fixture
def sides(
    swift_server: DevServer, swift_settings: dict[str, object], tmp_path: Path
) -> Iterator[Sides]:
    with sides_of(swift_server, swift_settings, tmp_path) as found:
        yield found


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["fs", "tiered", *arguments])


def test_init_creates_the_tables_once_and_again(
    swift_settings: dict[str, object], tmp_path: Path
) -> None:
    app = Flask("tests", instance_path=str(tmp_path))
    app.config.update(swift_settings, FS_BACKEND="tiered")
    app.config["FS_TIERED_DATABASE"] = f"sqlite:///{tmp_path / 'ours.sqlite3'}"
    app.config["PLAIN_FS_BACKEND"] = "memory"
    files = Storage(f"t{secrets.token_hex(6)}", ALL)
    others = Storage(f"t{secrets.token_hex(6)}", ALL)
    fs = FS(app, files, others, Storage("plain"))
    assert "flask fs tiered init" in run(app, "check", files.name).output
    assert run(app, "check").exit_code == 1
    for _ in range(2):
        result = run(app, "init")
        assert result.exit_code == 0
        assert result.output == f"{files.name}: has its tables\n{others.name}: has its tables\n"
    assert run(app, "init", files.name).output == f"{files.name}: has its tables\n"
    files.bound(app).write("a", "b")
    assert run(app, "check").output == f"{files.name}: 0 findings\n{others.name}: 0 findings\n"
    for command in ("import", "export"):
        result = run(app, command)
        assert result.exit_code == 1
        assert result.output == f"Error: say which storage: {sorted([files.name, others.name])}\n"
        assert run(app, command, others.name).exit_code == 0
    fs.close(app)


@pytest.mark.parametrize("command", ["init", "recover", "import", "export", "check"])
def test_a_storage_that_is_not_in_two_tiers_is_refused(sides: Sides, command: str) -> None:
    sides.app.config["PLAIN_FS_BACKEND"] = "memory"
    FS(sides.app, Storage("plain"))
    for name in ("plain", "absent\x1b"):
        result = run(sides.app, command, name)
        assert result.exit_code == 1
        expected = f"{name!r} is no storage in two tiers, only [{sides.files.name!r}]"
        assert result.output == f"Error: {expected}\n"
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    FS(app, Storage("plain"))
    result = run(app, command)
    assert result.exit_code == 1
    assert result.output == "Error: no storage of this application is in two tiers\n"


def test_import_tells_what_it_leaves_and_export_too(sides: Sides) -> None:
    name = sides.files.name
    sides.outside.put("a", b"small")
    sides.outside.put("b", b"small too")
    result = run(sides.app, "import")
    assert (result.exit_code, result.output) == (
        0,
        f"{name}: 2 taken over, 0 were already, 0 left\n",
    )
    result = run(sides.app, "import", "--inline", name)
    assert (result.exit_code, result.output) == (
        0,
        f"{name}: 2 taken over, 0 were already, 0 left\n",
    )
    sides.outside.put("a", b"another")
    sides.outside.put("x\x1b[2J\r", b"odd")
    sides.outside.put(OURS, b"whose?")
    result = run(sides.app, "import")
    assert result.exit_code == 1
    different = "the storage and Swift have different files of this name; both are left alone"
    assert result.output.splitlines() == [
        f"{name}: exists: 'a': {different}",
        f"{name}: unknown: '{OURS}': it is called as revisions are, and no file has it",
        f"{name}: refused: 'x\\x1b[2J\\r': no file may have this name",
        f"{name}: 0 taken over, 0 were already, 3 left",
    ]
    result = run(sides.app, "export", name)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == f"{name}: 1 given back, 0 were already, 1 left"
    result = run(sides.app, "export", "--overwrite")
    assert result.exit_code == 0
    assert result.output == f"{name}: 1 given back, 1 were already, 0 left\n"
    assert sides.plain.read("a") == b"small"


def test_recover_says_what_it_did(
    sides: Sides, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sides.files.name
    sides.files.write("a", LARGE)
    sides.backend.moving_in._rows.log.adopt(["x"], "somebody", -1.0, overwrite=True)
    monkeypatch.setattr("flask_fs_swift.retry.pause", lambda _seconds: None)
    swift_faults.add("status", method="DELETE", status=500, times=1000)
    sides.files.delete("a")
    sides.backend.recovery.wait()
    sides.sql("UPDATE fs_retired SET due = 0")
    result = run(sides.app, "recover")
    assert result.exit_code == 1
    expected = f"{name}: 1 changes taken over, 0 expired files removed, 0 blobs deleted, 1 left\n"
    assert result.output == expected + "Error: Swift fails: what is left is deleted later\n"
    swift_faults.clear()
    sides.sql("UPDATE fs_retired SET due = 0")
    result = run(sides.app, "recover", name)
    expected = f"{name}: 0 changes taken over, 0 expired files removed, 1 blobs deleted, 0 left\n"
    assert (result.exit_code, result.output) == (0, expected)
    assert sides.outside.names() == []


def test_check_ends_with_1_where_something_disagrees(sides: Sides) -> None:
    name = sides.files.name
    sides.files.write("a\u202eb", LARGE)
    sides.files.write("small", "x")
    result = run(sides.app, "check")
    assert (result.exit_code, result.output) == (0, f"{name}: 0 findings\n")
    revision = sides.revisions()["a\u202eb"] or ""
    sides.outside.delete(revision)
    sides.sql("UPDATE fs_objects SET size = 2 WHERE name = 'small'")
    result = run(sides.app, "check", "--no-content")
    assert result.exit_code == 1
    missing = f"{name}: missing: 'a\\u202eb': {revision!r} is not in Swift\n"
    assert result.output == f"{missing}{name}: 1 findings\n"
    assert run(sides.app, "check", name).output.endswith(f"{name}: 2 findings\n")


@pytest.mark.parametrize("command", ["import", "export", "check"])
def test_a_swift_that_fails_is_told_without_a_traceback(
    sides: Sides, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(moving, "PATIENCE", 1)
    sides.files.write("a", "small")
    swift_faults.add("status", path="/v1/AUTH_[^/]*/t", status=503, times=1000)
    result = run(sides.app, command)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.output.splitlines()[-1].startswith(f"Error: {sides.files.name}: ")


def test_a_count_is_shown_on_a_terminal(sides: Sides) -> None:
    """Names that come while it is shown are told as ever."""
    from flask_fs_swift import cli

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    sides.outside.put("a", b"small")
    terminal, moving_in = Terminal(), sides.backend.moving_in.run()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", terminal)
        cli._move("files", moving_in, "taken over")
    assert "files" in terminal.getvalue()
    assert "1" in terminal.getvalue()


# Beside the commands of others.


def memory_app() -> Flask:
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    return app


def test_a_group_of_others_gets_our_commands_and_keeps_its_own() -> None:
    app = memory_app()
    theirs = AppGroup("fs", help="Theirs.")
    theirs.command("clean")(lambda: click.echo("cleaned"))
    app.cli.add_command(theirs)
    FS(app, Storage("files"))
    assert app.test_cli_runner().invoke(args=["fs", "clean"]).output == "cleaned\n"
    assert "no storage" in run(app, "init").output


def test_what_others_call_as_ours_stays_theirs() -> None:
    app = memory_app()
    app.cli.command("fs")(lambda: click.echo("theirs"))
    FS(app, Storage("files"))
    assert app.test_cli_runner().invoke(args=["fs"]).output == "theirs\n"
    app = memory_app()
    group = AppGroup("fs")
    group.command("tiered")(lambda: click.echo("theirs"))
    app.cli.add_command(group)
    FS(app, Storage("files"))
    assert app.test_cli_runner().invoke(args=["fs", "tiered"]).output == "theirs\n"
    app = memory_app()
    FS(app, Storage("files"))
    app.cli.command("fs")(lambda: click.echo("theirs"))
    assert app.test_cli_runner().invoke(args=["fs"]).output == "theirs\n"


def test_the_commands_of_two_applications_are_apart(sides: Sides) -> None:
    app = memory_app()
    FS(app, Storage("files"))
    FS(app, Storage("others"))
    assert run(app, "check").exit_code == 1
    assert run(sides.app, "check").exit_code == 0


def test_help_needs_no_sqlalchemy() -> None:
    program = """
        import sys
        sys.modules["sqlalchemy"] = None
        from flask import Flask
        from flask_fs_swift import FS, Storage
        app = Flask("tests")
        app.config["FS_BACKEND"] = "memory"
        FS(app, Storage("files"))
        result = app.test_cli_runner().invoke(args=["fs", "tiered", "--help"])
        assert result.exit_code == 0, result.output
        result = app.test_cli_runner().invoke(args=["fs", "tiered", "check"])
        assert "no storage of this application" in result.output, result.output
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
