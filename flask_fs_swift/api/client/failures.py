"""What a client raises: which request failed, what the server said, may it have been done.

Values that could not be sent at all are a ``ValueError`` or a ``TypeError``: nothing was sent.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.errors import FSError

if TYPE_CHECKING:
    from collections.abc import Mapping


class RequestError(FSError):
    """A request failed: the root of this tree."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        body: bytes = b"",
        key: str | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(message, filename=key, maybe_applied=maybe_applied)
        self.http_status = status
        #: What the server sent with it: at most 64 KiB.
        self.body = body

    #: What the server calls it, where an upload could not be completed.
    code: str | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status of the answer; None where there was none, or none that counts."""
        return self.http_status

    @property
    def key(self) -> str | None:
        """The key that the request was about; None where it was about none, or many."""
        return self.filename


class Unreachable(RequestError):
    """There was no connection in time. Nothing was sent."""


class AnswerLost(RequestError):
    """The connection broke, or was silent for too long. What was sent may have been done."""


class AnswerBroken(RequestError):
    """What came is no answer of the protocol, or was cut off. It may have been done."""


class Denied(RequestError):
    """The token is missing, wrong or expired, or does not allow this. Nothing was done."""


class ObjectNotFound(RequestError):
    """There is no such object, or none any more."""


class RangeNotSatisfiable(RequestError):
    """The object has none of the bytes that were asked for."""

    #: Bytes of the object, as it is stored; None where the server does not say.
    size: int | None = None


class StoredCompressed(RequestError):
    """A range was asked for of compressed content, which has ranges only as it is stored.

    Read all of it, or give ``decompress=False``.
    """


class UploadClosed(RequestError):
    """There is no such upload, or it was completed or aborted."""


#: The statuses that say so.
CLOSED: dict[int, type[RequestError]] = {404: UploadClosed, 410: UploadClosed}


class InvalidPart(RequestError):
    """A part is absent, or not the one that was named. The upload can still be used."""


class PartDamaged(RequestError):
    """The server has stored another part than was sent. Put it again."""


class ExpiryNotExtended(RequestError):
    """The object never expires, or was changed at the same time. Nothing was done."""


class ServerBusy(RequestError):
    """The server has too much to do. Nothing was done; try again later."""


class ServerFailed(RequestError):
    """The server has failed in the middle. It may have been done."""


class TooMuchContent(RequestError):
    """More bytes came out of compressed content than its reader allows for."""


_OF_STATUS: dict[int, type[RequestError]] = {
    401: Denied,
    403: Denied,
    404: ObjectNotFound,
    409: ExpiryNotExtended,
    416: RangeNotSatisfiable,
    429: ServerBusy,
    503: ServerBusy,
}


NO_KINDS: Mapping[int, type[RequestError]] = MappingProxyType({})


def failure_of(
    status: int,
    body: bytes,
    key: str | None = None,
    kinds: Mapping[int, type[RequestError]] = NO_KINDS,
) -> RequestError:
    """Return what an answer means that is no success.

    :param kinds: what some statuses mean where the request was sent, in place of what they
        mean elsewhere.
    """
    known = {**_OF_STATUS, **kinds}
    kind = known.get(status, ServerFailed if status >= 500 else RequestError)
    return kind(
        str(Refusal.read(status, body)),
        status=status,
        body=body,
        key=key,
        maybe_applied=kind is ServerFailed,
    )
