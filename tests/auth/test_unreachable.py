"""What happens when whoever authenticates cannot be asked."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_fs_swift import AuthFailed, tokens
from flask_fs_swift.auth import authenticate

from .leaks import assert_unnamed, assert_untold
from .relay import Relay, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeStorage

    from flask_fs_swift.auth import Token
    from flask_fs_swift.config import Credentials
    from flask_fs_swift.devserver import Faults

KEY = "the-key-of-nobody"
RETRIES = 2

every_version = pytest.mark.parametrize("version", ["1", "2", "3"])


@pytest.fixture
def swift_settings() -> dict[str, Any]:
    return {
        "FS_BACKEND": "swift",
        "FS_SWIFT_USER": "nobody",
        "FS_SWIFT_KEY": KEY,
        "FS_SWIFT_TENANT_NAME": "nothing",
        "FS_SWIFT_RETRIES": RETRIES,
    }


class Attempts:
    """Counts how often a token was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        monkeypatch.setattr(tokens, "authenticate", self._authenticate)

    def _authenticate(self, credentials: Credentials, timeout: float) -> Token:
        self._count += 1
        return authenticate(credentials, timeout)

    def __len__(self) -> int:
        return self._count


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Attempts:
    return Attempts(monkeypatch)


@pytest.fixture
def closed() -> str:
    """The URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a port where every call is taken, and none is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def answering(*answers: bytes) -> Relay:
    """Return a server that gives these answers, and whose connections fail after that."""
    return Relay("http://127.0.0.1:1", answers=answers)


@contextlib.contextmanager
def fails(url: str, reason: str) -> Iterator[pytest.ExceptionInfo[AuthFailed]]:
    """Expect an error that names the URL and the reason, and no secret."""
    with pytest.raises(AuthFailed, match=reason) as caught:
        yield caught
    assert url in str(caught.value)
    assert not caught.value.maybe_applied
    assert_unnamed(caught.value, KEY)


@every_version
def test_a_closed_port_is_tried_again(
    make_storage: MakeStorage,
    closed: str,
    attempts: Attempts,
    version: str,
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    files = make_storage(authurl=closed, auth_version=version)
    with fails(closed, "Connection refused"):
        files.read("a.txt")
    assert len(attempts) == 1 + RETRIES
    assert_untold(everything_logged, KEY)


@every_version
def test_a_closed_port_is_tried_once_inside_a_request(
    make_storage: MakeStorage, closed: str, attempts: Attempts, version: str
) -> None:
    files = make_storage(authurl=closed, auth_version=version)
    with Flask("tests").test_request_context(), fails(closed, "Connection refused"):
        files.read("a.txt")
    assert len(attempts) == 1


@every_version
def test_silence_ends_with_the_timeout(
    make_storage: MakeStorage, silent: str, attempts: Attempts, version: str
) -> None:
    files = make_storage(authurl=silent, auth_version=version, timeout=0.1)
    began = time.monotonic()
    with fails(silent, "no answer in time"):
        files.read("a.txt")
    assert 0.3 <= time.monotonic() - began < 5
    assert len(attempts) == 1 + RETRIES


@every_version
def test_silence_is_borne_once_inside_a_request(
    make_storage: MakeStorage, silent: str, attempts: Attempts, version: str
) -> None:
    files = make_storage(authurl=silent, auth_version=version, timeout=0.1)
    with Flask("tests").test_request_context(), fails(silent, "no answer in time"):
        files.read("a.txt")
    assert len(attempts) == 1


@every_version
def test_silence_ends_with_the_deadline(
    make_storage: MakeStorage, silent: str, version: str
) -> None:
    files = make_storage(authurl=silent, auth_version=version, timeout=2, deadline=0.2)
    began = time.monotonic()
    with fails(silent, "in time"):
        files.read("a.txt")
    assert time.monotonic() - began < 1.5


@every_version
def test_what_is_no_http_is_tried_again(
    make_storage: MakeStorage, attempts: Attempts, version: str
) -> None:
    with answering(*[b"220 mail.example ESMTP\r\n"] * 3) as mail:
        files = make_storage(authurl=mail.url, auth_version=version)
        with fails(mail.url, "BadStatusLine"):
            files.read("a.txt")
    assert len(attempts) == 1 + RETRIES


NO_TOKENS = {
    "a page": answer("200 OK", "<h1>Welcome</h1>", Content_Type="text/html"),
    "nothing": answer("204 No Content"),
    "a list": answer("200 OK", "[]", Content_Type="application/json"),
    "a number": answer("200 OK", "1", Content_Type="application/json"),
    "no header": answer("201 Created", '{"token": {}}', Content_Type="application/json"),
    "an empty token": answer(
        "201 Created", '{"token": {}, "access": {}}', X_Subject_Token="x" * 32
    ),
    "no catalogue": answer(
        "201 Created",
        json.dumps({"token": {"expires_at": "never"}, "access": {"token": {"id": "x"}}}),
        X_Subject_Token="x" * 32,
    ),
    "a moved catalogue": answer(
        "201 Created",
        json.dumps({"token": {"catalog": 7}, "access": {"token": 7, "serviceCatalog": 7}}),
        X_Subject_Token="x" * 32,
    ),
}


@every_version
@pytest.mark.parametrize("kind", NO_TOKENS)
def test_an_answer_without_a_token_ends_it(
    make_storage: MakeStorage, attempts: Attempts, version: str, kind: str
) -> None:
    with answering(NO_TOKENS[kind]) as server:
        files = make_storage(authurl=server.url, auth_version=version)
        with fails(server.url, "without a token|no Swift"):
            files.read("a.txt")
    assert len(attempts) == 1


@every_version
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_service_that_is_busy_is_asked_again_when_it_says(
    make_storage: MakeStorage, version: str, status: str
) -> None:
    busy = answer(status, Retry_After="1")
    with answering(busy, answer("401 Unauthorized")) as server:
        files = make_storage(authurl=server.url, auth_version=version, timeout=5)
        began = time.monotonic()
        with fails(server.url, "401"):
            files.read("a.txt")
        assert time.monotonic() - began >= 1
        assert server.connections == 2


@every_version
def test_a_service_that_is_busy_is_asked_once_inside_a_request(
    make_storage: MakeStorage, version: str
) -> None:
    with answering(answer("429 Too Many Requests", Retry_After="1")) as server:
        files = make_storage(authurl=server.url, auth_version=version)
        with Flask("tests").test_request_context(), fails(server.url, "429") as caught:
            files.read("a.txt")
        assert server.connections == 1
        assert caught.value.http_status == 429


@every_version
def test_nobody_waits_for_a_service_beyond_the_deadline(
    make_storage: MakeStorage, version: str
) -> None:
    with answering(answer("503 Service Unavailable", Retry_After="3600")) as server:
        files = make_storage(authurl=server.url, auth_version=version, deadline=30)
        with fails(server.url, "503") as caught:
            files.read("a.txt")
        assert server.connections == 1
        assert caught.value.http_status == 503


@every_version
def test_a_refusal_is_final(make_storage: MakeStorage, version: str) -> None:
    with answering(answer("403 Forbidden")) as server:
        files = make_storage(authurl=server.url, auth_version=version)
        with fails(server.url, "403") as caught:
            files.read("a.txt")
        assert server.connections == 1
        assert caught.value.http_status == 403


class TestASwiftThatAuthenticates:
    """Swift's own v1 service, which fails on demand and then comes back."""

    @pytest.fixture
    def swift_settings(self, swift_server: Any) -> dict[str, Any]:
        return {
            "FS_BACKEND": "swift",
            "FS_SWIFT_AUTHURL": swift_server.auth_url,
            "FS_SWIFT_USER": swift_server.user,
            "FS_SWIFT_KEY": swift_server.key,
            "FS_SWIFT_AUTH_VERSION": "1",
            "FS_SWIFT_CREATE_CONTAINER": True,
        }

    @pytest.mark.parametrize(
        "fault",
        [
            {"action": "status", "status": 503},
            {"action": "status", "status": 429},
            {"action": "reset"},
        ],
        ids=["503", "429", "reset"],
    )
    def test_a_service_that_comes_back_is_used(
        self, make_storage: MakeStorage, swift_faults: Faults, fault: dict[str, Any]
    ) -> None:
        swift_faults.forget()
        swift_faults.add(**fault, path="^/auth/", times=2)
        files = make_storage()
        files.write("a.txt", b"content")
        assert files.read("a.txt") == b"content"
        asked = [request.path for request in swift_faults.requests()]
        assert asked.count("/auth/v1.0") == 3

    def test_a_service_that_hangs_is_asked_again(
        self, make_storage: MakeStorage, swift_faults: Faults
    ) -> None:
        swift_faults.add("hang", path="^/auth/")
        files = make_storage(timeout=1)
        files.write("a.txt", b"content")
        assert files.read("a.txt") == b"content"
