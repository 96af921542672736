"""The fixtures that users' own suites are lent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.testing import ForeignSwift

if TYPE_CHECKING:
    from flask_fs_swift.devserver import DevServer

CONFTEST = 'pytest_plugins = ["flask_fs_swift.testing"]'
SUITE = """
import swiftclient

def connect(settings):
    return swiftclient.Connection(
        settings["FS_SWIFT_AUTHURL"],
        settings["FS_SWIFT_USER"],
        settings["FS_SWIFT_KEY"],
        auth_version=settings["FS_SWIFT_AUTH_VERSION"],
        retries=0,
    )

def status(connection):
    try:
        connection.head_account()
    except swiftclient.ClientException as error:
        return error.http_status
    return 200

def test_the_settings_lead_to_a_swift(swift_server, swift_settings):
    assert swift_settings["FS_BACKEND"] == "swift"
    assert swift_settings["FS_SWIFT_CREATE_CONTAINER"] is True
    assert swift_settings["FS_SWIFT_AUTHURL"] == swift_server.auth_url
    connection = connect(swift_settings)
    assert status(connection) == 200
    connection.close()

def test_a_fault_strikes(swift_faults, swift_settings):
    connection = connect(swift_settings)
    swift_faults.add("status", method="HEAD", status=418, times=-1)
    assert status(connection) == 418
    connection.close()

def test_a_fault_ends_with_its_test(swift_settings):
    connection = connect(swift_settings)
    assert status(connection) == 200
    connection.close()
"""


def run_suite(directory: Path, **environment: str) -> str:
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-rs", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment
    run = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    return run.stdout


def test_a_suite_runs_on_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWIFT_TEST_AUTHURL", raising=False)
    assert "3 passed" in run_suite(tmp_path)


def test_a_suite_runs_on_the_swift_it_is_told(tmp_path: Path, server: DevServer) -> None:
    server.faults.forget()
    output = run_suite(
        tmp_path,
        SWIFT_TEST_AUTHURL=server.auth_url,
        SWIFT_TEST_USER=server.user,
        SWIFT_TEST_KEY=server.key,
        SWIFT_TEST_AUTH_VERSION="1",
    )
    assert "2 passed, 1 skipped" in output
    assert "does not fail on demand" in output
    assert [entry.method for entry in server.faults.requests()].count("HEAD") == 2


def test_a_foreign_swift_speaks_keystone_v3_unless_told_otherwise() -> None:
    options = {"project_name": "p", "user_domain_name": "Default"}
    environment = {"SWIFT_TEST_AUTHURL": "https://x", "SWIFT_TEST_OS_OPTIONS": json.dumps(options)}
    foreign = ForeignSwift.from_environment(environment)
    assert foreign is not None
    assert (foreign.auth_version, foreign.os_options) == ("3", options)


@pytest.mark.parametrize("environment", [{}, {"SWIFT_TEST_AUTHURL": ""}])
def test_without_an_address_there_is_no_foreign_swift(environment: dict[str, str]) -> None:
    assert ForeignSwift.from_environment(environment) is None
