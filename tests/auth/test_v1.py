"""Authentication with the v1 API of Swift's own tempauth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_fs_swift import AuthFailed
from flask_fs_swift.auth import authenticate
from flask_fs_swift.config import Credentials

from .leaks import assert_unnamed, assert_untold, loggers
from .relay import Relay, answer
from .tokens import advance_clock, token_of

if TYPE_CHECKING:
    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults


def works(storage: Storage) -> bool:
    """Tell whether what is written can be read back."""
    storage.write("a.txt", b"content", overwrite=True)
    return storage.read("a.txt") == b"content"


def authentications(faults: Faults) -> int:
    return [request.path for request in faults.requests()].count("/auth/v1.0")


def test_the_end_of_the_token_is_known(make_storage: MakeStorage) -> None:
    files = make_storage()
    assert works(files)
    assert 0 < (token_of(files).expires or 0) - time.time() <= 86400


def test_a_token_is_renewed_ahead_of_its_end(
    make_storage: MakeStorage, swift_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    swift_faults.forget()
    files = make_storage()
    assert works(files)
    assert authentications(swift_faults) == 1
    left = (token_of(files).expires or 0) - time.time()
    advance_clock(monkeypatch, left - 400)
    assert works(files)
    assert authentications(swift_faults) == 1
    advance_clock(monkeypatch, left - 200)
    assert works(files)
    assert authentications(swift_faults) == 2
    assert 401 not in {request.status for request in swift_faults.requests()}


@pytest.mark.parametrize("life", ["", "soon", "-1", "\u00b2"])
def test_a_token_whose_end_makes_no_sense_is_used_until_it_is_refused(life: str) -> None:
    encoded = life.encode().decode("latin-1")
    token = answer("200 OK", X_Storage_Url="http://127.0.0.1/v1/AUTH_a", X_Auth_Token="value")
    token = token.replace(b"\r\n\r\n", f"\r\nX-Auth-Token-Expires: {encoded}\r\n\r\n".encode())
    with Relay("http://127.0.0.1:1", answers=[token]) as server:
        found = authenticate(Credentials(server.url, "user", "key", "1", ()), timeout=5)
    assert found.value == "value"
    assert found.expires is None
    assert "value" not in repr(found)


def test_a_wrong_key_is_refused_once_and_not_told(
    make_storage: MakeStorage, swift_faults: Faults, everything_logged: pytest.LogCaptureFixture
) -> None:
    swift_faults.forget()
    files = make_storage(key="not-the-key")
    began = time.monotonic()
    with pytest.raises(AuthFailed, match="answered 401") as caught:
        files.read("a.txt")
    assert time.monotonic() - began < 5
    assert caught.value.http_status == 401
    assert caught.value.filename == "a.txt"
    assert authentications(swift_faults) == 1
    assert "urllib3" in loggers(everything_logged)
    assert_unnamed(caught.value, "not-the-key")
    assert_untold(everything_logged, "not-the-key")


@pytest.mark.parametrize("key", ["right", "wrong"])
def test_what_stands_before_the_host_of_the_auth_url_is_not_told(
    make_storage: MakeStorage,
    swift_server: DevServer,
    everything_logged: pytest.LogCaptureFixture,
    key: str,
) -> None:
    authurl = swift_server.auth_url.replace("://", "://somebody:a-secret@")
    if key == "right":
        assert works(make_storage(authurl=authurl))
    else:
        with pytest.raises(AuthFailed, match="401") as caught:
            make_storage(authurl=authurl, key="not-the-key").read("a.txt")
        assert swift_server.auth_url in str(caught.value)
        assert_unnamed(caught.value, "a-secret", "somebody")
    assert_untold(everything_logged, "a-secret", "somebody")


@pytest.mark.parametrize("key", ["clef-privée", "ключ", "key\u20ac"])
def test_a_key_may_have_any_letters(
    make_storage: MakeStorage, everything_logged: pytest.LogCaptureFixture, key: str
) -> None:
    with pytest.raises(AuthFailed, match="401") as caught:
        make_storage(key=key).read("a.txt")
    assert_unnamed(caught.value, key)
    assert_untold(everything_logged, key)


@pytest.mark.parametrize("wrong", [{"key": "a-secret-key\n"}, {"user": "a-secret-key\r\n"}])
def test_a_line_break_in_the_key_is_said_and_the_key_is_not(
    make_storage: MakeStorage,
    swift_faults: Faults,
    everything_logged: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
) -> None:
    swift_faults.forget()
    with pytest.raises(AuthFailed, match="line break") as caught:
        make_storage(**wrong).read("a.txt")
    assert authentications(swift_faults) == 0
    assert_unnamed(caught.value, "a-secret-key")
    assert_untold(everything_logged, "a-secret-key")
