"""What the operations of one batch have of a service's permits, by either of two policies.

*permits*: an operation takes one before the next is looked at, and gives it back when it has
ended. One that gets none in time is answered by itself, and the others go on. Batches that meet
take turns: each waits for one permit at a time.

*window*: when it begins, the batch takes a share of what is free, or is refused as a whole. So
many of its operations run at once; all is given back when the last of them has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flask_fs_swift.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from flask_fs_swift.operations import Claim, Files

    from .permits import Permit, Permits


class Allowance(Protocol):
    """What one batch has. A context manager; whoever leaves it has no operation that runs."""

    @property
    def width(self) -> int | None:
        """How many operations may run at once; None: that is not decided here."""

    def admit(self, operation: Operation) -> Operation:
        """Return what is to be done in place of an operation.

        :raises Refusal: 429, it is not to be done.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Unlimited:
    """As much as the storage has."""

    width = None

    def admit(self, operation: Operation) -> Operation:
        """Return the operation."""
        return operation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Window(Unlimited):
    """Permits that were reserved at once."""

    def __init__(self, permits: list[Permit]) -> None:
        self._permits = permits

    @property
    def width(self) -> int:  # type: ignore[override]
        """How many there are."""
        return len(self._permits)

    def __exit__(self, *_: object) -> None:
        for permit in self._permits:
            permit.release()


class OneByOne:
    """A permit for each operation.

    :param refuse: says no, or, where that is only reported, nothing.
    :param waits: whether an operation waits for its permit.
    """

    def __init__(self, permits: Permits, refuse: Callable[[], None], *, waits: bool = True) -> None:
        self._permits = permits
        self._refuse = refuse
        self._waits = waits
        # Those that are out. Added to by who pulls; who ends an operation takes its own away.
        self._out: set[Permit] = set()

    @property
    def width(self) -> int:
        """How many batches may have together."""
        return self._permits.ceiling

    def admit(self, operation: Operation) -> Operation:
        """Wait for a permit; return the operation with it.

        :raises Refusal: 429, none came in time.
        """
        permit = self._permits.take(is_bulk=True, waits=self._waits)
        if permit is None:
            self._refuse()
            return operation
        self._out.add(permit)
        return _Permitted(operation, permit, self._end)

    def _end(self, permit: Permit) -> None:
        permit.release()
        self._out.discard(permit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What was pulled and has not begun does not begin any more.
        while self._out:
            self._out.pop().release()


@dataclass(frozen=True, slots=True)
class _Permitted(Operation):
    """An operation with its permit."""

    operation: Operation
    permit: Permit
    end: Callable[[Permit], None]

    def claims(self) -> tuple[Claim, ...]:
        """Return the operation's."""
        return self.operation.claims()

    def perform(self, files: Files, /) -> Any:
        """Do it, and give the permit back."""
        try:
            return self.operation.perform(files)
        finally:
            self.end(self.permit)
