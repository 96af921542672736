"""The published client of the protocol, without what its import would do to the other tests."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def published(name: str = "objectstore_client") -> Any:
    """Return a module of it; skip where it is not installed.

    It imports sentry_sdk, which imports eventlet if it can; and that complains of every fork.
    """
    hidden = "eventlet" not in sys.modules
    if hidden:
        sys.modules["eventlet"] = None  # type: ignore[assignment]
    try:
        return pytest.importorskip(name)
    finally:
        if hidden:
            del sys.modules["eventlet"]
