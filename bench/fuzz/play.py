"""Play a case against a transport, and write down what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from flask_fs_swift.errors import FSError
from flask_fs_swift.transport import Response, Transport

from .server import URL, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case, Question

#: An answer; an OSError; an FSError; something that must not be.
Kind: TypeAlias = Literal["answered", "refused", "kept", "crashed"]
#: Seconds. Nobody waits: the server says at once that it is over.
PATIENCE = 60.0


@dataclass
class Outcome:
    """What came of one request."""

    kind: Kind = "answered"
    error: BaseException | None = None
    #: None where no answer was returned at all.
    status: int | None = None
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: What was read before the end, or before the error.
    content: bytes = b""
    #: Where a block had more bytes than asked for.
    overflowed: bool = False
    #: What the client sent, each time that it asked.
    sent: list[bytes] = field(default_factory=list)
    #: The connection it was sent over, from 1; 0: over none.
    line: int = 0
    #: The connections that were open before.
    lines_before: int = 0


def play(case: Case, servers: list[Server]) -> list[Outcome]:
    """Ask everything that the case asks, of a new transport.

    :param servers: where connections lead; see :func:`.server.dialled`.
    """
    servers[:] = [server] = [Server()]
    transport = Transport(URL, tls=None, timeout=PATIENCE)
    outcomes = []
    try:
        for exchange in case.exchanges:
            server.prepare(exchange.answer)
            outcome = Outcome(lines_before=server.connections)
            _ask(transport, exchange.question, outcome)
            outcome.sent = [bytes(sent) for sent in server.sent]
            outcome.line = server.line
            outcomes.append(outcome)
    finally:
        transport.close()
        server.close()
    return outcomes


def _ask(transport: Transport, question: Question, outcome: Outcome) -> None:
    try:
        response = transport.request(
            question.method, question.target, _content(question), question.headers
        )
        outcome.status, outcome.reason = response.status, response.reason
        outcome.headers = dict(response.getheaders())
        _READERS[question.reader](response, question.size, outcome)
    except FSError as error:
        outcome.kind, outcome.error = "kept", error
    except OSError as error:
        outcome.kind, outcome.error = "refused", error
    except Exception as error:  # noqa: BLE001 - it is a finding
        outcome.kind, outcome.error = "crashed", error


def _content(question: Question) -> bytes | Iterator[bytes]:
    if not question.is_streamed:
        return question.content
    middle = len(question.content) // 2
    return iter([question.content[:middle], question.content[middle:]])


def _read(response: Response, _: int, outcome: Outcome) -> None:
    outcome.content = response.read()


def _read_blocks(response: Response, size: int, outcome: Outcome) -> None:
    while block := response.read(size):
        outcome.content += block
        outcome.overflowed |= len(block) > size
    outcome.content += response.read(size) + response.read()


def _readinto(response: Response, size: int, outcome: Outcome) -> None:
    room = bytearray(size)
    while not response.is_over():
        count = response.readinto(memoryview(room))
        outcome.content += room[:count]
    outcome.content += room[: response.readinto(memoryview(room))]


def _begin(response: Response, size: int, outcome: Outcome) -> None:
    outcome.content = response.read(size)
    outcome.overflowed = len(outcome.content) > size


_READERS = {"read": _read, "blocks": _read_blocks, "readinto": _readinto, "begin": _begin}
