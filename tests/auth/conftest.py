"""A Keystone, and what it vouches for: two Swifts, two domains, two regions."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.devserver import DevServer

from .identity import ADMIN, ADMIN_PASSWORD, REGION, Keystone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "demo-s-password"
CAROLS_PASSWORD = "carol-s-password"
OTHER_REGION = "RegionTwo"


@dataclass(frozen=True)
class Cloud:
    """A Keystone and two Swifts that trust it. The other Swift has the internal endpoint of
    the first region, and the public one of the other: each says where a request went.
    """

    keystone: Keystone
    swift: DevServer
    other_swift: DevServer
    #: Of the domain ``corp``; the users are ``demo`` of the project ``demo`` in ``Default``,
    #: and ``carol`` of the project ``web`` in ``corp``.
    corp: str
    demo_project: str
    #: The id and the secret of an application credential of ``demo``, called ``uploads``.
    credential: tuple[str, str]


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A Swift that has tempauth, also where the rest of the run has another."""
    with DevServer.start(tmp_path_factory.mktemp("tempauth")) as server:
        yield server


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with (
        Keystone(tmp_path_factory.mktemp("keystone")) as keystone,
        _swift(tmp_path_factory.mktemp("swift"), keystone) as swift,
        _swift(tmp_path_factory.mktemp("other"), keystone) as other_swift,
    ):
        yield _fill(keystone, swift, other_swift)


def _swift(directory: Path, keystone: Keystone) -> DevServer:
    return DevServer.start(
        directory,
        settings={
            "auth": "keystone",
            "keystone.url": keystone.url.removesuffix("/v3"),
            "keystone.user": ADMIN,
            "keystone.project": ADMIN,
            "keystone.password": ADMIN_PASSWORD,
            # Otherwise a revoked token is good for another five minutes.
            "authtoken.token_cache_time": "-1",
        },
    )


def _fill(keystone: Keystone, swift: DevServer, other_swift: DevServer) -> Cloud:
    demo_project = keystone.create("project", name="demo", domain_id="default")
    demo = keystone.create("user", name="demo", password=PASSWORD, domain_id="default")
    keystone.grant("member", demo, demo_project)
    corp = keystone.create("domain", name="corp")
    web = keystone.create("project", name="web", domain_id=corp)
    carol = keystone.create("user", name="carol", password=CAROLS_PASSWORD, domain_id=corp)
    keystone.grant("member", carol, web)
    keystone.create("region", id=OTHER_REGION)
    service = keystone.create("service", type="object-store", name="swift")
    for region, interface, server in (
        (REGION, "public", swift),
        (REGION, "internal", other_swift),
        (OTHER_REGION, "public", other_swift),
        (OTHER_REGION, "internal", swift),
    ):
        keystone.create(
            "endpoint",
            service_id=service,
            region_id=region,
            interface=interface,
            url=server.storage_url + "%(project_id)s",
        )
    created = keystone.ask(
        "POST",
        f"/users/{demo}/application_credentials",
        {"application_credential": {"name": "uploads"}},
        **{"X-Auth-Token": keystone.log_in("demo", PASSWORD, "demo")},
    )["application_credential"]
    return Cloud(
        keystone, swift, other_swift, corp, demo_project, (created["id"], created["secret"])
    )


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The records of every logger, whatever their level."""
    caplog.set_level(logging.DEBUG)
    return caplog
