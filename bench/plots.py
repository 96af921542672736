"""Draw the results: ``python -m bench.plots FOLDER``, in an environment that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = dict[str, Any]

#: This package in one strong colour, its variants near it, the others so that they differ.
COLOURS = {
    "ours": "#c2410c",
    "ours-requests": "#f0a06a",
    "ours-orjson": "#f0a06a",
    "ours-segments": "#e2793f",
    "swiftclient": "#2563a8",
    "service": "#7fb0dc",
    "flask-fs2": "#5b4a9e",
    "swiftspec": "#2f855a",
    "opendal": "#b5860d",
    "rclone": "#8c6d5a",
    "raw": "#8a8f98",
    "md5": "#b9bdc4",
}
INK, FAINT = "#22262d", "#6b7280"

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "svg.fonttype": "none",
}


class Results:
    """What a run wrote, looked up by the names of rows and figures."""

    def __init__(self, read: Mapping[str, Any]) -> None:
        self.titles: dict[str, str] = {
            **read["peers"],
            "ours-requests": "flask-fs-swift on requests",
            "ours-orjson": "flask-fs-swift with orjson",
        }
        self._rows: dict[str, Row] = {row["name"]: row for row in read["rows"]}

    def medians(self, row: str, figure: str) -> dict[str, float]:
        """Return the median of each client; empty where the row was not measured."""
        for one in self._rows.get(row, {}).get("figures", ()):
            if one["name"] == figure:
                medians: dict[str, float] = one["median"]
                return medians
        return {}

    def title(self, name: str, row: str) -> str:
        """Return what a client is called, with a star where something must be known of it."""
        caveats = self._rows[row].get("caveats", {})
        return self.titles[name] + ("*" if name in caveats else "")

    def caveats(self, rows: Iterable[str]) -> str:
        """Return what the stars of some rows mean."""
        known = [
            said for row in rows for said in self._rows.get(row, {}).get("caveats", {}).values()
        ]
        return "* " + ", or ".join(dict.fromkeys(known)) if known else ""


def label(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def dots(
    axes: Any, results: Results, row: str, medians: Mapping[str, float], title: str, unit: str
) -> None:
    """Draw one dot for each client, the best on top, its figure beside it; logarithmic."""
    ordered = sorted(medians.items(), key=lambda pair: pair[1], reverse=True)
    least = min(value for _, value in ordered if value > 0) / 2
    names = [results.title(name, row) for name, _ in ordered]
    values = [max(value, least) for _, value in ordered]
    axes.hlines(names, least / 1.5, values, color="#dfe2e6", linewidth=1.2, zorder=1)
    axes.scatter(values, names, color=[COLOURS[name] for name, _ in ordered], s=70, zorder=2)
    for place, (name, value) in enumerate(ordered):
        weight = "bold" if name == "ours" else "normal"
        axes.annotate(
            label(value, unit),
            (max(value, least), place),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontweight=weight,
        )
    axes.set_xscale("log")
    axes.set_xlim(least / 1.5, max(values) * 8)
    axes.set_title(title, color=INK, fontweight="bold")
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=INK, which="both")
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() == results.titles["ours"] else "normal")


def lines(
    axes: Any,
    results: Results,
    series: Mapping[str, Sequence[float]],
    row: str,
    places: Sequence[str],
    title: str,
) -> None:
    """Draw one line for each client, named at its right end; logarithmic."""
    for name, values in series.items():
        strong = name == "ours"
        axes.plot(
            range(len(values)),
            values,
            color=COLOURS[name],
            linewidth=2.6 if strong else 1.4,
            marker="o",
            markersize=5 if strong else 3.5,
            zorder=3 if strong else 2,
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(places)), places)
    axes.set_title(title, color=INK, fontweight="bold")
    axes.grid(visible=True, axis="y", color="#e7e9ec", linewidth=0.8)
    axes.tick_params(length=0, which="both")
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.15, len(places) - 1 + 0.1)
    name_lines(axes, results, series, row, len(places) - 1)


def name_lines(
    axes: Any, results: Results, series: Mapping[str, Sequence[float]], row: str, last: int
) -> None:
    """Write each line's name where it ends, moved just so far that none covers another."""
    axes.figure.canvas.draw()
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    ends = sorted(
        (to_pixels.transform((last, values[-1]))[1], name) for name, values in series.items()
    )
    heights = spread_out([height for height, _ in ends], axes.figure.dpi * 0.17)
    for (_, name), height in zip(ends, heights, strict=True):
        place = to_data.transform((0, height))[1]
        axes.annotate(
            results.title(name, row),
            (last + 0.1, place),
            color=COLOURS[name],
            va="center",
            fontweight="bold" if name == "ours" else "normal",
            annotation_clip=False,
        )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Move sorted heights apart, each as little as the gap asks for."""
    placed = list(heights)
    for _ in range(200):
        for index in range(len(placed) - 1):
            lacking = gap - (placed[index + 1] - placed[index])
            if lacking > 0:
                placed[index] -= lacking / 2
                placed[index + 1] += lacking / 2
    return placed


def series_of(
    results: Results, rows: Sequence[str], figure: str, without: Sequence[str] = ()
) -> dict[str, list[float]]:
    """Return the figures of the clients that did all of some rows."""
    columns = [results.medians(row, figure) for row in rows]
    names = [name for name in (columns[0] if columns else {}) if name not in without]
    return {
        name: [column[name] for column in columns]
        for name in names
        if all(name in column for column in columns)
    }


def draw_dots(
    results: Results,
    folder: Path,
    file: str,
    title: str,
    panels: Sequence[tuple[str, str, str, str]],
) -> None:
    """Draw a picture of dots: for each panel its row, figure, title and unit."""
    shown = [panel for panel in panels if results.medians(panel[0], panel[1])]
    if not shown:
        return
    tallest = max(len(results.medians(row, figure)) for row, figure, _, _ in shown)
    figure, grid = plt.subplots(
        1, len(shown), figsize=(5.4 * len(shown), 0.34 * tallest + 1.5), squeeze=False
    )
    for axes, (row, name, heading, unit) in zip(grid[0], shown, strict=True):
        dots(axes, results, row, results.medians(row, name), heading, unit)
    save(figure, folder / file, title, results.caveats(row for row, *_ in shown))


def draw_lines(
    results: Results,
    folder: Path,
    file: str,
    title: str,
    panels: Sequence[tuple[str, str, Sequence[str], Sequence[str]]],
    without: Sequence[str] = (),
) -> None:
    """Draw a picture of lines: for each panel its title, figure, rows and their places."""
    chosen = [
        (heading, rows, places, series_of(results, rows, figure, without))
        for heading, figure, rows, places in panels
    ]
    shown = [panel for panel in chosen if panel[3]]
    if not shown:
        return
    figure, grid = plt.subplots(1, len(shown), figsize=(6.5 * len(shown), 4.7), squeeze=False)
    figure.subplots_adjust(wspace=0.5, right=0.83, top=0.8, left=0.07, bottom=0.14)
    for axes, (heading, rows, places, series) in zip(grid[0], shown, strict=True):
        lines(axes, results, series, rows[0], places, heading)
    caveats = results.caveats(row for _, rows, _, _ in shown for row in rows)
    save(figure, folder / file, title, caveats, tight=False)


def save(figure: Any, file: Path, title: str, caveats: str, *, tight: bool = True) -> None:
    figure.suptitle(title, x=0.015, ha="left", fontsize=13, fontweight="bold", color=INK)
    if tight:
        figure.tight_layout(w_pad=2.5, rect=(0, 0.05 if caveats else 0, 1, 1))
    figure.text(0.015, 0.02, caveats, color=FAINT, fontsize=9)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def draw(results: Results, folder: Path) -> None:
    """Draw every picture whose rows were measured."""
    draw_dots(
        results,
        folder,
        "small.png",
        "CPU per operation on a file of 1 KiB: µs, logarithmic, less is better",
        [
            ("write-1k", "CPU", "write", "µs"),
            ("read-1k", "CPU", "read", "µs"),
            ("describe", "CPU", "describe (HEAD)", "µs"),
        ],
    )
    crews = ["1", "5", "20", "100"]
    draw_lines(
        results,
        folder,
        "at_once.png",
        "Operations per second on files of 1 KiB, by how many are at it at once (logarithmic)",
        [
            ("greenlets", "rate", [f"gevent-{crew}" for crew in crews], crews),
            ("threads", "rate", [f"threads-{crew}" for crew in crews], crews),
        ],
    )
    sizes = ["64 KiB", "1 MiB", "16 MiB", "256 MiB"]
    slugs = [size.replace(" ", "") for size in sizes]
    draw_lines(
        results,
        folder,
        "sizes.png",
        "MB per second, by the size of the file (logarithmic, more is better)",
        [
            ("write a file", "speed", [f"write-file-{slug}" for slug in slugs], sizes),
            ("read in chunks", "speed", [f"read-chunks-{slug}" for slug in slugs], sizes),
        ],
        without=("rclone",),
    )
    draw_dots(
        results,
        folder,
        "memory.png",
        "Memory that an operation adds at its peak: MiB, logarithmic, less is better",
        [
            ("memory-save", "added", "save a file of 1 GiB", "MiB"),
            ("memory-read", "added", "read 1 GiB in chunks", "MiB"),
            ("memory-list", "added", "list 100,000 objects", "MiB"),
        ],
    )
    draw_dots(
        results,
        folder,
        "stalls.png",
        "The longest pause of other greenlets, while 256 MiB pass: ms, logarithmic, less is better",
        [
            ("stall-write_file", "longest pause", "a file is written", "ms"),
            ("stall-read_chunks", "longest pause", "chunks are read", "ms"),
        ],
    )
    draw_dots(
        results,
        folder,
        "listing_and_start.png",
        "Listing 100,000 objects, importing, a request on a new TLS connection: ms, logarithmic",
        [
            ("list-names", "CPU", "list names: CPU", "ms"),
            ("import", "import", "import, beyond Flask", "ms"),
            ("tls", "CPU", "new TLS connection: CPU", "ms"),
        ],
    )


def main() -> None:
    folder = Path(sys.argv[1])
    mpl.use("Agg")
    mpl.rcParams.update(STYLE)
    draw(Results(json.loads((folder / "results.json").read_text())), folder)


if __name__ == "__main__":
    main()
