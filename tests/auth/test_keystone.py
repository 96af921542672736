"""Authentication with Keystone v3, by a real Keystone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import AuthFailed

from .conftest import CAROLS_PASSWORD, OTHER_REGION, PASSWORD, Cloud
from .identity import REGION
from .leaks import assert_unnamed, assert_untold, loggers
from .tokens import advance_clock, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer

# Installing Keystone, once, may take longer than a test.
pytestmark = [pytest.mark.keystone, pytest.mark.timeout(600)]


@pytest.fixture
def swift_settings(cloud: Cloud) -> dict[str, Any]:
    """What ``make_storage`` begins with: user and project ``demo``, in the default domain."""
    for server in (cloud.swift, cloud.other_swift):
        server.faults.clear()
        server.faults.forget()
    return {
        "FS_BACKEND": "swift",
        "FS_SWIFT_AUTHURL": cloud.keystone.url,
        "FS_SWIFT_USER": "demo",
        "FS_SWIFT_KEY": PASSWORD,
        "FS_SWIFT_TENANT_NAME": "demo",
        "FS_SWIFT_REGION_NAME": REGION,
        "FS_SWIFT_CREATE_CONTAINER": True,
    }


def works(storage: Storage) -> bool:
    """Tell whether what is written can be read back."""
    storage.write("a.txt", b"content", overwrite=True)
    return storage.read("a.txt") == b"content"


def was_asked(server: DevServer) -> bool:
    return bool(server.faults.requests())


def tokens_seen_by(server: DevServer) -> list[str | None]:
    """Return the names of the tokens that came, in order, without repetitions."""
    return list(dict.fromkeys(request.token_id for request in server.faults.requests()))


def statuses_of(server: DevServer) -> set[int | None]:
    return {request.status for request in server.faults.requests()}


def test_a_user_is_of_the_default_domain_unless_told_otherwise(make_storage: MakeStorage) -> None:
    assert works(make_storage())


def test_domains_are_given_by_name(make_storage: MakeStorage) -> None:
    options = {"user_domain_name": "Default", "project_domain_name": "Default"}
    assert works(make_storage(os_options=options))


def test_domains_are_given_by_id(make_storage: MakeStorage) -> None:
    options = {"user_domain_id": "default", "project_domain_id": "default"}
    assert works(make_storage(os_options=options))


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_user_of_another_domain_logs_in(make_storage: MakeStorage, cloud: Cloud, by: str) -> None:
    domain = "corp" if by == "name" else cloud.corp
    options = {f"user_domain_{by}": domain, f"project_domain_{by}": domain}
    settings: dict[str, Any] = {"user": "carol", "key": CAROLS_PASSWORD, "tenant_name": "web"}
    assert works(make_storage(**settings, os_options=options))


def test_a_user_is_not_looked_for_in_other_domains(make_storage: MakeStorage) -> None:
    files = make_storage(user="carol", key=CAROLS_PASSWORD, tenant_name="web")
    with pytest.raises(AuthFailed, match="401"):
        files.exists("a.txt")


def test_the_region_chooses_the_endpoint(make_storage: MakeStorage, cloud: Cloud) -> None:
    assert works(make_storage())
    assert was_asked(cloud.swift)
    assert not was_asked(cloud.other_swift)
    cloud.swift.faults.forget()
    assert works(make_storage(region_name=OTHER_REGION))
    assert was_asked(cloud.other_swift)
    assert not was_asked(cloud.swift)


@pytest.mark.parametrize("spelled", ["internal", "internalURL"])
def test_the_internal_endpoint_is_used_when_asked_for(
    make_storage: MakeStorage, cloud: Cloud, spelled: str
) -> None:
    assert works(make_storage(os_options={"endpoint_type": spelled}))
    assert was_asked(cloud.other_swift)
    assert not was_asked(cloud.swift)


def test_a_storage_url_of_ones_own_beats_the_catalogue(
    make_storage: MakeStorage, cloud: Cloud
) -> None:
    url = cloud.other_swift.storage_url + cloud.demo_project
    assert works(make_storage(os_options={"object_storage_url": url}))
    assert was_asked(cloud.other_swift)
    assert not was_asked(cloud.swift)


def test_an_application_credential_needs_no_user(make_storage: MakeStorage, cloud: Cloud) -> None:
    identity, secret = cloud.credential
    options = {"application_credential_id": identity, "application_credential_secret": secret}
    nobody: dict[str, Any] = {"user": None, "key": None, "tenant_name": None}
    assert works(make_storage(**nobody, os_options=options))


def test_an_application_credential_has_a_name_within_its_user(
    make_storage: MakeStorage, cloud: Cloud
) -> None:
    _, secret = cloud.credential
    options = {"application_credential_name": "uploads", "user_domain_name": "Default"}
    assert works(make_storage(user="demo", key=secret, tenant_name=None, os_options=options))


def test_an_application_credential_ignores_the_user_and_the_project_beside_it(
    make_storage: MakeStorage, cloud: Cloud
) -> None:
    identity, secret = cloud.credential
    options = {"application_credential_id": identity, "application_credential_secret": secret}
    assert works(make_storage(user="nobody", tenant_name="nothing", os_options=options))


@pytest.mark.parametrize("key", ["project_name", "tenant_name"])
def test_os_options_beat_tenant_name(make_storage: MakeStorage, key: str) -> None:
    assert works(make_storage(tenant_name="no-such-project", os_options={key: "demo"}))


@pytest.mark.parametrize("key", ["project_id", "tenant_id"])
def test_a_project_id_beats_tenant_name(make_storage: MakeStorage, cloud: Cloud, key: str) -> None:
    options = {key: cloud.demo_project}
    assert works(make_storage(tenant_name="no-such-project", os_options=options))


def test_os_options_beat_region_name(make_storage: MakeStorage, cloud: Cloud) -> None:
    assert works(make_storage(region_name=REGION, os_options={"region_name": OTHER_REGION}))
    assert was_asked(cloud.other_swift)
    assert not was_asked(cloud.swift)


@pytest.mark.parametrize("ending", ["", "/", "/v3", "/v3/"])
def test_the_auth_url_may_end_with_the_version(
    make_storage: MakeStorage, cloud: Cloud, ending: str
) -> None:
    assert works(make_storage(authurl=cloud.keystone.url.removesuffix("/v3") + ending))


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"key": "not-the-password"}, 401, "401"),
        ({"tenant_name": "no-such-project"}, 401, "401"),
        ({"tenant_name": None}, None, "is its project set"),
        ({"region_name": "RegionThree"}, None, "RegionThree"),
        ({"os_options": {"endpoint_type": "admin"}}, None, "admin"),
    ],
    ids=["password", "project", "no project", "region", "interface"],
)
def test_what_keystone_does_not_have_is_said(
    make_storage: MakeStorage, cloud: Cloud, settings: dict[str, Any], status: int | None, says: str
) -> None:
    with pytest.raises(AuthFailed, match=says) as caught:
        make_storage(**settings).read("a.txt")
    assert caught.value.http_status == status
    assert cloud.keystone.url in str(caught.value)
    assert not caught.value.maybe_applied
    assert not was_asked(cloud.swift)


@pytest.mark.parametrize(
    "settings",
    [
        {"key": "not-the-password"},
        {"tenant_name": "no-such-project"},
        {"region_name": "RegionThree"},
    ],
    ids=["password", "project", "region"],
)
def test_an_authentication_that_failed_tells_no_password(
    make_storage: MakeStorage,
    everything_logged: pytest.LogCaptureFixture,
    settings: dict[str, Any],
) -> None:
    with pytest.raises(AuthFailed) as caught:
        make_storage(**settings).read("a.txt")
    assert loggers(everything_logged) >= {"keystoneauth", "urllib3"}
    assert_unnamed(caught.value, PASSWORD, "not-the-password")
    assert_untold(everything_logged, PASSWORD, "not-the-password")


def test_a_refused_secret_of_an_application_credential_is_not_told(
    make_storage: MakeStorage, cloud: Cloud, everything_logged: pytest.LogCaptureFixture
) -> None:
    wrong = "no-secret-of-keystone"
    options = {
        "application_credential_id": cloud.credential[0],
        "application_credential_secret": wrong,
    }
    files = make_storage(user=None, key=None, os_options=options)
    with pytest.raises(AuthFailed, match="401") as caught:
        files.read("a.txt")
    assert_unnamed(caught.value, wrong)
    assert_untold(everything_logged, wrong)


def test_no_log_has_the_password_or_the_token(
    make_storage: MakeStorage, everything_logged: pytest.LogCaptureFixture
) -> None:
    files = make_storage()
    assert works(files)
    assert loggers(everything_logged) >= {"keystoneauth", "urllib3", "swiftclient"}
    assert_untold(everything_logged, PASSWORD, token_of(files).value)


def test_no_log_has_the_secret_of_an_application_credential(
    make_storage: MakeStorage, cloud: Cloud, everything_logged: pytest.LogCaptureFixture
) -> None:
    identity, secret = cloud.credential
    options = {"application_credential_id": identity, "application_credential_secret": secret}
    files = make_storage(user=None, key=None, os_options=options)
    assert works(files)
    assert_untold(everything_logged, secret, token_of(files).value)


def test_a_revoked_token_is_renewed_and_the_operation_succeeds(
    make_storage: MakeStorage, cloud: Cloud, everything_logged: pytest.LogCaptureFixture
) -> None:
    files = make_storage()
    assert works(files)
    revoked = token_of(files).value
    cloud.swift.faults.forget()
    cloud.keystone.revoke(revoked)
    assert works(files)
    assert 401 in statuses_of(cloud.swift)
    assert len(tokens_seen_by(cloud.swift)) == 2
    assert_untold(everything_logged, revoked, token_of(files).value, PASSWORD)


@pytest.fixture
def tokens_of_100_seconds(cloud: Cloud) -> Iterator[None]:
    cloud.keystone.let_tokens_live(100)
    yield
    cloud.keystone.let_tokens_live(3600)


@pytest.mark.usefixtures("tokens_of_100_seconds")
def test_a_token_is_renewed_ahead_of_its_end(
    make_storage: MakeStorage, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_storage()
    assert works(files)
    advance_clock(monkeypatch, 85)
    assert works(files)
    assert len(tokens_seen_by(cloud.swift)) == 1
    advance_clock(monkeypatch, 95)
    assert works(files)
    assert len(tokens_seen_by(cloud.swift)) == 2
    assert 401 not in statuses_of(cloud.swift)


@pytest.mark.parametrize("seconds", [-7200, 7200], ids=["slow", "fast"])
def test_a_wrong_clock_costs_no_authentication(
    make_storage: MakeStorage, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    advance_clock(monkeypatch, seconds)
    files = make_storage()
    for _ in range(3):
        assert works(files)
    assert len(tokens_seen_by(cloud.swift)) == 1
    advance_clock(monkeypatch, seconds + 3500)
    assert works(files)
    assert len(tokens_seen_by(cloud.swift)) == 2
    assert 401 not in statuses_of(cloud.swift)


@pytest.mark.parametrize("key", [PASSWORD, "not-the-password"], ids=["right", "wrong"])
def test_what_stands_before_the_host_of_the_auth_url_is_not_told(
    make_storage: MakeStorage,
    cloud: Cloud,
    everything_logged: pytest.LogCaptureFixture,
    key: str,
) -> None:
    files = make_storage(
        authurl=cloud.keystone.url.replace("://", "://somebody:a-secret@"), key=key
    )
    if key == PASSWORD:
        assert works(files)
    else:
        with pytest.raises(AuthFailed, match="401") as caught:
            files.read("a.txt")
        assert cloud.keystone.url in str(caught.value)
        assert_unnamed(caught.value, "a-secret", "somebody")
    assert_untold(everything_logged, "a-secret", "somebody")
