"""Hold what came of a case against what the oracle says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import oracle
from .requests import BadRequest, Request, read_request
from .server import AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case, Exchange, Question
    from .oracle import Reading
    from .play import Outcome

#: Bytes that are read of the content of an answer that is no success.
MOST_OF_AN_ERROR = 65536
#: What the transport says of itself, whoever asks.
OWN_HEADERS = frozenset(
    {b"host", b"accept-encoding", b"user-agent", b"content-length", b"transfer-encoding", b"expect"}
)


@dataclass(frozen=True)
class Finding:
    """What must not be."""

    case: Case
    #: From 1.
    exchange: int
    #: What is wrong, in a few words that do not depend on the case.
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: in exchange {self.exchange}: {self.detail}\n{self.case}"


@dataclass
class Verdict:
    """What is to be said of one exchange."""

    exchange: Exchange
    outcome: Outcome
    #: What the oracle reads in what the server said.
    reading: Reading
    #: Why the connection may not be used for the next request; empty where it may.
    held: str = ""
    #: Whether it was.
    is_reused: bool = False


def judge(case: Case, outcomes: list[Outcome]) -> tuple[list[Verdict], list[Finding]]:
    """Return what each exchange was, and what is wrong with them."""
    verdicts: list[Verdict] = []
    findings: list[Finding] = []
    for number, (exchange, outcome) in enumerate(zip(case.exchanges, outcomes, strict=True), 1):
        verdict = _verdict(exchange, outcome)
        wrongs = [*_wrongs_of_answer(verdict), *_wrongs_of_request(verdict)]
        wrongs += _wrongs_of_lending(verdicts[-1] if verdicts else None, verdict)
        findings += [Finding(case, number, kind, detail) for kind, detail in wrongs]
        verdicts.append(verdict)
    return verdicts, findings


def _verdict(exchange: Exchange, outcome: Outcome) -> Verdict:
    answer, question = exchange.answer, exchange.question
    is_again = len(outcome.sent) > 1
    stream = AGAIN if is_again else answer.stream
    ended = answer.end == "closes" and not is_again
    reading = oracle.read(stream, question.method, ended=ended)
    verdict = Verdict(exchange, outcome, reading)
    gone = answer.end != "waits" and not is_again
    verdict.held = _held(verdict, reading.holds(stream, gone=gone))
    return verdict


def _held(verdict: Verdict, why: str) -> str:
    if verdict.outcome.kind != "answered":
        return verdict.outcome.kind
    if not _is_read(verdict.exchange.question, verdict.outcome, verdict.reading):
        return why or "not read to its end"
    return why or ("" if _is_sent(verdict.outcome) else "the request is not whole")


def _is_read(question: Question, outcome: Outcome, reading: Reading) -> bool:
    """Tell whether the borrower has come to the end of the answer."""
    if question.reader == "begin" and reading.framing == "chunked" and reading.content:
        return False
    return len(outcome.content) == len(reading.content)


def _is_sent(outcome: Outcome) -> bool:
    """Tell whether all of the request was sent."""
    try:
        return read_request(outcome.sent[-1]).is_whole
    except IndexError:
        return False
    except BadRequest:
        return True  # That is another finding.


# Answers.


def _wrongs_of_answer(verdict: Verdict) -> Iterator[tuple[str, str]]:
    outcome, reading = verdict.outcome, verdict.reading
    if outcome.kind == "crashed":
        yield f"crash: {type(outcome.error).__name__}", repr(outcome.error)
    if outcome.overflowed:
        yield "more than asked for", f"blocks of more than {verdict.exchange.question.size} bytes"
    if outcome.kind == "refused" and not _may_refuse(verdict):
        yield "refused without a reason", repr(outcome.error)
    if outcome.status is None:
        return
    if not reading.has_head:
        yield f"accepted: {reading.wrong}", f"the head of an answer of {outcome.status}"
        return
    yield from _wrongs_of_head(outcome, reading)
    yield from _wrongs_of_content(verdict)


def _may_refuse(verdict: Verdict) -> bool:
    outcome, reading = verdict.outcome, verdict.reading
    if reading.wrong:
        return True
    if isinstance(outcome.error, TimeoutError) and b"" in verdict.exchange.answer.pieces:
        return True
    # A success before the content was sent is no answer to it.
    return reading.status < 300 and not _is_sent(outcome)


def _wrongs_of_head(outcome: Outcome, reading: Reading) -> Iterator[tuple[str, str]]:
    if outcome.status != reading.status:
        yield "wrong status", f"{outcome.status}, not {reading.status}"
    texts = [outcome.reason, *outcome.headers, *outcome.headers.values()]
    said = [reading.reason, *reading.headers, *reading.headers.values()]
    if not any(_encoded(texts, encoding) == said for encoding in ("utf-8", "latin-1")):
        yield "wrong headers", f"{outcome.reason!r} {outcome.headers}, not {said}"


def _encoded(texts: list[str], encoding: str) -> list[bytes] | None:
    try:
        return [text.encode(encoding) for text in texts]
    except UnicodeEncodeError:
        return None


def _wrongs_of_content(verdict: Verdict) -> Iterator[tuple[str, str]]:
    question, outcome, reading = verdict.exchange.question, verdict.outcome, verdict.reading
    got, said = outcome.content, reading.content
    if not said.startswith(got):
        yield "wrong content", f"{got[:200]!r}, not {said[:200]!r}"
    is_error = reading.status >= 300 and question.reader == "read"
    if is_error and len(got) > MOST_OF_AN_ERROR:
        yield "too much of an error", f"{len(got)} bytes"
    if outcome.kind != "answered" or question.reader == "begin":
        return
    if is_error and len(got) >= MOST_OF_AN_ERROR:
        return
    if reading.wrong:
        yield f"accepted: {reading.wrong}", f"content of {len(got)} bytes"
    elif len(got) != len(said):
        yield "content cut short", f"{len(got)} bytes of {len(said)}"


# Connections.


def _wrongs_of_lending(before: Verdict | None, now: Verdict) -> Iterator[tuple[str, str]]:
    outcome = now.outcome
    if before is None or not outcome.line:
        return
    before.is_reused = outcome.line <= outcome.lines_before
    if before.is_reused and before.held:
        yield f"lent again: {before.held}", "over the connection of the exchange before"
    if not before.held and not before.is_reused and not _may_end(before):
        yield "not lent again", "not over the connection of the exchange before"


def _may_end(verdict: Verdict) -> bool:
    """Tell whether a connection may be closed that might have been kept."""
    is_long_error = len(verdict.outcome.content) >= MOST_OF_AN_ERROR
    return verdict.reading.mumbles or (verdict.reading.status >= 300 and is_long_error)


# Requests.


def _wrongs_of_request(verdict: Verdict) -> Iterator[tuple[str, str]]:
    question, outcome = verdict.exchange.question, verdict.outcome
    if outcome.kind == "kept":
        if outcome.sent and not _breaks_its_promise(question):
            yield "sent, and refused to send", repr(outcome.error)
        if not is_odd(question):
            yield "kept without a reason", repr(outcome.error)
    try:
        requests = [read_request(sent) for sent in outcome.sent if sent]
    except BadRequest as why:
        yield f"sent: {why.why}", str(why)
        return
    for request in requests:
        yield from _wrongs_of_sent(question, request)
    finished = outcome.kind == "answered" and outcome.status is not None and outcome.status < 300
    if finished and not (requests and requests[-1].is_whole):
        yield "success before the content was sent", f"{outcome.status}"


def _breaks_its_promise(question: Question) -> bool:
    """Tell whether the content's length is found to be another one while it is sent."""
    return question.is_streamed and _given(question).get(b"content-length") not in {
        None,
        b"%d" % len(question.content),
    }


def _wrongs_of_sent(question: Question, request: Request) -> Iterator[tuple[str, str]]:
    asked = question.method.encode(), question.target.encode(errors="replace")
    if (request.method, request.target) != asked:
        yield "another request sent", f"{request.method!r} {request.target!r}"
    given = _given(question)
    for name in given.keys() | request.headers.keys() - OWN_HEADERS:
        if given.get(name) != request.headers.get(name):
            yield "other headers sent", f"{name!r}: {request.headers.get(name)!r}"
    same = request.content == question.content or _breaks_its_promise(question)
    if request.is_whole and not same:
        yield "other content sent", f"{request.content[:200]!r}"


def _given(question: Question) -> dict[bytes, bytes]:
    """Return the headers that the borrower gave and has a say in, as they must arrive."""
    given = {}
    for name, value in question.headers.items():
        if value is not None and name.lower() not in {"accept-encoding", "host"}:
            data = value if isinstance(value, bytes) else str(value).encode(errors="replace")
            given[name.encode(errors="replace").lower()] = data.strip(b" \t")
    return given


def is_odd(question: Question) -> bool:
    """Tell whether a request has something in it for which it may be kept back."""
    texts = [question.target, *question.headers]
    texts += [
        value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for value in question.headers.values()
    ]
    names = {name.lower() for name in question.headers}
    framing = {"content-length", "transfer-encoding", "host", "expect", "connection"}
    plain = all(text.isprintable() and text.isascii() for text in texts)
    words = all(text and not set(text) & set(' :"') for text in [question.target, *names])
    return not plain or not words or bool(names & framing)
