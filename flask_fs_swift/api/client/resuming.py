"""Store long content so that a broken connection costs what was under way, and not everything.

1. The server is asked for an upload of so many bytes. Where it has none, the content is put as
   ever, by who asked.
2. Everything that it does not have is sent in one request. So no request but the last one ever
   ends on purpose, and the server's ``granularity``, of all others, has nothing to say.
3. The last byte is the **commit point**.
4. After a failure that may pass, there is a pause, and the server is asked how much it has: 2 goes
   on from there. Where it says that it has everything, only the answer was lost.
5. What fails again and again without a step forward is given up: the upload is cancelled, so
   that the server need not keep what it has.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .failures import CLOSED, AnswerBroken, AnswerLost, RequestError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .calls import Answer
    from .connections import Line
    from .endpoint import Endpoint
    from .extent import Extent
    from .usecase import Storing

#: Seconds before each further try; up to a quarter more, so that not all come at once.
PAUSES = (2.0, 4.0)

# Seconds for an answer to the last word: nobody needs it.
_PATIENCE = 5.0
_PASSING = {408, 429, 502, 503, 504}


class _NoProgress(AnswerBroken):
    """The server has taken what it was sent, and has no more than before."""


@dataclass(frozen=True)
class Created:
    """What a server said when it was asked for an upload."""

    #: None where it said no.
    key: str | None = None
    #: Its name for the upload; None: there is none.
    token: str | None = None


def create(endpoint: Endpoint, storing: Storing, size: int, line: Line) -> Created:
    """Ask for an upload of so many bytes; whatever fails, there is none.

    A server that knows of no uploads has stored an empty object: its key is to be filled.
    """
    method = "POST" if storing.key is None else "PUT"
    target = endpoint.target(storing.key, upload_type="resumable")
    headers = {**storing.headers(), "upload-length": str(size)}
    try:
        answer = endpoint.call(method, target, headers, key=storing.key, line=line)
        said = answer.checked().document()
    except RequestError:
        return Created()
    key, token = (said.get("key"), said.get("session")) if isinstance(said, dict) else (None, None)
    if not (isinstance(key, str) and key and key == (storing.key or key)):
        return Created()
    return Created(key, token if isinstance(token, str) and token else None)


class Sending:
    """An upload that is being sent. Lives until it is complete, or was given up.

    :param pauses: seconds before each further try without a step forward; there are no more.
    :param line: where others end it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str,
        token: str,
        extent: Extent,
        *,
        pauses: Sequence[float],
        line: Line,
    ) -> None:
        self._endpoint = endpoint
        self._key = key
        self._target = endpoint.target(key, session=token)
        self._extent = extent
        self._pauses = pauses
        self._line = line
        # Whether the server may have everything, as far as we know.
        self._may_be_done = False

    def finish(self) -> str:
        """Send everything; return the key.

        :raises RequestError: it was given up.
        :raises Exception: what the content raised; it was given up, too.
        """
        try:
            self._send_all()
        except RequestError as error:
            error.maybe_applied |= self._may_be_done
            self._cancel()
            raise
        except Exception:
            self._cancel()
            raise
        return self._key

    def _send_all(self) -> None:
        offset = furthest = 0
        pauses = iter(self._pauses)
        is_sure = True
        while True:
            try:
                held = self._send(offset, furthest) if is_sure else self._ask()
            except RequestError as error:
                if not _may_pass(error) or not self._pause(next(pauses, None)):
                    raise
                is_sure = False
                continue
            if held is None:
                return
            if held > furthest:
                furthest, pauses = held, iter(self._pauses)
            offset, is_sure = held, True

    def _pause(self, seconds: float | None) -> bool:
        """Wait before another try; tell whether there is to be one."""
        if seconds is None:
            return False
        return self._line.pause(seconds * random.uniform(1, 1.25))  # noqa: S311 - no secret

    def _send(self, offset: int, furthest: int) -> int | None:
        """Send what comes from an offset on; return how much the server has, None: everything.

        :raises _NoProgress: it has no more than before.
        """
        headers = {
            "upload-offset": str(offset),
            "content-length": str(self._extent.size - offset),
        }
        try:
            answer = self._call("PUT", headers, self._extent.blocks(offset))
        except AnswerLost:
            self._may_be_done = True
            raise
        held = self._held(answer)
        if held is not None and held <= furthest:
            raise _NoProgress(
                f"the upload came no further than {held} of {self._extent.size} bytes",
                status=answer.status,
                key=self._key,
            )
        return held

    def _ask(self) -> int | None:
        """Return how much the server has, None: everything."""
        return self._held(self._call("PUT", {"upload-offset": "*"}))

    def _held(self, answer: Answer) -> int | None:
        with answer:
            if answer.status != 409:
                answer.checked(CLOSED)
            if answer.status == 201:
                return None
            said = answer.header("upload-offset")
            held = int(said) if said.isascii() and said.isdigit() and len(said) < 20 else -1
            if not 0 <= held <= self._extent.size:
                raise answer.broken("it does not say how much of the upload there is")
        self._may_be_done = False
        return held

    def _call(
        self, method: str, headers: dict[str, str], body: Iterable[bytes] | None = None
    ) -> Answer:
        return self._endpoint.call(
            method, self._target, headers, body, key=self._key, line=self._line
        )

    def _cancel(self) -> None:
        """Let the server forget the upload, if it hears that. The line may have been cut."""
        with suppress(RequestError):
            self._endpoint.call("DELETE", self._target, key=self._key, patience=_PATIENCE).finish()


def _may_pass(error: RequestError) -> bool:
    """Tell whether a failure may be over soon."""
    passing = isinstance(error, (AnswerLost, Unreachable, _NoProgress))
    return passing or error.status in _PASSING
