"""The example of the service: its application runs, and its files agree with each other.

Containers are not run here.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flask_fs_swift import FS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "service"
COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLE / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
COMMAND = re.compile(r"flask (?:--app \S+ )?(fs [^)`\n]+)")


def application() -> Flask:
    """Return a new one."""
    app: Flask = runpy.run_path(str(EXAMPLE / "wsgi.py"))["app"]
    return app


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application of the example, with the settings of its container, on SQLite."""
    (tmp_path / "keys").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, value in SERVICES["service"]["environment"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASK_SERVICE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("FLASK_FS_TIERED_DATABASE", "sqlite:///small.sqlite3")
    app = application()
    yield app
    FS().close(app)


def test_the_example_serves_small_objects(example: Flask, tmp_path: Path) -> None:
    run = example.test_cli_runner()
    [_, *command] = SERVICES["tables"]["command"]
    assert run.invoke(args=command).exit_code == 0
    made = ["fs", "keys", "new", "--kid", "reports", "--permissions", "read,write"]
    assert run.invoke(args=[*made, "--keys", "keys"]).exit_code == 0
    signed = ["fs", "keys", "token", "--kid", "reports", "--permissions", "read,write", "exports"]
    headers = {"x-os-auth": f"Bearer {run.invoke(args=signed).stdout.strip()}"}
    # What was made after it has started, it does not know.
    path = "/v1/objects/exports/_/a"
    assert example.test_client().put(path, headers=headers).status_code == 401
    restarted = application()
    client = restarted.test_client()
    assert client.put(path, data=b"x", headers=headers).status_code == 200
    assert client.get(path, headers=headers).data == b"x"
    FS().close(restarted)
    assert (tmp_path / "small.sqlite3").is_file()


def test_what_the_containers_refer_to_is_there() -> None:
    for service in SERVICES.values():
        build = service.get("build")
        if build is not None:
            context = build if isinstance(build, str) else build["context"]
            file = "Dockerfile" if isinstance(build, str) else build["dockerfile"]
            recipe = (EXAMPLE / context / file).read_text()
            for sources in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE):
                assert all((EXAMPLE / context / source).exists() for source in sources.split())
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()
        named = {each.partition(":")[0] for each in service["volumes"] if each[0] != "."}
        assert named <= COMPOSE["volumes"].keys()
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "its passwords are public"


def test_gunicorn_takes_what_the_container_tells_it() -> None:
    recipe = (EXAMPLE / "Dockerfile").read_text().replace("\\\n", "")
    [words] = re.findall(r"^CMD \[(.+)\]$", recipe, re.MULTILINE)
    command = [word.strip(' "') for word in words.split(",")]
    checked = [sys.executable, "-m", *command[:1], "--check-config", "flask:Flask", *command[2:]]
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    subprocess.run(checked, check=True, env=environment, cwd=EXAMPLE, timeout=60)


def test_the_commands_of_its_readme_are_commands(example: Flask) -> None:
    text = (EXAMPLE / "README.md").read_text().replace("\\\n", "")
    found = [shlex.split(words) for words in COMMAND.findall(text)]
    assert len(found) >= 4
    for words in found:
        given = [word for word in words if word.startswith("--")]
        at = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
        told = example.test_cli_runner().invoke(args=[*words[:at], "--help"])
        assert told.exit_code == 0
        assert all(option in told.output for option in given), words
