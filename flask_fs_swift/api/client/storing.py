"""Store content: in one request, or where it is long, so that it can be resumed."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from .compression import compressed
from .content import blocks_of
from .extent import SpoolFailed, in_place, spooled
from .resuming import Sending, create

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flask_fs_swift.events import Watch

    from .connections import Line
    from .endpoint import Endpoint
    from .usecase import Storing


def store(
    endpoint: Endpoint,
    storing: Storing,
    *,
    pauses: Sequence[float],
    folder: str | None,
    line: Line,
    seen: Watch,
) -> str:
    """Store content; return its key.

    :param pauses: see :class:`.resuming.Sending`.
    :param folder: for a temporary file; None: where the system has them.
    :param seen: learns how many bytes the content has, and how many were sent in their place.
    :raises RequestError: it was not stored, unless ``maybe_applied``.
    :raises Exception: what the content raised. Nothing was stored.
    """
    if storing.is_long:
        return _store_long(endpoint, storing, pauses=pauses, folder=folder, line=line, seen=seen)
    body = body_of(blocks_of(storing.content), seen, compresses=storing.compresses)
    return _put(endpoint, storing.key, storing.headers(), body, line)


def _store_long(
    endpoint: Endpoint,
    storing: Storing,
    *,
    pauses: Sequence[float],
    folder: str | None,
    line: Line,
    seen: Watch,
) -> str:
    headers = storing.headers()
    endpoint.target(storing.key)  # Nothing is compressed for a key that is none.
    source = in_place(storing.content, storing.size or 0)
    # What is compressed twice need not be the same twice, nor is its length known before.
    body = body_of(source.blocks(), seen, compresses=storing.compresses)
    lent = spooled(body, folder) if storing.compresses else None
    try:
        with lent or nullcontext(source) as extent:
            created = create(endpoint, storing, extent.size, line)
            if created.key is not None and created.token is not None:
                sending = Sending(
                    endpoint, created.key, created.token, extent, pauses=pauses, line=line
                )
                stored = sending.finish()
                seen.bytes = source.size
                return stored
            headers["content-length"] = str(extent.size)
            key = storing.key or created.key
            return _put(endpoint, key, headers, extent.blocks() if lent else body, line)
    except SpoolFailed:
        body = body_of(source.blocks(), seen, compresses=True)
        return _put(endpoint, storing.key, storing.headers(), body, line)


def _put(
    endpoint: Endpoint,
    key: str | None,
    headers: Mapping[str, str],
    body: Iterable[bytes],
    line: Line,
) -> str:
    method = "POST" if key is None else "PUT"
    answer = endpoint.call(method, endpoint.target(key), headers, body, key=key, line=line)
    said = answer.checked().document()
    stored = said.get("key") if isinstance(said, dict) else None
    if not isinstance(stored, str) or not stored or stored != (key or stored):
        raise answer.broken("it names no key, or another one")
    return stored


def body_of(blocks: Iterable[bytes], seen: Watch, *, compresses: bool) -> Iterator[bytes]:
    """Return what is sent for blocks of content.

    :param seen: learns how many bytes these are, and how many are sent in their place.
    """
    return _squeezed(blocks, seen) if compresses else _counted(blocks, seen)


def _counted(blocks: Iterable[bytes], seen: Watch) -> Iterator[bytes]:
    seen.bytes = 0
    for block in blocks:
        seen.bytes += len(block)
        yield block


def _squeezed(blocks: Iterable[bytes], seen: Watch) -> Iterator[bytes]:
    seen.compressed = 0
    for block in compressed(_counted(blocks, seen)):
        seen.compressed += len(block)
        yield block
