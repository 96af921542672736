"""Calls that queue for a pool, one event after the other: what the model does not allow for.

Times of service may have any distribution, calls may come in bursts, and who has waited
for the time-out leaves. Nothing here takes time or depends on the clock; the same seed
gives the same calls.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .model import Load

    #: When a call comes, and for how long it will hold a connection; seconds.
    Call: TypeAlias = tuple[float, float]
    #: Draws a time of service with this mean; seconds.
    Service: TypeAlias = Callable[[Random, float], float]


def exponential(random: Random, mean: float) -> float:
    """Return a time as the model has it: its standard deviation is its mean."""
    return random.expovariate(1 / mean)


def constant(_random: Random, mean: float) -> float:
    """Return the mean: objects of one size on a calm network."""
    return mean


def long_tailed(random: Random, mean: float) -> float:
    """Return a log-normal time with a standard deviation of three times its mean.

    Half the calls take less than a third of the mean, one in ninety more than ten times it.
    """
    variance = math.log(1 + 3**2)
    return mean * random.lognormvariate(-variance / 2, math.sqrt(variance))


@dataclass(frozen=True)
class Waits:
    """How long each call waited, in seconds; :data:`math.inf` where it left with a time-out."""

    each: Sequence[float]

    def share_longer(self, seconds: float) -> float:
        """Return the share of the calls that waited longer, or left."""
        return sum(wait > seconds for wait in self.each) / len(self.each)

    @property
    def share_waiting(self) -> float:
        """The share of the calls that did not get a connection at once."""
        return self.share_longer(0)

    @property
    def share_served(self) -> float:
        """The share of the calls that got a connection."""
        return len(self._served()) / len(self.each)

    @property
    def mean_wait(self) -> float:
        """Seconds, over the calls that got a connection."""
        served = self._served()
        return sum(served) / len(served) if served else math.nan

    def without_first(self, count: int) -> Waits:
        """Leave out the calls that found the pool still empty."""
        return Waits(self.each[count:])

    def _served(self) -> list[float]:
        return [wait for wait in self.each if wait < math.inf]


def calls(
    load: Load, count: int, *, service: Service = exponential, burst: int = 1, seed: int = 1
) -> list[Call]:
    """Draw calls that come at random, in the order in which they come.

    :param burst: how many come at the same moment; the rate stays what it is.
    """
    random = Random(seed)
    now = 0.0
    drawn = []
    for number in range(count):
        if number % burst == 0:
            now += random.expovariate(load.rate / burst)
        drawn.append((now, service(random, load.service)))
    return drawn


def queue(calls: Iterable[Call], size: int, patience: float = math.inf) -> Waits:
    """Let calls take turns at ``size`` connections, first come first served.

    The heap holds the moments at which connections come free. Whoever is first in line gets
    the one that comes free first, so what a call will wait is known when it comes: whether it
    leaves is, too (J. Kiefer and J. Wolfowitz, 1955, for a queue with many servers).

    :param patience: seconds after which a call leaves.
    """
    free = [0.0] * size
    waits = []
    for arrival, service in calls:
        wait = max(0.0, free[0] - arrival)
        if wait > patience:
            waits.append(math.inf)
            continue
        heapq.heapreplace(free, arrival + wait + service)
        waits.append(wait)
    return Waits(waits)


def smallest_pool(calls: Sequence[Call], share: float) -> int:
    """Return the smallest pool of which at most this share of the calls waits."""
    least, enough = 0, 1
    while queue(calls, enough).share_waiting > share:
        least, enough = enough, 2 * enough
    while enough - least > 1:
        middle = (least + enough) // 2
        if queue(calls, middle).share_waiting > share:
            least = middle
        else:
            enough = middle
    return enough
