"""What is played: a borrower's requests, and what a server says to each, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: How the borrower reads: all at once; in blocks, into room or not; or only a beginning.
Reader: TypeAlias = Literal["read", "blocks", "readinto", "begin"]
#: What the server does after its last piece.
End: TypeAlias = Literal["waits", "closes", "resets"]
Value: TypeAlias = "str | bytes | int | None"


@dataclass(frozen=True)
class Question:
    """One request, as the borrower asks for it."""

    method: str = "GET"
    target: str = "/v1/AUTH_test/c/o"
    headers: dict[str, Value] = field(default_factory=dict)
    content: bytes = b""
    #: Whether the content is given block by block, without its length.
    is_streamed: bool = False
    reader: Reader = "read"
    #: Bytes that the borrower asks for at a time.
    size: int = 4096


@dataclass(frozen=True)
class Answer:
    """What the server says to one request."""

    #: It says the next one when the client has received all before. An empty one is a silence
    #: that outlasts the client's patience once.
    pieces: tuple[bytes, ...]
    end: End = "waits"
    #: Whether it says all of it, and ends, when the first bytes of the request have come.
    is_early: bool = False

    @property
    def stream(self) -> bytes:
        """All that the server says."""
        return b"".join(self.pieces)


@dataclass(frozen=True)
class Exchange:
    """One request and what is said to it."""

    question: Question
    answer: Answer


@dataclass(frozen=True)
class Case:
    """One borrower's requests, one after the other, over one transport."""

    seed: int
    index: int
    exchanges: tuple[Exchange, ...]

    def __str__(self) -> str:
        lines = [f"python -m bench.fuzz --seed {self.seed} --case {self.index}"]
        for number, exchange in enumerate(self.exchanges, 1):
            answer = exchange.answer
            early = ", early" if answer.is_early else ""
            lines.append(f"  {number}. {exchange.question}")
            lines.append(f"     the server says{early}:")
            lines.append(f"       {_shown(answer.stream)}")
            lines.append(f"     in pieces of {[len(piece) for piece in answer.pieces]} bytes")
            lines.append(f"     and {answer.end}")
        return "\n".join(lines)


def _shown(said: bytes) -> str:
    if len(said) <= 3000:
        return repr(said)
    return f"{said[:1500]!r} … of {len(said)} bytes … {said[-500:]!r}"
