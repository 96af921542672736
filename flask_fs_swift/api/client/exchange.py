"""One batch: its request, part by part, and what each part of its answer tells.

A part of the answer names the part of the request that it is for, by number. What names none,
or one for the second time, tells nothing: it is logged and left out. An answer that ends
before its closing boundary was cut off; what it told before is good. What is long goes to a
temporary file.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from flask_fs_swift.api.description import Description
from flask_fs_swift.api.escaping import header_of, key_of
from flask_fs_swift.api.wire import (
    PART_END,
    Data,
    Decoder,
    End,
    FramingError,
    boundary_of,
    closing,
    part_head,
)
from flask_fs_swift.api.wire import Head as PartHead

from .calls import TAIL
from .collected import Collected
from .compression import compress, longest
from .extent import SpoolFailed, in_place
from .failures import AnswerBroken, RequestError, failure_of
from .fetched import Fetched
from .operations import Delete, Get, Head, Operation, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .calls import Answer
    from .usecase import Storing

    #: A task, and its value or its error.
    Outcomes: TypeAlias = Generator[tuple["Task", Any, Exception | None], None, None]

#: Bytes of one operation's content, as it is sent.
LARGEST = 1024 * 1024

_PREFIX = "x-sn-batch-operation-"
_KINDS = {"put": "insert"}
_INDEX = re.compile("[0-9]{1,9}")
_STATUS = re.compile("([1-5][0-9]{2})(?: .*)?")
# Bytes that are sent at a time, where they come in small pieces.
_PIECE = 64 * 1024
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Task:
    """One operation, ready to be sent. Lives until its result."""

    #: Where it stood in the input.
    number: int
    operation: Operation
    #: Of its part.
    headers: dict[str, str]
    #: Of what is put.
    storing: Storing | None = None
    #: Bytes of its part at most; None: it is no part of a batch, but a request of its own.
    size: int | None = None
    #: Why it is not sent at all.
    error: Exception | None = None

    @property
    def key(self) -> str | None:
        """The key; None: the server makes one up."""
        return self.operation.key

    @property
    def changes(self) -> bool:
        """Tell whether it does more than reading."""
        return isinstance(self.operation, (Put, Delete))


def prepared(number: int, operation: Operation, plan: Callable[[Put], Storing]) -> Task:
    """Return an operation, ready to be sent: or why it is not."""
    try:
        return _prepared(number, operation, plan)
    except Exception as error:  # noqa: BLE001 - its result
        return Task(number, operation, {}, error=error)


def _prepared(number: int, operation: Operation, plan: Callable[[Put], Storing]) -> Task:
    kind = _KINDS.get(operation.kind, operation.kind)
    headers = {f"{_PREFIX}kind": kind}
    if operation.key is not None:
        headers[f"{_PREFIX}key"] = header_of(operation.key)
    if not isinstance(operation, Put):
        return Task(number, operation, headers, size=len(part_head("", headers)) + 64)
    storing = plan(operation)
    headers.update(storing.description.writable())
    size = None if storing.is_long else storing.size
    most = size if size is None or not storing.compresses else longest(size)
    if most is not None:
        most = most + len(part_head("", headers)) + 64 if most <= LARGEST else None
    return Task(number, operation, headers, storing, most)


class Batch:
    """One request for many operations. Lives as long as that.

    :param boundary: see :func:`.new_boundary`.
    :param folder: for temporary files; None: where the system has them.
    """

    def __init__(self, tasks: list[Task], boundary: str, folder: str | None) -> None:
        self._tasks = tasks
        self._boundary = boundary
        self._folder = folder
        # Of the part that is being read.
        self._task: Task | None = None
        self._headers: dict[str, str] = {}
        self._content = Collected(folder)
        # By their numbers in the request; those that were not answered.
        self._sent: dict[int, Task] = {}
        # Those whose content could not be read.
        self._failed: list[tuple[Task, Exception]] = []

    def request(self) -> Iterator[bytes]:
        """Yield the request's body. Content that cannot be read is left out."""
        pieces: list[bytes] = []
        size = 0
        for task in self._tasks:
            try:
                body = _body_of(task)
            except Exception as error:  # noqa: BLE001 - its result
                self._failed.append((task, error))
                continue
            self._sent[len(self._sent)] = task
            pieces += [part_head(self._boundary, task.headers), body, PART_END]
            size += len(body)
            if size >= _PIECE:
                yield b"".join(pieces)
                pieces, size = [], 0
        yield b"".join([*pieces, closing(self._boundary)])

    def results(self, answer: Answer) -> Outcomes:
        """Yield what the answer tells, as it comes: a task, and its value or its error.

        :raises RequestError: it is no answer, or was cut off. Tasks that were not yielded may
            have been done.
        """
        for task, error in self._failed:
            yield task, None, error
        answer.checked()
        try:
            yield from self._parts(answer)
        finally:
            if self._task is not None:
                self._content.close()
        answer.finish()

    def _parts(self, answer: Answer) -> Outcomes:
        try:
            decoder = Decoder(boundary_of(answer.header("content-type")))
            while not decoder.is_closed:
                block = answer.read()
                if not block:
                    decoder.finish()
                yield from self._told(decoder, block)
        except (FramingError, ValueError) as error:
            raise AnswerBroken(
                f"the answer to a batch is none: {error}", maybe_applied=True
            ) from error

    def _told(self, decoder: Decoder, block: bytes) -> Outcomes:
        for event in decoder.feed(block):
            if isinstance(event, PartHead):
                self._task = self._named(event.headers)
                self._headers, self._content = event.headers, Collected(self._folder)
            elif isinstance(event, Data) and self._task is not None:
                try:
                    self._content.add(event.data)
                except SpoolFailed as error:
                    task, self._task = self._task, None
                    yield task, None, error
            elif isinstance(event, End) and self._task is not None:
                task, self._task = self._task, None
                yield (task, *_outcome(task, self._headers, self._content))

    def _named(self, headers: dict[str, str]) -> Task | None:
        index = headers.get(f"{_PREFIX}index", "")
        task = self._sent.pop(int(index), None) if _INDEX.fullmatch(index) else None
        if task is None:
            _log.warning("a part of an answer is for no operation that waits: index %r", index[:20])
        return task


def _body_of(task: Task) -> bytes:
    storing = task.storing
    if storing is None:
        return b""
    # As much as it had when it was looked at: more may not fit.
    body = b"".join(in_place(storing.content, storing.size or 0).blocks())
    return compress(body) if storing.compresses else body


def _outcome(
    task: Task, headers: dict[str, str], content: Collected
) -> tuple[Any, Exception | None]:
    value, failure = None, None
    try:
        content.rewind()
        value = _value(task, headers, content)
    except (RequestError, OSError) as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - its result
        failure = AnswerBroken(
            f"the part for it is no answer: {error}", key=task.key, maybe_applied=task.changes
        )
    if not isinstance(value, Fetched):
        content.close()
    return value, failure


def _value(task: Task, headers: dict[str, str], content: Collected) -> Any:
    """Return what a part tells. What was fetched has its content from then on.

    :raises RequestError: it was not done.
    :raises ValueError: it tells something else.
    """
    said = _STATUS.fullmatch(headers.get(f"{_PREFIX}status", ""))
    if said is None:
        raise ValueError("it has no status")
    status = int(said[1])
    operation = task.operation
    if status == 404 and not isinstance(operation, Put):
        return None
    if not 200 <= status < 300:
        raise failure_of(status, content.read(TAIL), task.key)
    kind = headers.get(f"{_PREFIX}kind", "").lower()
    if kind and kind != task.headers[f"{_PREFIX}kind"]:
        raise ValueError(f"it is for another kind of operation, {kind[:20]!r}")
    key = headers.get(f"{_PREFIX}key")
    key = task.key if key is None else key_of(key)
    if key is None or key != (task.key or key):
        raise ValueError("it names no key, or another one")
    if isinstance(operation, Put):
        return key
    if isinstance(operation, Delete):
        return None
    description = Description.of_response(headers.items())
    if isinstance(operation, Head):
        return description
    return _fetched(operation, description, content)


def _fetched(operation: Get, description: Description, content: Collected) -> Fetched:
    return Fetched(
        operation.key,
        description,
        content.read,
        content.close,
        decompress=operation.decompress,
        limit=operation.limit,
    )
