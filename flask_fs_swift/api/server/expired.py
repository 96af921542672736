"""Delete for good what has expired unread.

Swift removes by itself what has a time to live. It knows nothing of a time to idle, which
every reader moves: such an object is absent after its deadline, but stays. A sweep looks at
each object, since listings do not say when one expires, and deletes those that are overdue:

1. It is described as it is now. If it is not overdue it is left, however it was before.
2. It is deleted at once, by the same worker.

Nobody can extend an object after its deadline: it is absent. A read that began before may
extend it at its end; so a sweep leaves what has expired a moment ago. What it cannot see is an
object that is written anew between its two steps: storages delete under no condition. That is
why nothing comes between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING

from flask_fs_swift.api.expiration import is_expired
from flask_fs_swift.api.places import place_of
from flask_fs_swift.errors import FileNotFound
from flask_fs_swift.operations import Operation

from .stored import description_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_fs_swift.api.places import Place
    from flask_fs_swift.operations import Claim, Files
    from flask_fs_swift.storage import Storage

#: Seconds: few reads take longer than that.
AGE = 3600.0
#: Objects that are looked at between two looks at the listing.
_TOGETHER = 1000


@dataclass(frozen=True)
class Expired:
    """An object that has expired."""

    place: Place
    key: str
    #: Aware, in UTC; None where it cannot be told, and ``error`` says why.
    expired: datetime | None = None
    #: Why it is still there; None: it is not, or was only to be found.
    error: BaseException | None = None


def sweep_expired(
    files: Storage,
    usecase: str | None = None,
    *,
    older_than: float = AGE,
    dry_run: bool = False,
) -> Iterator[Expired]:
    """Delete what has expired, and yield each object that was deleted, or could not be.

    It is done as it is iterated, many at a time, with a request for each object there is. It may
    be run at any time, and again.

    :param usecase: of those objects only; None: of all.
    :param older_than: seconds that they are overdue, at least.
    :param dry_run: whether to find them only.
    :raises AtCapacity: no connection is free; some may have been deleted.
    :raises FSError: the storage cannot be listed.
    """
    limit = datetime.now(timezone.utc) - timedelta(seconds=older_than)
    names = files.list_files(None if usecase is None else f"{usecase}/")
    sweeps = (_Sweep(name, limit, dry_run) for name in names if _is_key(name))
    # A listing may need the connection that a batch has.
    while some := list(islice(sweeps, _TOGETHER)):
        with files.many(some) as outcomes:
            for outcome in outcomes:
                place, key = place_of(some[outcome.index].name)
                if outcome.error is not None:
                    yield Expired(place, key, error=outcome.error)
                elif outcome.value is not _LEFT:
                    yield Expired(place, key, outcome.value)


#: The value of an object that has not expired.
_LEFT = object()


@dataclass(frozen=True, slots=True)
class _Sweep(Operation):
    """Delete an object that is overdue; the value is when it expired."""

    name: str
    #: What expired before is overdue.
    limit: datetime
    dry_run: bool

    def claims(self) -> tuple[Claim, ...]:
        """Return its name."""
        return ((self.name, True),)

    def perform(self, files: Files, /) -> object:
        """Look at it, and delete it."""
        try:
            expired = description_of(files.info(self.name)).expires  # (1)
        except FileNotFound:
            return _LEFT
        if not is_expired(expired, self.limit):
            return _LEFT
        if not self.dry_run:
            files.delete(self.name)  # (2)
        return expired


def _is_key(name: str) -> bool:
    """Tell whether a file is an object of the service: others are none of its business."""
    try:
        place_of(name)
    except ValueError:
        return False
    return True
