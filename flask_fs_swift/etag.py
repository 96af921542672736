"""ETags as checksums: when one is the MD5 of the content, and what to do when it differs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

#: ``log``: log an error and keep the object. ``raise``: raise, and keep it.
#: ``raise_and_delete``: raise, and delete it while it still has the wrong ETag.
MismatchPolicy = Literal["log", "raise", "raise_and_delete"]
POLICIES: tuple[MismatchPolicy, ...] = get_args(MismatchPolicy)

_MD5 = re.compile("[0-9a-f]{32}")


def unquoted(etag: str | None) -> str | None:
    """Return an ETag as a bare tag: Swift quotes those of manifests only, proxies quote all."""
    return etag.removeprefix("W/").strip('"') if etag else None


def is_manifest(headers: Mapping[str, str]) -> bool:
    """Tell a large object by its headers: the form of its ETag is that of any other.

    Static ones say ``X-Static-Large-Object``, dynamic ones ``X-Object-Manifest``
    (Swift API reference, "Large objects").
    """
    if "x-object-manifest" in headers:
        return True
    return headers.get("x-static-large-object", "").lower() in {"true", "1", "yes"}


def content_md5(headers: Mapping[str, str]) -> str | None:
    """Return the MD5 of a stored object's content; None where its ETag does not say it."""
    etag = unquoted(headers.get("etag"))
    if etag is None or is_manifest(headers) or not _MD5.fullmatch(etag.lower()):
        return None
    return etag.lower()
