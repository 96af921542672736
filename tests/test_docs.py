"""The documentation, held against the code: its examples run, nothing is left out.

A page's ```` ```python ```` blocks are run in their order, in one namespace, with the Swift of
the run in the environment. The first line of a block can say that it is something else:

``# settings.py``  settings, which must be accepted as they stand
``# test_*.py``    a file, as are all others that begin with a file's name: the files of a page
                   are written into one folder. Tests are run by pytest there.
``# not run: …``   a block that needs what is not here. ``NOT_RUN`` counts them.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from flask import Flask

from flask_fs_swift import FS, ConfigError, errors, storage
from flask_fs_swift.api.server.commands import serve
from flask_fs_swift.config import (
    _ANY_BACKEND,
    _STORAGE_ONLY,
    _SWIFT,
    _TIERED,
    StorageSettings,
    read_settings,
)
from flask_fs_swift.devserver.datadir import DataDirectory
from flask_fs_swift.devserver.sharing import leave

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    **{
        str(path.relative_to(DOCS)): path.read_text()
        for path in [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("service/*.md"))]
    },
    "README.md": (ROOT / "README.md").read_text(),
}
#: How many blocks of a page are not run.
NOT_RUN = {"recipes.md": 2}  # They need a Redis, and prometheus_client.

GOOD = {
    "FS_SWIFT_AUTHURL": "https://keystone.example",
    "FS_SWIFT_USER": "u",
    "FS_SWIFT_KEY": "k",
}


@dataclass(frozen=True)
class Block:
    """One example."""

    page: str
    #: Where its first line is on its page.
    line: int
    code: str

    @property
    def label(self) -> str | None:
        """What its first line says that it is; None: a part of the page's program."""
        found = re.match(r"# (not run|[\w.]+\.py)\b", self.code)
        return found and found[1]

    def run(self, namespace: dict[str, Any]) -> None:
        """Run it so that a failure names the page and the line."""
        exec(compile("\n" * (self.line - 1) + self.code, self.page, "exec"), namespace)


def blocks_of(page: str) -> list[Block]:
    return [
        Block(page, PAGES[page].count("\n", 0, found.start(1)) + 1, found[1])
        for found in re.finditer(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
WITH_A_PROGRAM = sorted({block.page for block in BLOCKS if block.label is None})
WITH_TESTS = sorted({block.page for block in BLOCKS if (block.label or "").startswith("test_")})
SETTINGS = [block for block in BLOCKS if block.label == "settings.py"]
CONFIGURATION = [block for block in BLOCKS if block.label == "gunicorn.conf.py"]


def test_every_example_is_run_or_counted() -> None:
    fences = sum(
        len(re.findall(r"^\s*```+ *(\{[^}]*\} *)?py", text, re.MULTILINE))
        for text in PAGES.values()
    )
    assert fences == len(BLOCKS)
    not_run = [block.page for block in BLOCKS if block.label == "not run"]
    assert {page: not_run.count(page) for page in not_run} == NOT_RUN
    labels = {block.label for block in BLOCKS if block.page not in WITH_TESTS}
    assert labels == {None, "not run", "settings.py", "gunicorn.conf.py"}


@pytest.fixture
def environment(
    swift_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """A working directory, and the Swift of the run in the environment, as the pages expect."""
    for key, value in swift_settings.items():
        monkeypatch.setenv(f"FLASK_{key}", json.dumps(value))
        monkeypatch.setenv(f"FLASK_{key.replace('SWIFT_', 'OPENSTACK_')}", json.dumps(value))
    for name in ("FILES", "AVATARS"):
        monkeypatch.setenv(f"FLASK_{name}_FS_CONTAINER", f"t{secrets.token_hex(6)}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def namespace(environment: Path) -> Iterator[dict[str, Any]]:
    """What a page's blocks share; afterwards its applications and its own Swift end."""
    names: dict[str, Any] = {"__name__": "app"}
    yield names
    for value in names.values():
        if isinstance(value, Flask) and storage.EXTENSION in value.extensions:
            FS().close(value)
        if type(value).__module__ == "flask_fs.storage":
            value.backend.close()
    leave(DataDirectory((environment / "instance" / "swift").resolve()))


@pytest.mark.parametrize("page", WITH_A_PROGRAM)
def test_a_pages_program_runs(page: str, namespace: dict[str, Any]) -> None:
    for block in blocks_of(page):
        if block.label is None:
            block.run(namespace)


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: f"{block.page}:{block.line}")
def test_settings_are_accepted(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    block.run(names)
    config = {key: value for key, value in names.items() if key.isupper()}
    if "FS_SWIFT_AUTHURL" not in config:
        config |= GOOD
    own = {found[1].lower() for key in config if (found := re.match(r"(\w+?)_FS_", key))}
    for name in own | {"files"}:
        settings = read_settings(config, name, "/instance").swift
        assert settings is not None
        assert settings.login.credentials.authurl == config["FS_SWIFT_AUTHURL"]


@pytest.mark.parametrize("block", CONFIGURATION, ids=lambda block: f"{block.page}:{block.line}")
def test_configuration_of_others_is_python(block: Block) -> None:
    block.run({})


def environment_without_flask() -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if name[:6] != "FLASK_"}
    return {**others, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", WITH_TESTS)
def test_a_pages_tests_pass(page: str, environment: Path) -> None:
    for block in blocks_of(page):
        if block.label not in {None, "not run"}:
            (environment / str(block.label)).write_text(block.code)
    (environment / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\npythonpath = .\n")
    written = len(list(environment.glob("test_*.py")))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(environment)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment_without_flask(),
    )
    assert ended.returncode == 0, ended.stdout
    assert f"{written} passed" in ended.stdout


# The settings page against config.py.


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the cells of each table's row that begins with a name in capitals, by that name."""
    found = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", PAGES[page], re.MULTILINE)
    rows = {key: cells.split(" | ") for key, cells in found}
    assert len(rows) == len(found), "a key has two rows"
    return rows


def true_defaults() -> dict[str, object]:
    settings = read_settings(GOOD, "files", "/instance")
    swift = settings.swift
    assert swift is not None
    login, retrying = swift.login, swift.retrying
    tiered = read_settings({**GOOD, "FS_BACKEND": "tiered"}, "files", "/instance").tiered
    assert tiered is not None
    return {
        "BACKEND": settings.backend,
        "MAX_SIZE": settings.max_size,
        "URL": settings.url,
        "CACHE_CONTROL": settings.cache_control,
        "SERVE_INLINE": settings.serve_inline,
        "ALLOW": settings.allow,
        "DENY": settings.deny,
        "AUTH_VERSION": login.credentials.auth_version,
        "TENANT_NAME": dict(login.credentials.os_options).get("tenant_name"),
        "REGION_NAME": dict(login.credentials.os_options).get("region_name"),
        "OS_OPTIONS": dict(login.credentials.os_options),
        "CACERT": login.credentials.cacert,
        "INSECURE": login.credentials.insecure,
        "POOL_SIZE": login.pool_size,
        "POOL_TIMEOUT": login.pool_timeout,
        "BULK_SHARE": login.bulk_share,
        "BULK_CEILING": login.bulk_ceiling,
        "CERT": login.credentials.cert,
        "CERT_KEY": login.credentials.cert_key,
        "PROXY": login.credentials.proxy,
        "TRANSPORT": login.transport,
        "TIMEOUT": login.timeout,
        "TOKEN_CACHE": login.token_cache,
        "CREATE_CONTAINER": swift.create_container,
        "DEADLINE": retrying.deadline,
        "RETRIES": retrying.retries,
        "BACKOFF": retrying.backoff,
        "ETAG_MISMATCH_POLICY": swift.etag_mismatch_policy,
        "SEGMENT_SIZE": swift.segment_size,
        "SEGMENT_CONCURRENCY": swift.segment_concurrency,
        "TEMPORARY_URL_KEY": swift.temporary_url_key,
        "THRESHOLD": tiered.threshold,
        "LEASE": tiered.lease,
        "UPLOAD_LIFETIME": tiered.upload_lifetime,
        "RECOVERY_INTERVAL": tiered.recovery_interval,
    }


def test_every_setting_is_documented_with_its_default_unit_and_meaning() -> None:
    rows = rows_of("settings.md")
    assert set(rows) == {*_SWIFT, *_ANY_BACKEND, *_STORAGE_ONLY, *_TIERED}
    defaults = true_defaults()
    for key, (default, unit, meaning) in rows.items():
        assert unit, key
        assert meaning.endswith("."), key
        if key == "CONTAINER":
            assert default == "the storage's name"
        elif key == "DATABASE":
            assert default == "a SQLite file"
        elif default == "needed":
            with pytest.raises(ConfigError):
                read_settings({**GOOD, f"FS_SWIFT_{key}": None}, "files", "/instance")
            assert key not in defaults
        else:
            assert (key, ast.literal_eval(default.strip("`"))) == (key, defaults.pop(key))
    assert defaults == {}


def test_each_setting_may_stand_where_the_documentation_says() -> None:
    page = PAGES["settings.md"]
    own = page.partition("## For one storage only")[2].partition("\n## ")[0]
    for key in rows_of("settings.md"):
        assert (f"| `{key}` |" in own) == (key in _STORAGE_ONLY)
        assert isinstance(read(f"FILES_FS_{key}"), StorageSettings)
        if key in _STORAGE_ONLY:
            with pytest.raises(ConfigError, match="is no setting"):
                read(f"FS_SWIFT_{key}")
        else:
            shared = "FS_TIERED" if key in _TIERED else "FS_SWIFT"
            assert isinstance(read(f"{shared}_{key}"), StorageSettings)


def read(key: str) -> StorageSettings:
    """Read settings of which one stands under this key, with its default or a good value."""
    name = re.sub("^(FS_SWIFT|FS_TIERED|FILES_FS)_", "", key)
    value = GOOD.get(f"FS_SWIFT_{name}", true_defaults().get(name))
    backend = "tiered" if name in _TIERED else "swift"
    return read_settings({**GOOD, "FS_BACKEND": backend, key: value}, "files", "/instance")


# The errors page against errors.py.

ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.FSError)
}


def section(name: str) -> str:
    """Return what the errors page says under an error's heading."""
    found = re.search(
        rf"^### {name}\n(.*?)(?=^##|\Z)", PAGES["errors.md"], re.MULTILINE | re.DOTALL
    )
    assert found, f"{name} has no section"
    return found[1]


def test_the_errors_page_has_a_section_for_each_error_and_for_nothing_else() -> None:
    headings = re.findall(r"^### (\w+)$", PAGES["errors.md"], re.MULTILINE)
    assert headings == list(ERRORS)


def test_the_tree_of_errors_is_the_true_one() -> None:
    tree = PAGES["errors.md"].partition("```text\n")[2].partition("```")[0].splitlines()
    shown, above = {}, [""]
    for line in tree:
        *branches, name = line.split()
        del above[len(branches) :]
        shown[name] = above[-1] if branches else None
        above.append(name)
    assert list(shown) == list(ERRORS)
    for name, parent in shown.items():
        ours = [base.__name__ for base in ERRORS[name].__bases__ if base.__name__ in ERRORS]
        assert ours == ([parent] if parent else [])


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_told_with_its_attributes_and_other_bases(name: str) -> None:
    kind, text = ERRORS[name], section(name)
    if kind is not errors.FSError:
        inherited = inspect.signature(kind.__bases__[0]).parameters
        for parameter in inspect.signature(kind).parameters.keys() - inherited.keys():
            assert f"`{parameter}`" in text
    assert kind.http_status is None or f"`http_status` {kind.http_status}" in text
    for base in kind.__bases__:
        if base is not Exception and base.__name__ not in ERRORS:
            full = (
                base.__name__ if base.__module__ == "builtins" else f"swiftclient.{base.__name__}"
            )
            assert f"Also a `{full}`" in text


def test_what_every_error_has_is_told_once_for_all() -> None:
    everything = PAGES["errors.md"].partition("## The tree")[0]
    for attribute in ("filename", "maybe_applied", "http_status", "__cause__"):
        assert f"\n`{attribute}`\n" in everything


# The pages against each other.


def test_links_between_pages_lead_somewhere() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+\.md)", text):
            folder = ROOT if page == "README.md" else (DOCS / page).parent
            assert (folder / target).is_file(), f"{page}: {target}"


# The page of the service against its command.


def test_every_option_of_serve_is_documented() -> None:
    table = PAGES["service/index.md"].partition("| option |")[2].partition("\n\n")[0]
    shown = re.findall(r"^\| `(--[a-z-]+)` \| *`?([^|`]*?)`? *\|", table, re.MULTILINE)
    options = {each.opts[0]: each for each in serve.params if isinstance(each, click.Option)}
    assert dict(shown).keys() == options.keys()
    for option, default in shown:
        if default not in {"", "as set"}:
            given = options[option].default
            assert default == str(given[0] if isinstance(given, list) else given), option
