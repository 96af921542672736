"""Whether to ask again, and when: bounded attempts, growing pauses, one deadline."""

from __future__ import annotations

import random
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from .concurrency import Deadline, pause

if TYPE_CHECKING:
    from .config import RetrySettings

#: Seconds; a pause grows no longer than that.
LONGEST_PAUSE = 30.0


def is_transient(status: int) -> bool:
    """Tell whether a status may be another one soon: a time-out, a rate limit, a failure."""
    return status in {408, 429, 498, 499} or status >= 500


class Attempts:
    """The attempts of one call. Lives as long as the call."""

    def __init__(self, retrying: RetrySettings, deadline: Deadline | None = None) -> None:
        self._retrying = retrying
        #: Until when the call may last.
        self.deadline = deadline or Deadline(retrying.deadline)
        #: How many more attempts were asked for.
        self.retried = 0

    def again(self, retry_after: float | None = None) -> bool:
        """Pause and return True if there is to be another attempt.

        :param retry_after: seconds that the server asked for, instead of our own pause.
            A server that asks for more than the deadline leaves ends the call at once.
        """
        wait = self._pause() if retry_after is None else retry_after
        self.retried += 1
        if self.retried > self._retrying.retries or wait >= self.deadline.remaining():
            return False
        pause(wait)
        return True

    def _pause(self) -> float:
        # The first retry comes at once, or nearly: most failures are one broken
        # connection. Jitter keeps those who failed together from returning together.
        longest = self._retrying.backoff * 2.0 ** (self.retried - 1) if self.retried else 0.05
        return random.uniform(0, min(longest, LONGEST_PAUSE))  # noqa: S311


def seconds_until(retry_after: str | None) -> float | None:
    """Return what a ``Retry-After`` header asks for, in seconds (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return None  # Not a date either: as good as no header.
    return max(0.0, (then - datetime.now(then.tzinfo)).total_seconds())
