"""What the benchmark computes from its slices, and how it says it."""

from __future__ import annotations

import pytest

from bench import report
from bench.__main__ import columns
from bench.bars import BARS, Bar, judge
from bench.children import Failed
from bench.clients.client import Cannot
from bench.measure import Measured, Spread, interleaved, paired
from bench.peers import Peer, peers
from bench.rows import ROWS

OURS, RAW = Peer("ours", "flask-fs-swift", "ours"), Peer("raw", "raw socket", "raw")


def slices(*seconds: float) -> list[dict[str, float]]:
    return [{"cpu": each, "count": 1, "wall": each} for each in seconds]


@pytest.fixture
def measured() -> Measured:
    cannot = {"opendal": "has no such operation", "rclone": "failed: it ended"}
    return Measured({"ours": slices(2e-5, 4e-5), "raw": slices(1e-5, 1e-5)}, cannot)


def test_a_ratio_is_of_figures_of_the_same_round() -> None:
    spread = paired([2, 40, 6], [1, 10, 1])
    assert spread == Spread(4, 3, 5)


def test_a_single_round_has_no_spread() -> None:
    assert Spread.of([7.0]) == Spread(7, 7, 7)


def test_each_round_begins_with_another_client() -> None:
    seen: list[str] = []

    def work(peer: Peer) -> dict[str, float]:
        seen.append(peer.name)
        return {"wall": 1.0}

    interleaved(work, [OURS, RAW], rounds=2)
    assert seen == ["ours", "raw", "raw", "ours"]


@pytest.mark.parametrize(
    ("error", "said"), [(Cannot("no way"), "no way"), (Failed("oh"), "failed: oh")]
)
def test_who_cannot_is_asked_once_and_says_why(error: Exception, said: str) -> None:
    asked: list[str] = []

    def work(peer: Peer) -> dict[str, float]:
        asked.append(peer.name)
        if peer is RAW:
            raise error
        return {"wall": 1.0}

    got = interleaved(work, [OURS, RAW], rounds=3)
    assert got.cannot == {"raw": said}
    assert "raw" not in got.slices
    assert asked.count("raw") == 1
    assert len(got.slices["ours"]) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12"), (7.0, "7"), (12.34, "12.3"), (123.4, "123"), (45678.9, "45,700")],
)
def test_a_figure_has_three_digits(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_bar_is_judged_by_the_median_ratio(measured: Measured) -> None:
    results = {"write-1k": measured}
    passed = judge(Bar("write-1k", "CPU", 3.0, "raw"), results)
    failed = judge(Bar("write-1k", "CPU", 2.9, "raw"), results)
    at_least = judge(Bar("write-1k", "CPU", 3.0, "raw", at_most=False), results)
    assert passed
    assert failed
    assert at_least
    assert (passed.passed, failed.passed, at_least.passed) == (True, False, True)


def test_a_bar_against_who_cannot_is_not_judged(measured: Measured) -> None:
    verdict = judge(Bar("write-1k", "CPU", 1.0, "opendal"), {"write-1k": measured})
    assert verdict
    assert verdict.passed is None
    assert verdict.why == "has no such operation"


def test_a_bar_of_a_row_that_was_not_measured_is_left_out() -> None:
    assert judge(BARS[0], {}) is None


def test_every_bar_is_about_a_figure_that_exists() -> None:
    figures = {(row.name, figure.name) for row in ROWS for figure in row.figures}
    assert {(bar.row, bar.figure) for bar in BARS} <= figures


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))


def test_there_is_a_column_for_each_transport_and_for_orjson_on_request() -> None:
    everybody = peers(("native", "requests"))
    assert [(peer.name, peer.transport) for peer in everybody[:3]] == [
        ("ours", "native"),
        ("ours-requests", "requests"),
        ("ours-orjson", "native"),
    ]
    listing = next(row for row in ROWS if row.name == "list-names")
    writing = next(row for row in ROWS if row.name == "write-1k")
    assert "ours-orjson" in [peer.name for peer in columns(listing, everybody)]
    assert "ours-orjson" not in [peer.name for peer in columns(writing, everybody)]


def test_no_cell_is_blank_and_every_reason_is_told(measured: Measured) -> None:
    everybody = [OURS, Peer("opendal", "opendal", ""), Peer("rclone", "rclone", ""), RAW]
    machine, versions = {"CPU": "fast", "cores": "2"}, {"ours": "1", "raw": "a socket"}
    text = report.markdown(report.Run(machine, versions, everybody, 2, {"write-1k": measured}))
    assert "| cannot<sup>1</sup> | failed<sup>2</sup> |" in text
    assert "1. has no such operation\n2. failed: it ended" in text
    assert "| 3.00 (2.50–3.50) | **fail** |" in text  # noqa: RUF001 - as the report has it
    assert "CPU fast; cores 2" in text
