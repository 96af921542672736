"""A multipart upload: parts in any order, from anywhere, and then one object.

State: ``_parts``, what was put through this handle, guarded by ``_lock``.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

from .concurrency import new_lock
from .errors import FileTooLarge, InvalidPart
from .intake import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    aborted lives for ever, and so do its parts.
    """

    def __init__(
        self, backend: Uploads, marker: Marker, max_size: int | None, watch: Callable[[str], Watch]
    ) -> None:
        self._backend = backend
        self._marker = marker
        self._max_size = max_size
        self._watch = watch
        self._lock = new_lock()
        self._parts: dict[int, Part] = {}

    @property
    def id(self) -> str:
        """What ``resume_upload`` is given. Whoever knows it may go on with the upload."""
        return self._marker.id

    @property
    def filename(self) -> str:
        """The name that the object will have."""
        return self._marker.name

    def __repr__(self) -> str:
        return f"<Upload of {self.filename!r}>"

    def put_part(
        self, number: int, content: RawContent, *, progress: Progress | None = None
    ) -> Part:
        """Store a part, verified; another of the same number is replaced.

        What passes only once and is over 4 MiB goes to a temporary file first.

        :param number: from 1 to 10,000; parts are joined in the order of their numbers.
        :param content: as for ``write``; from 1 byte to what Swift takes as one object (5 GiB).
        :param progress: as for ``write``.
        :raises InvalidPart: there can be no such part; nothing was stored.
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
            part = self._backend.put_part(self._marker, number, taken, progress)
            seen.bytes = part.size
        with self._lock:
            self._parts[number] = part
        return part

    def list_parts(self) -> list[Part]:
        """Return the parts that a listing shows, by number. It may lag in a real cluster."""
        with self._watch("list_parts"):
            return self._backend.parts(self._marker)

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
        with self._lock:
            known = list(self._parts.values())
        with self._watch("abort_upload"):
            self._backend.abort(self._marker, known)

    def _chosen(self, parts: Iterable[Part] | None) -> list[Part]:
        if parts is None:
            with self._lock:
                parts = list(self._parts.values())
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


def _is_whole(part: Part) -> bool:
    """Tell whether there can be such a part: it may have come a long way."""
    size, etag = part.size, part.etag
    return type(size) is int and size > 0 and isinstance(etag, str) and bool(_MD5.fullmatch(etag))
