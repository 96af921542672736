"""Processes share a token through a cache, and a cache that fails costs no operation."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from cachelib import FileSystemCache, SimpleCache

from flask_fs_swift import AuthFailed, tokens

from .leaks import assert_untold
from .tokens import advance_clock, token_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults


@pytest.fixture
def swift(swift_server: DevServer, swift_faults: Faults) -> DevServer:
    """A Swift that was asked nothing yet, with tokens that nobody has."""
    swift_faults.revoke_tokens()
    swift_faults.forget()
    return swift_server


def works(storage: Storage) -> bool:
    """Tell whether what is written can be read back."""
    storage.write("a.txt", b"content", overwrite=True)
    return storage.read("a.txt") == b"content"


def authentications(swift: DevServer) -> int:
    return [request.path for request in swift.faults.requests()].count("/auth/v1.0")


def refusals(swift: DevServer) -> int:
    return [request.status for request in swift.faults.requests()].count(401)


class OpenCache:
    """A cache that can be looked into, and that keeps what it has however old it is."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}
        self.asked: list[str] = []
        #: Seconds for which values were to be kept.
        self.lives: list[int | None] = []

    def get(self, key: str) -> object:
        self.asked.append(key)
        return self.kept.get(key)

    def set(self, key: str, value: object, timeout: int | None = None) -> None:
        self.kept[key] = value
        self.lives.append(timeout)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


class TestSharing:
    def test_applications_on_one_cache_authenticate_once(
        self, make_storage: MakeStorage, swift: DevServer, tmp_path: Path
    ) -> None:
        for _ in range(2):
            assert works(make_storage(token_cache=FileSystemCache(str(tmp_path))))
        assert authentications(swift) == 1

    def test_applications_without_a_cache_authenticate_each(
        self, make_storage: MakeStorage, swift: DevServer
    ) -> None:
        for _ in range(2):
            assert works(make_storage())
        assert authentications(swift) == 2

    def test_a_second_process_finds_the_token_of_the_first(
        self,
        make_storage: MakeStorage,
        swift: DevServer,
        swift_settings: dict[str, Any],
        tmp_path: Path,
    ) -> None:
        assert works(make_storage(token_cache=FileSystemCache(str(tmp_path))))
        program = [sys.executable, "-c", _PROGRAM, json.dumps(swift_settings), str(tmp_path)]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "content"
        assert authentications(swift) == 1

    def test_a_token_that_another_has_renewed_is_taken_after_a_401(
        self, make_storage: MakeStorage, swift: DevServer
    ) -> None:
        cache = SimpleCache()
        first, second = (make_storage(token_cache=cache) for _ in range(2))
        assert works(first)
        assert works(second)
        swift.faults.revoke_tokens()
        assert works(first)
        assert (authentications(swift), refusals(swift)) == (2, 1)
        assert works(second)
        assert (authentications(swift), refusals(swift)) == (2, 2)
        assert token_of(first).value == token_of(second).value


class TestAge:
    def test_a_refused_token_is_not_used_again(
        self, make_storage: MakeStorage, swift: DevServer
    ) -> None:
        cache = SimpleCache()
        assert works(make_storage(token_cache=cache))
        swift.faults.revoke_tokens()
        assert works(make_storage(token_cache=cache))
        assert (authentications(swift), refusals(swift)) == (2, 1)
        assert works(make_storage(token_cache=cache))
        assert (authentications(swift), refusals(swift)) == (2, 1)

    def test_a_token_that_has_ended_is_not_used_again(
        self, make_storage: MakeStorage, swift: DevServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = OpenCache()
        assert works(make_storage(token_cache=cache))
        advance_clock(monkeypatch, 2 * 86400)
        assert works(make_storage(token_cache=cache))
        assert (authentications(swift), refusals(swift)) == (2, 0)

    def test_a_token_stays_no_longer_than_it_lives(self, make_storage: MakeStorage) -> None:
        cache = OpenCache()
        files = make_storage(token_cache=cache)
        assert works(files)
        left = (token_of(files).expires or 0) - time.time()
        assert cache.lives == [pytest.approx(left, abs=5)]

    def test_a_token_that_is_due_is_renewed_though_it_is_cached(
        self, make_storage: MakeStorage, swift: DevServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = OpenCache()
        files = make_storage(token_cache=cache)
        assert works(files)
        left = (token_of(files).expires or 0) - time.time()
        advance_clock(monkeypatch, left - 100)
        assert works(make_storage(token_cache=cache))
        assert (authentications(swift), refusals(swift)) == (2, 0)


class TestKeys:
    """No token of one identity is found by another."""

    @pytest.fixture
    def key_of(self, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return the key that settings lead to."""

        def refuse(*_: object) -> None:
            raise AuthFailed("nobody is asked here")

        monkeypatch.setattr(tokens, "authenticate", refuse)

        def key_of(**settings: object) -> str:
            cache = OpenCache()
            basis = {"authurl": "http://127.0.0.1:1/v3", "auth_version": 3, "user": "ann"}
            basis |= {"key": "a-secret-key", "tenant_name": "web", "region_name": "North"}
            files = make_storage(token_cache=cache, **{**basis, **settings})  # type: ignore[arg-type]
            with pytest.raises(AuthFailed):
                files.read("a.txt")
            assert len(set(cache.asked)) == 1
            return cache.asked[0]

        return key_of

    def test_equal_identities_have_one_key(self, key_of: Any) -> None:
        assert key_of() == key_of(timeout=7, pool_size=3)

    @pytest.mark.parametrize(
        "other",
        [
            {"authurl": "http://127.0.0.1:2/v3"},
            {"user": "bob"},
            {"key": "another-key"},
            {"tenant_name": "api"},
            {"region_name": "South"},
            {"os_options": {"user_domain_name": "corp"}},
            {"os_options": {"endpoint_type": "internal"}},
            {"auth_version": 2},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_other_identities_have_other_keys(self, key_of: Any, other: dict[str, Any]) -> None:
        assert key_of(**other) != key_of()

    def test_a_key_shows_nothing_of_the_identity(self, key_of: Any) -> None:
        options = {"application_credential_id": "1d", "application_credential_secret": "s3cret"}
        for key in (key_of(), key_of(os_options=options)):
            for secret in ("a-secret-key", "s3cret", "ann", "127.0.0.1"):
                assert secret not in key

    def test_the_password_is_not_in_the_cache(
        self, make_storage: MakeStorage, swift: DevServer
    ) -> None:
        cache = OpenCache()
        assert works(make_storage(token_cache=cache))
        assert swift.key not in repr(cache.kept)


_PLACE = '{"url": "http://127.0.0.1:1/", "value": "x", '


class BrokenCache(OpenCache):
    """A cache that raises what its server does, on some of what it is asked."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self._broken = broken

    def _break(self, verb: str) -> None:
        if verb in self._broken:
            raise RuntimeError("the cache is down; its password is hunter2")

    def get(self, key: str) -> object:
        self._break("get")
        return super().get(key)

    def set(self, key: str, value: object, timeout: int | None = None) -> None:
        self._break("set")
        super().set(key, value, timeout)

    def delete(self, key: str) -> None:
        self._break("delete")
        super().delete(key)


class TestFailing:
    @pytest.mark.parametrize(
        "verb",
        [
            "get",
            "set",
            "delete",
        ],
    )
    def test_a_cache_that_raises_is_a_warning(
        self,
        make_storage: MakeStorage,
        swift: DevServer,
        everything_logged: pytest.LogCaptureFixture,
        verb: str,
    ) -> None:
        files = make_storage(token_cache=BrokenCache(verb))
        assert works(files)
        swift.faults.revoke_tokens()
        assert works(files)
        assert f"failed to {verb}: RuntimeError" in everything_logged.text
        assert_untold(everything_logged, "hunter2", token_of(files).value)

    @pytest.mark.parametrize(
        "rubbish",
        [
            "not JSON",
            "7",
            "[]",
            "null",
            "{}",
            _PLACE + '"colour": "red"}',
            7,
            b"bytes",
            '{"url": 1, "value": 2}',
            _PLACE + '"expires": "soon"}',
            _PLACE + '"renew_from": []}',
        ],
        ids=str,
    )
    def test_rubbish_in_the_cache_is_a_warning(
        self,
        make_storage: MakeStorage,
        swift: DevServer,
        caplog: pytest.LogCaptureFixture,
        rubbish: object,
    ) -> None:
        cache = OpenCache()
        assert works(make_storage(token_cache=cache))
        (key,) = cache.kept
        cache.kept[key] = rubbish
        assert works(make_storage(token_cache=cache))
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [record.name for record in warnings] == ["flask_fs_swift.tokencache"]
        assert authentications(swift) == 2
        assert cache.kept[key] != rubbish


_PROGRAM = """
import json, sys
from cachelib import FileSystemCache
from flask import Flask
from flask_fs_swift import FS, Storage

app, files = Flask("another"), Storage("another-process")
app.config.update(json.loads(sys.argv[1]), FS_SWIFT_TOKEN_CACHE=FileSystemCache(sys.argv[2]))
FS(app, files)
with app.app_context():
    files.write("a.txt", b"content", overwrite=True)
    print(files.read("a.txt").decode(), end="")
"""
