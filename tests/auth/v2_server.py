"""A service that speaks Keystone's v2 API in front of a development Swift.

Keystone itself dropped v2 with its release of 2018 (Queens), so none that can be installed
today speaks it, but clouds that are older, or not built on Keystone, do. This one asks the
Swift for the token: it is as real as Swift's own, only the way to it is not.
"""

from __future__ import annotations

import datetime as dt
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from types import TracebackType

    from flask.typing import ResponseReturnValue
    from typing_extensions import Self

    from flask_fs_swift.devserver import DevServer

_PATIENCE = 30.0  # seconds
_ID = "id-of-"


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class V2Service:
    """Lives from ``with`` to its end.

    A tenant's id is ``id-of-`` and its name. The users of a tenant are those of the Swift's
    account: ``tester`` of ``test`` is its ``test:tester``.

    :param regions: the storage URL of each.
    :param tells_issue: whether it says when a token was issued.
    """

    def __init__(
        self, swift: DevServer, regions: dict[str, str], *, tells_issue: bool = True
    ) -> None:
        self._swift = swift
        self._regions = regions
        self._tells_issue = tells_issue
        app = Flask(__name__)
        app.add_url_rule("/v2.0/tokens", view_func=self._issue, methods=["POST"])
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/v2.0"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _issue(self) -> ResponseReturnValue:
        auth = request.get_json()["auth"]
        tenant = auth.get("tenantName") or auth["tenantId"].removeprefix(_ID)
        user, password = (auth["passwordCredentials"][key] for key in ("username", "password"))
        issued = dt.datetime.now(dt.timezone.utc)
        headers = {"X-Auth-User": f"{tenant}:{user}", "X-Auth-Key": password}
        answer = requests.get(self._swift.auth_url, headers=headers, timeout=_PATIENCE)
        if not answer.ok:
            error = {"code": 401, "title": "Unauthorized", "message": "Invalid user / password"}
            return {"error": error}, 401
        life = dt.timedelta(seconds=int(answer.headers["X-Auth-Token-Expires"]))
        token: dict[str, Any] = {
            "id": answer.headers["X-Auth-Token"],
            "expires": (issued + life).isoformat(),
            "tenant": {"id": _ID + tenant, "name": tenant, "enabled": True},
        }
        if self._tells_issue:
            token["issued_at"] = issued.isoformat()
        endpoints = [
            {"region": region, "publicURL": url, "internalURL": url}
            for region, url in self._regions.items()
        ]
        catalogue = [{"type": "object-store", "name": "swift", "endpoints": endpoints}]
        who = {"id": user, "name": user, "username": user, "roles": [], "roles_links": []}
        return {"access": {"token": token, "serviceCatalog": catalogue, "user": who}}
