"""What is done to the one object that everybody wants, and what may come of it.

:func:`explains` holds what was seen against a model without concurrency: there must be an order
of the operations in which each would have ended as it did, and left what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from flask_fs_swift.content import Held
from flask_fs_swift.errors import FileNotFound, FSError
from flask_fs_swift.objects import Marker, Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flask_fs_swift.objects import Part

    from .steps import Host, World

NAME, COPY, OTHER = "dir/file", "dir/copy", "dir/other"

#: By the state of the object before: what it contains.
STARTS: Mapping[str, bytes | None] = {
    "absent": None,
    "inline": b"old",
    "large": b"old and more than ten bytes",
}

#: ``done``, the bytes that were read, or the name of an error.
Outcome: TypeAlias = "str | bytes"


@dataclass(frozen=True)
class Before:
    """What there was before the operations began."""

    start: bytes | None
    #: An upload of ``NAME`` that is open, and its parts.
    marker: Marker
    parts: list[Part]


PARTS = b"uploaded in parts"
OTHERS = b"other, which is large"


def prepared(world: World, start: str, *, upload: bool = True) -> Before:
    """Store what an operation finds; an upload only where somebody asks for it."""
    host = world.host()
    old = STARTS[start]
    if old is not None:
        host.put(NAME, old)
    host.put(OTHER, OTHERS)
    if not upload:
        return Before(old, Marker(NAME, "upload"), [])
    uploads = host.backend.multipart
    marker = uploads.start(NAME, Properties("text/plain"), overwrite=True)
    return Before(old, marker, [uploads.put_part(marker, 1, Held(PARTS), None)])


@dataclass(frozen=True)
class Operation:
    """Something that a host does."""

    run: Callable[[Host, Before], object]
    #: What it makes of ``NAME``, where it is acknowledged; None: nothing, ``same``: as it was.
    after: bytes | str | None = "same"
    #: What it writes to.
    target: str = NAME


def _put(data: bytes, *, overwrite: bool = True) -> Operation:
    return Operation(lambda host, _: host.put(NAME, data, overwrite=overwrite), data)


def _upload(host: Host, _before: Before) -> None:
    host.backend.multipart.start(OTHER, Properties("text/plain"), overwrite=True)


SMALL, LARGE = b"small", b"large: more than ten bytes"

OPERATIONS: Mapping[str, Operation] = {
    "small put": _put(SMALL),
    "large put": _put(LARGE),
    "small create": _put(SMALL, overwrite=False),
    "large create": _put(LARGE, overwrite=False),
    "delete": Operation(lambda host, _: host.backend.delete(NAME), None),
    "delete many": Operation(lambda host, _: host.backend.delete_many([NAME, "absent"]), None),
    "copy": Operation(lambda host, _: host.backend.copy(NAME, COPY, overwrite=True), target=COPY),
    "copy over": Operation(lambda host, _: host.backend.copy(OTHER, NAME, overwrite=True), OTHERS),
    "metadata": Operation(lambda host, _: host.backend.update_metadata(NAME, {"a": "b"})),
    "start upload": Operation(_upload),
    "put part": Operation(
        lambda host, one: host.backend.multipart.put_part(one.marker, 2, Held(b"2"), None)
    ),
    "complete": Operation(
        lambda host, one: host.backend.multipart.complete(one.marker, one.parts), PARTS
    ),
    "abort": Operation(lambda host, one: host.backend.multipart.abort(one.marker, one.parts)),
    "recover": Operation(lambda host, _: host.recover()),
    "read": Operation(lambda host, _: host.read(NAME)),
}


def outcome(operation: Operation, host: Host, before: Before) -> Outcome:
    """Run an operation; say how it ended."""
    answer, raised = None, None
    try:
        answer = operation.run(host, before)
    except FSError as error:
        raised = error
    if raised is not None:
        assert not raised.maybe_applied
        return type(raised).__name__
    if operation is OPERATIONS["read"]:
        return answer if isinstance(answer, bytes) else FileNotFound.__name__
    return "done"


@dataclass(frozen=True)
class _State:
    """What the model knows."""

    objects: Mapping[str, bytes | None]
    upload: str = "open"
    #: What copies have read, by the place of the copy among the operations.
    read: Mapping[int, bytes | None] | None = None

    def having(self, name: str, data: bytes | None) -> _State:
        return replace(self, objects={**self.objects, name: data})


#: Given what there is, yields what there may be after it; nothing where it cannot have happened.
_Event: TypeAlias = "Callable[[_State], Iterator[_State]]"


def explains(
    start: bytes | None,
    seen: Sequence[tuple[str, Outcome]],
    left: Mapping[str, bytes | None],
) -> bool:
    """Tell whether there is an order of what was seen that leaves what is there.

    :param seen: the names of the operations, and how each of them ended.
    """
    hostile = any(name == "recover" for name, _ in seen)
    todo = [
        _events(place, name, ended, hostile=hostile) for place, (name, ended) in enumerate(seen)
    ]
    return _is_reached(_State({NAME: start, COPY: None}), todo, left)


def _is_reached(state: _State, todo: list[list[_Event]], left: Mapping[str, bytes | None]) -> bool:
    if not any(todo):
        return all(state.objects[name] == data for name, data in left.items())
    for place, events in enumerate(todo):
        if not events:
            continue
        rest = [*todo[:place], events[1:], *todo[place + 1 :]]
        if any(_is_reached(one, rest, left) for one in events[0](state)):
            return True
    return False


def _events(place: int, name: str, ended: Outcome, *, hostile: bool) -> list[_Event]:
    """Return what has happened, in order, where an operation has ended like this."""
    if ended == "LeaseLost" and hostile:
        return []
    if name == "copy":
        return [partial(_copy_from, place, ended), partial(_copy_to, place, ended)]
    special = {"read": _read, "complete": _complete, "abort": _abort, "recover": _recover}
    return [partial(special.get(name, partial(_write, name)), ended)]


def _write(name: str, ended: Outcome, state: _State) -> Iterator[_State]:
    after = OPERATIONS[name].after
    is_taken = name.endswith("create") and state.objects[NAME] is not None
    if ended == ("FileExists" if is_taken else "done"):
        assert after is None or isinstance(after, bytes)
        yield state if is_taken else state.having(NAME, after)


def _read(ended: Outcome, state: _State) -> Iterator[_State]:
    if state.objects[NAME] == (None if ended == "FileNotFound" else ended):
        yield state


def _copy_from(place: int, ended: Outcome, state: _State) -> Iterator[_State]:
    if (state.objects[NAME] is None) == (ended == "FileNotFound"):
        yield replace(state, read={**(state.read or {}), place: state.objects[NAME]})


def _copy_to(place: int, ended: Outcome, state: _State) -> Iterator[_State]:
    yield state.having(COPY, (state.read or {})[place]) if ended == "done" else state


def _complete(ended: Outcome, state: _State) -> Iterator[_State]:
    if ended == ("UploadClosed" if state.upload == "aborted" else "done"):
        done = replace(state, upload="completed").having(NAME, PARTS)
        yield done if state.upload == "open" else state


def _abort(ended: Outcome, state: _State) -> Iterator[_State]:
    if ended == ("UploadClosed" if state.upload == "completed" else "done"):
        yield state if state.upload == "completed" else replace(state, upload="aborted")


def _recover(ended: Outcome, state: _State) -> Iterator[_State]:
    if ended == "done":
        yield state
        if state.upload == "open":
            yield replace(state, upload="aborted")
