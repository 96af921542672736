"""Print how large a pool must be, and how long its time-out: ``python -m bench.queueing``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.report import table

from .lending import Lent, Order, lend_in_child
from .model import Load, Queue, smallest_pool, workers
from .simulation import calls, constant, long_tailed, queue
from .simulation import smallest_pool as smallest_pool_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .simulation import Waits

RATES = (10, 100, 1000)  # requests per second
SERVICES = (0.005, 0.02, 0.1, 1.0)  # seconds for which a call holds its connection
SHARE = 0.01  # of the calls may wait

#: What is simulated; the share that waits depends on their product only.
SIMULATED = (Load(10, 0.02), Load(100, 0.02), Load(1000, 0.02), Load(1000, 0.1))
BURST = 10  # calls that a page with ten pictures makes at once

#: What a real pool is put through: as which threads, the load, and the size.
REAL = (
    ("threads", Load(100, 0.02), 3),
    ("threads", Load(100, 0.02), 5),
    ("greenlets", Load(1000, 0.005), 8),
    ("greenlets", Load(1000, 0.02), 22),
    ("greenlets", Load(1000, 0.02), 25),
    ("greenlets", Load(1000, 0.02), 32),
)
#: … and one which it cannot serve: a third of the calls must leave.
TOO_MUCH = ("greenlets", Load(1000, 0.03), 20, 0.2)

SLOWER = 10  # times, when Swift is in trouble
TIMEOUTS = (0.5, 2.0, 30.0)  # seconds


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.queueing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds: fewer calls")
    parser.add_argument("--view", type=float, default=2.0, metavar="MS", help="CPU of a view")
    parser.add_argument("--call", type=float, default=0.1, metavar="MS", help="CPU of a call")
    parser.add_argument("--busy", type=float, default=0.7, metavar="SHARE", help="of a core")
    return parser.parse_args(arguments)


def sizes(cpu: float, busy: float) -> list[str]:
    """Return the model's answer for each load.

    :param cpu: seconds, for a request with its one call.
    """
    heads = [
        "requests/s",
        "a call takes, ms",
        "offered load",
        "pool of one process",
        "… 99% wait less than a call takes",
        "workers",
        "pool of each",
        "connections in all",
    ]
    return table(heads, [_size_cells(Load(r, s), cpu, busy) for r in RATES for s in SERVICES])


def _size_cells(load: Load, cpu: float, busy: float) -> list[str]:
    processes = workers(load.rate, cpu, busy)
    each = smallest_pool(Load(load.rate / processes, load.service), SHARE)
    return [
        f"{load.rate:,}",
        f"{load.service * 1e3:,.0f}",
        f"{load.offered:,.4g}",
        f"{smallest_pool(load, SHARE):,}",
        f"{smallest_pool(load, SHARE, load.service):,}",
        f"{processes:,}",
        f"{each:,}",
        f"{each * processes:,}",
    ]


def assumptions(count: int) -> list[str]:
    """Return what becomes of the model's pool where its assumptions fail.

    :param count: how many calls are simulated.
    """
    heads = [
        "offered load",
        "pool",
        "model",
        "exponential",
        "constant",
        "long-tailed",
        f"bursts of {BURST}",
        f"pool for bursts of {BURST}",
    ]
    return table(heads, [_assumption_cells(load, count) for load in SIMULATED])


def _assumption_cells(load: Load, count: int) -> list[str]:
    size = smallest_pool(load, SHARE)
    model = Queue(load, size)
    bursts = calls(load, count, burst=BURST)
    kinds = (
        calls(load, count),
        calls(load, count, service=constant),
        calls(load, count, service=long_tailed),
        bursts,
    )
    waits = [queue(kind, size).without_first(count // 20) for kind in kinds]
    return [
        f"{load.offered:,.4g}",
        f"{size}",
        _waits(model.share_waiting, model.mean_wait / load.service),
        *[_waits(each.share_waiting, each.mean_wait / load.service) for each in waits],
        f"{smallest_pool_for(bursts, SHARE)}",
    ]


def _waits(share: float, mean: float) -> str:
    return f"{share:.2%}, {mean:.2%}"


def real(seconds: float) -> list[str]:
    """Return what a real pool did beside the model and the simulation of the same calls.

    :param seconds: for which calls come.
    """
    heads = ["real pool", "size", "offered load", "waited: model", "simulated", "real"]
    heads += ["mean wait, ms: model", "simulated", "real"]
    lines = []
    for kind, load, size in REAL:
        lent = lend_in_child(kind, Order(load, size, 30.0, round(load.rate * seconds)))
        lines.append([f"{kind}, {load.rate:,}/s", f"{size}", *_real_cells(lent, size)])
    return table(heads, lines)


def _real_cells(lent: Lent, size: int) -> list[str]:
    beside: list[Queue | Waits] = [Queue(lent.load, size), queue(lent.calls, size), lent.waits]
    return [
        f"{lent.load.offered:.2f}",
        *[f"{each.share_waiting:.2%}" for each in beside],
        *[f"{each.mean_wait * 1e3:.3f}" for each in beside],
    ]


def too_much(seconds: float) -> str:
    """Return what a real pool did with more than it can serve."""
    kind, load, size, timeout = TOO_MUCH
    lent = lend_in_child(kind, Order(load, size, timeout, round(load.rate * seconds)))
    simulated = queue(lent.calls, size, timeout)
    return (
        f"A real pool of {size} below an offered load of {lent.load.offered:.1f}, with a time-out "
        f"of {timeout} s: {lent.waits.share_served:.1%} served, after {lent.waits.mean_wait:.3f} s "
        f"on average; simulated, {simulated.share_served:.1%} after {simulated.mean_wait:.3f} s; "
        f"size ÷ load is {size / lent.load.offered:.1%}."
    )


def slow_swift(count: int) -> list[str]:
    """Return what a time-out does while Swift takes much longer than the pool was made for.

    :param count: how many calls are simulated.
    """
    heads = ["requests/s", "pool", "offered load", "time-out, s", "size ÷ load"]
    heads += ["served", "after, s", "in line"]
    lines = []
    for rate in RATES:
        size = smallest_pool(Load(rate, 0.02), SHARE)
        slow = Load(rate, 0.02 * SLOWER)
        for timeout in TIMEOUTS:
            # The line has filled after timeout · c / (a - c) seconds: within the first quarter.
            waits = queue(calls(slow, count), size, timeout).without_first(count // 4)
            served = waits.share_served
            in_line = rate * (served * waits.mean_wait + (1 - served) * timeout)  # Little's law
            lines.append(
                [
                    f"{rate:,}",
                    f"{size}",
                    f"{slow.offered:,.4g}",
                    f"{timeout:g}",
                    f"{min(1.0, size / slow.offered):.0%}",
                    f"{served:.0%}",
                    f"{waits.mean_wait:.2f}",
                    f"{in_line:,.0f}",
                ]
            )
    return table(heads, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute, simulate, measure; print it."""
    chose = options(arguments)
    count, seconds = (20_000, 1.0) if chose.quick else (200_000, 8.0)
    cpu = (chose.view + chose.call) / 1e3
    print("## Size\n")
    print(f"Pools of which at most {SHARE:.0%} of the calls wait. Workers compute {chose.busy:.0%}")
    print(
        f"of the time: {chose.view:g} ms of CPU for a view, {chose.call:g} ms for its one call.\n"
    )
    print("\n".join(sizes(cpu, chose.busy)))
    print("\n## Where the model's assumptions fail\n")
    print("The share that waits, and the mean wait as a share of the time that a call takes.\n")
    print("\n".join(assumptions(count)))
    print(f"\n## When Swift is {SLOWER} times slower\n")
    print("Pools made for calls of 20 ms.\n")
    print("\n".join(slow_swift(2 * count)))
    print("\n## A real pool\n", flush=True)
    print("The simulation has the calls that the pool had, the model their mean load.\n")
    print("\n".join(real(seconds)))
    print(f"\n{too_much(seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
