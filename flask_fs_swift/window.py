"""Hand the slots of one batch to its operations, one each.

The *window* is what a batch has of a pool: the slots that it reserved when it began, and
those that it borrows. An operation has a *turn* on one slot, from its start to its end. Above
the reserved slots it starts on one that stands idle; between two operations such a
slot goes to whoever waits in line for it.

State needs no lock. ``_free``, the slots without an operation, is a deque. What gives a
slot back puts it there and then looks whether its keeper has ended; who ends
the keeper does it the other way round, so one of them sees the other. So a connection can be
given back from a finaliser too, after the operation that dropped it, or after the batch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeVar

from .concurrency import socket_home
from .errors import PoolExhaustedError
from .pool import Checkout

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pool import Pool, Slot

S_co = TypeVar("S_co", bound="Seat", covariant=True)


class Seat(Protocol):
    """Where operations sit, one after the other, each with a slot of its own."""

    def take(self) -> bool:
        """Take a slot for the next operation; tell whether there is one."""

    def keep(self) -> bool:
        """Take a slot for another operation after one, best the same; or have none."""

    def leave(self) -> None:
        """Give the slot back."""


class Room(Protocol[S_co]):
    """What limits how many operations run at once."""

    #: The most.
    width: int

    def seat(self) -> S_co:
        """Return a new seat. There may be more of them than slots."""

    def release(self) -> None:
        """Give back what was reserved: the last operation has ended. Finalisers may call it."""


class Window:
    """The slots of one batch. Lives until it is released.

    :param most: operations that the batch would run at once.
    :raises AtCapacity: no slot is free.
    """

    def __init__(self, pool: Pool, most: int | None) -> None:
        self.width = min(most or pool.ceiling, pool.ceiling)
        reserved = pool.reserve(self.width)
        self._pool = pool
        self._reserved = frozenset(reserved)
        self._free = deque(reserved)
        self._is_over = False  # Only ever set.

    def seat(self) -> PoolSeat:
        """Return a new seat."""
        return PoolSeat(self._pool, self)

    def take(self) -> Slot | None:
        """Take a slot that was reserved, or one that stands idle."""
        try:
            return self._free.pop()
        except IndexError:
            return self._pool.borrow()

    def exchange(self, slot: Slot) -> Slot | None:
        """Return a slot for the operation after one: another, or none, where this is waited for."""
        if slot in self._reserved or not self._pool.is_wanted():
            return slot
        self.leave(slot)
        return self.take()

    def leave(self, slot: Slot) -> None:
        """Take back a slot. Finalisers may call it."""
        if slot not in self._reserved:
            self._pool.unbatch(slot)
            return
        self._free.append(slot)
        if self._is_over:
            self._empty()

    def release(self) -> None:
        """Give back what was reserved."""
        self._is_over = True
        self._empty()

    def _empty(self) -> None:
        while self._free:
            try:
                self._pool.unbatch(self._free.pop())
            except IndexError:
                return  # Another thread was faster.


class PoolSeat:
    """Lends the slot of the operation whose turn it is: a pool of one. Lives as long as a batch."""

    #: Slots.
    size = 1

    def __init__(self, pool: Pool, window: Window) -> None:
        self._pool = pool
        self._window = window
        # Known to one thread or greenlet at a time: who starts the operation, then who runs it.
        self._turn: _Turn | None = None

    def take(self) -> bool:
        """Take a slot for the next operation; tell whether there is one."""
        return self._begin(self._window.take())

    def keep(self) -> bool:
        """Take a slot for another operation after one, best the same; or have none."""
        slot = self._end()
        return self._begin(self._window.take() if slot is None else self._window.exchange(slot))

    def leave(self) -> None:
        """Give the slot back."""
        slot = self._end()
        if slot is not None:
            self._window.leave(slot)

    def checkout(self, timeout: float | None = None) -> Checkout:
        """Borrow the connection of the operation whose turn it is, without waiting.

        :param timeout: counts for nothing.
        :raises PoolExhaustedError: the operation has borrowed it already.
        :raises FSError: the pool was closed.
        """
        del timeout
        slot = self._turn.pop() if self._turn is not None else None
        if slot is None or self._turn is None:
            raise PoolExhaustedError("an operation of a batch has one connection, and that is lent")
        try:
            connection = self._pool.equip(slot, socket_home())
        except BaseException:
            self._turn.give_back(slot)
            raise
        return Checkout(self._turn, slot, connection)

    def _begin(self, slot: Slot | None) -> bool:
        if slot is None:
            return False
        self._turn = _Turn(self._pool, slot, self._window.leave)
        return True

    def _end(self) -> Slot | None:
        turn, self._turn = self._turn, None
        return turn.end() if turn is not None else None


class _Turn:
    """An operation's time on a slot: keeps the slot for it until it ends."""

    __slots__ = ("_free", "_is_over", "_leave", "_pool")

    def __init__(self, pool: Pool, slot: Slot, leave: Callable[[Slot], None]) -> None:
        self._pool = pool
        self._free = deque((slot,))
        self._leave = leave
        self._is_over = False  # Only ever set.

    def pop(self) -> Slot | None:
        """Take the slot, if it is here."""
        try:
            return self._free.pop()
        except IndexError:
            return None

    def end(self) -> Slot | None:
        """End; return the slot, unless something still has it: then it goes to the window."""
        self._is_over = True
        return self.pop()

    def give_back(self, slot: Slot, /) -> None:
        """Take the slot back."""
        self._free.append(slot)
        if self._is_over:
            late = self.pop()
            if late is not None:
                self._leave(late)

    def take_away(self, slot: Slot, /, *, reclaimed: bool) -> None:
        """Take the slot back after closing its connection."""
        self._pool.close_in(slot, reclaimed=reclaimed)
        self.give_back(slot)


class OpenRoom:
    """Room for a batch whose backend has no pool: as much as it asks for, up to a limit."""

    #: Operations at once, where nobody says how many.
    WIDTH = 16
    #: Each has a thread. What waits here are the contents of callers alone: as many of them are
    #: waited for as a large pool has connections, and not as many as a slip of the pen asks for.
    MOST = 100

    def __init__(self, most: int | None) -> None:
        self.width = min(most or self.WIDTH, self.MOST)

    def seat(self) -> FreeSeat:
        """Return a new seat."""
        return FreeSeat()

    def release(self) -> None:
        """Do nothing."""


class FreeSeat:
    """A seat without a slot, always free."""

    def take(self) -> bool:
        """Say yes."""
        return True

    def keep(self) -> bool:
        """Say yes."""
        return True

    def leave(self) -> None:
        """Do nothing."""
