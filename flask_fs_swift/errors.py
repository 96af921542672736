"""Everything this package raises, as one tree.

An error answers its caller's next questions: which object, what was expected, and
whether the change may have been applied all the same. The exception that led to it
is its ``__cause__``.
"""

from __future__ import annotations

from swiftclient import ClientException


class FSError(Exception):
    """The root of the tree."""

    #: The HTTP status of Swift's answer; None where Swift did not answer.
    http_status: int | None = None

    def __init__(
        self,
        message: str = "",
        *,
        filename: str | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(message)
        # OSError keeps a file name of its own, and loses it when it is pickled.
        self._filename = filename
        #: True when the change was sent and its outcome is not known.
        self.maybe_applied = maybe_applied

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    @property
    def filename(self) -> str | None:
        """The name of the object that the error is about; None where it is about no single one."""
        return self._filename

    @filename.setter
    def filename(self, name: str | None) -> None:
        self._filename = name


class ConfigError(FSError, ValueError):
    """A setting is missing, unknown or impossible. Nothing was connected."""

    def __init__(self, message: str = "", *, key: str | None = None) -> None:
        super().__init__(message)
        #: The setting's full name in ``app.config``.
        self.key = key


class InvalidName(FSError, ValueError):
    """No object may have this name. Swift was sent nothing."""


class UploadNotAllowed(FSError):
    """The storage does not take this file. Nothing was stored."""


class UnauthorizedFileType(UploadNotAllowed):
    """The file's extension is not allowed, or is denied."""


class FileTooLarge(UploadNotAllowed):
    """The content has more bytes than ``MAX_SIZE`` allows."""

    def __init__(
        self, message: str = "", *, filename: str | None = None, limit: int | None = None
    ) -> None:
        super().__init__(message, filename=filename)
        #: The limit, in bytes.
        self.limit = limit


class OperationNotSupported(FSError):
    """This backend cannot do that."""


class FileNotFound(FSError, FileNotFoundError):
    """There is no such object (404 of the object, confirmed by Swift)."""

    http_status = 404


class FileExists(FSError, FileExistsError):
    """An object, or a file of this machine, has this name, and may not be overwritten."""

    http_status = 412


class ObjectChanged(FSError):
    """Another version of the object appeared, or it was deleted, while it was being read."""


class RangeNotSatisfiable(FSError):
    """The object has none of the bytes that were asked for (416)."""

    http_status = 416

    def __init__(
        self, message: str = "", *, filename: str | None = None, size: int | None = None
    ) -> None:
        super().__init__(message, filename=filename)
        #: Bytes of the object; None where Swift does not say.
        self.size = size


class ETagMismatchError(FSError, ClientException):
    """The stored object, or what was read of it, is not what its MD5 says."""

    def __init__(
        self,
        message: str = "",
        *,
        filename: str | None = None,
        maybe_applied: bool = False,
        expected: str | None = None,
        actual: str | None = None,
        kept: bool | None = None,
    ) -> None:
        super().__init__(message, filename=filename, maybe_applied=maybe_applied)
        #: The MD5 of the right content, in hexadecimal digits.
        self.expected = expected
        #: What came instead.
        self.actual = actual
        #: Whether an object was left in Swift by this write; None for a read.
        self.kept = kept


class DatabaseError(FSError):
    """The database of the two tiers failed, or cannot be asked."""


class LeaseLost(FSError):
    """A write took long, could not say that it was alive, and was given up. Nothing was stored."""


class SwiftError(FSError):
    """Swift, or the service that authenticates for it, did not do what it was asked."""

    def __init__(
        self,
        message: str = "",
        *,
        filename: str | None = None,
        maybe_applied: bool = False,
        http_status: int | None = None,
        transaction_id: str | None = None,
    ) -> None:
        super().__init__(message, filename=filename, maybe_applied=maybe_applied)
        self.http_status = http_status
        #: Swift's own name for the request (``X-Trans-Id``), for its operators.
        self.transaction_id = transaction_id


class ContainerNotFound(SwiftError):
    """There is no such container (404 of the container)."""


class AuthFailed(SwiftError):
    """Authentication said no, or could not be asked, or Swift refuses its tokens."""


class Forbidden(SwiftError):
    """The credentials are good, and may not do this (403)."""


class QuotaExceeded(SwiftError):
    """The object, or what it adds to its container or account, is too large (413)."""


class SwiftUnavailable(SwiftError):
    """Swift failed or could not be reached, after all retries or at the deadline."""


class InvalidPart(FSError):
    """A part is absent, or is not the one that was named. The upload can still be used."""


class UploadClosed(FSError):
    """There is no such upload in this storage, or it was completed or aborted."""


def upload_closed(name: str) -> UploadClosed:
    """Say that an upload of an object is over, without a word of how: its id came from anybody."""
    return UploadClosed(
        f"there is no such upload of {name!r} here, or it was completed or aborted", filename=name
    )


class StreamBroken(FSError):
    """A transfer ended before its end and could not be resumed."""

    def __init__(
        self,
        message: str = "",
        *,
        filename: str | None = None,
        received: int | None = None,
        expected: int | None = None,
    ) -> None:
        super().__init__(message, filename=filename)
        #: How many bytes had arrived.
        self.received = received
        #: How many there should have been.
        self.expected = expected


class PoolExhaustedError(FSError, TimeoutError):
    """No connection came free in time. This attempt was not sent."""


class AtCapacity(FSError):
    """A batch found no connection that it could reserve. None of its operations was pulled.

    ``delete_prefix`` and ``copy_prefix`` do one batch after the other, a thousand files each:
    from the second one on, what the earlier ones did is done.
    """
