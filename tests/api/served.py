"""Servers of the tests: an application with the service, below Werkzeug and gunicorn."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flask import Flask
from werkzeug.serving import make_server

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.api.expiration import Policy
from flask_fs_swift.api.keys import PERMISSIONS, SigningKey, read_signing_key
from flask_fs_swift.api.server.blueprint import objectstore
from flask_fs_swift.api.tokens import new_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask_fs_swift.api.keys import KeyPair

KID = "test_kid"
READER = "reader"

POLICIES = {
    "brief": Policy(frozenset({"ttl"}), {"ttl": timedelta(days=1)}),
}


def create_app(
    keys: Mapping[str, object] | None = None,
    files: Storage | None = None,
    settings: Mapping[str, object] | None = None,
) -> Flask:
    """Return an application: at /v1 with keys, at /open/v1 for everybody."""
    app = Flask("served")
    app.config.update(settings or json.loads(os.environ.get("SERVED_SETTINGS", "{}")))
    if keys is None:
        keys = json.loads(os.environ["SERVED_KEYS"])
    if files is None:
        app.config.setdefault("FS_BACKEND", "memory")
        files = Storage("files", ALL)
        FS(app, files)
    app.register_blueprint(objectstore(files, keys=keys, usecases=POLICIES), url_prefix="/v1")
    everybody = objectstore(files, enforce=False, usecases=POLICIES, name="everybody")
    app.register_blueprint(everybody, url_prefix="/open/v1")
    return app


@dataclass
class Answer:
    """What a server answered."""

    status: int
    #: As they were sent, in their case.
    pairs: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A server, and who may sign for it."""

    port: int
    kind: str
    key: SigningKey
    reader: SigningKey
    host: str = "127.0.0.1"
    usecase: str = "test"
    scopes: tuple[tuple[str, str], ...] = (("org", "1"),)

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def token(
        self,
        permissions: Any = PERMISSIONS,
        usecase: str | None = None,
        scopes: tuple[tuple[str, str], ...] | None = None,
        *,
        key: SigningKey | None = None,
        now: float | None = None,
    ) -> str:
        return new_token(
            key or self.key,
            usecase or self.usecase,
            self.scopes if scopes is None else scopes,
            permissions,
            time.time() if now is None else now,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        chunked: bool = False,
        **headers: Any,
    ) -> Answer:
        """Send one request; the headers' underscores are hyphens.

        :param path: the target after the prefix, or all of it, with its slash or its origin.
        :param token: empty: one that allows everything; None: none.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["x-os-auth"] = f"Bearer {token or self.token()}"
        target = path if path.startswith(("/", "http:")) else f"/v1/{path}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, target, body, sent, encode_chunked=chunked)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def put(self, key: str, body: Any = b"content", **headers: Any) -> Answer:
        answer = self.ask("PUT", self.at(key), body, **headers)
        assert answer.status == 200, answer
        return answer

    def at(self, key: str) -> str:
        """Return the path of an encoded key."""
        scopes = ";".join(f"{name}={value}" for name, value in self.scopes) or "_"
        return f"objects/{self.usecase}/{scopes}/{key}"

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=20)


@contextmanager
def serving(
    kind: str,
    pairs: Mapping[str, KeyPair],
    files: Storage | None = None,
    log: IO[bytes] | None = None,
    **settings: object,
) -> Iterator[Any]:
    """Run a server: ``werkzeug``, or a worker class of gunicorn.

    :param files: what Werkzeug serves; by default files in memory.
    :param log: gets what gunicorn says; None: it is said where the tests say it.
    :param settings: of its application; where gunicorn finds its files, by default in memory.
    """
    keys = {
        kid: {
            "versions": [pair.public],
            "max_permissions": ["object.read"] if kid == READER else sorted(PERMISSIONS),
        }
        for kid, pair in pairs.items()
    }
    signing = {kid: read_signing_key("KEY", kid, pair.private) for kid, pair in pairs.items()}
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.set_inheritable(True)
    served = Served(listener.getsockname()[1], kind, signing[KID], signing[READER])
    run = _werkzeug if kind == "werkzeug" else _gunicorn
    with listener, run(kind, listener, keys, files, log, settings):
        yield served


@contextmanager
def _werkzeug(
    _kind: str,
    listener: socket.socket,
    keys: Mapping[str, object],
    files: Storage | None,
    _log: IO[bytes] | None,
    settings: Mapping[str, object],
) -> Iterator[None]:
    app = create_app(keys, files, settings)
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
    server.log = lambda *_, **__: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _gunicorn(
    kind: str,
    listener: socket.socket,
    keys: Mapping[str, object],
    _files: Storage | None,
    log: IO[bytes] | None,
    settings: Mapping[str, object],
) -> Iterator[None]:
    command = [
        *(sys.executable, "-m", "gunicorn", "api.served:create_app()"),
        *("--worker-class", kind, "--threads", "8" if kind == "gthread" else "1"),
        *("--bind", f"fd://{listener.fileno()}", "--log-level", "error", "--graceful-timeout", "1"),
        *("--chdir", str(Path(__file__).parent.parent), "--no-control-socket"),
    ]
    environment = {
        **os.environ,
        "SERVED_KEYS": json.dumps(keys),
        "SERVED_SETTINGS": json.dumps(settings),
        "PYTHONWARNINGS": "default",
    }
    process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
