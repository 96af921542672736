"""The ratios that may not be exceeded, by version of Python, on which they depend."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: Ratios by operation, by version.
    Table = dict[str, dict[str, float]]

FILE = Path(__file__).with_name("limits.json")

#: This interpreter's, as the file has it.
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Times the measured ratio: what a limit leaves to another machine, or another build of Python.
#: Where a checkout stands takes 1.5 % of it: with its path, where memory is found changes.
ROOM = 1.05
#: Times the limit of another version.
ROOM_OF_ANOTHER = 1.15


@dataclass(frozen=True)
class Limits:
    """What holds for one version of Python."""

    #: The version that the ratios were measured with.
    version: str
    #: By operation.
    ratios: dict[str, float]

    def exceeded(self, ratios: Mapping[str, float]) -> list[str]:
        """Return the operations whose ratio is above its limit."""
        return [verb for verb, ratio in ratios.items() if ratio > self.ratios[verb]]


def read(file: Path = FILE) -> Table:
    """Return the file's limits."""
    table: Table = json.loads(file.read_text())
    return table


def choose(table: Table, version: str = VERSION) -> Limits:
    """Return a version's limits; those of the nearest one, with more room, if it has none."""
    nearest = min(table, key=lambda listed: (abs(_minor(listed) - _minor(version)), listed))
    room = 1.0 if nearest == version else ROOM_OF_ANOTHER
    return Limits(nearest, {verb: ratio * room for verb, ratio in table[nearest].items()})


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def update(file: Path, ratios: Mapping[str, float], version: str = VERSION) -> None:
    """Write what was measured, with some room, as a version's limits; others stay."""
    table = read(file) if file.exists() else {}
    table[version] = {verb: round(ratio * ROOM, 3) for verb, ratio in ratios.items()}
    ordered = {listed: table[listed] for listed in sorted(table, key=_minor)}
    file.write_text(json.dumps(ordered, indent=2) + "\n")
