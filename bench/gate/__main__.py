"""Fail if a small write or read costs more than it may: ``python -m bench.gate``.

Exits with 0 within the limits, with 1 above them, with 2 if nothing could be measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import limits
from .costs import measure
from .instructions import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .costs import Cost
    from .limits import Limits


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("--update", action="store_true", help="make limits of what is measured")
    parser.add_argument("--limits", type=Path, default=limits.FILE, metavar="FILE")
    return parser.parse_args(arguments)


def table(costs: Mapping[str, Cost], chosen: Limits) -> str:
    """Return the figures, a line for each operation."""
    lines = [f"{'1 KiB':8}{'ours':>12}{'raw socket':>12}{'ratio':>9}{'limit':>9}"]
    lines += [
        f"{verb:8}{cost.ours:12,.0f}{cost.raw:12,.0f}{cost.ratio:9.3f}{chosen.ratios[verb]:9.3f}"
        for verb, cost in costs.items()
    ]
    return "\n".join(lines)


def judge(costs: Mapping[str, Cost], chosen: Limits) -> int:
    """Print the figures and what is wrong with them; return the exit status."""
    print(f"instructions per operation, Python {limits.VERSION}\n{table(costs, chosen)}")
    if chosen.version != limits.VERSION:
        extra = f"{limits.ROOM_OF_ANOTHER - 1:.0%}"
        print(f"there are no limits for this version: those of {chosen.version}, and {extra} more")
    above = chosen.exceeded({verb: cost.ratio for verb, cost in costs.items()})
    if above:
        print(f"above the limit: {', '.join(above)}", file=sys.stderr)
    return 1 if above else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and compare or update."""
    chose = options(arguments)
    try:
        costs = measure()
    except NotMeasured as why:
        print(why, file=sys.stderr)
        return 2
    if chose.update:
        limits.update(chose.limits, {verb: cost.ratio for verb, cost in costs.items()})
    return judge(costs, limits.choose(limits.read(chose.limits)))


if __name__ == "__main__":
    sys.exit(main())
