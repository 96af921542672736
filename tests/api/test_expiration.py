"""When an object ends."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_fs_swift.api.durations import LONGEST, format_duration, parse_duration
from flask_fs_swift.api.expiration import MANUAL, Expiration, Kind, Policy, is_expired

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "length", "written"),
    [
        ("1d", DAY, "1d"),
        ("1day", DAY, "1d"),
        ("1 days", DAY, "1d"),
        ("1d12h", DAY * 1.5, "1d 12h"),
        ("400d 1m 30s", 400 * DAY + 90 * SECOND, "400d 1m 30s"),
        ("90 minutes", 1.5 * HOUR, "1h 30m"),
        ("30s 1h", HOUR + 30 * SECOND, "1h 30s"),
        ("36h", 1.5 * DAY, "1d 12h"),
        ("2 weeks", 14 * DAY, "14d"),
        ("1month", timedelta(days=30.44), "30d 10h 33m 36s"),
        ("1M", timedelta(days=30.44), "30d 10h 33m 36s"),
        ("1m", 60 * SECOND, "1m"),
        ("1y", timedelta(days=365.25), "365d 6h"),
        ("500ms", SECOND / 2, "0s"),
        ("1999ms", 1.999 * SECOND, "1s"),
        ("1500us", timedelta(microseconds=1500), "0s"),
        ("999ns", timedelta(), "0s"),
        ("1000000000 nanoseconds", SECOND, "1s"),
        ("0s", timedelta(), "0s"),
        ("0", timedelta(), "0s"),
        (" 1 h ", HOUR, "1h"),
        ("1000y", LONGEST, "365250d"),
    ],
)
def test_durations_are_read_in_any_spelling(text: str, length: timedelta, written: str) -> None:
    assert parse_duration(text) == length
    assert format_duration(length) == written


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "d", "-1d", "+1d", "1.5d", "1d,2h", "1D", "1 parsec", "1d 2", "\uff11d", "1001y",
     f"{'9' * 20}y", f"{'1' * 21}s", "1\td", "1d\n"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no duration|more than"):
        parse_duration(text)


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_a_duration_comes_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * SECOND)) == seconds * SECOND


@pytest.mark.parametrize(
    ("text", "expiration"),
    [
        ("manual", MANUAL),
        ("ttl:1 days", Expiration("ttl", DAY)),
        ("tti:1h 30m", Expiration("tti", 1.5 * HOUR)),
    ],
)
def test_an_expiration_is_read_and_written(text: str, expiration: Expiration) -> None:
    assert Expiration.parse(text) == expiration
    assert Expiration.parse(str(expiration)) == expiration


@pytest.mark.parametrize(
    "text", ["", "never", "Manual", "manual:1d", "ttl", "ttl:", "ttl: ", "TTL:1d", "tto:1d", "1d"]
)
def test_another_expiration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expiration|duration"):
        Expiration.parse(text)


@pytest.mark.parametrize(
    ("kind", "length"),
    [("ttl", None), ("manual", DAY), ("ttl", -SECOND), ("tti", LONGEST + SECOND)],
)
def test_an_expiration_that_cannot_be_is_refused(kind: Kind, length: timedelta | None) -> None:
    with pytest.raises(ValueError, match="expiration"):
        Expiration(kind, length)


def test_a_deadline_is_counted_from_the_write() -> None:
    assert MANUAL.deadline(NOW) is None
    assert Expiration("ttl", HOUR).deadline(NOW) == NOW + HOUR
    assert Expiration("tti", DAY).deadline(NOW) == NOW + DAY


def test_an_object_is_absent_from_its_deadline_on() -> None:
    assert not is_expired(None, NOW)
    assert not is_expired(NOW + SECOND, NOW)
    assert is_expired(NOW, NOW)


@pytest.mark.parametrize(
    ("length", "age", "is_moved"),
    [
        (4 * HOUR, timedelta(), False),
        (4 * HOUR, HOUR, False),
        (4 * HOUR, HOUR + SECOND, True),
        (4 * DAY, DAY, False),
        (4 * DAY, DAY + SECOND, True),
        (40 * DAY, DAY, False),
        (40 * DAY, DAY + SECOND, True),
    ],
)
def test_a_read_moves_a_deadline_that_lost_a_quarter_or_a_day(
    length: timedelta, age: timedelta, *, is_moved: bool
) -> None:
    expires = NOW - age + length
    moved = Expiration("tti", length).moved(expires, NOW)
    assert moved == (NOW + length if is_moved else None)


def test_a_read_moves_no_other_deadline() -> None:
    assert Expiration("ttl", HOUR).moved(NOW, NOW) is None
    assert MANUAL.moved(NOW, NOW) is None
    assert Expiration("tti", HOUR).moved(None, NOW) is None


def test_without_a_policy_everything_is_allowed() -> None:
    for expiration in (MANUAL, Expiration("ttl", LONGEST), Expiration("tti", LONGEST)):
        Policy().check(expiration)


def test_a_policy_refuses_kinds() -> None:
    policy = Policy(frozenset({"ttl"}))
    policy.check(Expiration("ttl", LONGEST))
    for expiration in (MANUAL, Expiration("tti", HOUR)):
        with pytest.raises(ValueError, match="not allowed here, but: ttl"):
            policy.check(expiration)


def test_a_policy_bounds_lengths_by_kind() -> None:
    policy = Policy(longest={"tti": DAY})
    policy.check(Expiration("tti", DAY))
    policy.check(Expiration("ttl", 2 * DAY))
    with pytest.raises(ValueError, match="longer than 1d, the most for tti"):
        policy.check(Expiration("tti", DAY + SECOND))
