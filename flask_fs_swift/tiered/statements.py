"""The statements about one object, made once: to make one takes longer than to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, bindparam, delete, func, insert, select, update

from .tables import is_alive, now, objects

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

#: Everything of an object but its bytes.
DESCRIBED = [column for column in objects.c if column.name not in {"container", "content"}]

# An UPDATE has parameters of its own that are called as the columns are.
_AT = (
    objects.c.container == bindparam("at_container"),
    objects.c.name == bindparam("at_name"),
)
_WHEN = (objects.c.modified, objects.c.expires)


def _seconds(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=Double)


_ROW = {
    **{column.name: bindparam(column.name, type_=column.type) for column in DESCRIBED},
    "content": bindparam("content", type_=objects.c.content.type),
    "modified": func.coalesce(_seconds("modified"), now()),
    # Nothing and something are nothing in SQL.
    "expires": func.coalesce(_seconds("expires"), now() + _seconds("expires_after")),
}
del _ROW["name"]

#: Finds what has not expired.
FIND: Select[Any] = select(*DESCRIBED).where(*_AT, is_alive())
FIND_WITH_CONTENT: Select[Any] = select(*DESCRIBED, objects.c.content).where(*_AT, is_alive())
#: Finds what there is, and keeps others from changing it until the transaction ends.
LOCK: Select[Any] = (
    select(
        objects.c.version,
        objects.c.revision,
        *_WHEN,
        objects.c.user_metadata,
        is_alive().label("is_alive"),
    )
    .where(*_AT)
    .with_for_update()
)
#: Put a row, and say when it was stored and when it expires.
REPLACE = update(objects).where(*_AT).values(_ROW).returning(*_WHEN)
INSERT = (
    insert(objects)
    .values(_ROW | {"container": bindparam("at_container"), "name": bindparam("at_name")})
    .returning(*_WHEN)
)
REMOVE = delete(objects).where(*_AT)
#: Puts other user metadata into a row, likewise.
RELABEL = (
    update(objects)
    .where(*_AT)
    .values(user_metadata=bindparam("metadata"), version=bindparam("new_version"), modified=now())
    .returning(*_WHEN)
)
