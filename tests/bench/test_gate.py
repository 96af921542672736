"""The gate on what small files cost: how it counts, compares and fails. Needs no valgrind."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from bench.gate import __main__ as gate
from bench.gate import costs, limits
from bench.gate.costs import Cost
from bench.gate.instructions import NotMeasured, run, summary
from bench.gate.job import DATA, MD5, NAMES, WARM, Job
from bench.gate.limits import VERSION, Limits
from bench.gate.ours import Ours
from bench.gate.raw import Raw
from bench.gate.server import FILES, Server
from flask_fs_swift import FileNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = NAMES[WARM]
TABLE = {"3.10": {"write": 4.0}, "3.12": {"write": 2.0}}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def ours(server: Server) -> Iterator[Ours]:
    client = Ours(Job("ours", "write", 1, server.port))
    yield client
    client.close()


@pytest.fixture
def limits_file(tmp_path: Path) -> Path:
    file = tmp_path / "limits.json"
    file.write_text(json.dumps({VERSION: {"write": 2.0, "read": 2.0}}))
    return file


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Cost]:
    """What the gate will measure: both operations at 1.9 times the raw socket."""
    found = {"write": Cost(190, 100), "read": Cost(190, 100)}
    monkeypatch.setattr(gate, "measure", lambda: found)
    return found


# Counting.


@pytest.mark.parametrize(
    "line", ["==27417== I   refs:      1,781,277,067", "==27417== I refs:        1,781,277,067"]
)
def test_the_summary_of_old_and_new_valgrinds_is_read(line: str) -> None:
    assert summary(f"==27417== Command: python\n==27417== \n{line}\n") == 1_781_277_067


def test_a_log_without_a_summary_is_no_figure() -> None:
    with pytest.raises(NotMeasured, match="cannot execute"):
        summary("valgrind: cannot execute")


def test_a_client_that_fails_is_no_figure() -> None:
    with pytest.raises(NotMeasured, match="ended with 1:\nwhy"):
        run([sys.executable, "-c", "raise SystemExit('why')"], {})


def test_the_shorter_run_is_taken_off_the_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(command: list[str], _: object) -> int:
        job = Job.from_json(command[-1])
        return 1_000_000 + job.count * (300 if job.who == "ours" else 100)

    monkeypatch.setattr(costs, "count", count)
    jobs = [Job(who, "write", 1, port=1) for who in ("ours", "raw")]
    assert costs._counts(jobs) == {("ours", "write"): 300, ("raw", "write"): 100}


# Comparing.


def test_a_ratio_at_its_limit_does_not_exceed_it() -> None:
    chosen = Limits("3.11", {"write": 2.0, "read": 3.0})
    assert chosen.exceeded({"write": 2.0, "read": 3.01}) == ["read"]


def test_a_version_has_its_own_limits() -> None:
    assert limits.choose(TABLE, "3.10") == Limits("3.10", {"write": 4.0})


def test_a_version_without_limits_has_those_of_the_nearest_and_more_room() -> None:
    chosen = limits.choose(TABLE, "3.14")
    assert chosen.version == "3.12"
    assert chosen.ratios == pytest.approx({"write": 2.3})


def test_within_the_limits_it_exits_with_0(
    measured: dict[str, Cost], limits_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate.main(["--limits", str(limits_file)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[2].split() == ["write", "190", "100", "1.900", "2.000"]
    assert not err
    assert measured


def test_above_a_limit_it_exits_with_1_and_says_which(
    measured: dict[str, Cost], limits_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured["read"] = Cost(201, 100)
    assert gate.main(["--limits", str(limits_file)]) == 1
    assert capsys.readouterr().err == "above the limit: read\n"


@pytest.mark.usefixtures("measured")
def test_it_says_that_a_version_has_no_limits(
    limits_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits_file.write_text('{"3.0": {"write": 2.0, "read": 1.0}}')
    assert gate.main(["--limits", str(limits_file)]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("there are no limits for this version: those of 3.0, and 15% more\n")
    assert err == "above the limit: read\n"


@pytest.mark.usefixtures("measured")
def test_an_update_leaves_some_room_and_other_versions_alone(limits_file: Path) -> None:
    limits_file.write_text('{"3.9": {"write": 4.0}}')
    assert gate.main(["--update", "--limits", str(limits_file)]) == 0
    updated = {"3.9": {"write": 4.0}, VERSION: {"write": 1.995, "read": 1.995}}
    assert list(limits.read(limits_file).items()) == list(updated.items())


def test_there_are_limits_for_every_operation() -> None:
    assert all(set(ratios) == set(costs.METHODS) for ratios in limits.read().values())


def test_without_valgrind_it_exits_with_2_and_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gate.main([]) == 2
    assert "apt-get install valgrind" in capsys.readouterr().err


# The clients and their server.


def test_a_storage_writes_to_the_server_and_reads_from_it(server: Server, ours: Ours) -> None:
    ours.write(NAME)
    assert server.objects == {FILES + NAME: DATA}
    assert ours.read(NAME) == DATA


def test_what_is_not_stored_is_not_found(ours: Ours) -> None:
    with pytest.raises(FileNotFound):
        ours.read(NAME)


@pytest.mark.parametrize("verb", costs.METHODS)
def test_the_raw_socket_sends_what_ours_sends(server: Server, ours: Ours, verb: str) -> None:
    server.objects[FILES + NAME] = DATA
    getattr(ours, verb)(NAME)
    sent = server.heads.pop(costs.METHODS[verb])
    raw = Raw(Job("raw", verb, 1, server.port, costs.template(sent, verb)))
    assert getattr(raw, verb)(NAME) in {None, DATA}
    raw.close()
    assert server.heads[costs.METHODS[verb]] == sent


def test_the_raw_socket_sees_what_was_not_stored_as_it_was_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.gate.server._etag", lambda _: f"Etag: {'0' * 32}\r\n")
    head = f"PUT {FILES}{{name}} HTTP/1.1\r\nX-Auth-Token: AUTH_tk0123456789abcdef\r\n"
    raw = Raw(
        Job("raw", "write", 1, server.port, head + "ETag: {etag}\r\nContent-Length: 1024\r\n\r\n")
    )
    with pytest.raises(OSError, match="something else was stored"):
        raw.write(NAME)
    raw.close()


def test_a_write_that_names_no_md5_cannot_be_compared() -> None:
    head = f"PUT {FILES}{NAME} HTTP/1.1\r\n\r\n"
    with pytest.raises(NotMeasured, match="does not say what is stored where"):
        costs.template(head, "write")
    assert costs.template(f"{head}ETag: {MD5}", "write").endswith("ETag: {etag}")


def test_a_package_on_the_path_comes_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flask_fs_swift.py").write_text("print('the other one')")
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(tmp_path))
    importing = [sys.executable, "-c", "import flask_fs_swift, bench.gate"]
    assert run(importing, costs.variables()) == "the other one\n"
