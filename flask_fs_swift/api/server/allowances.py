"""What the operations of one batch have of a service's permits, by either of two policies.

*permits*: each operation takes one when it begins, and gives it back when it has ended. One that
gets none in time is answered by itself, and the others go on. No more of one batch run at once
than all batches may have together, so that one alone is never in its own way.

*window*: when it begins, the batch takes a share of what is free, or is refused as a whole. So
many of its operations run at once. All of them come back when the batch is over, and the last
of its operations has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_fs_swift.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from typing_extensions import Self

    from flask_fs_swift.operations import Claim, Files

    from .permits import Permit


class Allowance:
    """As much as the storage has. A context manager: who leaves it has no operation that runs."""

    def __init__(self, width: int | None = None) -> None:
        #: How many operations may run at once; None: that is not decided here.
        self.width = width

    def admit(self, operation: Operation) -> Operation:
        """Return what is to be done in place of an operation."""
        return operation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Window(Allowance):
    """Permits that were reserved at once."""

    def __init__(self, permits: list[Permit]) -> None:
        super().__init__(len(permits))
        self._permits = permits

    def __exit__(self, *_: object) -> None:
        for permit in self._permits:
            permit.release()


class OneByOne(Allowance):
    """A permit for each operation.

    :param take: waits for one.
    """

    def __init__(self, width: int, take: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__(width)
        self._take = take

    def admit(self, operation: Operation) -> Operation:
        """Return an operation that takes a permit before it begins."""
        return _Permitted(operation, self._take)


@dataclass(frozen=True, slots=True)
class _Permitted(Operation):
    """An operation that needs a permit."""

    operation: Operation
    take: Callable[[], AbstractContextManager[object]]

    def claims(self) -> tuple[Claim, ...]:
        """Return the operation's."""
        return self.operation.claims()

    def perform(self, files: Files, /) -> Any:
        """Do it.

        :raises Refusal: 429, there was no permit in time.
        """
        with self.take():
            return self.operation.perform(files)
