"""Let errors tell of the object: it is what their caller knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask_fs_swift.errors import FSError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def about(name: str, revision: str, *, maybe_applied: bool = False) -> Iterator[None]:
    """Say of what is raised here that it is about an object, whose blob is at a revision.

    :param maybe_applied: whether the object may have been stored. A blob alone is nothing.
    """
    try:
        yield
    except FSError as error:
        error.filename, error.maybe_applied = name, maybe_applied
        error.args = (str(error).replace(repr(revision), repr(name)),)
        raise


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Say of what the database raises which object it is about."""
    try:
        yield
    except FSError as error:
        error.filename = error.filename or name
        raise
