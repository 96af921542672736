"""Look at the token of a storage, and let time pass for it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from flask_fs_swift import auth, tokencache, tokens
from flask_fs_swift.swift import SwiftBackend

if TYPE_CHECKING:
    import pytest

    from flask_fs_swift import Storage
    from flask_fs_swift.auth import Token


def token_of(storage: Storage) -> Token:
    """Return the token that a bound storage uses now."""
    assert storage._bound is not None
    backend = storage._bound.backend
    assert isinstance(backend, SwiftBackend)
    token = backend._login.tokens._token
    assert token is not None
    return token


def advance_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock that tokens are timed by be ahead of the machine's.

    :param seconds: counted from the machine's clock, not from the last call.
    """
    clock = SimpleNamespace(time=lambda: time.time() + seconds)
    for module in (auth, tokencache, tokens):
        monkeypatch.setattr(module, "time", clock)
