"""What a development server raises."""

from __future__ import annotations


class DevServerError(RuntimeError):
    """A development server could not be started, reached or asked."""
