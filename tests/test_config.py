"""Settings: which are known, what they must be, which one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cachelib import SimpleCache
from flask import Flask

from flask_fs_swift import FS, ConfigError, Storage
from flask_fs_swift.config import StorageSettings, SwiftSettings, read_settings
from flask_fs_swift.login import Login

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "FS_SWIFT_AUTHURL": "https://keystone.example/v3",
    "FS_SWIFT_USER": "user",
    "FS_SWIFT_KEY": "s3cret",
}


def read(**config: object) -> StorageSettings:
    return read_settings({**GOOD, **config}, "files", "/instance")


def swift(**config: object) -> SwiftSettings:
    settings = read(**config).swift
    assert settings is not None
    return settings


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = swift()
    login, retrying = settings.login, settings.retrying
    assert (login.pool_size, login.pool_timeout, login.timeout) == (20, 30, 60)
    assert (retrying.deadline, retrying.retries, retrying.backoff) == (300, 5, 0.5)
    assert (settings.container, settings.create_container) == ("files", False)
    assert settings.etag_mismatch_policy == "log"
    assert login.credentials.auth_version == "3"
    assert (read().max_size, read().url, read().backend) == (None, None, "swift")


def test_a_storages_own_setting_beats_the_backends() -> None:
    config = {"FS_SWIFT_POOL_SIZE": 5, "FILES_FS_POOL_SIZE": 7, "FILES_FS_CONTAINER": "other"}
    assert swift(**config).login.pool_size == 7
    assert swift(**config).container == "other"


def test_none_means_the_default() -> None:
    assert swift(FS_SWIFT_POOL_SIZE=None).login.pool_size == 20


def test_os_options_are_merged_over_tenant_and_region() -> None:
    settings = swift(
        FS_SWIFT_TENANT_NAME="tenant",
        FS_SWIFT_REGION_NAME="region",
        FS_SWIFT_OS_OPTIONS={"region_name": "other", "user_domain_name": "corp"},
    )
    assert dict(settings.login.credentials.os_options) == {
        "tenant_name": "tenant",
        "region_name": "other",
        "user_domain_name": "corp",
    }


@pytest.mark.parametrize("version", [1, "1", 1.0, "1.0"])
def test_the_auth_version_may_be_a_number(version: object) -> None:
    assert swift(FS_SWIFT_AUTH_VERSION=version).login.credentials.auth_version == "1"


def test_an_application_credential_needs_no_user() -> None:
    options = {"application_credential_id": "id", "application_credential_secret": "secret"}
    config = {"FS_SWIFT_AUTHURL": GOOD["FS_SWIFT_AUTHURL"], "FS_SWIFT_OS_OPTIONS": options}
    settings = read_settings(config, "files", "/instance").swift
    assert settings is not None
    assert settings.login.credentials.user is None


def test_embedded_needs_no_credentials() -> None:
    settings = read_settings({"FS_SWIFT_AUTHURL": "embedded"}, "files", "/instance").swift
    assert settings is not None
    assert str(settings.login.credentials.embedded_in) == "/instance/swift"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("FS_SWIFT_POOLSIZE", 5, "nearest is FS_SWIFT_POOL_SIZE"),
        ("FILES_FS_POLICY", "log", "nearest is FILES_FS_"),
        ("FS_SWIFT_POOL_SIZE", "5", "a whole number, 1 or more, not '5'"),
        ("FS_SWIFT_POOL_SIZE", True, "a whole number"),
        ("FS_SWIFT_POOL_SIZE", 0, "1 or more"),
        ("FS_SWIFT_RETRIES", -1, "0 or more"),
        ("FS_SWIFT_RETRIES", 1.5, "a whole number"),
        ("FS_SWIFT_TIMEOUT", 0, "seconds above 0"),
        ("FS_SWIFT_TIMEOUT", float("inf"), "seconds above 0"),
        ("FS_SWIFT_TIMEOUT", float("nan"), "seconds above 0"),
        ("FS_SWIFT_TIMEOUT", "60", "seconds above 0"),
        ("FS_SWIFT_DEADLINE", -1, "seconds above 0"),
        ("FS_SWIFT_POOL_TIMEOUT", None.__class__, "seconds above 0"),
        ("FS_SWIFT_ETAG_MISMATCH_POLICY", "ignore", "'log' or 'raise' or 'raise_and_delete'"),
        ("FS_SWIFT_AUTH_VERSION", 4, "1, 2 or 3"),
        ("FS_SWIFT_AUTHURL", "keystone.example", "an http or https URL, or 'embedded'"),
        ("FS_SWIFT_AUTHURL", "", "not empty"),
        ("FS_SWIFT_USER", 7, "a string"),
        ("FS_SWIFT_CREATE_CONTAINER", "yes", "True or False"),
        ("FS_SWIFT_INSECURE", 1, "True or False"),
        ("FS_SWIFT_CACERT", "/no/such/file", "the path of a file"),
        ("FS_SWIFT_OS_OPTIONS", "x", "a dict of strings"),
        ("FS_SWIFT_OS_OPTIONS", {"a": 1}, "a dict of strings"),
        ("FS_SWIFT_TOKEN_CACHE", {}, "a cache with get, set and delete"),
        ("FS_SWIFT_MAX_SIZE", -1, "0 or more"),
        ("FS_BACKEND", "s3", "'swift' or 'memory'"),
        ("FILES_FS_BACKEND", "local", "'swift' or 'memory'"),
        ("FILES_FS_CONTAINER", "a/b", "a slash"),
        ("FILES_FS_CONTAINER", "..", "another path"),
        ("FILES_FS_ALLOW", "txt", "a collection"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{key: value})
    assert caught.value.key == key
    assert key in str(caught.value)
    assert says in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("missing", GOOD)
def test_missing_credentials_stop_the_application_at_its_start(missing: str) -> None:
    app = Flask("tests")
    app.config.update({key: value for key, value in GOOD.items() if key != missing})
    with pytest.raises(ConfigError, match=f"{missing} is missing") as caught:
        FS(app, Storage("files"))
    assert caught.value.key == missing


@pytest.mark.parametrize("value", [7, "", ["s3cret"]])
def test_a_wrong_key_is_not_repeated(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read(FS_SWIFT_KEY=value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        read(FS_SWIFT_OS_OPTIONS={"application_credential_secret": ["s3cret"]})
    assert "s3cret" not in str(caught.value)


def test_no_repr_shows_a_secret() -> None:
    options = {"application_credential_secret": "s3cret", "password": "s3cret"}
    settings = read(FS_SWIFT_OS_OPTIONS=options, FS_SWIFT_TOKEN_CACHE=SimpleCache())
    assert "s3cret" not in repr(settings)


def test_the_memory_backend_needs_no_settings_of_swift() -> None:
    settings = read_settings({"FS_BACKEND": "memory", "FS_MEMORY_MAX_SIZE": 5}, "files", "/")
    assert (settings.swift, settings.max_size) == (None, 5)
    with pytest.raises(ConfigError, match="FS_MEMORY_POOL_SIZE is no setting"):
        read_settings({"FS_BACKEND": "memory", "FS_MEMORY_POOL_SIZE": 5}, "files", "/")


def test_settings_of_other_packages_are_left_alone() -> None:
    read(FS_SERVE=True, FS_ROOT="/x", AVATARS_FS_ROOT="/y", FS_LOCAL_ROOT="/z", FS_S3_KEY="k")


def test_cacert_is_a_file(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert swift(FS_SWIFT_CACERT=str(bundle)).login.credentials.cacert == str(bundle)


@pytest.mark.parametrize("key", ["BULK_SHARE", "BULK_CEILING"])
@pytest.mark.parametrize("value", [0, -0.1, 1.01, 2, "0.5", True, float("nan"), [], "x"])
def test_what_batches_may_have_is_a_fraction(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"FS_SWIFT_{key} must be a number above 0 and up to 1"):
        swift(**{f"FS_SWIFT_{key}": value})


@pytest.mark.parametrize(("share", "ceiling"), [(0.1, 0.8), (1, 1), (0.5, 0.5), (0.001, 1.0)])
def test_what_batches_may_have_is_read(share: float, ceiling: float) -> None:
    login = swift(FS_SWIFT_BULK_SHARE=share, FS_SWIFT_BULK_CEILING=ceiling).login
    assert (login.bulk_share, login.bulk_ceiling) == (share, ceiling)


@pytest.mark.parametrize(
    "config",
    [
        {"FS_SWIFT_BULK_SHARE": 0.9},
        {"FS_SWIFT_BULK_CEILING": 0.05},
        {"FS_SWIFT_BULK_SHARE": 0.5, "FS_SWIFT_BULK_CEILING": 0.49},
    ],
)
def test_a_ceiling_below_the_share_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="BULK_CEILING must be no less than FS_SWIFT_BULK_SHARE"):
        swift(**config)


def test_a_login_gives_its_pool_what_batches_may_have() -> None:
    settings = swift(FS_SWIFT_BULK_SHARE=0.5, FS_SWIFT_BULK_CEILING=0.6, FS_SWIFT_POOL_SIZE=10)
    pool = Login(settings.login, settings.retrying).pool
    assert pool.ceiling == 6
    assert len(pool.reserve(10)) == 5
