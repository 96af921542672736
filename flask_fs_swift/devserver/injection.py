"""Stand between the clients and Swift, and fail the requests that a rule names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import eventlet
from eventlet.event import Event

from .actions import ACTIONS
from .failing import FailingRequest
from .requestlog import raw_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .faults import Fault


class Injector:
    """A WSGI application that fails some of the requests to another.

    ``_armed``   the rules that may still fail a request, in order of addition.
    ``_cleared`` is set off by :meth:`clear`, for those who wait on a rule's behalf.

    No green thread runs while either changes.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._armed: list[_Armed] = []
        self._cleared = Event()

    def add(self, fault: Fault) -> None:
        """Fail what the rule names, from now on."""
        self._armed.append(_Armed(fault, to_skip=fault.skip, to_fail=fault.times))

    def clear(self) -> None:
        """Fail nothing any more, and let go of the requests that are held up."""
        self._armed.clear()
        self._cleared.send()
        self._cleared = Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Fail a request, or pass it on."""
        fault = self._fault_for(environ)
        if fault is None:
            return self._app(environ, start_response)
        # Bound now: a request that fails by a rule waits no longer than that rule stands.
        pause = partial(_wait, self._cleared)
        request = FailingRequest(fault, self._app, environ, start_response, pause)
        return ACTIONS[fault.action](request)

    def _fault_for(self, environ: WSGIEnvironment) -> Fault | None:
        path = raw_path(environ)
        if environ.get("QUERY_STRING"):
            path += "?" + environ["QUERY_STRING"]
        for armed in self._armed:
            if armed.fault.matches(environ["REQUEST_METHOD"], path) and armed.strikes():
                return armed.fault
        return None


def _wait(event: Any, seconds: float) -> None:
    with eventlet.Timeout(seconds, False):
        event.wait()


@dataclass
class _Armed:
    """A rule, and how much of it is left."""

    fault: Fault
    to_skip: int
    to_fail: int  # -1: no end

    def strikes(self) -> bool:
        """Count a request that matches, and tell whether it fails."""
        if self.to_skip:
            self.to_skip -= 1
            return False
        if self.to_fail > 0:
            self.to_fail -= 1
            return True
        return self.to_fail < 0
