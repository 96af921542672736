"""Lead the requests of clients to Swift.

A request passes the control endpoint, the log, the revoked tokens and the faults, in this
order, before it reaches Swift's own pipeline. A server without faults has none of the four.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import eventlet
from eventlet import wsgi
from swift.common import constraints
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.utils import NullLogger

from .cache import Cache, offer
from .cluster import Cluster
from .control import Control
from .daemons import Daemons
from .faults import Fault
from .injection import Injector
from .requestlog import RequestLog
from .tokens import Tokens

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

    from .conf import Configuration

_CONNECTIONS = 1024
_LAST_REQUESTS = 3.0  # seconds
_POLL = 0.1  # seconds


class Front:
    """A Swift behind a listening socket. It is used once, from :meth:`listen` to the end."""

    def __init__(self, configuration: Configuration, *, faults: bool) -> None:
        self._configuration = configuration
        cache = Cache()
        cluster = Cluster(configuration, cache)
        self._injector = Injector(offer(cluster.app, cache))
        self._app = self._with_faults(cache) if faults else offer(cluster.app, cache)
        self._cluster = cluster
        self._requests = eventlet.GreenPool(_CONNECTIONS)

    def _with_faults(self, cache: Cache) -> WSGIApplication:
        tokens = Tokens(self._injector, cache)
        log = RequestLog(tokens)
        return Control(
            log,
            {
                ("POST", "faults"): lambda rule: self._injector.add(Fault(**rule)),
                ("DELETE", "faults"): lambda _: self._injector.clear(),
                ("GET", "requests"): lambda _: [vars(entry) for entry in log.requests()],
                ("DELETE", "requests"): lambda _: log.forget(),
                ("POST", "revocation"): lambda _: tokens.revoke(),
                ("POST", "tick"): lambda _: Daemons(self._configuration).run_once(),
            },
        )

    def listen(self, listener: socket.socket, patience: float) -> None:
        """Answer requests in the background, and return when the first has succeeded.

        :param patience: seconds until the first request has to succeed.
        :raises DevServerError: it did not.
        """
        self._listener = listener
        self._server: Any = eventlet.spawn(
            wsgi.server,
            eventlet.greenio.GreenSocket(listener),
            self._app,
            NullLogger(),
            protocol=SwiftHttpProtocol,
            socket_timeout=float(self._configuration.defaults["client_timeout"]),
            capitalize_response_headers=False,
            custom_pool=self._requests,
            url_length_limit=constraints.MAX_REQUEST_LINE,
            log_output=False,
        )
        self._cluster.wait_until_it_stores(patience)

    def serve_until(self, is_over: Callable[[], bool]) -> None:
        """Return when it is over, or when nobody listens any more."""
        while not is_over() and not self._server.dead:
            eventlet.sleep(_POLL)

    def finish(self) -> None:
        """Take no more connections, and let the requests in flight finish for a while."""
        self._injector.clear()
        with closing(self._listener):
            eventlet.spawn_n(self._server.kill)
            eventlet.sleep(0)
        with eventlet.Timeout(_LAST_REQUESTS, False):
            self._requests.waitall()
