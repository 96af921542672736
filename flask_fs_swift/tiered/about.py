"""Let the errors of both tiers tell of the object: it is what their caller knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask_fs_swift.errors import FSError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def about(name: str, revision: str, *, maybe_applied: bool | None = False) -> Iterator[None]:
    """Say of what is raised here that it is about an object, whose blob is at a revision.

    :param maybe_applied: whether the object may have been stored: a blob alone is nothing. None:
        the error says it, as where the blob's parts are what was asked for.
    """
    try:
        yield
    except FSError as error:
        error.filename = name
        if maybe_applied is not None:
            error.maybe_applied = maybe_applied
        error.args = (str(error).replace(repr(revision), repr(name)),)
        raise


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Say of what the database raises here which object it is about."""
    try:
        yield
    except FSError as error:
        error.filename = error.filename or name
        raise
