"""Fixtures for your own tests: a real Swift, the settings for it, and failures on demand.

In the ``conftest.py`` at the top of your tests::

    pytest_plugins = ["flask_fs_swift.testing"]

and then::

    def test_a_lost_answer_is_asked_for_again(app, swift_settings, swift_faults):
        app.config.update(swift_settings)
        swift_faults.add("status", method="PUT", status=503)
        ...

The Swift is a development server in a temporary directory, one for the whole run. To run the
same tests against another Swift, set ``SWIFT_TEST_AUTHURL``, ``SWIFT_TEST_USER``,
``SWIFT_TEST_KEY`` and, where it needs them, ``SWIFT_TEST_AUTH_VERSION`` (default 3) and
``SWIFT_TEST_OS_OPTIONS`` (JSON). That one does not fail on demand: tests which ask for
``swift_faults`` are skipped.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift.devserver import DevServer, Faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class ForeignSwift:
    """A Swift that somebody else runs. It has the facts of a :class:`DevServer` for logging in."""

    auth_url: str
    user: str
    key: str
    auth_version: str
    os_options: Mapping[str, Any]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ForeignSwift | None:
        """Read it from ``SWIFT_TEST_*``; None when there is no ``SWIFT_TEST_AUTHURL``."""
        if not environment.get("SWIFT_TEST_AUTHURL"):
            return None
        return cls(
            auth_url=environment["SWIFT_TEST_AUTHURL"],
            user=environment.get("SWIFT_TEST_USER", ""),
            key=environment.get("SWIFT_TEST_KEY", ""),
            auth_version=environment.get("SWIFT_TEST_AUTH_VERSION", "3"),
            os_options=json.loads(environment.get("SWIFT_TEST_OS_OPTIONS", "{}")),
        )


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer | ForeignSwift]:
    """Lend a Swift for the whole run: a development server, or the one in ``SWIFT_TEST_*``."""
    foreign = ForeignSwift.from_environment(os.environ)
    if foreign is not None:
        yield foreign
        return
    with DevServer.start(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def swift_settings(swift_server: DevServer | ForeignSwift) -> dict[str, Any]:
    """Return what ``app.config`` needs for the Swift of the run."""
    settings: dict[str, Any] = {
        "FS_BACKEND": "swift",
        "FS_SWIFT_AUTHURL": swift_server.auth_url,
        "FS_SWIFT_USER": swift_server.user,
        "FS_SWIFT_KEY": swift_server.key,
        "FS_SWIFT_AUTH_VERSION": "1",
        "FS_SWIFT_CREATE_CONTAINER": True,
    }
    if isinstance(swift_server, ForeignSwift):
        settings["FS_SWIFT_AUTH_VERSION"] = swift_server.auth_version
        if swift_server.os_options:
            settings["FS_SWIFT_OS_OPTIONS"] = dict(swift_server.os_options)
    return settings


@pytest.fixture
def swift_faults(swift_server: DevServer | ForeignSwift) -> Iterator[Faults]:
    """Lend the failures of the run's Swift; there are none before and after a test."""
    if isinstance(swift_server, ForeignSwift):
        pytest.skip("the Swift in SWIFT_TEST_AUTHURL does not fail on demand")
    swift_server.faults.clear()
    yield swift_server.faults
    swift_server.faults.clear()
