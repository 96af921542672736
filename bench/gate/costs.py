"""What each operation costs: instructions of ours, of the raw socket, and their ratio.

1. Ours does each operation, not counted; the server keeps the head of its last request,
   which the raw socket shall send: so both send the same bytes. Then the raw socket does it.
   Neither of them compiles a module after that, which would be counted in one run only.
2. Both clients do a few operations and many, each run in a process of its own, counted.
3. Many less few is the cost of the operations alone: start-up and warm-up are in both.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .instructions import NotMeasured, count, run, valgrind
from .job import DATA, ETAG, FEW, MANY, MD5, NAME, NAMES, WARM, Job
from .server import FILES, Server

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]

#: The operations, and the methods that they send.
METHODS = {"write": "PUT", "read": "GET"}


@dataclass(frozen=True)
class Cost:
    """Instructions of one operation."""

    ours: float
    raw: float

    @property
    def ratio(self) -> float:
        """Tell how many times the raw socket's instructions ours has."""
        return self.ours / self.raw


def measure() -> dict[str, Cost]:
    """Return the costs by operation. Takes half a minute of two cores.

    :raises NotMeasured: there is no valgrind, or a client failed.
    """
    valgrind()
    with Server() as server:
        server.objects.update({FILES + name: DATA for name in NAMES})
        counts = _counts([job for verb in METHODS for job in _rehearsed(verb, server)])
    return {verb: Cost(counts["ours", verb], counts["raw", verb]) for verb in METHODS}


def _rehearsed(verb: str, server: Server) -> tuple[Job, Job]:
    ours = Job("ours", verb, 1, server.port)
    run(_command(ours), variables())
    raw = replace(ours, who="raw", head=template(server.heads[METHODS[verb]], verb))
    run(_command(raw), variables())
    return ours, raw


def template(head: str, verb: str) -> str:
    """Return the head of a job's last request, with marks for what others will have there.

    :param head: of a job whose count is 1.
    :raises NotMeasured: it has no name or MD5, so that the raw socket cannot send the same.
    """
    marked = head.replace(NAMES[WARM], NAME, 1).replace(MD5, ETAG, 1)
    if NAME not in marked or (verb == "write" and ETAG not in marked):
        raise NotMeasured(f"the request does not say what is stored where:\n{head}")
    return marked


def _counts(jobs: Sequence[Job]) -> dict[tuple[str, str], float]:
    runs = [replace(job, count=many) for job in jobs for many in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counted = list(threads.map(lambda job: count(_command(job), variables()), runs))
    return {
        (job.who, job.verb): (many - few) / (MANY - FEW)
        for job, few, many in zip(jobs, counted[::2], counted[1::2], strict=True)
    }


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", "bench.gate.client", job.to_json()]


def variables() -> dict[str, str]:
    """Return the environment of a client: nothing of ours, which may differ, but where to import.

    A package in ``PYTHONPATH`` comes before that of this checkout.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [*(Path(path).absolute() for path in given if path), ROOT]
    return {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(map(str, paths))}
