"""The program whose instructions are counted: ``python -m bench.gate.client JOB``.

What it does before the operations that count, and after them, is the same whatever their
number is. So the difference of a long run and a short one is that of operations alone.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .job import NAMES, WARM, Job

if TYPE_CHECKING:
    from .job import Client


def main(text: str) -> None:
    """Do what a job says."""
    job = Job.from_json(text)
    client: Client = import_module(f"bench.gate.{job.who}").client(job)
    operation = getattr(client, job.verb)
    for name in NAMES[:WARM]:
        operation(name)
    gc.collect()
    gc.freeze()  # What was imported is nothing that an operation should pay for.
    for name in NAMES[WARM : WARM + job.count]:
        operation(name)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1])
