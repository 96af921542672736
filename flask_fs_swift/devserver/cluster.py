"""A whole Swift in this process: proxy, account, container and object servers.

Swift binds its limits and its hash suffix when its modules are imported, so nobody imports
this one before the configuration is written and Swift has been told where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import eventlet
from swift.account.server import AccountController
from swift.common import utils
from swift.common.swob import Request
from swift.common.utils import get_logger
from swift.common.wsgi import loadapp
from swift.container.server import ContainerController
from swift.obj.server import ObjectController

from . import backends, patches
from .cache import FACTS, forget_after_writes
from .errors import DevServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .cache import Cache
    from .conf import Configuration

_STORAGE = {
    "account": AccountController,
    "container": ContainerController,
    "object": ObjectController,
}


class Cluster:
    """The servers, ready for requests. It lives as long as the process."""

    app: WSGIApplication

    def __init__(self, configuration: Configuration, cache: Cache) -> None:
        patches.log_to_standard_error()
        patches.never_sync()
        patches.stay_in_one_thread()
        patches.look_at_methods_once()
        utils.FALLOCATE_RESERVE = 0
        backends.Backends(_storage_servers(configuration, cache)).take_over()
        self.app = loadapp(str(configuration.proxy), {"log_name": "proxy-server"})

    def wait_until_it_stores(self, seconds: float) -> None:
        """Send a request through to the disk until one succeeds.

        :raises DevServerError: none did in time.
        """
        proxy = getattr(self.app, "_pipeline_final_app", self.app)
        status = ""
        with eventlet.Timeout(seconds, False):
            while not status.startswith("2"):
                status = Request.blank("/v1/.probe", method="PUT").get_response(proxy).status
                eventlet.sleep(0.05)
        if not status.startswith("2"):
            raise DevServerError(f"Swift's storage servers do not work: {status}")


def _storage_servers(configuration: Configuration, cache: Cache) -> dict[int, WSGIApplication]:
    servers = {}
    for port, (name, controller) in enumerate(_STORAGE.items(), start=1):
        backends.write_ring(configuration.etc, name, port)
        server = _storage_server(configuration, name, port, controller)
        servers[port] = forget_after_writes(server, name, cache) if name in FACTS else server
    return servers


def _storage_server(
    configuration: Configuration, name: str, port: int, controller: Any
) -> WSGIApplication:
    options = configuration.defaults | {"log_name": f"{name}-server", "bind_port": str(port)}
    server = controller(options, logger=get_logger(options, log_route=f"{name}-server"))
    server.log_requests = False  # the proxy logs them
    return cast("WSGIApplication", server)
