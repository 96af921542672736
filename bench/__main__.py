"""Measure this package and its peers: ``python -m bench``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import environments, report
from .clients.ours import transports
from .fast_server import NoCompiler
from .measure import Measured, interleaved, machine
from .peers import Peer, peers
from .rows import ROWS, Row
from .workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).parent / "results"


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer, shorter rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="11, or 3 with --quick")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows whose name begins so")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FOLDER", help="for the results: bench/results"
    )
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("-v", action="store_true", help="let clients say what they have to say")
    return parser.parse_args(arguments)


def chosen(prefixes: Sequence[str] | None) -> list[Row]:
    """Return the rows whose name begins with one of the prefixes; all where there is none."""
    return [row for row in ROWS if not prefixes or row.name.startswith(tuple(prefixes))]


def columns(row: Row, everybody: Sequence[Peer]) -> list[Peer]:
    """Return the clients that a row measures."""
    return [peer for peer in everybody if not peer.on_request or peer.name in row.also]


def run(rows: Sequence[Row], *, quick: bool, rounds: int | None = None) -> report.Run:
    """Measure the rows, one after the other.

    :param rounds: None: as many as are usual.
    :raises NoCompiler: nothing was measured.
    """
    usual, seconds = (3, 0.1) if quick else (11, 0.25)
    rounds = rounds or usual
    everybody = peers(transports())
    results: dict[str, Measured] = {}
    with Workshop(seconds) as shop:
        for row in rows:
            print(f"{row.name} …", file=sys.stderr, flush=True)
            results[row.name] = interleaved(
                lambda peer, work=row.work: work(shop, peer),  # type: ignore[misc]
                columns(row, everybody),
                min(rounds, row.most_rounds or rounds),
                row.cores,
            )
        versions = dict(shop.versions)
    return report.Run(machine(), versions, everybody, rounds, results)


def draw(folder: Path) -> None:
    """Draw the plots, in the environment that can."""
    try:
        interpreter = environments.python("plots")
    except environments.NotInstalled as why:
        print(f"no plots: {why}", file=sys.stderr)
        return
    command: list[str | Path] = [interpreter, "-m", "bench.plots", str(folder.absolute())]
    subprocess.run(command, check=False, cwd=folder, env=environments.variables("plots"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, and write it down."""
    chose = options(arguments)
    rows = chosen(chose.only)
    if not rows:
        print("there is no such row; --list names them", file=sys.stderr)
        return 2
    if chose.list:
        print("\n".join(f"{row.name:24} {row.section}: {row.title}" for row in rows))
        return 0
    try:
        done = run(rows, quick=chose.quick, rounds=chose.rounds)
    except NoCompiler as why:
        print(f"{why}: nothing can be measured without the C server", file=sys.stderr)
        return 1
    report.write(done, chose.out)
    draw(chose.out)
    print(report.markdown(done))
    print(f"written to {chose.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
