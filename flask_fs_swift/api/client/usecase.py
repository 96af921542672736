"""A name space of a server, and what holds there for what is put without saying otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from flask_fs_swift.api.description import DEFAULT_TYPE, Description
from flask_fs_swift.api.expiration import MANUAL, Expiration

from .compression import need_zstandard
from .content import check_content, size_of

if TYPE_CHECKING:
    from .content import Content
    from .operations import Put

#: What is done to content on its way to the server.
Compression: TypeAlias = Literal["zstd", "none"]

#: Bytes of content from which on it is put so that it can be resumed.
LONG = 256 * 1024 * 1024

# What would end a header's line, or what HTTP strips: a peer may not escape it as we do.
_UNSAFE = re.compile("[\r\n\0\x7f]|^\\s|\\s$")


@dataclass(frozen=True)
class Usecase:
    """A name space of a server, and what holds there for what is put without saying otherwise.

    :raises ValueError: ``resumable_from`` is no number of bytes.
    """

    name: str
    compression: Compression = "zstd"
    expiration: Expiration = MANUAL
    #: Bytes of content, as it is read, from which on a broken put is resumed.
    resumable_from: int | Literal["never"] = LONG

    def __post_init__(self) -> None:
        _check_size(self.resumable_from)

    def storing(self, put: Put) -> Storing:
        """Return how content is to be stored.

        :raises ValueError: a value cannot be sent.
        :raises TypeError: this is no content.
        """
        check_content(put.content)
        description = self._description(put)
        least = self.resumable_from if put.resumable_from is None else put.resumable_from
        _check_size(least)
        size = size_of(put.content)
        return Storing(
            put.content,
            put.key,
            description,
            size,
            compresses=description.compression is not None and put.precompressed is None,
            is_long=bool(size) and least != "never" and (size or 0) >= least,
        )

    def _description(self, put: Put) -> Description:
        method = put.compression or self.compression
        if method not in {"zstd", "none"} or put.precompressed not in {None, "zstd"}:
            raise ValueError(f"compression is zstd or none, not {put.precompressed or method!r}")
        is_compressed = put.precompressed is not None or method == "zstd"
        if is_compressed and put.precompressed is None:
            need_zstandard()
        custom = {name.lower(): value for name, value in (put.metadata or {}).items()}
        if len(custom) != len(put.metadata or {}):
            raise ValueError("two names of metadata differ in case only")
        for value in (put.origin, put.filename, *custom.values()):
            if value is not None and _UNSAFE.search(value):
                raise ValueError(
                    f"{value[:80]!r} cannot be sent: a line break, NUL, DEL, or space around it"
                )
        return Description(
            content_type=put.content_type or DEFAULT_TYPE,
            compression="zstd" if is_compressed else None,
            expiration=self.expiration if put.expiration is None else put.expiration,
            origin=put.origin,
            filename=put.filename,
            custom=custom,
        )


@dataclass(frozen=True, slots=True)
class Storing:
    """Content, and how it is stored. Lives as long as that takes."""

    content: Content = field(repr=False)
    #: None: the server makes one up.
    key: str | None
    description: Description
    #: Bytes of the content; None where only its end will tell.
    size: int | None
    #: Whether it is compressed while it is sent.
    compresses: bool
    #: Whether a request of which it is the body is too long to be sent anew.
    is_long: bool

    def headers(self) -> dict[str, str]:
        """Return what a request of its own says of it.

        :raises ValueError: servers would not read a name.
        """
        for name in self.description.custom:
            if "_" in name:
                raise ValueError(f"metadata {name!r}: servers drop names with an underscore")
        return self.description.writable()


def _check_size(size: object) -> None:
    if size != "never" and (type(size) is not int or size < 0):
        raise ValueError(f"resumable_from is a number of bytes, or 'never', not {size!r}")
