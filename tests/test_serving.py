"""Files as responses: what RFC 9110 says, and what a browser may do with a stranger's file."""

from __future__ import annotations

import gc
import random
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, abort, request
from werkzeug.http import http_date, parse_options_header

from flask_fs_swift import ALL, FS, ConfigError, OperationNotSupported, Storage, SwiftUnavailable
from flask_fs_swift.serving import MOST_RANGES, is_shown

if TYPE_CHECKING:
    from conftest import MakeStorage
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from flask_fs_swift import Event
    from flask_fs_swift.devserver import Faults

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)


@pytest.fixture
def client(files: Storage) -> FlaskClient:
    """Requests to an application that serves a file of each storage."""
    files.write("a.bin", CONTENT, content_type="video/mp4")
    files.write("empty", b"", content_type="text/plain")
    return serving(files)


def serving(files: Storage, **how: Any) -> FlaskClient:
    app = Flask("serving")

    @app.get("/<path:name>")
    def serve(name: str) -> Any:
        return files.serve(name, **how)

    return app.test_client()


@pytest.fixture
def etag(client: FlaskClient) -> str:
    return client.head("/a.bin").headers["ETag"]


@pytest.fixture
def modified(client: FlaskClient) -> str:
    return client.head("/a.bin").headers["Last-Modified"]


def later(date: str, seconds: int) -> str:
    from werkzeug.http import parse_date

    parsed = parse_date(date)
    assert parsed is not None
    return http_date(parsed + timedelta(seconds=seconds))


# The whole.


def test_a_file_is_served_as_it_was_stored(client: FlaskClient, files: Storage) -> None:
    answer = client.get("/a.bin")
    info = files.info("a.bin")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["ETag"] == f'"{info.etag}"'
    assert answer.headers["Last-Modified"] == http_date(info.modified)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Content-Range" not in answer.headers


def test_head_says_the_same_and_sends_nothing(client: FlaskClient) -> None:
    told, asked = client.get("/a.bin").headers, client.head("/a.bin")
    assert (asked.status_code, asked.data) == (200, b"")
    assert dict(asked.headers) == dict(told)


def test_a_file_without_bytes_is_served(client: FlaskClient) -> None:
    for headers in ({}, {"Range": "bytes=0-"}, {"Range": "bytes=-5"}):
        answer = client.get("/empty", headers=headers)
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["Content-Length"] == "0"


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_missing_file_is_404(client: FlaskClient, method: str) -> None:
    assert getattr(client, method)("/absent").status_code == 404
    assert getattr(client, method)("/absent", headers={"Range": "bytes=5-"}).status_code == 404


# Ranges.


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=5-9", 5, 10),
        ("bytes=5-99999999", 5, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        ("bytes=-99999999", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes = 5 - 9", 5, 10),
    ],
)
def test_a_range_is_206(client: FlaskClient, asked: str, start: int, end: int) -> None:
    answer = client.get("/a.bin", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (206, CONTENT[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=99999999-", f"bytes={SIZE}-,99999-"])
def test_a_range_beyond_the_end_is_416(client: FlaskClient, asked: str) -> None:
    answer = client.get("/a.bin", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=5-4",
        "lines=1-2",
        "bytes=1-2,x",
        "bytes=--5",
        "x" * 99,
    ],
)
def test_what_is_no_range_is_the_whole(client: FlaskClient, asked: str) -> None:
    answer = client.get("/a.bin", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, CONTENT)


def test_a_range_of_head_is_ignored(client: FlaskClient) -> None:
    answer = client.head("/a.bin", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(SIZE))


def parts_of(answer: TestResponse) -> list[tuple[str, str, bytes]]:
    kind, options = parse_options_header(answer.headers["Content-Type"])
    assert kind == "multipart/byteranges"
    boundary = options["boundary"].encode()
    body = answer.data
    assert len(body) == int(answer.headers["Content-Length"])
    before, *parts, end = body.split(b"\r\n--" + boundary)
    assert (before, end) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        found.append((headers["Content-Type"], headers["Content-Range"], content))
    return found


def test_several_ranges_are_the_parts_of_one_body(client: FlaskClient) -> None:
    answer = client.get("/a.bin", headers={"Range": f"bytes=0-1, 500-599,-3,{SIZE + 5}-"})
    assert answer.status_code == 206
    assert "Content-Range" not in answer.headers
    last = SIZE - 3
    assert parts_of(answer) == [
        ("video/mp4", f"bytes 0-1/{SIZE}", CONTENT[:2]),
        ("video/mp4", f"bytes 500-599/{SIZE}", CONTENT[500:600]),
        ("video/mp4", f"bytes {last}-{SIZE - 1}/{SIZE}", CONTENT[last:]),
    ]


def test_one_good_range_among_several_is_one_range(client: FlaskClient) -> None:
    answer = client.get("/a.bin", headers={"Range": f"bytes={SIZE}-,5-9"})
    assert (answer.status_code, answer.data) == (206, CONTENT[5:10])
    assert answer.headers["Content-Range"] == f"bytes 5-9/{SIZE}"


def test_more_than_the_file_is_the_file(client: FlaskClient) -> None:
    for asked in (
        "bytes=0-,0-,0-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(MOST_RANGES + 1)),
    ):
        answer = client.get("/a.bin", headers={"Range": asked})
        assert (answer.status_code, answer.data) == (200, CONTENT)


# Conditions: section 13.2.2 of RFC 9110, row by row.

OTHER = '"0123456789abcdef0123456789abcdef"'


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If-Match": "{etag}"}, 200),
        ({"If-Match": OTHER}, 412),
        ({"If-Match": OTHER + ", {etag}"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "W/{etag}"}, 412),
        ({"If-Match": "{etag}", "If-Unmodified-Since": "{before}"}, 200),
        ({"If-Match": OTHER, "If-Unmodified-Since": "{modified}"}, 412),
        ({"If-Unmodified-Since": "{modified}"}, 200),
        ({"If-Unmodified-Since": "{after}"}, 200),
        ({"If-Unmodified-Since": "{before}"}, 412),
        ({"If-Unmodified-Since": "yesterday"}, 200),
        ({"If-None-Match": "{etag}"}, 304),
        ({"If-None-Match": "W/{etag}"}, 304),
        ({"If-None-Match": OTHER + ", {etag}"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": OTHER}, 200),
        ({"If-None-Match": OTHER, "If-Modified-Since": "{modified}"}, 200),
        ({"If-None-Match": "{etag}", "If-Modified-Since": "{before}"}, 304),
        ({"If-Modified-Since": "{modified}"}, 304),
        ({"If-Modified-Since": "{after}"}, 304),
        ({"If-Modified-Since": "{before}"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": OTHER, "If-None-Match": "{etag}"}, 412),
        ({"If-Match": "{etag}", "If-None-Match": "{etag}"}, 304),
        ({"If-Match": "{etag}", "If-None-Match": OTHER}, 200),
    ],
)
def test_conditions_are_judged_in_their_order(
    client: FlaskClient,
    etag: str,
    modified: str,
    method: str,
    conditions: dict[str, str],
    status: int,
) -> None:
    words = {
        "etag": etag,
        "modified": modified,
        "before": later(modified, -60),
        "after": later(modified, 60),
    }
    headers = {name: value.format(**words) for name, value in conditions.items()}
    answer = getattr(client, method)("/a.bin", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.data == (CONTENT if method == "get" else b"")
    else:
        assert "video/mp4" not in answer.headers.get("Content-Type", "")
    if status == 304:
        assert answer.headers["ETag"] == etag
        assert "Cache-Control" in answer.headers
        assert answer.data == b""


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ("{etag}", 206),
        (OTHER, 200),
        ("W/{etag}", 200),
        ("{modified}", 206),
        ("{before}", 200),
        ("{after}", 200),
        ("nonsense", 200),
    ],
)
@pytest.mark.parametrize("ranges", ["bytes=5-9", "bytes=5-9,20-29"])
@pytest.mark.parametrize("match", [None, "{etag}"])
def test_if_range_wants_the_part_of_one_version_or_the_whole(
    client: FlaskClient,
    etag: str,
    modified: str,
    if_range: str,
    status: int,
    ranges: str,
    match: str | None,
) -> None:
    words = {
        "etag": etag,
        "modified": modified,
        "before": later(modified, -60),
        "after": later(modified, 60),
    }
    headers = {"Range": ranges, "If-Range": if_range.format(**words)}
    if match is not None:
        headers["If-Match"] = match.format(**words)
    answer = client.get("/a.bin", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.data == CONTENT


@pytest.mark.parametrize("ranges", ["bytes=99999999-", "bytes=99999990-99999991,99999999-"])
@pytest.mark.parametrize("match", [{}, {"If-Match": "*"}], ids=["alone", "match"])
@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("kind", ["etag", "date"])
def test_a_range_that_another_version_had_is_no_error(
    client: FlaskClient,
    etag: str,
    modified: str,
    kind: str,
    is_named: bool,
    match: dict[str, str],
    ranges: str,
) -> None:
    named, other = (etag, OTHER) if kind == "etag" else (modified, later(modified, -60))
    asked = {"Range": ranges, "If-Range": named if is_named else other, **match}
    answer = client.get("/a.bin", headers=asked)
    assert answer.status_code == (416 if is_named else 200)
    assert is_named or answer.data == CONTENT


def test_if_range_without_a_range_asks_for_nothing(client: FlaskClient) -> None:
    assert client.get("/a.bin", headers={"If-Range": OTHER}).data == CONTENT


# What a browser may do.


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/png", "inline"),
        ("video/mp4", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("application/pdf", "inline"),
        ("text/html", "attachment"),
        ("TEXT/HTML", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/xhtml+xml", "attachment"),
        ("text/xml", "attachment"),
        ("text/javascript", "attachment"),
        ("application/octet-stream", "attachment"),
        ("nonsense", "attachment"),
    ],
)
def test_what_a_browser_would_run_is_an_attachment(
    files: Storage, content_type: str, kind: str
) -> None:
    files.write("a/b.txt", b"<script>", content_type=content_type, content_disposition="inline")
    answer = serving(files).get("/a/b.txt")
    assert answer.headers["Content-Disposition"].partition(";")[0] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert is_shown(content_type) == (kind == "inline")


def test_a_storage_that_trusts_its_writers_shows_everything() -> None:
    app = Flask("trusting")
    app.config.update(FS_BACKEND="memory", FS_MEMORY_SERVE_INLINE=True)
    pages = Storage("pages", ALL)
    FS(app, pages)
    bound = pages.bound(app)
    bound.write("a.html", b"<b>", content_type="text/html")
    answer = serving(bound).get("/a.html")
    assert answer.headers["Content-Disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("plain.txt", 'filename="plain.txt"'),
        ("folder/plain.txt", 'filename="plain.txt"'),
        (
            "Grüße 50%.txt",
            "filename=\"Gr__e 50_.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%2050%25.txt",
        ),
        ('a"b\\c.txt', "filename=\"a_b_c.txt\"; filename*=UTF-8''a%22b%5Cc.txt"),
        ("a;b.txt", 'filename="a;b.txt"'),
        ("☃", "filename=\"_\"; filename*=UTF-8''%E2%98%83"),
    ],
)
def test_a_name_of_any_characters_is_one_parameter(files: Storage, name: str, encoded: str) -> None:
    files.write(name, b"", content_type="text/plain")
    with Flask("serving").test_request_context():
        answer = files.serve(name)
        assert answer.headers["Content-Disposition"] == f"inline; {encoded}"
        answer = files.serve(name, as_attachment=True)
        assert answer.headers["Content-Disposition"] == f"attachment; {encoded}"
        answer = files.serve(name, download_name="x.txt")
        assert answer.headers["Content-Disposition"] == 'inline; filename="x.txt"'


def test_what_was_stored_with_a_file_is_served_with_it(files: Storage) -> None:
    files.write(
        "a.txt",
        b"text",
        cache_control="public, max-age=60",
        content_disposition='inline; filename="b.txt"',
    )
    answer = serving(files).get("/a.txt")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.headers["Content-Disposition"] == 'inline; filename="b.txt"'


# On Swift.


@pytest.fixture
def on_swift(swift_files: Storage) -> Storage:
    swift_files.write("a.bin", random.Random(5).randbytes(3_000_000), content_type="video/mp4")
    return swift_files


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=5-9"},
        {"If-None-Match": OTHER},
        {"If-None-Match": "*"},
        {"If-Match": OTHER},
        {"Range": "bytes=99999999-"},
    ],
)
def test_a_response_is_one_request(
    on_swift: Storage, swift_faults: Faults, headers: dict[str, str]
) -> None:
    on_swift.exists("a.bin")
    swift_faults.forget()
    assert serving(on_swift).get("/a.bin", headers=headers).data is not None
    assert [asked.method for asked in swift_faults.requests()] == ["GET"]


def test_another_version_than_if_range_names_is_one_request_more(
    on_swift: Storage, swift_faults: Faults
) -> None:
    swift_faults.forget()
    answer = serving(on_swift).get("/a.bin", headers={"Range": "bytes=5-9", "If-Range": OTHER})
    assert (answer.status_code, len(answer.data)) == (200, 3_000_000)
    assert [asked.method for asked in swift_faults.requests()] == ["GET", "GET"]


def test_a_client_that_leaves_gives_the_connection_back(on_swift: Storage) -> None:
    pool = on_swift._mount().backend.pool  # type: ignore[attr-defined]
    for asked in ("bytes=0-", "bytes=5-2000000", "bytes=0-9,500000-2000000"):
        answer = serving(on_swift).get("/a.bin", headers={"Range": asked}, buffered=False)
        chunks = iter(answer.response)
        for _ in range(4):
            next(chunks)
        assert pool.stats().lent == 1
        answer.close()
        assert pool.stats().lent == 0


@pytest.mark.parametrize("is_closed", [True, False])
def test_several_ranges_tell_a_hook_of_what_is_closed_and_not_of_what_is_dropped(
    make_storage: MakeStorage, is_closed: bool
) -> None:
    events: list[Event] = []
    files = make_storage(on_event=events.append)
    files.write("a.bin", bytes(3_000_000))
    with Flask("serving").test_request_context(headers={"Range": "bytes=0-9,500000-2000000"}):
        answer = files.serve("a.bin")
    chunks = iter(answer.response)
    for _ in range(4):
        next(chunks)
    events.clear()
    if is_closed:
        answer.close()
    del answer, chunks
    gc.collect()
    assert [event.operation for event in events] == ["serve"] * is_closed
    assert files._mount().backend.pool.stats().lent == 0  # type: ignore[attr-defined]


def test_a_failure_of_swift_is_the_applications_to_answer(
    on_swift: Storage, swift_faults: Faults
) -> None:
    swift_faults.add("status", method="GET", status=503, times=-1)
    with Flask("serving").test_request_context(), pytest.raises(SwiftUnavailable):
        on_swift.serve("a.bin")


def test_a_file_that_is_replaced_between_its_parts_is_not_mixed(on_swift: Storage) -> None:
    answer = serving(on_swift).get(
        "/a.bin", headers={"Range": "bytes=0-9,2000000-2000009"}, buffered=False
    )
    chunks = iter(answer.response)
    next(chunks)
    next(chunks)
    on_swift.write("a.bin", bytes(3_000_000), overwrite=True)
    with pytest.raises(Exception, match="another version"):
        list(chunks)
    answer.close()


# By the application itself.


def application(**settings: object) -> tuple[Flask, Storage]:
    app = Flask("application")
    app.config.update(FS_BACKEND="memory", FS_SERVE=True, **settings)
    files = Storage("files", ALL)
    FS(app, files)
    with app.app_context():
        for name in NAMES:
            files.write(name, name)
    return app, files


NAMES = ["a.txt", "/a", "a//b", "a/", "Grüße 50% ☃?#&.txt", "a+b"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["/fs", "/media/files"])
def test_url_leads_to_the_file(name: str, prefix: str) -> None:
    app, files = application(FS_PREFIX=prefix)
    with app.test_request_context(base_url="https://example.org/below"):
        url = files.url(name)
        external = files.url(name, external=True)
    assert url.startswith(f"/below{prefix}/files/")
    assert external == f"https://example.org{url}"
    with app.app_context():
        assert app.test_client().get(files.url(name)).data == name.encode()
        assert files.metadata(name)["url"] == files.url(name)


@pytest.mark.parametrize(
    "path", ["/fs/files/absent", "/fs/others/a.txt", "/fs/files/..", "/fs/files/"]
)
def test_what_is_not_there_is_404(path: str) -> None:
    app, _ = application()
    assert app.test_client().get(path).status_code == 404


def test_the_application_decides_who_may_have_a_file() -> None:
    app, files = application()
    asked: list[str] = []

    @files.authorize
    def check(filename: str) -> bool:
        asked.append(filename)
        if "token" not in request.args:
            abort(401)
        return request.args["token"] == "good"

    client = app.test_client()
    assert client.get("/fs/files/a.txt").status_code == 401
    assert client.get("/fs/files/a.txt?token=bad").status_code == 403
    assert client.get("/fs/files/a.txt?token=good").data == b"a.txt"
    assert asked == ["a.txt"] * 3


def test_nothing_is_served_that_is_not_asked_for() -> None:
    app = Flask("application")
    app.config["FS_BACKEND"] = "memory"
    files = Storage("files", ALL)
    FS(app, files)
    with app.app_context():
        files.write("a.txt", b"")
        assert files.metadata("a.txt")["url"] is None
        with pytest.raises(OperationNotSupported, match="FS_SERVE"):
            files.url("a.txt")
    assert app.test_client().get("/fs/files/a.txt").status_code == 404


@pytest.mark.parametrize("prefix", ["fs", "/fs/", "", 5])
def test_a_prefix_that_is_none_is_refused(prefix: object) -> None:
    with pytest.raises(ConfigError, match="FS_PREFIX"):
        application(FS_PREFIX=prefix)


@pytest.mark.parametrize(
    ("key", "value"), [("CACHE_CONTROL", "a\r\nb"), ("CACHE_CONTROL", 5), ("SERVE_INLINE", "yes")]
)
def test_settings_are_checked(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"FS_MEMORY_{key}")):
        application(**{f"FS_MEMORY_{key}": value})


def test_cache_control_is_a_setting() -> None:
    app, _ = application(FS_MEMORY_CACHE_CONTROL="no-store")
    assert app.test_client().get("/fs/files/a.txt").headers["Cache-Control"] == "no-store"
