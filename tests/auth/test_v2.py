"""Authentication by Keystone's v2 API, which some clouds still speak."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import AuthFailed

from .leaks import assert_unnamed, assert_untold
from .relay import Relay
from .tokens import token_of
from .v2_server import V2Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer


@pytest.fixture
def elsewhere(swift_server: DevServer) -> Iterator[Relay]:
    """Another address of the Swift: the second region is there."""
    with Relay(swift_server.url) as relay:
        yield relay


@pytest.fixture
def regions(swift_server: DevServer, elsewhere: Relay) -> dict[str, str]:
    return {"North": swift_server.storage_url, "South": f"{elsewhere.url}/v1/AUTH_test"}


@pytest.fixture
def service(swift_server: DevServer, regions: dict[str, str]) -> Iterator[V2Service]:
    with V2Service(swift_server, regions) as service:
        yield service


@pytest.fixture
def swift_settings(service: V2Service, swift_server: DevServer) -> dict[str, Any]:
    tenant, _, user = swift_server.user.partition(":")
    return {
        "FS_BACKEND": "swift",
        "FS_SWIFT_AUTHURL": service.url,
        "FS_SWIFT_USER": user,
        "FS_SWIFT_KEY": swift_server.key,
        "FS_SWIFT_TENANT_NAME": tenant,
        "FS_SWIFT_REGION_NAME": "North",
        "FS_SWIFT_AUTH_VERSION": "2",
        "FS_SWIFT_CREATE_CONTAINER": True,
    }


def works(storage: Storage) -> bool:
    """Tell whether what is written can be read back."""
    storage.write("a.txt", b"content", overwrite=True)
    return storage.read("a.txt") == b"content"


def test_the_tenant_is_given_by_name(make_storage: MakeStorage) -> None:
    assert works(make_storage())


def test_the_tenant_is_given_by_id(make_storage: MakeStorage) -> None:
    assert works(make_storage(tenant_name=None, os_options={"tenant_id": "id-of-test"}))


def test_a_tenant_id_beats_a_tenant_name(make_storage: MakeStorage) -> None:
    assert works(make_storage(tenant_name="nothing", os_options={"tenant_id": "id-of-test"}))


def test_the_region_chooses_the_endpoint(make_storage: MakeStorage, elsewhere: Relay) -> None:
    assert works(make_storage())
    assert elsewhere.connections == 0
    assert works(make_storage(region_name="South"))
    assert elsewhere.connections > 0


@pytest.mark.parametrize("tells_issue", [True, False], ids=["issue told", "issue untold"])
def test_the_end_of_the_token_is_known(
    make_storage: MakeStorage,
    swift_server: DevServer,
    regions: dict[str, str],
    tells_issue: bool,
) -> None:
    with V2Service(swift_server, regions, tells_issue=tells_issue) as service:
        files = make_storage(authurl=service.url)
        assert works(files)
    # Swift hands out the same token for a day.
    assert 0 < (token_of(files).expires or 0) - time.time() <= 86400


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"key": "not-the-key"}, "401"),
        ({"tenant_name": "nothing"}, "401"),
        ({"region_name": "West"}, "West"),
    ],
    ids=["key", "tenant", "region"],
)
def test_what_the_service_does_not_have_is_said(
    make_storage: MakeStorage,
    service: V2Service,
    everything_logged: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(AuthFailed, match=says) as caught:
        make_storage(**settings).read("a.txt")
    assert service.url in str(caught.value)
    assert_unnamed(caught.value, "not-the-key")
    assert_untold(everything_logged, "not-the-key")


def test_no_log_has_the_token(
    make_storage: MakeStorage, everything_logged: pytest.LogCaptureFixture
) -> None:
    files = make_storage()
    assert works(files)
    assert_untold(everything_logged, token_of(files).value)
