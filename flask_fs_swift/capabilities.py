"""Ask Swift what it can do: its middleware, and their limits.

State: ``_told``, what ``/info`` answered, or None while nobody has asked. Any thread sets it;
two that do so at once have asked the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .call import Call
from .connection import loads
from .errors import OperationNotSupported, SwiftError, SwiftUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swiftclient import Connection

    from .call import Caller
    from .connection import SwiftConnection


class Capabilities:
    """What one Swift says of itself. Lives as long as its container; asks once."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._told: Mapping[str, Any] | None = None

    def limits_of(self, middleware: str, purpose: str) -> Mapping[str, Any]:
        """Return the limits of a middleware; none where Swift does not tell.

        :param purpose: what it is needed for.
        :raises OperationNotSupported: Swift tells, and does not have it.
        """
        told = self._ask() if self._told is None else self._told
        self._told = told
        if told and middleware not in told:
            raise OperationNotSupported(
                f"this Swift has no {middleware!r} middleware, which is needed for {purpose}"
            )
        limits = told.get(middleware, {})
        return limits if isinstance(limits, dict) else {}

    def _ask(self) -> Mapping[str, Any]:
        call = Call("ask for the capabilities of Swift", None, self._caller.attempts())
        try:
            told = self._caller.run(call, _info)
        except SwiftError as error:
            status = error.http_status
            if isinstance(error, SwiftUnavailable) or status is None or not 400 <= status < 500:
                raise
            return {}  # Its operator does not publish them.
        return told if isinstance(told, dict) else {}


def _info(connection: Connection) -> Any:
    return loads(cast("SwiftConnection", connection).get_info())
