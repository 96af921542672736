"""Play many cases, in several processes, and count what they were."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING

from .generate import case
from .judge import Finding, Verdict, judge
from .play import play
from .server import Server, dialled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

#: Seconds that a case may last. Nothing in it waits.
LONGEST_CASE = 2.0
#: Cases that a process plays at a time.
BATCH = 5000
#: Findings of one kind that are kept.
MOST_OF_A_KIND = 5


class Hung(BaseException):
    """A case does not end. No handler of errors may take it for one."""


@dataclass
class Tally:
    """What a number of cases came to."""

    cases: int = 0
    #: Exchanges by what they were; one may be several things.
    classes: Counter[str] = field(default_factory=Counter)
    #: What the oracle found wrong, by how often.
    wrongs: Counter[str] = field(default_factory=Counter)
    #: All findings, by kind.
    found: Counter[str] = field(default_factory=Counter)
    #: The first findings of each kind.
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another's cases, too."""
        self.cases += other.cases
        self.classes += other.classes
        self.wrongs += other.wrongs
        for finding in other.findings:
            self._keep(finding, self.found[finding.kind])
        self.found += other.found

    def find(self, finding: Finding) -> None:
        """Count a finding, and keep it if it is one of the first."""
        self._keep(finding, self.found[finding.kind])
        self.found[finding.kind] += 1

    def _keep(self, finding: Finding, before: int) -> None:
        kept = sum(kept.kind == finding.kind for kept in self.findings)
        if max(before, kept) < MOST_OF_A_KIND:
            self.findings.append(finding)

    def count(self, verdict: Verdict) -> None:
        """Count what an exchange was."""
        self.classes.update(_classes(verdict))
        if verdict.reading.wrong:
            self.wrongs[verdict.reading.wrong] += 1


def _classes(verdict: Verdict) -> Iterator[str]:
    outcome, question = verdict.outcome, verdict.exchange.question
    timed_out = isinstance(outcome.error, TimeoutError)
    yield "timed out" if timed_out else outcome.kind
    if outcome.kind == "refused" and outcome.status is not None:
        yield "refused after its head"
    if outcome.kind == "answered":
        yield f"answered, {verdict.reading.framing or 'wrongly'}"
        yield f"answered, {question.reader}"
        yield "connection reused" if verdict.is_reused else "connection not reused"
    if question.is_streamed:
        yield "streamed"
    if len(outcome.sent) > 1:
        yield "sent again"
    if verdict.exchange.answer.stream.startswith(b"HTTP/1.1 1") and outcome.status is not None:
        yield "answered after an interim answer"


def run(seed: int, indexes: range) -> Tally:
    """Play some cases of a campaign in this process."""
    tally = Tally()
    with dialled() as servers, _alarm() as within:
        for index in indexes:
            tally.cases += 1
            within(LONGEST_CASE)
            _play_one(seed, index, servers, tally)
    return tally


def _play_one(seed: int, index: int, servers: list[Server], tally: Tally) -> None:
    played = case(seed, index)
    try:
        outcomes = play(played, servers)
    except Hung:
        tally.find(Finding(played, 0, "hang", f"more than {LONGEST_CASE} seconds"))
        return
    verdicts, findings = judge(played, outcomes)
    for verdict in verdicts[:-1]:
        tally.count(verdict)
    for finding in findings:
        tally.find(finding)


@contextmanager
def _alarm() -> Iterator[Callable[[float], object]]:
    """Return what sets the seconds after which :class:`Hung` is raised."""

    def ring(_: int, __: FrameType | None) -> None:
        raise Hung

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def run_all(
    seed: int, count: int, processes: int, progress: Callable[[int], object] = lambda _: None
) -> Tally:
    """Play the first cases of a campaign.

    :param progress: called with how many have been played, now and then.
    """
    batches = [range(at, min(at + BATCH, count)) for at in range(0, count, BATCH)]
    tally = Tally()
    if processes == 1:
        for batch in batches:
            tally.add(run(seed, batch))
            progress(tally.cases)
        return tally
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, seed, batch) for batch in batches]):
            tally.add(done.result())
            progress(tally.cases)
    return tally
