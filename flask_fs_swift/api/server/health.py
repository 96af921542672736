"""How the service does, for whoever starts and stops it: no token is asked for."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from flask_fs_swift.pool import PoolStats
    from flask_fs_swift.storage import Storage

    from .gate import GateStats
    from .permits import PermitStats
    from .service import Service

    #: Of a metric: its labels, as they are written, and its value.
    Sample: TypeAlias = tuple[str, int]

#: While there is such a file, no requests should come: its host is going to stop.
DOWN = Path("/tmp/objectstore.down")  # noqa: S108 - every server of the protocol has this one


def health(_service: Service, _files: Storage) -> Response:
    """Say that it runs."""
    return Response("OK", mimetype="text/plain")


def ready(_service: Service, _files: Storage) -> Response:
    """Say whether requests should come here."""
    if DOWN.exists():
        return Response("going down", status=503, mimetype="text/plain")
    return Response("OK", mimetype="text/plain")


def keda(service: Service, files: Storage) -> Response:
    """Tell, in the format of Prometheus, what this process has to do."""
    stats = service.gate.stats()
    pool = files.pool
    lines = chain(
        _of_requests(stats),
        _of_operations(stats.operations) if stats.operations is not None else (),
        _of_pool(pool.stats()) if pool is not None else (),
    )
    return Response("\n".join(lines) + "\n", mimetype="text/plain; version=0.0.4")


def _of_requests(stats: GateStats) -> Iterator[str]:
    yield from _gauge("requests_running", "Requests that run in this process.", stats.running)
    yield from _metric(
        "requests_total", "counter", "Requests that began in this process.", ("", stats.begun)
    )
    yield from _metric(
        "refused_total",
        "counter",
        "Requests, and operations of batches, that were over a limit, by limit.",
        *((f'{{limit="{name}"}}', count) for name, count in sorted(stats.refused.items())),
    )


def _of_operations(stats: PermitStats) -> Iterator[str]:
    yield from _gauge("operations_most", "Operations that may run at once.", stats.most)
    yield from _gauge("operations_running", "Operations that run.", stats.in_use)
    yield from _gauge("operations_bulk", "Of those, the ones of batches.", stats.bulk)
    yield from _gauge("operations_queued", "Requests that wait to run one.", stats.queued)


def _of_pool(stats: PoolStats) -> Iterator[str]:
    yield from _gauge("pool_size", "Connections that there may be.", stats.size)
    yield from _gauge("pool_lent", "Connections in use.", stats.lent)
    yield from _gauge("pool_waiting", "Who waits for a connection.", stats.waiting)


def _gauge(name: str, about: str, value: int) -> Iterator[str]:
    return _metric(name, "gauge", about, ("", value))


def _metric(name: str, kind: str, about: str, *samples: Sample) -> Iterator[str]:
    name = f"objectstore_{name}"
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"
