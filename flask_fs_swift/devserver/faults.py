"""Failures on demand: which requests a development server fails, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Action = Literal[
    "status",
    "unauthorized",
    "after_status",
    "reset",
    "after_reset",
    "reset_body",
    "truncate",
    "delay",
    "stall",
    "slow_upload",
    "hang",
    "etag",
    "corrupt",
    "corrupt_upload",
    "stale_listing",
]


@dataclass(frozen=True)
class Fault:
    """One rule. It lives until it has failed as many requests as it may, or is cleared.

    Without asking Swift:

    - ``status``: answer ``status`` with ``headers`` and ``body``; with ``drain`` the
      request's body is read first.
    - ``unauthorized``: answer 401.
    - ``reset``: read ``bytes`` of the request's body, then reset the TCP connection.
    - ``hang``: never answer; the connection is reset after ``seconds`` (an hour).

    Swift does the work, and the client is not told:

    - ``after_status``: answer ``status`` in place of Swift's answer.
    - ``after_reset``: reset the TCP connection in place of Swift's answer.

    Swift's answer, late or in part:

    - ``delay``: wait ``seconds`` (1) before Swift is asked.
    - ``stall``: send ``bytes`` of the body, wait ``seconds`` (1), go on.
    - ``slow_upload``: pause ``seconds`` (1) after each MiB of the request's body.
    - ``truncate``: send ``bytes`` of the body, close the connection.
    - ``reset_body``: send ``bytes`` of the body, reset the TCP connection.

    Swift's answer, or its knowledge, falsified:

    - ``etag``: the answer has ``value`` for an ETag.
    - ``corrupt``: one bit of the answer's body is flipped, in the byte at ``offset``.
    - ``corrupt_upload``: one bit of the request's body is flipped, likewise.
    - ``stale_listing``: a JSON listing lacks the entries called ``names``.

    A body that ends before ``bytes`` or ``offset`` is left as it is.

    :raises ValueError: the action is unknown, or a pattern is no regular expression.
    """

    action: Action
    #: A regular expression for the whole method.
    method: str = ".*"
    #: A regular expression to be found in the path and query, as they came, percent-encoded.
    path: str = ""
    #: How many requests fail; -1: every one.
    times: int = 1
    #: How many that match are left alone first.
    skip: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    drain: bool = False
    bytes: int = 0
    offset: int = 0
    seconds: float | None = None
    value: str = "d" * 32
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"unknown action {self.action!r}; known: {get_args(Action)}")
        try:
            re.compile(self.method), re.compile(self.path)
        except re.error as error:
            raise ValueError(f"{error.pattern!r} is no regular expression: {error}") from error

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is one of those to fail.

        :param path: path and query, as they came.
        """
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))
