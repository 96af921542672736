"""Files over flask-fs2's own view."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import EnvironBuilder, run_wsgi_app

if TYPE_CHECKING:
    from flask import Flask, Response

LONG = os.urandom(3 * 1024 * 1024)


def save(files: Any, name: str, content: bytes, content_type: str | None = None) -> str:
    files.save(FileStorage(io.BytesIO(content), content_type=content_type), name)
    return f"/fs/{files.name}/{name}"


@pytest.mark.parametrize("content", [b"", b"abc", LONG], ids=["empty", "short", "long"])
def test_a_file_is_served_whole(files: Any, app: Flask, content: bytes) -> None:
    url = save(files, "in/a.bin", content)
    answer = app.test_client().get(url)
    assert (answer.status_code, answer.data) == (200, content)
    assert answer.content_length == len(content)
    assert files.backend.pool.stats().lent == 0


def test_a_served_file_says_what_it_is(files: Any, app: Flask) -> None:
    url = save(files, "a.txt", b"abc", "text/plain; charset=utf-16")
    answer = app.test_client().get(url)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-16"
    assert answer.get_etag() == ("900150983cd24fb0d6963f7d28e17f72", False)
    assert answer.last_modified == files.backend.metadata("a.txt")["modified"]


@pytest.mark.parametrize(
    ("content_type", "is_attachment"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("image/svg+xml", True),
        ("application/xhtml+xml", True),
        ("text/xml", True),
        ("text/javascript", True),
        ("application/octet-stream", True),
        ("nonsense", True),
        ("text/plain", False),
        ("image/png", False),
        ("video/mp4", False),
        ("application/pdf", False),
    ],
)
def test_what_a_browser_would_run_is_an_attachment(
    files: Any, app: Flask, content_type: str, is_attachment: bool
) -> None:
    answer = app.test_client().get(save(files, "a", b"<script>", content_type))
    assert answer.headers.get("Content-Disposition") == ("attachment" if is_attachment else None)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing.txt", "..%2fother%2fsecret.txt", "%00"])
def test_what_is_not_there_is_404(files: Any, app: Flask, name: str) -> None:
    save(files, "a", b"")
    assert app.test_client().get(f"/fs/{files.name}/{name}").status_code == 404


@pytest.mark.parametrize("name", ["gone.txt", "../other/secret.txt", ""])
def test_what_flask_fs2_did_not_ask_for_is_404_too(files: Any, app: Flask, name: str) -> None:
    save(files, "a", b"")
    app.add_url_rule("/direct", view_func=lambda: files.backend.serve(name))
    assert app.test_client().get("/direct").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_leaves_gives_the_connection_back(
    files: Any, app: Flask, method: str
) -> None:
    url = save(files, "a", LONG)
    environ = EnvironBuilder(url, method=method).get_environ()
    body, _, _ = run_wsgi_app(app, environ)
    next(iter(body), None)
    assert files.backend.pool.stats().lent == 1
    body.close()  # type: ignore[attr-defined]  # As servers do (PEP 3333).
    assert files.backend.pool.stats().lent == 0
    assert files.read("a") == LONG


def test_a_response_whose_content_was_replaced_gives_the_connection_back(
    files: Any, app: Flask
) -> None:
    url = save(files, "a", LONG)
    replaced = []

    @app.after_request
    def replace(response: Response) -> Response:
        replaced.append(response.response)
        response.response = [b"something else"]
        return response

    app.test_client().get(url).close()
    assert replaced
    assert files.backend.pool.stats().lent == 0
