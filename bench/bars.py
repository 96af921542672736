"""The bars that this package sets itself, as ratios within one run or as absolute limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .measure import Spread, paired
from .rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .measure import Measured


@dataclass(frozen=True)
class Bar:
    """A limit for one figure of ours: of its ratio to a peer's, or of the figure itself."""

    row: str
    figure: str
    limit: float
    #: None: the limit is in the figure's own unit.
    against: str | None = None
    at_most: bool = True
    ours: str = "ours"


_VERBS = ("write", "read")

BARS = (
    *(Bar(name, "CPU", 2.5, "raw") for name in ("write-1k", "read-1k")),
    *(Bar(name, "CPU", 1 / 7, "swiftclient") for name in ("write-1k", "read-1k")),
    *(Bar(name, "CPU", 1 / 12, "flask-fs2") for name in ("write-1k", "read-1k")),
    *(Bar(name, "CPU", 1.0, "opendal") for name in ("write-1k", "read-1k")),
    *(Bar(f"{kind}-20", "rate", 8.0, "flask-fs2", at_most=False) for kind in ("gevent", "threads")),
    Bar("write-file-256MiB", "speed", 0.8, "md5", at_most=False),
    Bar("write-file-256MiB", "speed", 1.3, "flask-fs2", at_most=False),
    Bar("stall-write_file", "longest pause", 10.0),
    Bar("stall-read_chunks", "longest pause", 10.0),
    Bar("write-file-1GiB", "speed", 1.5, "ours", at_most=False, ours="ours-segments"),
    Bar("memory-save", "added", 4.0),
    Bar("memory-save", "added", 12.0, ours="ours-segments"),
    Bar("memory-serve", "added", 8.0),
    Bar("zip-member", "moved", 10.24),  # One in a hundred of its bytes.
    Bar("list-names", "CPU", 0.65, "swiftclient"),
    Bar("list-names", "CPU", 0.35, "swiftclient", ours="ours-orjson"),
    Bar("memory-list", "added", 1.5),
    *(Bar(f"many-{width}", "time, in rounds of the delay", 1.2) for width in (10, 16)),
    Bar("many-10", "rate", 2.0, "service", at_most=False),
    Bar("many-10", "CPU", 0.25, "service"),
    Bar("many-overhead", "CPU above as many calls", 30.0),
    Bar("many-delete", "requests", 100.0),
    *(Bar(f"tiers-swift-{verb}", "wall", 1 / 3, "ours", ours="ours-tiered") for verb in _VERBS),
    *(Bar(f"tiers-5ms-{verb}", "wall", 1 / 10, "ours", ours="ours-tiered") for verb in _VERBS),
    Bar("tiers-page", "of a page at the beginning", 1.25, ours="ours-tiered"),
    *(
        Bar(f"service-{verb}", figure, limit, "objectstore", at_most=at_most, ours="ours-api")
        for verb in ("put", "get", "5ms-put", "5ms-get")
        for figure, limit, at_most in (("rate", 5.0, False), ("CPU", 0.2, True))
    ),
    *(
        Bar(f"service-{verb}-{size}", figure, limit, at_most=False, ours="ours-api")
        for verb in ("encode", "decode")
        for size, figure, limit in (("64KiB", "speed", 500.0), ("empty", "rate", 100_000.0))
    ),
    Bar("service-first", "until the first", 10.0, ours="ours-api"),
    *(
        Bar(f"service-memory-{verb}", figure, 8.0, ours="ours-api")
        for verb in ("put", "get")
        for figure in ("added", "added to the service")
    ),
    Bar("tls", "CPU", 2.0),
    Bar("import", "import", 70.0),
    Bar("pool", "CPU", 1.0),
)


@dataclass(frozen=True)
class Verdict:
    """How a bar ended; without a spread it could not be judged."""

    bar: Bar
    spread: Spread | None
    why: str = ""

    @property
    def passed(self) -> bool | None:
        """Tell whether the median keeps the limit; None: it is not known."""
        if self.spread is None:
            return None
        if self.bar.at_most:
            return self.spread.median <= self.bar.limit
        return self.spread.median >= self.bar.limit


def judge(bar: Bar, results: Mapping[str, Measured]) -> Verdict | None:
    """Judge one bar; None where its row was not measured."""
    measured = results.get(bar.row)
    if measured is None:
        return None
    for name in filter(None, (bar.ours, bar.against)):
        if not measured.slices.get(name):
            return Verdict(bar, None, measured.cannot.get(name, f"{name} was not measured"))
    row = next(row for row in ROWS if row.name == bar.row)
    figure = next(figure for figure in row.figures if figure.name == bar.figure)
    ours = [figure.of(one) for one in measured.slices[bar.ours]]
    if bar.against is None:
        return Verdict(bar, Spread.of(ours))
    theirs = [figure.of(one) for one in measured.slices[bar.against]]
    return Verdict(bar, paired(ours, theirs))


def judged(results: Mapping[str, Measured]) -> list[Verdict]:
    """Judge every bar whose row was measured."""
    return [verdict for bar in BARS if (verdict := judge(bar, results)) is not None]
