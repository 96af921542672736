"""How a request that is not done looks: a status, and a body that says why."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of the body: with causes, one line, or none.
Form: TypeAlias = Literal["json", "text", "empty"]

_TYPES: dict[Form, dict[str, str]] = {
    "json": {"content-type": "application/json"},
    "text": {"content-type": "text/plain; charset=utf-8"},
    "empty": {},
}
_MOST_CAUSES = 16


class Refusal(Exception):
    """A request is not done. Raised anywhere in a server, and rendered once, where it answers."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        causes: tuple[str, ...] = (),
        *,
        form: Form = "json",
        also: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, causes)
        self.status = status
        #: What was wrong, in one line.
        self.detail = detail
        #: What led to it, the nearest first.
        self.causes = causes
        self.form = form
        #: Headers of the answer, beside those of its form.
        self.also = dict(also or {})

    def __str__(self) -> str:
        return ": ".join([status_line(self.status), *filter(None, [self.detail]), *self.causes])

    @classmethod
    def of(cls, status: int, error: BaseException, *, form: Form = "json") -> Refusal:
        """Return the refusal that tells a caller of an error and its causes."""
        detail, *causes = _chain(error)
        return cls(status, detail, tuple(causes), form=form)

    @classmethod
    def read(cls, status: int, body: bytes) -> Refusal:
        """Read what a server answered; whatever it is, it is a refusal."""
        text = body.decode(errors="replace")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and isinstance(said.get("detail"), str):
            causes = said.get("causes")
            known = causes if isinstance(causes, list) else []
            return cls(status, said["detail"], tuple(map(str, known)))
        return cls(status, text, form="text" if text else "empty")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, in lower case."""
        return {**_TYPES[self.form], **self.also}

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        if self.form == "json":
            return self.json
        return self.detail.encode(errors="replace") if self.form == "text" else b""

    @property
    def json(self) -> bytes:
        """The body of a batch's part, which is JSON whatever the form."""
        said: dict[str, object] = {"detail": self.detail}
        if self.causes:
            said["causes"] = self.causes
        return json.dumps(said).encode()


def status_line(status: int) -> str:
    """Return a status with its reason, as the parts of a batch say it: ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _chain(error: BaseException) -> list[str]:
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) <= _MOST_CAUSES:
        texts.append(str(cause) or type(cause).__name__)
        cause = cause.__cause__
    return texts
