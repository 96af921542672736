"""What holds of two tiers in each of the four situations."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from flask_fs_swift.devserver import DevServer

from .here import GREENLETS, PATCHED, SITUATIONS
from .test_situations import PATIENCE, PYTHON, RUN, TESTS

if TYPE_CHECKING:
    from pathlib import Path

    from flask_fs_swift.devserver import Faults

in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)
with_greenlets = pytest.mark.parametrize("situation", [PATCHED, GREENLETS])


class Run(Protocol):
    """Runs a function in a situation; it must end well, and say nothing."""

    def __call__(self, situation: str, function: str, **facts: str) -> None: ...


@pytest.fixture
def run(swift_server: object, swift_faults: Faults) -> Run:
    assert swift_faults
    assert isinstance(swift_server, DevServer)
    known = {key: getattr(swift_server, key) for key in ("url", "auth_url", "user", "key")}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}

    def run(situation: str, function: str, **facts: str) -> None:
        ended = subprocess.run(
            [PYTHON, *RUN, situation, "tiers", function, json.dumps(known | facts)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stdout

    return run


@in_every_situation
def test_a_crowd_writes_and_reads_two_tiers(run: Run, situation: str) -> None:
    run(situation, "every_byte_comes_back")


@in_every_situation
def test_a_crowd_writes_and_reads_postgresql(run: Run, situation: str, postgresql: str) -> None:
    run(situation, "every_byte_comes_back", database=postgresql)


@in_every_situation
def test_the_lease_of_a_slow_write_is_kept(run: Run, situation: str) -> None:
    run(situation, "the_lease_of_a_slow_write_is_kept")


@in_every_situation
def test_others_run_while_another_process_writes(run: Run, situation: str) -> None:
    run(situation, "others_run_while_another_process_writes")


@in_every_situation
def test_a_database_that_is_locked_for_long_is_an_error(run: Run, situation: str) -> None:
    run(situation, "a_database_that_is_locked_for_long_is_an_error")


@with_greenlets
def test_who_is_killed_leaves_nothing(run: Run, situation: str) -> None:
    run(situation, "who_is_killed_leaves_no_turn_and_no_connection")


@with_greenlets
def test_who_is_killed_leaves_nothing_in_postgresql(
    run: Run, situation: str, postgresql: str
) -> None:
    run(situation, "who_is_killed_leaves_no_turn_and_no_connection", database=postgresql)


def test_native_threads_write_beside_greenlets(run: Run) -> None:
    run(PATCHED, "native_threads_write_beside_greenlets")


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
    run(situation, fact)


@with_greenlets
def test_who_is_killed_while_waiting_passes_the_turn_on(run: Run, situation: str) -> None:
    run(situation, "who_is_killed_while_waiting_passes_the_turn_on")


@in_every_situation
def test_the_end_of_the_program_is_not_delayed(run: Run, situation: str, tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    run(situation, "the_end_of_the_program_is_not_delayed", mark=str(mark))
    assert time.time() - float(mark.read_text()) < 10  # Not the 30 s of the deletions.
