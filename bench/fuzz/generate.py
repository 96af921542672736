"""Make a case from a seed and an index: the same one each time."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, cast

from . import asking, grammar
from .case import Answer, Case, End, Exchange, Question
from .mutations import mutate

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDS = ("waits", "waits", "waits", "closes", "closes", "closes", "resets")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAILED = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
#: What may come before the answer to a request with content: an empty one is a silence.
_BEFORE_CONTENT = ((), (), (_CONTINUE,), (_CONTINUE,), (_FAILED,), (b"",), (b"", _FAILED))
#: The last request of each case shows whether the connection before it was used again.
_PROBE = Exchange(Question(), Answer((grammar.simple(b"probe"),)))


def case(seed: int, index: int) -> Case:
    """Return one case of a campaign."""
    rng = Random(seed << 64 | index)
    count = rng.choice((1, 1, 1, 2, 2, 3))
    return Case(seed, index, (*[_exchange(rng) for _ in range(count)], _PROBE))


def _exchange(rng: Random) -> Exchange:
    chance = rng.random()
    if chance < 0.08:
        return Exchange(asking.odd(rng), Answer((grammar.simple(b"odd"),)))
    if chance < 0.11:
        question = asking.uploading(rng)
        return Exchange(question, _to_upload(rng, question))
    question = asking.ordinary(rng)
    return Exchange(question, _answer(rng, question))


def _answer(rng: Random, question: Question) -> Answer:
    said = grammar.response(rng, question.method)
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            said = mutate(rng, said, grammar.response(rng, question.method))
    return Answer(_split(rng, said), _end(rng))


def _end(rng: Random) -> End:
    return cast("End", rng.choice(_ENDS)) if rng.random() < 0.6 else "waits"


def _to_upload(rng: Random, question: Question) -> Answer:
    """Return an answer to content that waits: a word before it, or the last word at once."""
    said = grammar.final(rng, question.method)
    if rng.random() < 0.2:
        said = mutate(rng, said, b"")
    pieces = (*rng.choice(_BEFORE_CONTENT), *_split(rng, said))
    return Answer(pieces, _end(rng), is_early=b"" not in pieces and rng.random() < 0.5)


def _split(rng: Random, said: bytes) -> tuple[bytes, ...]:
    """Cut what is said into pieces, anywhere or next to the ends of lines."""
    chance = rng.random()
    if chance < 0.4 or not said:
        return (said,) if said else ()
    if chance < 0.45 and len(said) < 400:
        return tuple([said[at : at + 1] for at in range(len(said))])
    cuts = {rng.randrange(len(said)) for _ in range(rng.randrange(1, 5))}
    if chance > 0.7:
        end = said.find(b"\r\n", rng.randrange(len(said)))
        cuts |= {end + rng.randrange(1, 4)}
    return _cut(said, sorted(cuts))


def _cut(said: bytes, cuts: Iterable[int]) -> tuple[bytes, ...]:
    places = [0, *cuts, len(said)]
    pieces = [said[start:end] for start, end in pairwise(places)]
    return tuple([piece for piece in pieces if piece])
