"""What ``many`` is given, and what it gives back: values, each about one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_fs_swift.api.expiration import Expiration

    from .content import Content

Kind: TypeAlias = Literal["put", "get", "head", "delete"]

#: The key of a result where nobody knows it: none was given, and none was made up.
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Put:
    """Store content. The arguments are those of :meth:`.Session.put`; the value is the key.

    Content is read in a thread or greenlet of its own.
    """

    content: Content = field(repr=False)
    key: str | None = None
    compression: Literal["zstd", "none"] | None = None
    precompressed: Literal["zstd"] | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    expiration: Expiration | None = None
    origin: str | None = None
    filename: str | None = None
    resumable_from: int | Literal["never"] | None = None

    kind: ClassVar[Kind] = "put"


@dataclass(frozen=True, slots=True)
class Get:
    """Read an object. The value is a :class:`.Fetched` that has its bytes; None: there is none."""

    key: str
    decompress: bool = True
    limit: int | None = None

    kind: ClassVar[Kind] = "get"


@dataclass(frozen=True, slots=True)
class Head:
    """Describe an object. The value is its :class:`.Description`; None: there is none."""

    key: str

    kind: ClassVar[Kind] = "head"


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object; one that is absent counts as removed. The value is None."""

    key: str

    kind: ClassVar[Kind] = "delete"


Operation: TypeAlias = "Put | Get | Head | Delete"


@dataclass(frozen=True, slots=True)
class Result:
    """How one operation ended: well, where ``error`` is None."""

    #: Where the operation stood in the input, from 0.
    index: int
    operation: Operation
    value: Any = None
    #: May be that of many operations: of all that one request was to do.
    error: BaseException | None = None

    @property
    def kind(self) -> Kind:
        """What was to be done."""
        return self.operation.kind

    @property
    def key(self) -> str:
        """The key; where the server made it up, that one."""
        made = self.value if self.kind == "put" and isinstance(self.value, str) else None
        return self.operation.key or made or UNKNOWN
