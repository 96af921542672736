"""The log that tests count requests in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

from flask_fs_swift.devserver.requestlog import RequestLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def answer_nothing(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def ask(log: RequestLog, path: str) -> None:
    environ: WSGIEnvironment = {"RAW_PATH_INFO": path, "REMOTE_PORT": "1"}
    setup_testing_defaults(environ)
    log(environ, lambda *_: lambda _: None)


def test_the_last_ten_thousand_requests_are_kept() -> None:
    log = RequestLog(answer_nothing)
    for number in range(10_001):
        ask(log, f"/{number}")
    paths = [entry.path for entry in log.requests()]
    assert (len(paths), paths[0], paths[-1]) == (10_000, "/1", "/10000")


def test_a_request_is_in_the_log_before_it_is_answered() -> None:
    seen = []

    def look(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.extend(log.requests())
        return answer_nothing(environ, start_response)

    log = RequestLog(look)
    ask(log, "/")
    assert [entry.status for entry in seen] == [None]
    assert [entry.status for entry in log.requests()] == [204]
