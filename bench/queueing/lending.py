"""Let a real pool lend connections to calls that come at random, and write down what they waited.

A call is a thread that borrows a connection, sleeps, and gives it back. As a program,
``python -m bench.queueing.lending KIND ORDER``, it answers with a line of JSON; ``KIND`` is
``threads``, or ``greenlets`` for a process whose threads and sleep are gevent's.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1] == "greenlets":
    from gevent import monkey

    monkey.patch_all()

import json
import math
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from bench import environments
from bench.queueing.model import Load
from bench.queueing.simulation import Waits, calls
from flask_fs_swift.errors import PoolExhaustedError
from flask_fs_swift.pool import Pool

if TYPE_CHECKING:
    from swiftclient import Connection

    from bench.queueing.simulation import Call
    from flask_fs_swift.events import Event


@dataclass(frozen=True)
class Order:
    """What a pool shall be put through."""

    load: Load
    size: int
    #: Seconds that a call waits at most.
    timeout: float
    count: int
    seed: int = 1


@dataclass(frozen=True)
class Lent:
    """What came of it."""

    #: The calls as they came and held their connection: sleeping takes longer than asked for.
    calls: list[Call]
    #: In the order in which calls got a connection, or left.
    waits: Waits

    @property
    def load(self) -> Load:
        """The load that there was."""
        span = self.calls[-1][0] - self.calls[0][0]
        held = sum(seconds for _, seconds in self.calls)
        return Load((len(self.calls) - 1) / span, held / len(self.calls))


class Wire:
    """Stands in for a connection."""

    def close(self) -> None:
        pass


class _Borrowers:
    """A pool and those who borrow from it. Lasts for one run.

    Both lists are only appended to, which needs no lock.
    """

    def __init__(self, order: Order) -> None:
        self.calls: list[Call] = []
        self.waits: list[float] = []
        self._pool = Pool(
            lambda: cast("Connection", Wire()),
            size=order.size,
            timeout=order.timeout,
            on_event=self._note,
        )

    def borrow(self, seconds: float) -> None:
        """Hold a connection for so long."""
        came = lent = time.monotonic()
        try:
            with self._pool.connection():
                lent = time.monotonic()
                time.sleep(seconds)
            seconds = time.monotonic() - lent
        except PoolExhaustedError:
            pass  # The pool has told; had the call been lent one, it would have held it.
        self.calls.append((came, seconds))

    def _note(self, event: Event) -> None:
        self.waits.append(event.seconds if event.outcome == "ok" else math.inf)


def lend(order: Order) -> Lent:
    """Do it, here and now."""
    borrowers = _Borrowers(order)
    threads = []
    began = time.monotonic()
    for arrival, seconds in calls(order.load, order.count, seed=order.seed):
        early = began + arrival - time.monotonic()
        if early > 0:
            time.sleep(early)
        thread = threading.Thread(target=borrowers.borrow, args=(seconds,))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return Lent(sorted(borrowers.calls), Waits(borrowers.waits))


def lend_in_child(kind: str, order: Order) -> Lent:
    """Do it in a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.queueing.lending", kind, json.dumps(asdict(order))],
        env=environments.variables(environments.PROJECT),
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(done.stdout)
    return Lent([(came, held) for came, held in answer["calls"]], Waits(answer["waits"]))


def main() -> None:
    order = json.loads(sys.argv[2])
    lent = lend(Order(**{**order, "load": Load(**order["load"])}))
    print(json.dumps({"calls": lent.calls, "waits": lent.waits.each}))


if __name__ == "__main__":
    main()
