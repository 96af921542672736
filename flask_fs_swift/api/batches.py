"""Many operations in one request, answered as they end.

The request is decoded as it comes in, and its operations run meanwhile, as many at once as
the storage's batches may. Those on one key of which one writes keep their order. A part that
asks for nothing possible is answered by an error of its own.

Clients send all before they read: who answered them earlier could wait for them while they
wait in turn. So answers are kept until the request has come in, up to 4 MiB of them in
memory and more in a temporary file. From then on each is sent when its operation ends.

Memory: for each operation that runs, or waits to, up to 1 MiB of its content, which is all
that an insert may have, and what is more of a read goes to a temporary file.
"""

from __future__ import annotations

import uuid
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

from flask_fs_swift.errors import FileNotFound
from flask_fs_swift.intake import HELD
from flask_fs_swift.operations import Delete, Operation, Outcome, Put

from .answers import refusal_of, respond
from .description import Description
from .escaping import header_of, key_of
from .keys import DELETE, READ, WRITE
from .objects import CHUNK, living, seconds_of, stamped, touch
from .refusals import Refusal, status_line
from .stored import to_metadata
from .wire import (
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

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

    from werkzeug.wrappers import Response

    from flask_fs_swift.operations import Claim, Files
    from flask_fs_swift.storage import Storage

    from .service import Call, Service

#: Operations of one request that are done.
MOST_OPERATIONS = 1000
#: Parts that are answered at all. Who sends more has lost count.
MOST_PARTS = 10_000
#: Bytes of an insert.
LONGEST_INSERT = 1024 * 1024
#: Bytes of a request.
LONGEST_REQUEST = 1024**3

_PREFIX = "x-sn-batch-operation-"
_KINDS = {"get": READ, "head": READ, "delete": DELETE, "insert": WRITE}
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
        self.boundary = new_boundary()
        # What was asked of the storage, in its order.
        self._asked: list[_Asked] = []
        # Answers to parts of which nothing was asked.
        self._refused: deque[bytes] = deque()
        # What was read, in the threads that read it; those that were sent are closed.
        self._read: set[IO[bytes]] = set()
        self._has_come_in = False

    def answers(self) -> Generator[bytes]:
        """Do the operations; yield their answers, the first when the request has come in."""
        with (
            SpooledTemporaryFile(HELD) as kept,
            _closed(self._read),
            self._call.files.many(self._operations()) as outcomes,
        ):
            for block in self._answers(outcomes):
                if not self._has_come_in:
                    kept.write(block)
                    continue
                yield from _taken(kept)
                yield block
            yield from _taken(kept)
            yield closing(self.boundary)

    def _answers(self, outcomes: Iterable[Outcome]) -> Iterator[bytes]:
        for outcome in outcomes:
            yield from self._take_refused()
            yield from self._answer(outcome)
        yield from self._take_refused()

    def _take_refused(self) -> Iterator[bytes]:
        while self._refused:
            yield self._refused.popleft()

    def _operations(self) -> Iterator[Operation]:
        """Yield what is asked for, as the request comes in."""
        index = 0
        try:
            for head, content in self._parts:
                try:
                    operation = self._operation(index, head, content)
                except Exception as error:  # noqa: BLE001 - it is the answer to this part
                    self._refuse(index, refusal_of(error))
                else:
                    yield operation
                index += 1
        except FramingError as error:
            self._refuse(index, Refusal.of(400, error))
        self._has_come_in = True

    def _operation(self, index: int, head: Mapping[str, str], content: bytes | None) -> Operation:
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
        self._service.permit(self._call, _KINDS[kind])
        if description is not None:
            self._service.check_policy(self._call.place, description.expiration)
        self._asked.append(_Asked(index, kind, key))
        if description is not None:
            return _insert(name, content or b"", description, self._call.now)
        if kind == "delete":
            return Delete(name)
        return _Read(name, self._call.now, self._read if kind == "get" else None)

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
            yield self._head(asked.index, _DONE[asked.kind], known)
            with found:
                yield from found.blocks()
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


@contextmanager
def _closed(files: Collection[IO[bytes]]) -> Iterator[None]:
    """Have all files closed afterwards, those too that came in meanwhile: a sender may be gone."""
    try:
        yield
    finally:
        for file in files:
            file.close()


def _taken(kept: IO[bytes]) -> Iterator[bytes]:
    """Yield what was kept, and keep it no longer."""
    if not kept.tell():
        return
    kept.seek(0)
    while block := kept.read(CHUNK):
        yield block
    kept.seek(0)
    kept.truncate()


class _Parts:
    """The parts of a request: the headers of each, and its content if it is an insert's.

    :raises FramingError: while it is iterated; what was yielded before is good.
    """

    def __init__(self, call: Call, boundary: str) -> None:
        self._body = call.body
        self._decoder = Decoder(boundary)

    def __iter__(self) -> Iterator[tuple[Mapping[str, str], bytes | None]]:
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
        while block := self._body.read(_BLOCK):
            read += len(block)
            if read > LONGEST_REQUEST:
                raise FramingError(f"a batch has at most {LONGEST_REQUEST} bytes")
            yield from self._decoder.feed(block)


def _is_insert(head: Mapping[str, str]) -> bool:
    return head.get(_PREFIX + "kind", "").lower() == "insert"


def _insert(name: str, content: bytes, description: Description, now: float) -> Put:
    return Put(
        name,
        content,
        overwrite=True,
        content_type=description.content_type,
        metadata=to_metadata(description),
        expires_after=seconds_of(description, now),
    )


class _Found:
    """What was read of an object. Whoever sends it closes it."""

    def __init__(self, description: Description, content: IO[bytes] | None) -> None:
        self.description = description
        self._content = content

    def blocks(self) -> Iterator[bytes]:
        """Yield the content."""
        while self._content is not None and (block := self._content.read(CHUNK)):
            yield block

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        if self._content is not None:
            self._content.close()


@dataclass(frozen=True, slots=True)
class _Read(Operation):
    """Describe an object that has not expired, and fetch its content; the value is both."""

    name: str
    #: Unix time, in seconds.
    now: float
    #: Gets the content's file; None: only describe the object.
    into: set[IO[bytes]] | None

    def claims(self) -> tuple[Claim, ...]:
        """Return its name."""
        return ((self.name, False),)

    def perform(self, files: Files, /) -> _Found:
        """Read it."""
        content: Any = None
        if self.into is not None:
            with files.read_chunks(self.name) as stream:
                info = stream.info
                description = living(info, self.now)
                content = _held(stream)
                self.into.add(content)
        else:
            info = files.info(self.name)
            description = living(info, self.now)
        touch(cast("Storage", files), info, description, self.now)
        return _Found(description, content)


def _held(stream: Iterable[bytes]) -> IO[bytes]:
    file = SpooledTemporaryFile(LONGEST_INSERT)  # noqa: SIM115 - whoever sends it closes it
    try:
        for chunk in stream:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("IO[bytes]", file)
