"""A child process that measures one client: ``python -m bench.clients NAME KIND SETUP``.

It obeys commands, a line of JSON each, and answers each with a line of JSON: what was
measured, why it cannot be done, or how it failed. ``KIND`` is ``plain``, or ``gevent`` for
a process whose standard library is patched before anything else is imported.
"""

from __future__ import annotations

import sys

if sys.argv[2] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import importlib
import json
import os
import traceback
from typing import Any

from bench.clients import work
from bench.clients.client import Cannot, Client, Setup


def hidden() -> list[str]:
    """Name what is installed but not to be found: what this child must do without."""
    return os.environ.get("BENCH_HIDDEN", "").split()


def begin() -> Client:
    if cores := os.environ.get("BENCH_CORES"):
        os.sched_setaffinity(0, [int(core) for core in cores.split()])
    for name in hidden():
        sys.modules[name] = None  # type: ignore[assignment]
    module = importlib.import_module(f"bench.clients.{sys.argv[1]}")
    client: Client = module.client(Setup.from_json(sys.argv[3]))
    return client


def attempt(client: Client, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return work.perform(client, command)
    except Cannot as why:
        return {"cannot": str(why)}
    except Exception as error:  # noqa: BLE001 - whatever a client does, the others go on
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What a client prints must not be taken for an answer.
    try:
        client = begin()
    except Cannot as why:
        print(json.dumps({"cannot": str(why)}), file=answers)
        return
    print(json.dumps({"version": client.version()}), file=answers)
    for line in sys.stdin:
        print(json.dumps(attempt(client, json.loads(line))), file=answers)


main()
# Threads that a client left behind must not keep the child.
os._exit(0)
