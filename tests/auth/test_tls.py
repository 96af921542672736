"""Certificates: whom we trust, and what we say about those we do not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.exceptions import InsecureRequestWarning

from flask_fs_swift import AuthFailed, SwiftUnavailable, tls
from flask_fs_swift.devserver import DevServer

from .certificates import Authority
from .conftest import PASSWORD, Cloud
from .leaks import assert_unnamed, assert_untold
from .relay import Relay, answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeStorage


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A Swift that tells its clients to come back by https."""
    settings = {"tempauth.storage_url_scheme": "https"}
    with DevServer.start(tmp_path_factory.mktemp("swift"), settings=settings) as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def relay(swift: DevServer, authority: Authority) -> Iterator[Relay]:
    with Relay(swift.url, tls=authority.server()) as relay:
        yield relay


@pytest.fixture
def swift_settings(swift: DevServer, relay: Relay) -> dict[str, Any]:
    return {
        "FS_BACKEND": "swift",
        "FS_SWIFT_AUTHURL": f"{relay.url}/auth/v1.0",
        "FS_SWIFT_USER": swift.user,
        "FS_SWIFT_KEY": swift.key,
        "FS_SWIFT_AUTH_VERSION": "1",
        "FS_SWIFT_CREATE_CONTAINER": True,
    }


@pytest.fixture(params=["", "another"], ids=["no bundle", "a bundle"])
def environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An environment that names no certificates for requests, or those of somebody else."""
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    if request.param:
        bundle = Authority(tmp_path, request.param).file
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))


@pytest.mark.usefixtures("environment")
def test_the_authority_in_cacert_is_trusted(
    make_storage: MakeStorage, authority: Authority
) -> None:
    files = make_storage(cacert=str(authority.file))
    files.write("a.txt", b"content")
    assert files.read("a.txt") == b"content"


@pytest.mark.usefixtures("environment")
def test_another_authority_is_refused_at_once(
    make_storage: MakeStorage,
    relay: Relay,
    swift: DevServer,
    tmp_path: Path,
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    files = make_storage(cacert=str(Authority(tmp_path, "theirs").file))
    url = re.escape(f"{relay.url}/auth/v1.0")
    with pytest.raises(AuthFailed, match=f"{url} is not trusted: .*verify failed") as caught:
        files.read("a.txt")
    assert relay.connections == 1
    assert_unnamed(caught.value, swift.key)
    assert_untold(everything_logged, swift.key)


def test_without_cacert_the_systems_authorities_are_asked(
    make_storage: MakeStorage, relay: Relay
) -> None:
    with pytest.raises(AuthFailed, match="is not trusted"):
        make_storage().read("a.txt")
    assert relay.connections == 1


def test_a_certificate_of_another_address_is_refused_at_once(
    make_storage: MakeStorage, swift: DevServer, authority: Authority
) -> None:
    with Relay(swift.url, tls=authority.server("127.0.0.2")) as elsewhere:
        files = make_storage(authurl=f"{elsewhere.url}/auth/v1.0", cacert=str(authority.file))
        with pytest.raises(AuthFailed, match=r"is not trusted: .*127\.0\.0\.1"):
            files.read("a.txt")
        assert elsewhere.connections == 1


def test_a_swift_that_is_not_trusted_is_sent_nothing_more(
    make_storage: MakeStorage, relay: Relay, swift: DevServer, tmp_path: Path
) -> None:
    swift.faults.forget()
    token = answer("200 OK", X_Storage_Url=f"{relay.url}/v1/AUTH_test", X_Auth_Token="anything")
    with Relay(swift.url, answers=[token]) as auth:
        files = make_storage(authurl=auth.url, cacert=str(Authority(tmp_path, "theirs").file))
        with pytest.raises(SwiftUnavailable, match="certificate verify failed"):
            files.write("a.txt", b"content")
    assert relay.connections == 1
    assert not swift.faults.requests()


@pytest.mark.usefixtures("environment")
def test_insecure_works_and_warns(
    make_storage: MakeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    tls._context.cache_clear()  # One that is shared has warned already.
    files = make_storage(insecure=True)
    with pytest.warns(InsecureRequestWarning, match="Unverified HTTPS request"):
        files.write("a.txt", b"content")  # Over requests: the authentication.
    assert "INSECURE" in caplog.text  # Over our transport: what follows.
    assert files.read("a.txt") == b"content"


@pytest.mark.usefixtures("environment")
def test_insecure_works_and_warns_over_requests(make_storage: MakeStorage) -> None:
    files = make_storage(insecure=True, transport="requests")
    with pytest.warns(InsecureRequestWarning, match="Unverified HTTPS request"):
        files.write("a.txt", b"content")
    with pytest.warns(InsecureRequestWarning, match="Unverified HTTPS request"):
        assert files.read("a.txt") == b"content"


@pytest.fixture
def keystone_settings(cloud: Cloud, authority: Authority) -> Iterator[dict[str, Any]]:
    """The settings of a Keystone behind TLS."""
    with Relay(cloud.keystone.url, tls=authority.server()) as relay:
        yield {
            "authurl": f"{relay.url}/v3",
            "auth_version": "3",
            "user": "demo",
            "key": PASSWORD,
            "tenant_name": "demo",
        }


@pytest.mark.keystone
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("environment")
def test_keystone_is_trusted_by_cacert(
    make_storage: MakeStorage, keystone_settings: dict[str, Any], authority: Authority
) -> None:
    files = make_storage(**keystone_settings, cacert=str(authority.file))
    files.write("a.txt", b"content")
    assert files.read("a.txt") == b"content"


@pytest.mark.keystone
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("environment")
def test_a_keystone_that_is_not_trusted_is_told_no_password(
    make_storage: MakeStorage, keystone_settings: dict[str, Any], tmp_path: Path
) -> None:
    files = make_storage(**keystone_settings, cacert=str(Authority(tmp_path, "theirs").file))
    with pytest.raises(AuthFailed, match=r"is not trusted: .*verify failed") as caught:
        files.read("a.txt")
    assert_unnamed(caught.value, PASSWORD)


@pytest.mark.keystone
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("environment")
def test_keystone_may_be_insecure(
    make_storage: MakeStorage, keystone_settings: dict[str, Any]
) -> None:
    files = make_storage(**keystone_settings, insecure=True)
    with pytest.warns(InsecureRequestWarning):
        files.write("a.txt", b"content")
    assert files.read("a.txt") == b"content"
