"""The results as files: a table to read, and everything as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .bars import Verdict, judged
from .measure import Measured, Spread, paired
from .rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from .peers import Peer
    from .rows import Figure, Row

#: The column that ratios of small files are given to.
FLOOR = "raw"

HOW_TO_READ = """\
Each figure is the median of its rounds. In a round every client does one slice of the same work,
in a process of its own, one after the other; the next round begins with another client. A ratio
is formed within each round, so that what disturbed the machine disturbed both sides of it; given
are the median of these ratios and their quartiles: of times, pauses and memory, below 1 is better
for flask-fs-swift; of rates and speeds, above 1. CPU is user and system time of the client's
process, which has a core of its own, except for large files, memory and pauses: there it may use
every core, and so may the server. The server has none of the CPU time that is given, and does too
little to be waited for. Absolute figures hold for this machine only: compare ratios. What a client
cannot do has its reason below the table; – was not to be measured.
"""


@dataclass(frozen=True)
class Run:
    """Everything about one run."""

    machine: Mapping[str, str]
    versions: Mapping[str, str]
    peers: Sequence[Peer]
    rounds: int
    results: Mapping[str, Measured]

    def rows(self) -> list[Row]:
        """Return the rows that were measured, in their order."""
        return [row for row in ROWS if row.name in self.results]


def number(value: float) -> str:
    """Print a figure with three digits that mean something."""
    if value == int(value) and value < 1000:
        return str(int(value))
    if value >= 1000:
        return f"{round(value, -(len(str(int(value))) - 3)):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def values(measured: Measured, figure: Figure, name: str) -> list[float]:
    """Return the figures of a client in the order of the rounds."""
    return [figure.of(one) for one in measured.slices.get(name, [])]


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; the first column is text, the others are figures."""
    rule = ["---", *["---:" for _ in heads[1:]]]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines)]


class Notes:
    """Footnotes of one section: the same reason has the same number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, why: str) -> str:
        number_of = self._numbers.setdefault(why, len(self._numbers) + 1)
        return f"<sup>{number_of}</sup>"

    def lines(self) -> list[str]:
        return [f"{index}. {why}" for why, index in self._numbers.items()]


def cell(measured: Measured, row: Row, figure: Figure, peer: Peer, notes: Notes) -> str:
    """Return what stands in the table for one client."""
    if peer.name in measured.cannot:
        why = measured.cannot[peer.name]
        return ("failed" if why.startswith("failed:") else "cannot") + notes.mark(why)
    got = values(measured, figure, peer.name)
    caveat = peer.caveat(row.name)
    mark = notes.mark(caveat) if got and caveat else ""
    return number(Spread.of(got).median) + mark if got else "–"


def section_lines(run: Run, title: str) -> list[str]:
    rows = [row for row in run.rows() if row.section == title]
    names = [peer for peer in run.peers if any(_concerns(run, row, peer) for row in rows)]
    notes = Notes()
    lines = [
        [_label(row, figure, run), *_cells(run, row, figure, names, notes)]
        for row in rows
        for figure in row.figures
    ]
    heads = ["", *[peer.title for peer in names]]
    ratios = _ratio_lines(run, rows)
    reasons = [*notes.lines(), ""] if notes.lines() else []
    return [f"## {title}", "", *table(heads, lines), "", *reasons, *ratios]


def _concerns(run: Run, row: Row, peer: Peer) -> bool:
    measured = run.results[row.name]
    return peer.name in measured.slices or peer.name in measured.cannot


def _cells(
    run: Run, row: Row, figure: Figure, names: Sequence[Peer], notes: Notes
) -> Iterable[str]:
    measured = run.results[row.name]
    return [cell(measured, row, figure, peer, notes) for peer in names]


def _label(row: Row, figure: Figure, run: Run) -> str:
    unit = f", {figure.unit}" if figure.unit else ""
    warning = " ⚠" if run.results[row.name].idle is False else ""
    return f"{row.title}: {figure.name}{unit}{warning}"


def _ratio_lines(run: Run, rows: Sequence[Row]) -> list[str]:
    """Ours against each of the others: how many times better, within each round."""
    names = [
        peer
        for peer in run.peers
        if peer.name != "ours" and any(run.results[row.name].slices.get(peer.name) for row in rows)
    ]
    lines = []
    for row in rows:
        for figure in (figure for figure in row.figures if figure.compared):
            spreads = [_ratio(run.results[row.name], figure, peer.name) for peer in names]
            if any(spreads):
                label = f"{row.title}: {figure.name}"
                lines.append([label, *[_spread(spread) for spread in spreads]])
    if not lines:
        return []
    heads = ["flask-fs-swift ÷", *[peer.title for peer in names]]
    return [*table(heads, lines), ""]


def _ratio(measured: Measured, figure: Figure, name: str) -> Spread | None:
    ours, theirs = values(measured, figure, "ours"), values(measured, figure, name)
    return paired(ours, theirs) if ours and any(theirs) else None


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    digits = 2 if spread.median >= 0.1 else 4
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}–{spread.high:.{digits}f})"


def verdict_lines(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> list[str]:
    """Return the table of bars."""
    rows = {row.name: row for row in ROWS}
    lines = []
    for verdict in verdicts:
        bar = verdict.bar
        row = rows[bar.row]
        unit = next(figure.unit for figure in row.figures if figure.name == bar.figure)
        against = f"× {titles.get(bar.against, bar.against)}" if bar.against else unit
        ours = "" if bar.ours == "ours" else f" ({titles.get(bar.ours, bar.ours)})"
        result = {True: "pass", False: "**fail**", None: f"not measured: {verdict.why}"}
        lines.append(
            [
                f"{row.title}: {bar.figure}{ours}",
                f"{'≤' if bar.at_most else '≥'} {bar.limit:.3g} {against}",
                _spread(verdict.spread),
                result[verdict.passed],
            ]
        )
    return table(["figure", "bar", "median (quartiles)", "result"], lines)


def markdown(run: Run) -> str:
    """Return the whole report."""
    titles = {peer.name: peer.title for peer in run.peers}
    sections = list(dict.fromkeys(row.section for row in run.rows()))
    busy = any(measured.idle is False for measured in run.results.values())
    lines = [
        "# What storing files costs",
        "",
        f"{run.rounds} rounds on: "
        + "; ".join(f"{key} {value}" for key, value in run.machine.items())
        + ".",
        "",
        HOW_TO_READ,
        *(["⚠: the cores that these figures need were not idle before.", ""] if busy else []),
        "## Bars",
        "",
        *verdict_lines(judged(run.results), titles),
        "",
    ]
    for title in sections:
        lines += section_lines(run, title)
    lines += ["## Clients", ""]
    lines += [
        f"- **{peer.title}**: {run.versions[peer.name]}. {'; '.join(peer.notes)}"
        for peer in run.peers
        if peer.name in run.versions
    ]
    return "\n".join(lines) + "\n"


def as_json(run: Run) -> str:
    """Return everything that was measured."""
    return json.dumps(
        {
            "machine": dict(run.machine),
            "versions": dict(run.versions),
            "rounds": run.rounds,
            "peers": {peer.name: peer.title for peer in run.peers},
            "rows": [
                {
                    "name": row.name,
                    "title": row.title,
                    "section": row.section,
                    "caveats": {
                        peer.name: peer.caveat(row.name)
                        for peer in run.peers
                        if peer.caveat(row.name)
                    },
                    "figures": _figures(run.results[row.name], row),
                    **asdict(run.results[row.name]),
                }
                for row in run.rows()
            ],
        },
        indent=1,
        ensure_ascii=False,
    )


def _figures(measured: Measured, row: Row) -> list[dict[str, object]]:
    return [
        {
            "name": figure.name,
            "unit": figure.unit,
            "less_is_better": figure.less_is_better,
            "median": {
                name: Spread.of([figure.of(one) for one in got]).median
                for name, got in measured.slices.items()
                if got
            },
        }
        for figure in row.figures
    ]


def write(run: Run, folder: Path) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(run))
    (folder / "results.json").write_text(as_json(run))
