"""Fuzz the HTTP/1.1 transport: ``python -m bench.fuzz``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from .campaign import Tally, run, run_all
from .generate import case

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="cases to play")
    parser.add_argument("--seed", type=int, default=1, help="of the campaign")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--case", type=int, metavar="INDEX", help="play only this one, and show it")
    return parser.parse_args(arguments)


def table(title: str, counts: Counter[str]) -> str:
    rows = [f"  {count:>10,}  {name}" for name, count in counts.most_common()]
    return "\n".join([f"{title}:", *rows])


def show(tally: Tally, seconds: float) -> None:
    """Print what was played, and what was found."""
    for finding in tally.findings:
        print(f"FINDING {finding}\n")
    print(table("exchanges", tally.classes))
    print(table("wrong, says the oracle", tally.wrongs))
    speed = tally.cases / seconds
    print(f"{tally.cases:,} cases in {seconds:.0f} s ({speed:,.0f} per second)")
    print(table("findings", tally.found) if tally.found else "no findings")


def report(played: int) -> None:
    print(f"\r{played:,} …", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what was asked for; return 1 where something was found."""
    chose = options(arguments)
    began = time.monotonic()
    if chose.case is not None:
        print(case(chose.seed, chose.case))
        tally = run(chose.seed, range(chose.case, chose.case + 1))
    else:
        tally = run_all(chose.seed, chose.count, chose.processes, report)
        print(file=sys.stderr)
    show(tally, time.monotonic() - began)
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
