"""Many operations in one request, answered as they end.

The request is decoded as it comes in, and its operations run meanwhile, as many at once as
the storage's batches may. Those on one key of which one writes keep their order. A part that
asks for nothing possible is answered by an error of its own.

Clients send all before they read: who answered them earlier could wait for them while they
wait in turn. So answers are kept until the request has come in, up to 4 MiB of them in
memory and more in a temporary file. From then on each is sent when its operation ends. Of a
request up to 1 MiB is read before its first operation begins: most have come in by then.

Memory: that, and for each operation that runs, or waits to, up to 1 MiB of its content, which
is all that an insert may have, and what is more of a read goes to a temporary file.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

from flask_fs_swift.api.description import Description
from flask_fs_swift.api.escaping import header_of, key_of
from flask_fs_swift.api.keys import DELETE, READ, WRITE
from flask_fs_swift.api.refusals import Refusal, status_line
from flask_fs_swift.api.wire import (
    PART_END,
    Data,
    Decoder,
    End,
    FramingError,
    Head,
    boundary_of,
    closing,
    content_type_of,
    new_boundary,
    part_head,
)
from flask_fs_swift.concurrency import new_lock, off_hub
from flask_fs_swift.errors import FileExists, FileNotFound
from flask_fs_swift.intake import HELD
from flask_fs_swift.operations import Delete, Operation

from .answers import refusal_of, respond
from .objects import CHUNK, living, seconds_of, stamped, touch
from .stored import to_metadata

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from werkzeug.wrappers import Response

    from flask_fs_swift.batch import Outcomes
    from flask_fs_swift.operations import Claim, Files, Outcome
    from flask_fs_swift.storage import Storage

    from .allowances import Allowance
    from .limits import Kind
    from .service import Call, Service

#: Operations of one request that are done.
MOST_OPERATIONS = 1000
#: Parts that are answered at all. Who sends more has lost count.
MOST_PARTS = 10_000
#: Bytes of an insert.
LONGEST_INSERT = 1024 * 1024
#: Bytes of a request.
LONGEST_REQUEST = 1024**3
#: Bytes of a request that are read before anything is done. Most end within them, and their
#: answers are sent as they come.
AHEAD = 1024 * 1024

_PREFIX = "x-sn-batch-operation-"
#: What is needed for each, and what it does.
_KINDS: dict[str, tuple[str, Kind]] = {
    "get": (READ, "read"),
    "head": (READ, "read"),
    "delete": (DELETE, "delete"),
    "insert": (WRITE, "write"),
}
_DONE = {"get": 200, "head": 204, "delete": 204, "insert": 201}
_BLOCK = 64 * 1024


def batch(service: Service, call: Call) -> Response:
    """Do many operations."""
    try:
        boundary = boundary_of(call.headers.get("content-type", ""))
    except ValueError as error:
        raise Refusal.of(400, error) from error
    if (call.body.size or 0) > LONGEST_REQUEST:
        raise Refusal(413, f"a batch has at most {LONGEST_REQUEST} bytes")
    answering = _Batch(service, call, boundary)
    blocks = answering.answers()
    # Nothing is sent before the request has come in: until then it can still be refused.
    first = next(blocks)
    headers = {"content-type": content_type_of(answering.boundary)}
    response = respond(200, headers, chain([first], blocks))
    response.call_on_close(blocks.close)
    return response


@dataclass(frozen=True)
class _Asked:
    """What one part asked for."""

    #: Its position among the parts.
    index: int
    kind: str
    key: str


class _Batch:
    """One request of many operations, and its answer. Lives as long as both."""

    def __init__(self, service: Service, call: Call, boundary: str) -> None:
        self._service = service
        self._call = call
        self._parts = _Parts(call, boundary)
        self._unsent = _Unsent()
        self.boundary = new_boundary()
        # What was asked of the storage, in its order.
        self._asked: list[_Asked] = []
        # Answers to parts of which nothing was asked.
        self._refused: deque[bytes] = deque()

    def answers(self) -> Generator[bytes]:
        """Do the operations; yield their answers, the first when the request has come in."""
        with (
            self._service.gate.allowance() as allowance,
            SpooledTemporaryFile(HELD) as kept,
            self._unsent,
            self._call.files.many(self._operations(allowance), allowance.width) as outcomes,
        ):
            for block in self._answers(outcomes):
                if self._parts.have_come_in:
                    yield from _taken(kept)
                    yield block
                else:
                    off_hub(kept.write, block)

    def _answers(self, outcomes: Outcomes) -> Iterator[bytes]:
        """Yield the answers, joined while the next is there: each block wakes the client."""
        joined: list[bytes] = []
        size = 0
        for outcome in outcomes:
            for block in chain(self._take_refused(), self._answer(outcome)):
                joined.append(block)
                size += len(block)
                if size >= CHUNK or not outcomes.is_ready:
                    yield b"".join(joined)
                    joined.clear()
                    size = 0
        yield b"".join([*joined, *self._take_refused(), closing(self.boundary)])

    def _take_refused(self) -> Iterator[bytes]:
        while self._refused:
            yield self._refused.popleft()

    def _operations(self, allowance: Allowance) -> Iterator[Operation]:
        """Yield what is asked for, as the request comes in."""
        index = 0
        try:
            for head, content in self._parts:
                try:
                    asked, operation = self._operation(index, head, content)
                    operation = allowance.admit(operation)
                except Exception as error:  # noqa: BLE001 - it is the answer to this part
                    self._refuse(index, refusal_of(error))
                else:
                    self._asked.append(asked)
                    yield operation
                index += 1
        except FramingError as error:
            self._refuse(index, Refusal.of(400, error))
        except Refusal as error:  # The body broke off.
            self._refuse(index, error)

    def _operation(
        self, index: int, head: Mapping[str, str], content: bytes | None
    ) -> tuple[_Asked, Operation]:
        """Return what a part asks for.

        :param content: None: it was too long.
        :raises Refusal: nothing that is possible, or allowed.
        """
        if index >= MOST_OPERATIONS:
            raise Refusal(413, f"a batch has at most {MOST_OPERATIONS} operations")
        kind = head.get(_PREFIX + "kind", "").lower()
        if kind not in _KINDS:
            raise Refusal(400, f"{_PREFIX}kind is one of {', '.join(_KINDS)}")
        given = head.get(_PREFIX + "key")
        if given is None and kind != "insert":
            raise Refusal(400, f"{_PREFIX}key is missing")
        key = str(uuid.uuid4()) if given is None else key_of(given)
        name = self._call.place.name_of(key)
        description = None
        if kind == "insert":
            if content is None:
                raise Refusal(413, f"an insert has at most {LONGEST_INSERT} bytes")
            description = stamped(Description.of_request(head.items()), self._call.now)
        permission, does = _KINDS[kind]
        self._service.gate.admit(self._call.place, does)
        self._service.allow(self._call, permission)
        if description is not None:
            self._service.check_policy(self._call.place, description.expiration)
        asked = _Asked(index, kind, key)
        if description is not None:
            return asked, _Insert(name, content or b"", description, self._call.now)
        if kind == "delete":
            return asked, Delete(name)
        unsent = self._unsent if kind == "get" else None
        return asked, _Read(name, self._call.now, unsent)

    def _refuse(self, index: int, refusal: Refusal) -> None:
        self._refused.append(self._head(index, refusal.status) + refusal.json + PART_END)

    def _answer(self, outcome: Outcome) -> Iterator[bytes]:
        asked = self._asked[outcome.index]
        known = {_PREFIX + "key": header_of(asked.key), _PREFIX + "kind": asked.kind}
        error = outcome.error
        if isinstance(error, FileNotFound) and asked.kind in {"get", "head"}:
            yield self._head(asked.index, 404, known) + PART_END
        elif error is not None:
            refusal = refusal_of(error)
            yield self._head(asked.index, refusal.status) + refusal.json + PART_END
        elif isinstance(outcome.value, _Found):
            found = outcome.value
            known.update(found.description.headers())
            head = self._head(asked.index, _DONE[asked.kind], known)
            if isinstance(found.content, bytes):
                yield b"".join((head, found.content, PART_END))
                return
            yield head
            with found.content as content:
                yield from _blocks_of(content)
            yield PART_END
        else:
            yield self._head(asked.index, _DONE[asked.kind], known) + PART_END

    def _head(self, index: int, status: int, also: Mapping[str, str] | None = None) -> bytes:
        headers = {
            _PREFIX + "index": str(index),
            _PREFIX + "status": status_line(status),
            "content-disposition": "form-data; name=part",
        }
        return part_head(self.boundary, {**headers, **(also or {})})


def _taken(kept: IO[bytes]) -> Iterator[bytes]:
    """Yield what was kept, and keep it no longer."""
    if not kept.tell():
        return
    kept.seek(0)
    yield from _blocks_of(kept)
    kept.seek(0)
    kept.truncate()


def _blocks_of(content: IO[bytes]) -> Iterator[bytes]:
    """Yield a file from its position on; it may lie on a disk."""
    return iter(partial(off_hub, content.read, CHUNK), b"")


class _Parts:
    """The parts of a request: the headers of each, and its content if it is an insert's.

    :raises Refusal: 400, the request broke off; also while it is iterated.
    :raises FramingError: while it is iterated; of both, what was yielded before is good.
    """

    def __init__(self, call: Call, boundary: str) -> None:
        self._body = call.body
        self._decoder = Decoder(boundary)
        #: Whether the request has come in: nothing more is read of it.
        self.have_come_in = False
        self._ahead = list(islice(self._blocks(), AHEAD // _BLOCK))

    def __iter__(self) -> Iterator[tuple[Mapping[str, str], bytes | None]]:
        try:
            yield from self._parts()
        finally:
            self.have_come_in = True

    def _parts(self) -> Iterator[tuple[Mapping[str, str], bytes | None]]:
        head: Mapping[str, str] = {}
        content: bytearray | None = None
        count = 0
        for event in self._events():
            if isinstance(event, Head):
                count += 1
                if count > MOST_PARTS:
                    raise FramingError(f"a batch has at most {MOST_PARTS} parts")
                head = event.headers
                content = bytearray()
            elif isinstance(event, Data) and content is not None:
                content += event.data if _is_insert(head) else b""
                if len(content) > LONGEST_INSERT:
                    content = None
            elif isinstance(event, End):
                yield head, None if content is None else bytes(content)
        if not self._decoder.is_closed:
            self._decoder.finish()

    def _events(self) -> Iterator[Any]:
        read = 0
        ahead, self._ahead = self._ahead, []
        for block in chain(ahead, self._blocks()):
            read += len(block)
            if read > LONGEST_REQUEST:
                raise FramingError(f"a batch has at most {LONGEST_REQUEST} bytes")
            yield from self._decoder.feed(block)

    def _blocks(self) -> Iterator[bytes]:
        while block := self._body.read(_BLOCK):
            yield block
        self.have_come_in = True


def _is_insert(head: Mapping[str, str]) -> bool:
    return head.get(_PREFIX + "kind", "").lower() == "insert"


@dataclass(frozen=True, slots=True)
class _Insert(Operation):
    """Store an object; the value is nothing.

    Most keys are new. Who replaces a file has to look for segments of the old one, who creates
    one has not.
    """

    name: str
    content: bytes = field(repr=False)
    description: Description
    #: Unix time, in seconds.
    now: float

    def claims(self) -> tuple[Claim, ...]:
        """Return its name."""
        return ((self.name, True),)

    def perform(self, files: Files, /) -> None:
        """Store it."""
        try:
            self._write(files, overwrite=False)
        except FileExists:
            self._write(files, overwrite=True)

    def _write(self, files: Files, *, overwrite: bool) -> None:
        files.write(
            self.name,
            self.content,
            overwrite,
            content_type=self.description.content_type,
            metadata=to_metadata(self.description),
            expires_after=seconds_of(self.description, self.now),
        )


class _Unsent:
    """The contents that were read and are not sent yet; none is left open.

    Lives as long as the batch, and the operations that it has started longer. State, guarded by
    ``_lock``: ``_contents``, which are open; None when nobody wants any more.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        self._contents: set[IO[bytes]] | None = set()

    def keep(self, content: IO[bytes]) -> None:
        """Close it in the end, or at once."""
        with self._lock:
            is_wanted = self._contents is not None
            if self._contents is not None:
                self._contents.add(content)
        if not is_wanted:
            content.close()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        with self._lock:
            contents, self._contents = self._contents or set(), None
        for content in contents:
            content.close()


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of an object: its content too, unless it was not asked for."""

    description: Description
    content: bytes | IO[bytes] = b""


@dataclass(frozen=True, slots=True)
class _Read(Operation):
    """Describe an object that has not expired, and fetch its content; the value is both."""

    name: str
    #: Unix time, in seconds.
    now: float
    #: Where its content is kept; None: it is not asked for.
    unsent: _Unsent | None

    def claims(self) -> tuple[Claim, ...]:
        """Return its name."""
        return ((self.name, False),)

    def perform(self, files: Files, /) -> _Found:
        """Read it."""
        content: bytes | IO[bytes] = b""
        if self.unsent is None:
            description = living(files.info(self.name), self.now)
        else:
            with files.read_chunks(self.name) as stream:
                description = living(stream.info, self.now)
                content = _held(stream)
            if not isinstance(content, bytes):
                self.unsent.keep(content)
        touch(cast("Storage", files), self.name, description, self.now)
        return _Found(description, content)


def _held(stream: Iterable[bytes]) -> bytes | IO[bytes]:
    """Return what is read: as bytes if it is short, else as a file, which is to be closed."""
    chunks = iter(stream)
    begun = []
    size = 0
    for chunk in chunks:
        begun.append(chunk)
        size += len(chunk)
        if size > LONGEST_INSERT:
            return _in_file(chain(begun, chunks))
    return b"".join(begun)


def _in_file(chunks: Iterable[bytes]) -> IO[bytes]:
    file = TemporaryFile()  # noqa: SIM115 - whoever has it closes it
    try:
        for chunk in chunks:
            off_hub(file.write, chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
