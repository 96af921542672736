"""What holds of two tiers in each of the four situations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from .here import GREENLETS, PATCHED, SITUATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run

in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)
with_greenlets = pytest.mark.parametrize("situation", [PATCHED, GREENLETS])


@in_every_situation
def test_a_crowd_writes_and_reads_two_tiers(run: Run, situation: str) -> None:
    run(situation, "tiers", "every_byte_comes_back")


@in_every_situation
def test_a_crowd_writes_and_reads_postgresql(run: Run, situation: str, postgresql: str) -> None:
    run(situation, "tiers", "every_byte_comes_back", database=postgresql)


@in_every_situation
def test_the_lease_of_a_slow_write_is_kept(run: Run, situation: str) -> None:
    run(situation, "tiers", "the_lease_of_a_slow_write_is_kept")


@in_every_situation
def test_others_run_while_another_process_writes(run: Run, situation: str) -> None:
    run(situation, "tiers", "others_run_while_another_process_writes")


@in_every_situation
def test_a_database_that_is_locked_for_long_is_an_error(run: Run, situation: str) -> None:
    run(situation, "tiers", "a_database_that_is_locked_for_long_is_an_error")


@with_greenlets
def test_who_is_killed_leaves_nothing(run: Run, situation: str) -> None:
    run(situation, "tiers", "who_is_killed_leaves_no_turn_and_no_connection")


@with_greenlets
def test_who_is_killed_leaves_nothing_in_postgresql(
    run: Run, situation: str, postgresql: str
) -> None:
    run(situation, "tiers", "who_is_killed_leaves_no_turn_and_no_connection", database=postgresql)


def test_native_threads_write_beside_greenlets(run: Run) -> None:
    run(PATCHED, "tiers", "native_threads_write_beside_greenlets")


@in_every_situation
@pytest.mark.parametrize(
    "fact",
    [
        "turns_are_taken_in_order",
        "a_turn_is_waited_for_no_longer_than_asked",
        "turns_survive_time_outs_that_race",
    ],
)
def test_turns(run: Run, situation: str, fact: str) -> None:
    run(situation, "tiers", fact)


@with_greenlets
def test_who_is_killed_while_waiting_passes_the_turn_on(run: Run, situation: str) -> None:
    run(situation, "tiers", "who_is_killed_while_waiting_passes_the_turn_on")


@in_every_situation
def test_the_end_of_the_program_is_not_delayed(run: Run, situation: str, tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    run(situation, "tiers", "the_end_of_the_program_is_not_delayed", mark=str(mark))
    assert time.time() - float(mark.read_text()) < 10  # Not the 30 s of the deletions.
