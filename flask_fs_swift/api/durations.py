"""Lengths of time as text: read in any spelling, written in one.

The published client reads only ``400d 1m 30s``: days, hours, minutes and seconds, the largest
first, none that is 0, and ``0s``. Earlier clients and servers wrote ``1 days`` or ``500ms``.
"""

from __future__ import annotations

import re
from datetime import timedelta

#: Longer ones are refused: their end must be a date.
LONGEST = timedelta(days=365_250)

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

# Nanoseconds. Months and years are means: 30.44 and 365.25 days. An M is a month.
_UNITS = {
    spelling: length
    for spellings, length in (
        ("ns nsec nsecs nano nanos nanosecond nanoseconds", 1),
        ("us usec usecs micro micros microsecond microseconds", 1_000),
        ("ms msec msecs milli millis millisecond milliseconds", 1_000_000),
        ("s sec secs second seconds", _SECOND),
        ("m min mins minute minutes", _MINUTE),
        ("h hr hrs hour hours", _HOUR),
        ("d day days", _DAY),
        ("w wk wks week weeks", 7 * _DAY),
        ("M month months", 2_630_016 * _SECOND),
        ("y yr yrs year years", 31_557_600 * _SECOND),
    )
    for spelling in spellings.split()
}

_TERM = re.compile(r" *([0-9]{1,20}) *([A-Za-z]+) *")
_WRITTEN = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def parse_duration(text: str) -> timedelta:
    """Read a length of time, to the microsecond.

    :raises ValueError: it is none, or has more than 1,000 years.
    """
    if text.strip(" ") == "0":
        return timedelta()
    nanoseconds = at = 0
    while at < len(text) or not at:
        term = _TERM.match(text, at)
        if term is None or term[2] not in _UNITS:
            raise ValueError(f"{text[:80]!r} is no duration, as 1d 12h would be")
        nanoseconds += int(term[1]) * _UNITS[term[2]]
        at = term.end()
    if nanoseconds // 1_000 > LONGEST // timedelta(microseconds=1):
        raise ValueError(f"{text[:80]!r} is more than {LONGEST.days} days")
    return timedelta(microseconds=nanoseconds // 1_000)


def format_duration(length: timedelta) -> str:
    """Write a length of time, without what is less than a second."""
    left = length // timedelta(seconds=1)
    terms = []
    for unit, seconds in _WRITTEN:
        count, left = divmod(left, seconds)
        if count:
            terms.append(f"{count}{unit}")
    return " ".join(terms) or "0s"
