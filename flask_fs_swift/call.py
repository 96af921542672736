"""Send one request to Swift until it is sure how it ended.

Each attempt asks the login for a token and the pool for a connection. Then

- a success, or an answer that asking again would not change, ends the call;
- a 401 renews the token and asks again at once, twice at most;
- a failure of the network, a 5xx, a 408, 429, 498 or 499 is asked again, after a
  pause, while attempts and deadline last;
- a body that Swift found corrupted (422) is sent again: nothing was stored.

When a change was sent and its answer was lost, the call is *uncertain*, and so is the error
that ends it (``maybe_applied``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from swiftclient import ClientException

from .answers import NETWORK_ERRORS, is_distrust, never_sent, retry_after, swift_error
from .errors import AuthFailed, ETagMismatchError, FSError, SwiftError, SwiftUnavailable
from .login import attach
from .retry import Attempts, is_transient, seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from swiftclient import Connection

    from .config import SwiftSettings
    from .content import Content
    from .login import Login
    from .pool import Checkout, Lender

T = TypeVar("T")

#: New tokens that one call tries.
RENEWALS = 2


class Caller:
    """What every call to one Swift needs: a login and patience. Lives as its container.

    :param lender: lends the connections; by default the login's pool.
    """

    def __init__(self, settings: SwiftSettings, login: Login, lender: Lender | None = None) -> None:
        self._timeout = settings.login.timeout
        self._retrying = settings.retrying
        self._login = login
        self._lender = lender or login.pool

    def attempts(self) -> Attempts:
        """Return the attempts of a new call; its deadline begins now."""
        return Attempts(self._retrying)

    def storage_url(self) -> str:
        """Return where Swift is, as the token says that there is, or a new one.

        :raises AuthFailed: there is none, and none could be had.
        """
        return self._login.tokens.token(self.attempts().deadline).url

    def run(self, call: Call, send: Callable[[Connection], T]) -> T:
        """Send a request whose answer is read at once."""
        checkout, answer = self.start(call, send)
        checkout.checkin()
        return answer

    def start(self, call: Call, send: Callable[[Connection], T]) -> tuple[Checkout, T]:
        """Send a request until it is answered; the caller gives back the connection."""
        deadline = call.attempts.deadline
        try:
            while True:
                token = self._login.tokens.token(deadline)
                checkout = self._lender.checkout(deadline.remaining())
                try:
                    left = deadline.remaining()
                    if not left:
                        raise call.out_of_time()
                    attach(checkout.connection, token, min(self._timeout, left), deadline)
                    return checkout, send(checkout.connection)
                except ClientException as answer:
                    (checkout.checkin if call.was_read_clean(answer) else checkout.discard)()
                    if answer.http_status == 401:
                        self._login.tokens.refused(token)
                    call.answered(answer)
                except NETWORK_ERRORS as failure:
                    checkout.discard()
                    if never_sent(failure):
                        self._login.tokens.unreachable(token)
                    call.failed(failure)
                except ValueError as nonsense:
                    checkout.discard()
                    raise call.not_understood(nonsense) from nonsense
                except BaseException:
                    checkout.discard()
                    raise
        except FSError as error:
            error.filename = error.filename or call.filename
            error.maybe_applied = error.maybe_applied or call.uncertain
            raise


class Call:
    """One call of a verb. Lives from its first attempt to its last."""

    def __init__(
        self,
        operation: str,
        filename: str | None,
        attempts: Attempts,
        *,
        changes: bool = False,
        content: Content | None = None,
    ) -> None:
        self.filename = filename
        self.attempts = attempts
        #: An attempt failed after which Swift may have done what it was asked.
        self.uncertain = False
        self._operation = operation
        self._changes = changes
        self._content = content
        self._failures = 0
        self._refusals = 0

    @property
    def _what(self) -> str:
        return self._operation if self.filename is None else f"{self._operation} {self.filename!r}"

    def was_read_clean(self, answer: ClientException) -> bool:
        """Tell whether nothing of a request or its answer can be left on the connection."""
        status = answer.http_status
        return self._content is None and status is not None and status < 500 and status != 408

    def answered(self, answer: ClientException) -> None:
        """Return if the request should be sent again.

        :raises SwiftError: the answer is final, or there is no time or content left.
        """
        self._failures += 1
        status = answer.http_status or 0
        if status == 401:
            self._take_refusal(answer)
        elif status == 422 and self._content is not None:
            self._take_corruption(answer)
        elif is_transient(status):
            self._take_failure(answer, status)
        else:
            raise self._error(answer)

    def _take_refusal(self, answer: ClientException) -> None:
        self._refusals += 1
        if self._refusals > RENEWALS:
            raise self._refused("Swift refuses tokens that were just issued", answer) from answer

    def _take_corruption(self, answer: ClientException) -> None:
        if not self._may_repeat(answer):
            raise self._corrupted(answer) from answer

    def _take_failure(self, answer: ClientException, status: int) -> None:
        if status not in {429, 498}:  # Rate limits: nothing was done.
            self.uncertain = self._changes
        if not self._may_repeat(answer):
            error = self._error(answer)
            raise self._unavailable(str(error), error) from answer

    def failed(self, failure: Exception) -> None:
        """Return if the request should be sent again.

        :raises SwiftUnavailable: it should not.
        """
        self._failures += 1
        if not never_sent(failure):
            self.uncertain = self._changes
        if is_distrust(failure) or not self.attempts.again():
            reason = f"{self._what}: {type(failure).__name__}: {failure}"
            raise self._unavailable(reason) from failure

    def out_of_time(self) -> SwiftUnavailable:
        """Say that the deadline came before another attempt could begin."""
        return SwiftUnavailable(
            f"{self._what}: the deadline came before attempt {self._failures + 1}",
            filename=self.filename,
            maybe_applied=self.uncertain,
        )

    def not_understood(self, nonsense: ValueError) -> SwiftError:
        """Say that an answer is none that a Swift gives."""
        return SwiftError(
            f"{self._what}: the answer cannot be read ({type(nonsense).__name__})",
            filename=self.filename,
            maybe_applied=self._changes,
        )

    def _may_repeat(self, answer: ClientException) -> bool:
        return self.attempts.again(seconds_until(retry_after(answer)))

    def _error(self, answer: ClientException) -> SwiftError:
        return swift_error(self._what, self.filename, answer, maybe_applied=self.uncertain)

    def _unavailable(self, reason: str, answer: SwiftError | None = None) -> SwiftUnavailable:
        return SwiftUnavailable(
            f"{reason}, after {self._failures} attempt(s)",
            filename=self.filename,
            maybe_applied=self.uncertain,
            http_status=answer.http_status if answer else None,
            transaction_id=answer.transaction_id if answer else None,
        )

    def _refused(self, reason: str, answer: ClientException) -> AuthFailed:
        return AuthFailed(
            f"{self._what}: {reason}",
            filename=self.filename,
            maybe_applied=self.uncertain,
            http_status=401,
            transaction_id=answer.transaction_id,
        )

    def _corrupted(self, answer: ClientException) -> ETagMismatchError:
        error = ETagMismatchError(
            f"{self.filename!r} reached Swift corrupted, {self._failures} time(s); "
            "nothing was stored",
            filename=self.filename,
            maybe_applied=self.uncertain,
            expected=self._content.etag if self._content else None,
            kept=False,
        )
        error.http_status = answer.http_status
        return error
