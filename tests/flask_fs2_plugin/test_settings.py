"""Settings: those that were written for the plugin that ours replaces, and their mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import flask_fs
import pytest
from flask import Flask
from flask_fs.backends.swift import SwiftBackend as Replaced
from flask_fs.storage import Config

from flask_fs_swift import ConfigError
from flask_fs_swift.flask_fs2 import OpenStackBackend

from .conftest import asked, logins

if TYPE_CHECKING:
    from pathlib import Path

    from flask_fs_swift.devserver import Faults

    from .conftest import MakeFiles

CREDENTIALS = {"authurl": "http://localhost:1/v3", "user": "me", "key": "secret"}


def backend(**settings: object) -> OpenStackBackend:
    return OpenStackBackend("files", Config(CREDENTIALS, **settings))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", 5),
        ("timeout", "5"),
        ("timeout", 5.0),
        ("pool_size", 3),
        ("pool_size", "3"),
        ("pool_size", 3.0),
        ("pool_timeout", 2),
        ("pool_timeout", "2.5"),
    ],
)
def test_a_number_means_what_it_meant(key: str, value: object) -> None:
    theirs = Replaced("files", Config(CREDENTIALS, **{key: value}))
    login = backend(**{key: value})._settings.login
    assert getattr(login, key) == getattr(theirs, f"_{key}")


@pytest.mark.parametrize("value", [0, "0", 3, "3"])
def test_retries_mean_what_they_meant(value: object) -> None:
    assert backend(retries=value)._settings.retrying.retries == int(cast("str", value))


@pytest.mark.parametrize("value", ["1", 1, 1.0, "2.0", 3, "3", "3.0"])
def test_the_auth_version_means_what_it_meant(value: object) -> None:
    assert backend(auth_version=value)._auth_version == str(value)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        ("true", True),
        ("1", True),
        (1, True),
        ("Yes", True),
        (False, False),
        (0, False),
        ("", False),
        ("false", False),
        (None, False),
    ],
)
def test_a_flag_may_be_said_in_words(value: object, expected: bool) -> None:
    assert backend(create_container=value)._settings.create_container is expected


def test_no_time_to_wait_may_be_said_as_zero() -> None:
    assert 0 < backend(pool_timeout=0)._settings.login.pool_timeout < 0.01


@pytest.mark.parametrize("policy", ["log", "raise", "raise_and_delete"])
def test_the_policies_are_the_same(policy: str) -> None:
    assert backend(etag_mismatch_policy=policy)._settings.etag_mismatch_policy == policy


def test_options_without_a_value_are_none() -> None:
    options = {"user_domain_name": "Default", "project_domain_id": None, "region_name": ""}
    made = backend(tenant_name="mine", region_name="", os_options=options)
    assert made._os_options == {"tenant_name": "mine", "user_domain_name": "Default"}
    assert backend(tenant_name=None, os_options=None)._os_options == {}


def test_options_beat_the_settings_for_one_thing() -> None:
    assert backend(region_name="a", os_options={"region_name": "b"})._os_options == {
        "region_name": "b"
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", "soon"),
        ("timeout", "inf"),
        ("pool_size", "many"),
        ("pool_size", float("inf")),
        ("retries", "-1"),
        ("pool_timeout", -1),
        ("create_container", "perhaps"),
        ("os_options", "Default"),
        ("max_size", -1),
        ("insecure", "false"),
    ],
)
def test_what_cannot_be_meant_is_refused_under_its_full_name(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^FS_OPENSTACK_{key.upper()} must be"):
        backend(**{key: value})


@pytest.mark.parametrize("missing", ["authurl", "user", "key"])
def test_missing_credentials_are_named(missing: str) -> None:
    config = Config({key: value for key, value in CREDENTIALS.items() if key != missing})
    with pytest.raises(ConfigError, match=f"^FS_OPENSTACK_{missing.upper()} is missing"):
        OpenStackBackend("files", config)


def test_an_unknown_setting_is_refused_unless_a_subclass_reads_it() -> None:
    class Own(OpenStackBackend):
        own_settings = ("COLOUR",)

    config = Config(CREDENTIALS, colour="blue")
    assert Own("files", config).config.colour == "blue"
    with pytest.raises(ConfigError, match="FS_OPENSTACK_COLOUR is no setting"):
        OpenStackBackend("files", config)


def test_settings_have_the_name_that_the_backend_is_registered_under() -> None:
    class Own(OpenStackBackend):
        backend_name = "mine"

    with pytest.raises(ConfigError, match=r"^FS_MINE_AUTHURL is missing"):
        Own("files", Config())


def test_flask_fs2_reads_its_own_settings(make_files: MakeFiles) -> None:
    files = make_files(
        backend="openstack", allow=["txt"], deny=("exe",), url="cdn.example/a", root="/tmp"
    )
    assert files.config.allow == ["txt"]
    assert files.root is None


def test_the_storages_value_beats_the_backends(make_files: MakeFiles) -> None:
    assert make_files(pool_size="7").backend.pool.size == 7


def test_nothing_is_connected_before_it_is_used(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    swift_faults.forget()
    files = make_files()
    assert (asked(swift_faults), logins(swift_faults)) == ([], 0)
    assert files.backend.pool.stats().opened == 0
    files.write("a.txt", "x")
    # The last asks whether there are large objects.
    assert asked(swift_faults) == ["HEAD", "PUT", "PUT", "PUT", "GET"]


def test_an_application_starts_while_swift_is_down() -> None:
    app = Flask("tests")
    app.config.update({f"FS_OPENSTACK_{key.upper()}": value for key, value in CREDENTIALS.items()})
    app.config.update(FS_BACKEND="openstack", FS_OPENSTACK_CREATE_CONTAINER=True)
    flask_fs.init_app(app, flask_fs.Storage("files"))


def test_the_embedded_swift_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: Any = OpenStackBackend("files", Config(authurl="embedded"))
    assert made._settings.login.credentials.embedded_in == tmp_path / "instance" / "swift"
