"""Which transport speaks: ours, or requests where there is a proxy, or where it is wished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask import Flask
from swiftclient.client import HTTPConnection

from flask_fs_swift import FS, AuthFailed, ConfigError, Storage, SwiftUnavailable
from flask_fs_swift.config import Credentials, LoginSettings
from flask_fs_swift.connection import SwiftConnection, is_native
from flask_fs_swift.transport import Transport

from .scripted import Scripted, answer

if TYPE_CHECKING:
    from conftest import MakeStorage

    from .scripted import Caller

SWIFT = "http://swift.example:8080/v1/AUTH_test"
PROXY = "http://proxy.example:3128"
NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"]


@pytest.fixture(autouse=True)
def _no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def chosen(
    url: str = SWIFT, *, transport: str = "native", proxy: str | None = None
) -> Transport | HTTPConnection:
    nobody = Credentials(
        "http://127.0.0.1", user=None, key=None, auth_version="1", os_options=(), proxy=proxy
    )
    connection = SwiftConnection(LoginSettings(nobody, transport=transport))
    connection.http_conn = connection.http_connection(url)
    speaker = connection.http_conn[1]
    assert is_native(connection) == isinstance(speaker, Transport)
    return speaker


def test_ours_speaks_where_nothing_else_is_said() -> None:
    assert isinstance(chosen(), Transport)
    assert isinstance(chosen(SWIFT.replace("http:", "https:")), Transport)


def test_requests_speaks_where_it_is_wished() -> None:
    assert isinstance(chosen(transport="requests"), HTTPConnection)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_speaks_to_a_proxy_in_the_settings(scheme: str) -> None:
    speaker = chosen(SWIFT.replace("http", scheme), proxy=PROXY)
    assert isinstance(speaker, HTTPConnection)
    assert speaker.requests_args["proxies"][scheme] == PROXY


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_requests_speaks_to_a_proxy_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, PROXY)
    assert isinstance(chosen(), HTTPConnection)


def test_a_proxy_for_another_scheme_or_for_other_hosts_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", PROXY)
    assert isinstance(chosen(), Transport)
    assert isinstance(chosen(SWIFT.replace("http:", "https:")), HTTPConnection)
    monkeypatch.setenv("no_proxy", "example")
    assert isinstance(chosen(SWIFT.replace("http:", "https:")), Transport)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TRANSPORT", "urllib"),
        ("TRANSPORT", 1),
        ("PROXY", "proxy.example:3128"),
        ("PROXY", "socks5://secret@proxy.example"),
        ("PROXY", "http://"),
        ("CERT", "/nowhere/own.pem"),
        ("CERT_KEY", __file__),
        ("CACERT", "/nowhere/ca.pem"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start(setting: str, value: object) -> None:
    app = Flask("tests")
    app.config.update(FS_BACKEND="swift", FS_SWIFT_AUTHURL="http://127.0.0.1")
    app.config[f"FS_SWIFT_{setting}"] = value
    app.config.update(FS_SWIFT_USER="user", FS_SWIFT_KEY="key", FS_SWIFT_AUTH_VERSION="1")
    with pytest.raises(ConfigError, match="FS_SWIFT_") as raised:
        FS(app, Storage("photos"))
    assert "secret" not in str(raised.value)


def test_everything_goes_through_the_proxy(make_storage: MakeStorage) -> None:
    asked: list[bytes] = []

    def refuse(caller: Caller) -> None:
        asked.append(caller.head().partition(b"\r\n")[0])
        caller.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with Scripted(refuse) as proxy:
        files = make_storage(proxy=proxy.url, retries=0, deadline=5)
        with pytest.raises(AuthFailed, match="403"):
            files.read("a.txt")
    assert asked[0].startswith(b"GET http://127.0.0.1:")


@pytest.mark.parametrize("transport", ["native", "requests"])
def test_what_is_no_answer_is_one_error_over_both(
    make_storage: MakeStorage, transport: str
) -> None:
    with Scripted(*[answer(b"garbage\r\n\r\n")] * 2) as server:

        def authenticate(caller: Caller) -> None:
            caller.answer(
                b"HTTP/1.1 200 OK\r\nX-Auth-Token: t\r\nConnection: close\r\n"
                b"X-Storage-Url: " + f"{server.url}/v1/a\r\nContent-Length: 0\r\n\r\n".encode()
            )

        with Scripted(authenticate) as keystone:
            files = make_storage(
                transport=transport, retries=1, authurl=f"{keystone.url}/auth/v1.0"
            )
            with pytest.raises(SwiftUnavailable, match=r"a\.txt"):
                files.read("a.txt")
    assert server.connections == 2
