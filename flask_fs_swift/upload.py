"""A multipart upload: parts in any order, from anywhere, and then one object.

State: ``_parts``, what was put through this handle. It needs no lock: each use is one operation
of the dictionary, so a fork finds it whole.
"""

from __future__ import annotations

import re
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from .errors import FileTooLarge, InvalidPart
from .intake import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .backend import Uploads
    from .events import Progress, Watch
    from .intake import RawContent
    from .objects import Marker, ObjectInfo, Part

#: The highest number of a part.
MAX_PARTS = 10_000

_MD5 = re.compile("[0-9a-f]{32}")


class Upload:
    """An upload that was started, here or elsewhere. Any thread or greenlet may use it.

    The object appears when it is completed, whole. An upload that is neither completed nor
    aborted lives for ever, and so do its parts, unless it was started with a ``lifetime``.
    """

    def __init__(
        self, backend: Uploads, marker: Marker, max_size: int | None, watch: Callable[[str], Watch]
    ) -> None:
        self._backend = backend
        self._marker = marker
        self._max_size = max_size
        self._watch = watch
        self._parts: dict[int, Part] = {}

    @property
    def id(self) -> str:
        """What ``resume_upload`` is given. Whoever knows it may go on with the upload."""
        return self._marker.id

    @property
    def filename(self) -> str:
        """The name that the object will have."""
        return self._marker.name

    @property
    def size(self) -> int | None:
        """Bytes that the object will have, as was said when this was started; None: nobody did."""
        return self._marker.size

    @property
    def is_completed(self) -> bool:
        """Whether it had been completed when this handle was made. ``complete`` then says it."""
        return self._marker.state == "completed"

    def __repr__(self) -> str:
        return f"<Upload of {self.filename!r}>"

    def put_part(
        self,
        number: int,
        content: RawContent,
        *,
        etag: str | None = None,
        progress: Progress | None = None,
    ) -> Part:
        """Store a part, verified; another of the same number is replaced.

        It is not where the upload was started with a ``size``: then each is put once.

        What passes only once and is over 4 MiB goes to a temporary file first.

        :param number: from 1 to 10,000; parts are joined in the order of their numbers.
        :param content: as for ``write``; from 1 byte to what Swift takes as one object (5 GiB).
        :param etag: the MD5, in hexadecimal digits, that the content must have.
        :param progress: as for ``write``.
        :raises InvalidPart: there can be no such part, or it is not what its MD5 says; nothing
            was stored.
        :raises FileExists: each part is put once, and this one was, maybe at the same moment.
        :raises UploadClosed: the upload was completed or aborted; the part is not used.
        :raises FSError: as ``write``.
        """
        self._check_number(number)
        with (
            self._watch("put_part") as seen,
            closing(take(content, filename=self.filename, limit=self._max_size)) as taken,
        ):
            if not taken.size:
                raise self._invalid(f"part {number} has no bytes")
            if etag is not None and taken.etag != etag:
                raise self._invalid(f"part {number} has MD5 {taken.etag} in place of {etag}")
            part = self._backend.put_part(self._marker, number, taken, progress)
            seen.bytes = part.size
        self._parts[number] = part
        return part

    def list_parts(self, after: int = 0, most: int | None = None) -> list[Part]:
        """Return the parts that a listing shows, by number. It may lag in a real cluster.

        :param after: only those with greater numbers.
        :param most: how many, at most; None: all.
        """
        with self._watch("list_parts"):
            return list(islice(self._backend.parts(self._marker, after), most))

    def named_parts(self, names: Iterable[tuple[int, str]]) -> list[Part]:
        """Return the parts that have these numbers and ETags, in this order.

        Of a number, the newest is meant. What a listing does not show yet is asked for.

        :raises InvalidPart: one is absent, or was replaced.
        """
        with self._watch("list_parts"):
            listed = {part.number: part for part in self._backend.parts(self._marker)}
            return [self._named(number, etag, listed.get(number)) for number, etag in names]

    def _named(self, number: int, etag: str, listed: Part | None) -> Part:
        self._check_number(number)
        if listed is not None and listed.etag == etag:
            return listed
        found = None
        if _MD5.fullmatch(etag):
            found = self._backend.find_part(self._marker, number, etag)
        if found is None or (listed is not None and _when(found) < _when(listed)):
            raise self._invalid(f"part {number} is absent, or has another ETag")
        return found

    def receipts(self, numbers: Sequence[int]) -> list[Part | None]:
        """Return the parts that were put once under these numbers; None: none was.

        That is certain, unlike a listing. After the completion, nothing is certain.
        """
        with self._watch("list_parts"):
            return self._backend.receipts(self._marker, numbers)

    def complete(self, parts: Iterable[Part] | None = None) -> ObjectInfo:
        """Make the object; what had its name is replaced. Done twice, it is done once.

        :param parts: what it is made of; None: all that was put through this handle.
        :raises InvalidPart: there are none, or one is absent or another than it was; the
            upload can still be used.
        :raises UploadClosed: it was aborted, or completed more than 7 days ago.
        :raises FileExists: there is a file of the name, and the upload may not overwrite it.
        :raises SwiftUnavailable: with ``maybe_applied`` where the outcome is not known: call again.
        """
        with self._watch("complete_upload") as seen:
            chosen = self._chosen(parts)
            info = self._backend.complete(self._marker, chosen)
            seen.bytes = info.size or 0
        return info

    def abort(self) -> None:
        """Remove the parts. Nothing becomes of the upload any more; aborting again is fine.

        :raises UploadClosed: it was completed; the object stays.
        """
        known = list(self._parts.copy().values())
        with self._watch("abort_upload"):
            self._backend.abort(self._marker, known)

    def _chosen(self, parts: Iterable[Part] | None) -> list[Part]:
        if parts is None:
            parts = self._parts.copy().values()
        chosen = list(parts)
        for part in chosen:
            self._check_number(part.number)
            if not _is_whole(part):
                raise self._invalid(f"part {part.number} has no size, or an ETag that is no MD5")
        if len({part.number for part in chosen}) < len(chosen):
            raise self._invalid("two parts have the same number")
        total = sum(part.size for part in chosen)
        if self._max_size is not None and total > self._max_size:
            raise FileTooLarge(
                f"{self.filename!r} would have {total} bytes; {self._max_size} are allowed",
                filename=self.filename,
                limit=self._max_size,
            )
        return sorted(chosen, key=lambda part: part.number)

    def _check_number(self, number: int) -> None:
        if type(number) is not int or not 1 <= number <= MAX_PARTS:
            raise self._invalid(f"parts have numbers from 1 to {MAX_PARTS}, not {number!r}")

    def _invalid(self, reason: str) -> InvalidPart:
        return InvalidPart(f"{self.filename!r}: {reason}", filename=self.filename)


def _when(part: Part) -> float:
    return part.stored or 0


def _is_whole(part: Part) -> bool:
    """Tell whether there can be such a part: it may have come a long way."""
    size, etag = part.size, part.etag
    return type(size) is int and size > 0 and isinstance(etag, str) and bool(_MD5.fullmatch(etag))
