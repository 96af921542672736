"""Which bytes of an object: those that are wanted, and those that an answer has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .errors import RangeNotSatisfiable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Bytes between two ranges that are rather fetched with them than left out by another request.
NEARBY = 64 * 1024


class Span(NamedTuple):
    """Which bytes an answer has, of how many."""

    start: int
    #: After the last of them.
    end: int
    #: Bytes of the whole object.
    size: int

    @property
    def is_whole(self) -> bool:
        """Tell whether this is all of the object."""
        return self.end - self.start == self.size


@dataclass(frozen=True)
class ByteRange:
    """The bytes of an object from ``start`` up to ``end``, which is not one of them.

    :raises ValueError: ``end`` is not after ``start``.
    """

    #: Below 0: so many bytes at the end, or all where there are not so many.
    start: int = 0
    #: None: the end of the object.
    end: int | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= max(self.start, 0):
            raise ValueError(f"no bytes are from {self.start} up to {self.end}")
        if self.end is not None and self.start < 0:
            raise ValueError(f"a range from the end, as {self.start}, goes up to the end")

    @property
    def begins_at_0(self) -> bool:
        """Tell whether an object without bytes has all of these."""
        return self.start <= 0

    def of(self, size: int) -> Span | None:
        """Return which bytes of an object these are; None: it has none of them."""
        start = max(size + self.start, 0) if self.start < 0 else self.start
        end = size if self.end is None else min(self.end, size)
        return Span(start, end, size) if start < end or not start else None

    def header(self) -> str:
        """Return it as a request says it, where the end is one of the bytes (RFC 9110, 14.1.2)."""
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-{'' if self.end is None else self.end - 1}"


WHOLE = ByteRange()


def byte_range(start: int, end: int | None) -> ByteRange:
    """Return a range; the whole one costs nothing.

    :raises ValueError: there is no such range.
    """
    return WHOLE if start == 0 and end is None else ByteRange(start, end)


def merged(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """Return what is to be fetched for several ranges: those that touch, or nearly, as one."""
    together: list[ByteRange] = []
    for wanted in sorted(ranges, key=lambda each: each.start):
        last = together[-1] if together else None
        if last is not None and _are_near(last, wanted):
            end = None if last.end is None or wanted.end is None else max(last.end, wanted.end)
            together[-1] = ByteRange(last.start, end)
        else:
            together.append(wanted)
    return together


def _are_near(first: ByteRange, second: ByteRange) -> bool:
    if first.start < 0 or first.end is None:
        return first.start >= 0  # Where those begin that count from the end is not known.
    return second.start <= first.end + NEARBY


def cut(name: str, fetched: Mapping[ByteRange, bytes], wanted: ByteRange) -> bytes:
    """Return one range of those that were fetched together.

    :raises RangeNotSatisfiable: the object ends before it.
    """
    around, content = next(
        (each, content)
        for each, content in fetched.items()
        if each == wanted
        or (0 <= each.start <= wanted.start and (each.end is None or wanted.start < each.end))
    )
    start = max(wanted.start, 0) - max(around.start, 0)
    if start and start >= len(content):
        size = around.start + len(content)
        raise RangeNotSatisfiable(
            f"{name!r} has {size} bytes, and none of those", filename=name, size=size
        )
    return content[start : None if wanted.end is None else wanted.end - around.start]
