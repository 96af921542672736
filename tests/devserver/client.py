"""Ask a server something, with as little between us and the wire as possible."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.devserver import DevServer

PATIENCE = 15.0  # seconds


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # by their names in lower case
    body: bytes


class Client:
    """Somebody who is logged in. Each request has a connection of its own."""

    def __init__(self, server: DevServer) -> None:
        self._server = server
        self.login: dict[str, str]
        self.log_in()

    def log_in(self) -> None:
        credentials = {"X-Auth-User": self._server.user, "X-Auth-Key": self._server.key}
        answer = ask("GET", self._server.auth_url, headers=credentials)
        assert answer.status == 200
        self.login = {"X-Auth-Token": answer.headers["x-auth-token"]}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return ask(method, self._server.storage_url + path, body, self.login | headers)


def ask(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}"
    with closing(HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)) as connection:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as response:
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition of another process holds; none of these can be waited on."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
