"""Answers of the server: names of headers leave in lower case, errors in the protocol's form."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.errors import (
    AtCapacity,
    FileNotFound,
    FileTooLarge,
    FSError,
    InvalidName,
    InvalidPart,
    OperationNotSupported,
    PoolExhaustedError,
    QuotaExceeded,
    UploadClosed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

logger = logging.getLogger(__name__)


#: What an error of the storage is outside; None: its own words are told.
_STATUSES: tuple[tuple[type[Exception], int, str | None], ...] = (
    (FileNotFound, 404, "there is no such object"),
    (UploadClosed, 404, "there is no such upload"),
    (FileTooLarge, 413, None),
    (QuotaExceeded, 413, "the storage takes no object of this size"),
    (AtCapacity, 429, "the service is at its capacity"),
    (PoolExhaustedError, 429, "the service is at its capacity"),
    (OperationNotSupported, 501, None),
    (InvalidName, 400, None),
    (InvalidPart, 400, None),
)


def refusal_of(error: BaseException) -> Refusal:
    """Return how an error looks from outside. What is not the sender's fault is logged.

    Where it may have been done, no error says otherwise: whoever reads 429 does it again.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, FSError) and error.maybe_applied:
        return _failed(error)
    for kind, status, detail in _STATUSES:
        if isinstance(error, kind):
            return Refusal(status, detail or str(error), form="empty" if status == 404 else "json")
    if isinstance(error, ValueError) and not isinstance(error, FSError):
        return Refusal.of(400, error)
    return _failed(error)


def _failed(error: BaseException) -> Refusal:
    logger.error("a request failed", exc_info=error)
    return Refusal(500, "the storage failed")


def answered(refusal: Refusal) -> Response:
    """Return the answer to a request that is not done."""
    return respond(refusal.status, refusal.headers, refusal.body)


def respond(status: int, headers: Mapping[str, str], content: Any = b"") -> Response:
    """Return an answer whose headers leave in lower case.

    :param content: bytes, or an iterable of them.
    """
    # Werkzeug closes what it does not pass through directly, and calls what is to be called then.
    response = Response(content, status=status)
    del response.headers["Content-Type"]
    for name, value in headers.items():
        response.headers[name] = value
    return response


def metered(response: Response, meter: Callable[[int], None]) -> None:
    """Have the bytes of an answer counted as they are sent."""
    if response.is_sequence:
        meter(sum(map(len, response.iter_encoded())))
    else:
        response.response = _Metered(response.iter_encoded(), response.response, meter)


class _Metered:
    """The blocks of an answer. Lives as long as it.

    :param source: closed with it.
    """

    def __init__(
        self, blocks: Iterable[bytes], source: object, meter: Callable[[int], None]
    ) -> None:
        self._blocks = blocks
        self._meter = meter
        self.close: Callable[[], object] = getattr(source, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._meter(len(block))
            yield block
