"""Measure fairly on a machine that others use too: rounds, paired ratios, medians."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .children import Failed
from .clients.client import Cannot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .peers import Peer

    Figures = dict[str, float]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of the ratios of figures that were measured in the same round."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=False) if b])


@dataclass
class Measured:
    """What one row gave: slices for the clients that did it, reasons for the others."""

    slices: dict[str, list[Figures]]
    #: Why a client cannot do it at all, or how it failed.
    cannot: dict[str, str]
    #: Whether the cores that the figures need were idle before; None where they need none.
    idle: bool | None = None


def interleaved(
    work: Callable[[Peer], Figures], peers: Iterable[Peer], rounds: int, cores: int = 0
) -> Measured:
    """Let every client do its slice in every round, beginning with another one each time.

    :param cores: how many must be idle for the figures to mean something.
    """
    going = list(peers)
    measured = Measured({peer.name: [] for peer in going}, {})
    if cores:
        measured.idle = idle_cores() >= cores
    for number in range(rounds):
        turn = number % max(1, len(going))
        for peer in [*going[turn:], *going[:turn]]:
            try:
                measured.slices[peer.name].append(work(peer))
            except (Cannot, Failed) as why:
                said = str(why) if isinstance(why, Cannot) else f"failed: {why}"
                measured.cannot[peer.name] = said
                measured.slices.pop(peer.name)
        going = [peer for peer in going if peer.name in measured.slices]
    return measured


def busy_and_total() -> list[tuple[int, int]]:
    """Return the ticks that each core was busy, and all of its ticks, since it started."""
    cores = []
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            ticks = [int(field) for field in line.split()[1:9]]
            cores.append((sum(ticks) - ticks[3] - ticks[4], sum(ticks)))
    return cores


def idle_cores(seconds: float = 1.0) -> int:
    """Watch the machine for a moment; count the cores that were idle for nine tenths of it."""
    before = busy_and_total()
    time.sleep(seconds)
    now = busy_and_total()
    shares = [(b - a) / max(1, d - c) for (a, c), (b, d) in zip(before, now, strict=True)]
    return sum(share < 0.1 for share in shares)


def machine() -> dict[str, str]:
    """Describe what the figures were measured on."""
    return {
        "CPU": _cpu_model(),
        "cores": str(len(busy_and_total())),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "revision": _revision(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty=, changed"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
