"""What callers may set, and what is written down of it."""

from __future__ import annotations

from configparser import RawConfigParser
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.devserver import DevServerError, conf
from flask_fs_swift.devserver.datadir import DataDirectory

if TYPE_CHECKING:
    from pathlib import Path

KEYSTONE = {
    "auth": "keystone",
    "keystone.url": "http://127.0.0.1:5000",
    "keystone.user": "swift",
    "keystone.password": "100%",
    "keystone.project": "service",
}


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory.open(tmp_path)
    directory.prepare()
    return directory


def read(path: Path) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read(path)
    return parser


@pytest.mark.parametrize("name", ["nonsense.key", "nonsense", "filter.slo", ".key", ""])
def test_a_setting_of_no_section_is_refused(directory: DataDirectory, name: str) -> None:
    with pytest.raises(DevServerError, match="unknown setting"):
        conf.write(directory, {name: "1"})


def test_a_setting_goes_to_its_section(directory: DataDirectory) -> None:
    settings = {
        "constraints.max_file_size": "10",
        "container-quotas.a": "b",
        "proxy-server.node_timeout": "3",
        "DEFAULT.log_level": "DEBUG",
    }
    written = conf.write(directory, settings)
    proxy = read(written.proxy)
    assert read(written.etc / "swift.conf")["swift-constraints"]["max_file_size"] == "10"
    assert proxy["filter:container-quotas"]["a"] == "b"
    assert proxy["app:proxy-server"]["node_timeout"] == "3"
    assert written.defaults["log_level"] == proxy["DEFAULT"]["log_level"] == "DEBUG"


def test_one_callers_settings_are_not_anothers(directory: DataDirectory) -> None:
    conf.write(directory, {"slo.max_manifest_segments": "7"})
    assert "max_manifest_segments" not in read(conf.write(directory, {}).proxy)["filter:slo"]


def test_keystone_takes_the_place_of_tempauth(directory: DataDirectory) -> None:
    proxy = read(conf.write(directory, KEYSTONE).proxy)
    pipeline = proxy["pipeline:main"]["pipeline"].split()
    assert "tempauth" not in pipeline
    assert pipeline.index("authtoken") + 1 == pipeline.index("keystoneauth")
    assert proxy["filter:authtoken"]["password"] == "100%"


def test_an_unknown_way_to_log_in_is_refused(directory: DataDirectory) -> None:
    with pytest.raises(DevServerError, match="'auth' is 'ldap'"):
        conf.write(directory, {"auth": "ldap"})


def test_who_logs_in_with_keystone_asks_keystone() -> None:
    account = conf.Account.at("http://127.0.0.1:1", KEYSTONE)
    assert account.auth_url == "http://127.0.0.1:5000/v3"
    assert (account.user, account.key) == ("swift", "100%")
    assert account.storage_url == "http://127.0.0.1:1/v1/AUTH_"


def test_the_hash_suffix_outlives_a_server(directory: DataDirectory) -> None:
    before = directory.hash_suffix()
    directory.prepare()
    assert directory.hash_suffix() == before
