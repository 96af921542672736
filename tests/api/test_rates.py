"""Token buckets, with a clock that stands still until it is moved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.api.places import Place
from flask_fs_swift.api.server import rates
from flask_fs_swift.api.server.limits import Limits
from flask_fs_swift.api.server.rates import Bucket, Rates

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Place.of("here", [("org", 1)])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admitted(rates: Rates, count: int, place: Place = HERE) -> list[str | None]:
    return [rates.admit(place) for _ in range(count)]


def test_a_bucket_holds_one_second_and_fills_evenly() -> None:
    bucket = Bucket(4, 0)
    bucket.take(4, 0)
    assert [bucket.level(seconds / 4) for seconds in range(6)] == [0, 1, 2, 3, 4, 4]


def test_a_bucket_owes_what_passed_beyond_its_level() -> None:
    bucket = Bucket(10, 0)
    bucket.take(35, 0)
    assert [bucket.level(seconds) for seconds in range(5)] == [-25, -15, -5, 5, 10]


def test_a_limit_below_one_per_second_lets_one_pass_now_and_then(clock: Clock) -> None:
    rates = Rates(Limits(requests=0.25), clock)
    assert admitted(rates, 2) == [None, "requests"]
    clock.now += 3.9
    assert admitted(rates, 1) == ["requests"]
    clock.now += 0.1
    assert admitted(rates, 2) == [None, "requests"]


def test_so_many_requests_pass_and_one_more_does_not(clock: Clock) -> None:
    rates = Rates(Limits(requests=3), clock)
    assert admitted(rates, 4) == [None, None, None, "requests"]
    clock.now += 1 / 3
    assert admitted(rates, 2) == [None, "requests"]
    clock.now += 60
    assert admitted(rates, 4) == [None, None, None, "requests"]


OTHERS = {
    "": [Place.of("other")],
    "usecase_": [HERE, Place.of("here"), Place.of("here", [("org", 2)])],
    "scope_": [HERE],
}


@pytest.mark.parametrize("owner", OTHERS)
@pytest.mark.parametrize("unit", ["requests", "bytes"])
def test_a_bucket_is_shared_by_those_it_is_for(clock: Clock, owner: str, unit: str) -> None:
    name = owner + unit
    rates = Rates(Limits(**{name: 1}), clock)  # type: ignore[arg-type]
    assert rates.admit(HERE) is None
    if unit == "bytes":
        rates.passed(HERE, 1)
    for place in OTHERS[owner]:
        assert rates.admit(place) == name
    elsewhere = {"usecase_": Place.of("other"), "scope_": Place.of("here", [("org", 2)])}
    if owner in elsewhere:
        assert rates.admit(elsewhere[owner]) is None


def test_who_is_refused_takes_nothing_from_the_others(clock: Clock) -> None:
    rates = Rates(Limits(requests=3, scope_requests=1), clock)
    assert admitted(rates, 5) == [None, *["scope_requests"] * 4]
    assert admitted(rates, 1, Place.of("other")) == [None]
    assert admitted(rates, 1, Place.of("third")) == [None]
    assert admitted(rates, 1, Place.of("fourth")) == ["requests"]


def test_bytes_are_owed_and_paid_back(clock: Clock) -> None:
    rates = Rates(Limits(bytes=100), clock)
    assert rates.admit(HERE) is None
    rates.passed(HERE, 350)  # Nobody knew before how many there were.
    for seconds, expected in ((2.5, "bytes"), (0.01, None)):
        clock.now += seconds
        assert rates.admit(HERE) == expected


def test_only_bytes_have_to_be_counted_where_there_is_a_limit_of_them(clock: Clock) -> None:
    assert not Rates(Limits(requests=1), clock).counts_bytes
    assert Rates(Limits(scope_bytes=1), clock).counts_bytes
    assert admitted(Rates(Limits(), clock), 1000) == [None] * 1000


def places(count: int) -> list[Place]:
    return [Place.of("here", [("org", number)]) for number in range(count)]


def test_only_so_many_buckets_are_kept_those_that_were_used_last(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 3)
    limited = Rates(Limits(scope_requests=1), clock)
    for place in places(3):
        assert limited.admit(place) is None
    assert limited.admit(places(1)[0]) == "scope_requests"  # Used again: now another is the oldest.
    fourth = Place.of("fourth")
    assert [limited.admit(place) for place in (fourth, *places(2))] == [
        None,
        "scope_requests",
        None,
    ]
    [buckets] = limited._buckets.values()
    assert len(buckets) == 3


def test_a_forked_child_begins_with_full_buckets(clock: Clock) -> None:
    rates = Rates(Limits(requests=1), clock)
    admitted(rates, 1)
    with rates._lock:
        rates.after_fork()
    assert admitted(rates, 2) == [None, "requests"]


def test_its_clock_is_one_that_does_not_go_back() -> None:
    default: Callable[[], float] = Rates(Limits())._clock
    assert default is time.monotonic
