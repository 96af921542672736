"""How the service does, for whoever starts and stops it: no token is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from .service import Service

#: While there is such a file, no requests should come: its host is going to stop.
DOWN = Path("/tmp/objectstore.down")  # noqa: S108 - every server of the protocol has this one


def health(_service: Service) -> Response:
    """Say that it runs."""
    return Response("OK", mimetype="text/plain")


def ready(_service: Service) -> Response:
    """Say whether requests should come here."""
    if DOWN.exists():
        return Response("going down", status=503, mimetype="text/plain")
    return Response("OK", mimetype="text/plain")


def keda(service: Service) -> Response:
    """Tell, in the format of Prometheus, what this process has to do."""
    running, begun = service.counts()
    lines = (
        "# HELP objectstore_requests_running Requests that run in this process.",
        "# TYPE objectstore_requests_running gauge",
        f"objectstore_requests_running {running}",
        "# HELP objectstore_requests_total Requests that began in this process.",
        "# TYPE objectstore_requests_total counter",
        f"objectstore_requests_total {begun}",
    )
    return Response("\n".join(lines) + "\n", mimetype="text/plain; version=0.0.4")
