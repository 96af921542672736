"""Remove many objects of one container in few requests, as far as that is safe.

Swift's bulk delete (Swift API reference, "Bulk delete") answers 200 whatever happened, names
only what failed, stops after too many failures, and leaves a large object's segments behind.
So a name is taken for removed only where the counts add up to what was sent, and only names
are sent of which it is known what goes with them: that a listing shows as plain objects, or that
the caller made. All others are for the caller, one by one.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from swiftclient import ClientException

from .call import Call
from .errors import (
    AuthFailed,
    ContainerNotFound,
    FSError,
    OperationNotSupported,
    SwiftError,
    SwiftUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from swiftclient import Connection

    from .call import Caller
    from .capabilities import Capabilities
    from .container import Container

#: Names in one request: fewer than Swift allows, so that nobody waits long for it to end.
AT_ONCE = 1000
#: A page of a listing is worth it, if it tells of so many names.
WORTH = 20


class Bulk:
    """Removes objects of one container. Lives as long as its backend."""

    def __init__(self, container: Container, caller: Caller) -> None:
        self._container = container
        self._caller = caller

    def delete(self, names: Collection[str], capabilities: Capabilities) -> set[str]:
        """Remove objects; return the names of those that are to be deleted one by one.

        :raises OperationNotSupported: Swift offers no bulk delete; nothing was removed.
        :raises SwiftUnavailable: some may have been removed.
        """
        at_once = _at_once(capabilities)
        plain = self._plain(sorted(set(names), key=str.encode))
        return set(names).difference(plain) | self._remove(plain, at_once)

    def remove(self, names: Sequence[str], capabilities: Capabilities) -> set[str]:
        """Remove objects whatever they are; return those that are to be deleted one by one.

        Of a large object that is its list alone: what this names stays.

        :param names: each once.
        :raises OperationNotSupported: Swift offers no bulk delete; nothing was removed.
        :raises FSError: some may have been removed.
        """
        return self._remove(names, _at_once(capabilities))

    def _remove(self, names: Sequence[str], at_once: int) -> set[str]:
        left: set[str] = set()
        for start in range(0, len(names), at_once):
            try:
                left |= self._left_of(names[start : start + at_once])
            except FSError:
                if start == 0:
                    raise
                # Others are gone by now: each of the rest is to say for itself how it ends.
                return left.union(names[start:])
        return left

    def discard(self, names: Collection[str]) -> None:
        """Remove objects whose names no URL can carry.

        :raises SwiftError: Swift did not remove them all.
        """
        if self._unsure(self._ask(names), names):
            raise SwiftError(
                f"Swift did not remove {len(names)} object(s) from {self._container.name!r}"
            )

    def _left_of(self, names: Sequence[str]) -> set[str]:
        """Remove objects; return those of which it is not known whether they are gone."""
        try:
            return self._unsure(self._ask(names), names)
        except (SwiftUnavailable, AuthFailed, ContainerNotFound):
            raise
        except SwiftError:
            return set(names)  # It may refuse this request, and none for a single object.

    def _ask(self, names: Collection[str]) -> _Told | None:
        container = quote(self._container.name)
        lines = [f"{container}/{quote(name)}" for name in names]
        headers = {"Content-Type": "text/plain", "Accept": "application/json"}
        what = f"remove {len(lines)} object(s) from {self._container.name!r}"
        call = Call(what, None, self._caller.attempts(), changes=True)

        def send(connection: Connection) -> _Told | None:
            answer = connection.post_account(
                headers, query_string="bulk-delete", data="\n".join(lines).encode()
            )[1]
            told = _read(answer)
            if told is not None and any(status.startswith("401") for _, status in told.failed):
                # Said within a 200. With a new token, what is gone counts as not found.
                call.uncertain = call.uncertain or told.gone > 0
                raise ClientException("the token was refused", http_status=401)
            return told

        return self._caller.run(call, send)

    def _unsure(self, told: _Told | None, names: Collection[str]) -> set[str]:
        """Return the names that an answer does not show to be gone."""
        if told is None:
            return set(names)
        failed = {self._name_in(path) for path, _ in told.failed}
        believed = failed <= set(names) and told.gone == len(names) - len(failed)
        return failed if believed else set(names)

    def _name_in(self, path: str) -> str:
        return path.removeprefix("/").removeprefix(f"{self._container.name}/")

    def _plain(self, names: Sequence[str]) -> list[str]:
        """Return those, of sorted names, that listings show as objects without segments.

        Where other names lie between them, so that a page tells of few, it stops.
        """
        plain: list[str] = []
        wanted = set(names)
        for _, page in zip(range(2 + len(names) // WORTH), self._pages(names), strict=False):
            plain += [
                entry["name"]
                for entry in page
                if entry.get("name") in wanted and not entry.get("slo_etag")
            ]
        return plain

    def _pages(self, names: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """List from the first to the last of these names, and leave out what is far from them."""
        if not names:
            return
        same = takewhile(lambda pair: pair[0] == pair[1], zip(names[0], names[-1], strict=False))
        prefix, end = "".join(first for first, _ in same), f"{names[-1]} "
        place = 0
        marker = just_before(names[0])
        while page := self._container.page(marker, prefix=prefix, end=end):
            yield page
            last: str = page[-1]["name"]
            while place < len(names) and names[place].encode() <= last.encode():
                place += 1
            if place == len(names):
                return
            marker = max(last, just_before(names[place]), key=str.encode)


def _at_once(capabilities: Capabilities) -> int:
    """Return how many names one request takes, all of which may fail.

    :raises OperationNotSupported: none.
    """
    limits = capabilities.bulk_delete
    if limits is None:
        raise OperationNotSupported("this Swift has no bulk delete")
    return min(AT_ONCE, limits.max_deletes, limits.max_failed)


class _Told(NamedTuple):
    """What an answer says."""

    #: How many are gone, or were absent.
    gone: int
    #: Paths, with or without their first slash, and the status of each.
    failed: list[tuple[str, str]]


def _read(answer: bytes) -> _Told | None:
    """Read an answer; None: it cannot be understood."""
    try:
        told = json.loads(answer)
        failed = [(unquote(path), str(status)) for path, status in told["Errors"]]
        return _Told(sum((told["Number Deleted"], told["Number Not Found"])), failed)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def just_before(name: str) -> str:
    """Return a name that comes before this one in byte order, with next to none between them."""
    start, last = name[:-1], ord(name[-1]) - 1
    if 0xD800 <= last <= 0xDFFF:  # These are no characters.
        last = 0xD7FF
    return f"{start}{chr(last)}\U0010ffff" if last >= 0x20 else start
