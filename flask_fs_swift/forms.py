"""Files that browsers sent straight to Swift: take those that are good, delete the rest.

Swift takes any name from a form, ``../`` among them, and overwrites what has it. So each form
has an *inbox*: a folder that nobody can guess, whose path says its limits. Nothing in it is a
file of the storage, nor is it served, before it was taken out:

1. list the inbox;
2. copy each good file to its name: from here on it is stored (the *commit point* of each);
3. delete from the inbox what was listed.

A failure ends it where it is, and it may be done again: what was copied is known by its nonce.
What nobody takes out, Swift deletes a day after the form has expired, unless its sender left
out the field that says so.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from .errors import FileExists, FileNotFound, FSError, InvalidName
from .names import check_name
from .objects import FormFiles, RefusedFile
from .uploads import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from .backend import Reachable
    from .objects import ObjectInfo, Refusal

logger = logging.getLogger(__name__)

#: Files that one form may have.
MOST_FILES = 1000
#: Files beyond its number that are looked at, and deleted, at once: a form can be sent again and
#: again until it expires.
MOST_SURPLUS = 1000
#: What the path of an inbox has between its slashes before its own folder.
INBOXES = ".uploads"

_INBOX = re.compile(
    r"(?:(?P<folder>.+)/)?\.uploads/(?P<secret>[0-9a-f]{32})"
    r"-(?P<count>[1-9][0-9]{0,3})-(?P<size>[1-9][0-9]{0,18})/",
    re.DOTALL,
)


@dataclass(frozen=True)
class Inbox:
    """Where the files of one form arrive."""

    #: Below which they are stored when they are taken out; without a final slash.
    folder: str
    max_count: int
    #: Bytes of each file.
    max_size: int
    secret: str

    @classmethod
    def new(cls, folder: str, *, max_count: int, max_size: int) -> Self:
        """Return an inbox that nobody has seen.

        :raises InvalidName: no file can be below that folder, or it is in an inbox.
        :raises ValueError: a limit is no limit, or there are more files than ``MOST_FILES``.
        """
        if not 1 <= max_count <= MOST_FILES:
            raise ValueError(f"max_count must be 1 to {MOST_FILES} files, not {max_count}")
        if not 1 <= max_size < 10**19:
            raise ValueError(f"max_size must be 1 byte or more, not {max_size}")
        inbox = cls(folder, max_count, max_size, secrets.token_hex(16))
        check_name(f"{inbox.path}x")
        return cls.at(inbox.path)

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the inbox of a path, which may be a stranger's: another path is another inbox.

        :raises InvalidName: it is none's.
        """
        found = _INBOX.fullmatch(path)
        # One inbox inside another would have been made by a file's name.
        if found is None or INBOXES in (found["folder"] or "").split("/"):
            raise InvalidName(f"{path!r} is no form upload", filename=path)
        return cls(found["folder"] or "", int(found["count"]), int(found["size"]), found["secret"])

    @property
    def path(self) -> str:
        """What the names of its files begin with."""
        own = f"{INBOXES}/{self.secret}-{self.max_count}-{self.max_size}/"
        return f"{self.folder}/{own}" if self.folder else own


def is_in_an_inbox(name: str) -> bool:
    """Tell whether a name is that of a file that nobody has judged yet."""
    return f"{INBOXES}/" in name and _INBOX.match(name) is not None


def take_out(
    backend: Reachable, inbox: Inbox, takes: Callable[[str], bool], *, overwrite: bool
) -> FormFiles:
    """Store the good files of an inbox, and delete all that are in it.

    :param takes: tells whether a name's extension is taken.
    :raises FSError: Swift failed; nothing is lost, and it may be done again.
    """
    # 1. What the listing does not show yet, the next time finds.
    arrived = list(islice(backend.list(inbox.path, "", ""), inbox.max_count + MOST_SURPLUS))
    # 2.
    taking = _Taking(backend, inbox, takes, overwrite=overwrite)
    for info in arrived:
        taking.take(info)
    # 3.
    _delete(backend, [info.name for info in arrived])
    return FormFiles(tuple(taking.stored), tuple(taking.refused))


class _Taking:
    """Files on their way out of an inbox. Lives as long as one call."""

    def __init__(
        self, backend: Reachable, inbox: Inbox, takes: Callable[[str], bool], *, overwrite: bool
    ) -> None:
        self._backend = backend
        self._inbox = inbox
        self._takes = takes
        self._overwrite = overwrite
        self.stored: list[str] = []
        self.refused: list[RefusedFile] = []

    def take(self, info: ObjectInfo) -> None:
        """Store a file, or refuse it.

        :raises FSError: Swift failed.
        """
        given = info.name.removeprefix(self._inbox.path)
        target = "/".join(filter(None, (self._inbox.folder, safe_name(given) if given else "")))
        reason = self._fault(given, info, target) or self._store(info.name, target)
        if reason is not None:
            self.refused.append(RefusedFile(given, reason))

    def _fault(self, given: str, info: ObjectInfo, target: str) -> Refusal | None:
        if not given or "/" in given or "\\" in given:
            return "name"
        if not _is_name(info.name) or not _is_name(target):
            return "name"
        if not self._takes(target):
            return "extension"
        if info.size is None or info.size > self._inbox.max_size:
            return "size"
        if len(self.stored) >= self._inbox.max_count:
            return "count"
        # Of two names that are one when they are safe, the second does not replace the first.
        return "exists" if target in self.stored else None

    def _store(self, source: str, target: str) -> Refusal | None:
        try:
            self._backend.adopt(source, target, overwrite=self._overwrite)
        except FileExists:
            return "exists"
        except FileNotFound:  # Listings lag: it was taken out, or has expired, before.
            return None
        self.stored.append(target)
        return None


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidName:
        return False
    return True


def _delete(backend: Reachable, names: list[str]) -> None:
    """Delete objects of any names.

    :raises FSError: Swift failed. Not where it cannot delete what has an impossible name: that
        stays where it is, out of everybody's reach.
    """
    for name in filter(_is_name, names):
        backend.delete(name)
    impossible = [name for name in names if not _is_name(name)]
    if impossible:
        try:
            backend.discard(impossible)
        except FSError:
            logger.exception(
                "%d upload(s) with impossible names could not be deleted", len(impossible)
            )
