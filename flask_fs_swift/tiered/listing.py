"""List rows as Swift lists objects: in byte order, page by page, rolled up at a delimiter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_fs_swift.objects import ObjectInfo

from .rows import PAGE, first_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rows import Rows


def infos(rows: Rows, prefix: str, delimiter: str, after: str) -> Iterator[ObjectInfo]:
    """Yield what a listing says of the objects. One query for each page; nothing is held between.

    Of what is rolled up only the first page is read: the next begins after it.
    """
    if "\0" in prefix:
        return
    # No name has it, and not every database takes it: what comes after the rest is the same.
    start, inclusive = after.partition("\0")[0], False
    while True:
        page = rows.page(prefix, start, inclusive=inclusive)
        skipped: str | None = None
        for stored in page:
            name = stored.info.name
            if skipped is not None and name.startswith(skipped):
                continue
            skipped = _rolled_up(name, prefix, delimiter)
            if skipped is None:
                yield _as_listed(stored.info)
            elif skipped.encode() > after.encode():
                yield ObjectInfo(skipped, 0, None, "application/directory", None, is_prefix=True)
        if len(page) < PAGE:
            return
        start, inclusive = page[-1].info.name, False
        if skipped is not None and start.startswith(skipped):
            following = first_after(skipped)
            if following is None:
                return
            start, inclusive = following, True


def _rolled_up(name: str, prefix: str, delimiter: str) -> str | None:
    """Return what stands for a name in a listing; None: it stands for itself."""
    if not delimiter:
        return None
    head, found, _ = name[len(prefix) :].partition(delimiter)
    return prefix + head + found if found else None


def _as_listed(info: ObjectInfo) -> ObjectInfo:
    return replace(info, metadata={}, expires=None, cache_control=None, content_disposition=None)
