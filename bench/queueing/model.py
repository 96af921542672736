"""The pool as a queue M/M/c: how many of its borrowers wait, how long, and what size they need.

Calls come at random (a Poisson process), each holds a connection for an exponential time,
and those who find none free wait in line, first come first served, without a time-out. What
that does to them is A. K. Erlang's formula of 1917 ("Solution of some problems in the theory
of probabilities of significance in automatic telephone exchanges"); it is given here as in
L. Kleinrock, *Queueing Systems*, volume 1 (1975), section 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def erlang_b(size: int, offered: float) -> float:
    """Return the share of callers who find all of ``size`` taken, if those do not wait.

    Computed by the recursion ``B(0) = 1``, ``B(k) = a·B(k-1) / (k + a·B(k-1))``: the formula's
    own powers and factorials overflow from some 150 on.

    :param offered: calls under way on average, if there were no limit (erlangs).
    """
    blocked = 1.0
    for taken in range(1, size + 1):
        blocked = offered * blocked / (taken + offered * blocked)
    return blocked


def erlang_c(size: int, offered: float) -> float:
    """Return the share of callers who find all of ``size`` taken, if those wait.

    From Erlang B: ``C = c·B / (c - a·(1 - B))``. It is 1 where the load is more than ``size``
    can ever serve, and the line grows without end.
    """
    if offered >= size:
        return 1.0
    blocked = erlang_b(size, offered)
    return size * blocked / (size - offered * (1 - blocked))


@dataclass(frozen=True)
class Load:
    """What one process asks of its pool."""

    #: Calls per second.
    rate: float
    #: Seconds for which a call holds its connection, on average.
    service: float

    @property
    def offered(self) -> float:
        """Calls under way on average, if none waits (erlangs): Little's law."""
        return self.rate * self.service


class Queue:
    """A load on a pool of some size, once it has gone on for long."""

    def __init__(self, load: Load, size: int) -> None:
        self.load = load
        self.size = size
        #: The share of the calls that find no connection free.
        self.share_waiting = erlang_c(size, load.offered)

    @property
    def utilisation(self) -> float:
        """The share of the connections that is lent, on average; the line grows from 1 on."""
        return self.load.offered / self.size

    @property
    def mean_wait(self) -> float:
        """Seconds, over all calls, those that do not wait included: ``C·s / (c - a)``."""
        if self.utilisation >= 1:
            return math.inf
        return self.share_waiting * self.load.service / (self.size - self.load.offered)

    def share_longer(self, seconds: float) -> float:
        """Return the share of the calls that wait longer: ``C·exp(-(c - a)·t / s)``."""
        free = max(0.0, self.size - self.load.offered)
        return self.share_waiting * math.exp(-free * seconds / self.load.service)

    def wait_of(self, share: float) -> float:
        """Return the seconds within which this share of the calls, below 1, has a connection."""
        if self.share_waiting <= 1 - share:
            return 0.0
        if self.utilisation >= 1:
            return math.inf
        free = self.size - self.load.offered
        return math.log(self.share_waiting / (1 - share)) * self.load.service / free


def smallest_pool(load: Load, share: float, longer_than: float = 0.0) -> int:
    """Return the smallest pool of which at most this share of the calls waits longer.

    :param longer_than: seconds.
    """
    size = math.floor(load.offered) + 1
    while Queue(load, size).share_longer(longer_than) > share:
        size += 1
    return size


def workers(rate: float, cpu: float, busy: float = 0.7) -> int:
    """Return how many processes, of one core each, a rate of requests needs.

    :param rate: requests per second, of all processes.
    :param cpu: seconds of CPU for a request: the view's own, and its calls'.
    :param busy: the share of its time that a process may compute. What comes in waits for
        the core, too: at 0.7 on average for ``0.7 / 0.3``, more than two requests (M/M/1).
    """
    # A product such as 350 times 0.002 is a hair above 0.7, and needs no second process.
    return max(1, math.ceil(round(rate * cpu / busy, 9)))
