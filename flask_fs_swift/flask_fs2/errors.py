"""Our errors, raised so that applications written for swiftclient's catch them too.

An application on flask-fs2 knows what its Swift backend raises: a
``swiftclient.ClientException`` with an ``http_status``. Each class here is the one of
the same name in :mod:`flask_fs_swift.errors`, and a ``ClientException`` besides, with
all that the last answer of Swift said. Where Swift did not answer, ``http_status`` is
None. What never was an answer of Swift (``InvalidName``, ``PoolExhaustedError``,
``StreamBroken``, …) stays what it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import flask_fs.errors
from swiftclient import ClientException

from flask_fs_swift import errors

if TYPE_CHECKING:
    from collections.abc import Iterator


class FileNotFound(errors.FileNotFound, flask_fs.errors.FileNotFound, ClientException):  # type: ignore[misc]
    """There is no such object. It is flask-fs2's ``FileNotFound`` as well."""


class SwiftError(errors.SwiftError, ClientException):
    """Swift did not do what it was asked."""


class ContainerNotFound(errors.ContainerNotFound, ClientException):
    """There is no such container (404 of the container)."""


class AuthFailed(errors.AuthFailed, ClientException):
    """Authentication said no, or could not be asked."""


class Forbidden(errors.Forbidden, ClientException):
    """The credentials are good, and may not do this (403)."""


class QuotaExceeded(errors.QuotaExceeded, ClientException):
    """The object, or what it adds to its container or account, is too large (413)."""


class SwiftUnavailable(errors.SwiftUnavailable, ClientException):
    """Swift failed or could not be reached, after all retries or at the deadline."""


_TWINS: dict[type[errors.FSError], type[errors.FSError]] = {
    errors.FileNotFound: FileNotFound,
    errors.SwiftError: SwiftError,
    errors.ContainerNotFound: ContainerNotFound,
    errors.AuthFailed: AuthFailed,
    errors.Forbidden: Forbidden,
    errors.QuotaExceeded: QuotaExceeded,
    errors.SwiftUnavailable: SwiftUnavailable,
}


@contextmanager
def as_client_exceptions() -> Iterator[None]:
    """Raise the errors of the block, or of the function that this decorates, as those above."""
    try:
        yield
    except errors.FSError as error:
        if type(error) not in _TWINS:
            raise
        raise _twin(error).with_traceback(error.__traceback__) from error.__cause__


def _twin(error: errors.FSError) -> errors.FSError:
    twin = _TWINS[type(error)](str(error))
    said = {**vars(_last_answer(error)), "msg": str(error), "http_status": error.http_status}
    vars(twin).update(said, **vars(error))
    return twin


def _last_answer(error: BaseException) -> ClientException:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ClientException):
        cause = cause.__cause__
    return cause or ClientException("")
