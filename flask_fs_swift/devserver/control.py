"""Tell a running server which requests to fail, from another process.

Both ends are here. The server's is a WSGI application in front of all others, the client's
is :class:`Faults`; they speak JSON below ``/__devserver__/``.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from .errors import DevServerError
from .faults import Action, Fault
from .requestlog import LoggedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PREFIX = "/__devserver__/"
_PATIENCE = 30.0  # seconds; a pass of Swift's daemons takes its time


class Faults:
    """What a client can do with a server that fails on demand."""

    def __init__(self, url: str, *, offered: bool = True) -> None:
        self._address = urlsplit(url)
        self._offered = offered

    def add(self, action: str, **rule: Any) -> None:
        """Fail requests from now on, see :class:`Fault`. Rules match in order of addition.

        :raises ValueError: the action is unknown, or a pattern is no regular expression.
        :raises DevServerError: the server takes no faults, or did not answer.
        """
        fault = Fault(cast("Action", action), **rule)
        self._ask("POST", "faults", asdict(fault))

    def clear(self) -> None:
        """Fail nothing any more. Requests that are held up by a fault go on at once."""
        self._ask("DELETE", "faults")

    def requests(self) -> list[LoggedRequest]:
        """Return what the server was asked, oldest first, at most the last 10,000."""
        return [LoggedRequest(**entry) for entry in self._ask("GET", "requests")]

    def forget(self) -> None:
        """Forget the requests logged so far."""
        self._ask("DELETE", "requests")

    def revoke_tokens(self) -> None:
        """Let every token issued so far be refused. Who logs in again gets a new one.

        With Keystone: every token that the server has seen so far.
        """
        self._ask("POST", "revocation")

    def tick(self) -> None:
        """Let account statistics catch up, and delete the objects that have expired."""
        self._ask("POST", "tick")

    def _ask(self, method: str, what: str, content: object = None) -> Any:
        if not self._offered:
            raise DevServerError("this server takes no faults; start one with faults=True")
        try:
            return self._exchange(method, what, content)
        except (OSError, HTTPException) as error:
            raise DevServerError(f"{self._address.geturl()} did not answer: {error}") from error

    def _exchange(self, method: str, what: str, content: object) -> Any:
        address = self._address
        connection = HTTPConnection(str(address.hostname), address.port, timeout=_PATIENCE)
        with closing(connection):
            connection.request(method, _PREFIX + what, json.dumps(content))
            with connection.getresponse() as response:
                text = response.read()
        if response.status != 200:
            raise DevServerError(f"{method} {what}: {response.status} {text.decode()}")
        return json.loads(text)


class Control:
    """The server's end: a WSGI application that lets all other requests through.

    :param operations: what to do with the content of a request, by method and name.
    """

    def __init__(
        self, app: WSGIApplication, operations: dict[tuple[str, str], Callable[[Any], object]]
    ) -> None:
        self._app = app
        self._operations = operations

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what is meant for us, and pass on the rest."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if not path.startswith(_PREFIX):
            return self._app(environ, start_response)
        operation = self._operations.get((method, path.removeprefix(_PREFIX)))
        if operation is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        result = operation(json.loads(environ["wsgi.input"].read()))
        text = json.dumps(result).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]
