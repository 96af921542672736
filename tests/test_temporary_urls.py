"""Straight to Swift: what strangers may do with what was signed for them, and nothing else."""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
import requests
import swiftclient
from flask import Flask

from flask_fs_swift import (
    ALL,
    FS,
    IMAGES,
    ConfigError,
    ContainerNotFound,
    FormUpload,
    InvalidName,
    OperationNotSupported,
    RefusedFile,
    Storage,
    SwiftBackend,
    SwiftError,
)
from flask_fs_swift.devserver import DevServer
from flask_fs_swift.forms import MOST_FILES
from flask_fs_swift.signing import LONGEST, Grant, check_key, signed_form, signed_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeStorage

    from flask_fs_swift.devserver import Faults

KEY = "a key of the tests, long enough"
OTHER_KEY = "another key of the tests, as long"
PATIENCE = 20

NAMES = [
    "a.txt",
    "with spaces.txt",
    "50%.txt",
    "%41.txt",
    "\N{PILE OF POO}/Grüße.txt",
    "a//b",
    "a/b//",
    "/at the start",
    "why?.txt",
    "a?temp_url_sig=x&b=c",
    "one#two",
    "a+b&c=d;e.txt",
    "quote\"'s.txt",
]


@pytest.fixture
def files(make_storage: MakeStorage) -> Storage:
    """A storage whose container has the key."""
    storage = make_storage(temporary_url_key=KEY)
    storage.set_temporary_url_key(KEY)
    return storage


def fetch(url: str, method: str = "GET", **more: Any) -> requests.Response:
    more = {"timeout": PATIENCE, "allow_redirects": False, **more}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **more)


def status(url: str, method: str = "GET", **more: Any) -> int:
    return fetch(url, method, **more).status_code


# Temporary URLs.


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_read_and_written(files: Storage, name: str) -> None:
    written = fetch(files.temporary_url(name, 60, "PUT"), "PUT", data=name.encode())
    assert written.status_code == 201
    assert files.read(name) == name.encode()
    read = fetch(files.temporary_url(name, 60))
    assert (read.status_code, read.content) == (200, name.encode())
    assert list(files.list_files()) == [name]


def test_get_is_what_a_url_is_for_and_head_comes_with_it(files: Storage) -> None:
    files.write("a.txt", "text")
    url = files.temporary_url("a.txt")
    assert [status(url, method) for method in ("GET", "HEAD", "PUT", "POST", "DELETE")] == [
        200,
        200,
        401,
        401,
        401,
    ]
    assert files.read("a.txt") == b"text"


def test_a_url_does_what_it_was_signed_for(files: Storage) -> None:
    files.write("a.txt", "text")
    head = files.temporary_url("a.txt", 60, "HEAD")
    assert [status(head, "HEAD"), status(head)] == [200, 401]
    post = files.temporary_url("a.txt", 60, "POST")
    assert status(post, "POST", headers={"X-Object-Meta-Who": "me"}) == 202
    assert files.info("a.txt").metadata == {"who": "me"}
    assert status(files.temporary_url("a.txt", 60, "DELETE"), "DELETE") == 204
    assert "a.txt" not in files


def test_what_is_absent_is_404_with_a_url_and_401_without(files: Storage) -> None:
    url = files.temporary_url("absent")
    assert status(url) == 404
    assert status(url.partition("?")[0]) == 401


def test_a_url_is_for_one_name(files: Storage) -> None:
    files.write("a.txt", "text")
    files.write("b.txt", "text")
    url = files.temporary_url("a.txt")
    assert status(url.replace("a.txt", "b.txt")) == 401


@pytest.mark.parametrize("field", ["temp_url_sig", "temp_url_expires"])
def test_a_url_that_was_changed_is_none(files: Storage, field: str) -> None:
    files.write("a.txt", "text")
    url = files.temporary_url("a.txt")
    last = re.search(rf"{field}=\w+(\w)", url)
    assert last is not None
    other = "1" if last[1] == "0" else "0"
    assert status(url[: last.end() - 1] + other + url[last.end() :]) == 401


def test_a_url_that_has_expired_is_none(files: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("a.txt", "text")
    now = time.time()
    monkeypatch.setattr("flask_fs_swift.swift.time.time", lambda: now - 61)
    assert status(files.temporary_url("a.txt", 90)) == 200
    assert status(files.temporary_url("a.txt", 59)) == 401


@pytest.mark.parametrize("seconds", [1, 1.5, LONGEST])
def test_a_url_is_good_for_no_less_than_was_asked(files: Storage, seconds: float) -> None:
    before = time.time()
    query = parse_qs(urlsplit(files.temporary_url("a.txt", seconds)).query)
    expires = int(query["temp_url_expires"][0])
    assert before + seconds <= expires <= time.time() + seconds + 2


@pytest.mark.parametrize("seconds", [0, 0.9, -1, LONGEST + 1, float("nan"), float("inf")])
def test_a_lifetime_has_limits(files: Storage, seconds: float) -> None:
    with pytest.raises(ValueError, match="1 second to 7 days"):
        files.temporary_url("a.txt", seconds)


@pytest.mark.parametrize("method", ["get", "COPY", "OPTIONS", "", "GET\n0"])
def test_another_method_is_not_signed(files: Storage, method: str) -> None:
    with pytest.raises(ValueError, match="GET, HEAD, PUT, POST, DELETE"):
        files.temporary_url("a.txt", 60, method)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "a\nb", "x" * 1025])
def test_a_name_that_cannot_be_is_not_signed(files: Storage, name: str) -> None:
    with pytest.raises(InvalidName):
        files.temporary_url(name)


def test_swift_signs_no_name_of_slashes(files: Storage) -> None:
    with pytest.raises(OperationNotSupported, match="slashes only"):
        files.temporary_url("//")


# Who may use it.


def test_a_url_for_a_network_works_from_there_alone(files: Storage) -> None:
    files.write("a.txt", "text")
    assert status(files.temporary_url("a.txt", 60, ip_range="127.0.0.1")) == 200
    assert status(files.temporary_url("a.txt", 60, ip_range="127.0.0.0/8")) == 200
    elsewhere = files.temporary_url("a.txt", 60, ip_range="10.0.0.0/8")
    assert status(elsewhere) == 401
    assert status(re.sub("&temp_url_ip_range=[^&]*", "", elsewhere)) == 401
    assert status(elsewhere.replace("10.0.0.0%2F8", "127.0.0.0%2F8")) == 401


@pytest.mark.parametrize("ip_range", ["10.0.0.1/8", "home", "", "1.2.3.4\nGET"])
def test_what_is_no_network_is_refused(files: Storage, ip_range: str) -> None:
    with pytest.raises(ValueError):
        files.temporary_url("a.txt", ip_range=ip_range)


def test_a_url_for_a_folder_is_for_all_below_it(files: Storage) -> None:
    below = ["folder/a.txt", "folder/b ü/c?.txt"]
    for name in [*below, "folder2", "other/a.txt"]:
        files.write(name, name)
    before, _, query = files.temporary_url("folder/", 60, prefix=True).partition("?")
    assert before.endswith("/folder/")
    for name in below:
        answer = fetch(f"{before}{quote(name.removeprefix('folder/'))}?{query}")
        assert (answer.status_code, answer.content) == (200, name.encode())
    assert status(f"{before.removesuffix('/')}2?{query}") == 401
    assert status(f"{before.replace('/folder/', '/other/')}a.txt?{query}") == 401
    widened = query.replace("temp_url_prefix=folder%2F", "temp_url_prefix=")
    assert status(f"{before}a.txt?{widened}") == 401
    assert status(f"{before}a.txt?{query}", "PUT", data=b"") == 401


def test_a_url_for_writing_a_folder_writes_below_it(files: Storage) -> None:
    before, _, query = files.temporary_url("in/", 60, "PUT", prefix=True).partition("?")
    assert status(f"{before}new.txt?{query}", "PUT", data=b"new") == 201
    assert files.read("in/new.txt") == b"new"


def test_a_folder_ends_with_a_slash(files: Storage) -> None:
    with pytest.raises(ValueError, match="'folder/', not 'folder'"):
        files.temporary_url("folder", prefix=True)


# How a browser shows it.


def disposition(url: str) -> str:
    return fetch(url).headers["Content-Disposition"]


def test_a_browser_saves_the_file_under_its_name(files: Storage) -> None:
    files.write("folder/a b.txt", "text")
    assert disposition(files.temporary_url("folder/a b.txt")).startswith('attachment; filename="a')
    named = disposition(files.temporary_url("folder/a b.txt", filename_for_browser='r "ü"; x.pdf'))
    assert named.startswith("attachment; ")
    assert unquote(named.partition("UTF-8''")[2]) == 'r "ü"; x.pdf'


def test_a_browser_may_be_asked_to_show_it(files: Storage) -> None:
    files.write("a.txt", "text")
    assert disposition(files.temporary_url("a.txt", inline=True)) == "inline"
    named = files.temporary_url("a.txt", inline=True, filename_for_browser="b.txt")
    assert disposition(named).startswith('inline; filename="b.txt"')


def test_a_name_for_the_browser_is_a_name(files: Storage) -> None:
    with pytest.raises(InvalidName):
        files.temporary_url("a.txt", filename_for_browser="a\r\nSet-Cookie: x")


# Keys.


def after_a_restart(files: Storage, key: str) -> Storage:
    """The same storage, as another key is in the settings."""
    mount = files._mount()
    assert mount.settings.swift is not None
    settings = replace(mount.settings.swift, temporary_url_key=key)
    login = mount.backend._login  # type: ignore[attr-defined]
    return files._tied_to(replace(mount, backend=SwiftBackend(settings, login)))


def test_both_keys_are_accepted_while_they_change(files: Storage) -> None:
    old, new = files, after_a_restart(files, OTHER_KEY)
    old.write("a.txt", "text")
    urls = [old.temporary_url("a.txt"), new.temporary_url("a.txt")]
    assert [status(url) for url in urls] == [200, 401]
    new.set_temporary_url_key(OTHER_KEY, KEY)
    assert [status(url) for url in urls] == [200, 200]
    new.set_temporary_url_key(OTHER_KEY)
    assert [status(url) for url in urls] == [401, 200]


def test_the_key_of_one_container_opens_no_other(files: Storage, make_storage: MakeStorage) -> None:
    other = make_storage(temporary_url_key=OTHER_KEY)
    other.set_temporary_url_key(OTHER_KEY)
    files.write("a.txt", "text")
    other.write("a.txt", "text")
    assert status(files.temporary_url("a.txt").replace(files.name, other.name)) == 401


def test_setting_a_key_is_two_requests_and_signing_none(
    files: Storage, swift_faults: Faults
) -> None:
    files.set_temporary_url_key(KEY)
    asked = swift_faults.requests()[-2:]
    assert [request.method for request in asked] == ["POST", "HEAD"]
    assert asked[1].token_id is None, "a Keystone would be asked about it"
    swift_faults.forget()
    files.temporary_url("a.txt")
    files.form_upload("in", max_size=1)
    assert swift_faults.requests() == []


def test_the_first_signature_authenticates_once(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage(temporary_url_key=KEY)
    swift_faults.forget()
    for _ in range(3):
        files.temporary_url("a.txt")
    assert [asked.path for asked in swift_faults.requests()] == ["/auth/v1.0"]


def test_setting_a_key_creates_the_container_where_it_may(make_storage: MakeStorage) -> None:
    make_storage().set_temporary_url_key(KEY)
    absent = make_storage(create_container=False)
    with pytest.raises(ContainerNotFound):
        absent.set_temporary_url_key(KEY)


def test_setting_a_key_leaves_the_token_alone(files: Storage, swift_faults: Faults) -> None:
    swift_faults.add("status", method="HEAD", status=401)
    swift_faults.forget()
    with pytest.raises(OperationNotSupported, match="does not accept the key"):
        files.set_temporary_url_key(KEY)
    assert "a.txt" not in files
    assert [asked.method for asked in swift_faults.requests()] == ["POST", "HEAD", "HEAD"]


def test_a_swift_that_takes_no_sha256_is_told_apart(tmp_path: Path) -> None:
    with DevServer.start(tmp_path, settings={"tempurl.allowed_digests": "sha512"}) as server:
        app = Flask("tests")
        app.config.update(
            FS_SWIFT_AUTHURL=server.auth_url,
            FS_SWIFT_USER=server.user,
            FS_SWIFT_KEY=server.key,
            FS_SWIFT_AUTH_VERSION="1",
            FS_SWIFT_CREATE_CONTAINER=True,
        )
        storage = Storage("files", ALL)
        fs = FS(app, storage)
        with pytest.raises(OperationNotSupported, match="SHA-256"):
            storage.bound(app).set_temporary_url_key(KEY)
        fs.close(app)


@pytest.mark.parametrize("key", ["", "short", "x" * 257, " " + KEY, KEY + "\n", "ü" * 20, 7, b"x"])
def test_a_key_that_is_none_is_not_repeated(files: Storage, key: Any) -> None:
    with pytest.raises(ValueError, match="16 to 256 characters") as caught:
        files.set_temporary_url_key(key)
    assert not str(key) or str(key) not in str(caught.value)
    with pytest.raises(ValueError):
        files.set_temporary_url_key(KEY, key)


@pytest.mark.parametrize("key", ["x" * 16, "x" * 256, KEY])
def test_a_key_has_16_to_256_characters(key: str) -> None:
    assert check_key(key) == key


def test_without_a_key_nothing_is_signed(make_storage: MakeStorage) -> None:
    files = make_storage()
    for sign in (
        lambda: files.temporary_url("a.txt"),
        lambda: files.form_upload("in", max_size=1),
    ):
        with pytest.raises(ConfigError, match="not set") as caught:
            sign()
        assert caught.value.key == "FS_SWIFT_TEMPORARY_URL_KEY"


def test_no_key_is_shown_or_logged(
    make_storage: MakeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [secrets.token_urlsafe(24) for _ in range(2)]
    with caplog.at_level(logging.DEBUG):
        files = make_storage(temporary_url_key=keys[0])
        files.set_temporary_url_key(*keys)
        form = files.form_upload("in", max_size=1)
    shown = caplog.text + repr(files._mount()) + repr(form)
    assert "POST" in caplog.text
    for key in keys:
        assert key[:6] not in shown
    assert form.fields["signature"] not in shown


@pytest.mark.parametrize("value", ["s3cret", "s3cret" * 50, b"s3cret", ["s3cret"]])
def test_a_setting_that_is_no_key_is_not_repeated(make_storage: MakeStorage, value: Any) -> None:
    with pytest.raises(ConfigError, match="FS_SWIFT_TEMPORARY_URL_KEY") as caught:
        make_storage(temporary_url_key=value)
    assert caught.value.key == "FS_SWIFT_TEMPORARY_URL_KEY"
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_another_swift_than_version_1_signs_nothing() -> None:
    grant = Grant("GET", 1)
    with pytest.raises(OperationNotSupported, match="version 1"):
        signed_url("https://swift.example/v2/AUTH_a", "c", "a.txt", grant, KEY)
    with pytest.raises(OperationNotSupported, match="version 1"):
        signed_form(
            "https://swift.example/", "c", "a/", KEY,
            redirect=None, max_size=1, max_count=1, expires=1,
        )  # fmt: skip


def test_what_a_gateway_has_before_the_path_is_not_signed() -> None:
    grant = Grant("GET", 1)
    plain = signed_url("https://a.example/v1/AUTH_a%20b", "c", "n", grant, KEY)
    behind = signed_url("https://a.example/swift/v1/AUTH_a%20b", "c", "n", grant, KEY)
    assert behind == plain.replace("/v1/", "/swift/v1/")


# serve.


@pytest.fixture
def app(files: Storage) -> Flask:
    app = Flask("serving")

    @app.get("/<path:name>")
    def serve(name: str) -> Any:
        return files.serve(name, redirect=60)

    @app.get("/pdf/<path:name>")
    def pdf(name: str) -> Any:
        return files.serve(name, redirect=60, download_name="my own.pdf")

    return app


def test_serve_can_send_the_browser_to_swift(
    files: Storage, app: Flask, swift_faults: Faults
) -> None:
    files.write("folder/a ü.html", "<p>", content_disposition="inline")
    swift_faults.forget()
    answer = app.test_client().get("/folder/a ü.html")
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert swift_faults.requests() == []
    sent = fetch(answer.location)
    assert (sent.status_code, sent.content) == (200, b"<p>")
    assert sent.headers["Content-Disposition"].startswith("attachment; ")
    assert sent.headers["Content-Disposition"].endswith("a%20%C3%BC.html")
    part = fetch(answer.location, headers={"Range": "bytes=1-1"})
    assert (part.status_code, part.content) == (206, b"p")
    named = app.test_client().get("/pdf/folder/a ü.html")
    assert fetch(named.location).headers["Content-Disposition"].endswith("my%20own.pdf")


def test_the_redirect_is_for_head_too(files: Storage, app: Flask) -> None:
    files.write("a.txt", "text")
    answer = app.test_client().head("/a.txt")
    assert answer.status_code == 302
    assert fetch(answer.location, "HEAD").headers["Content-Length"] == "4"


def test_what_only_we_write_may_be_shown_by_swift(make_storage: MakeStorage) -> None:
    files = make_storage(temporary_url_key=KEY, serve_inline=True)
    files.set_temporary_url_key(KEY)
    files.write("a.html", "<p>")
    app = Flask("serving")
    with app.test_request_context("/"):
        shown, saved = (
            files.serve("a.html", redirect=60, as_attachment=save) for save in (False, True)
        )
    assert disposition(shown.location or "").startswith("inline; ")
    assert disposition(saved.location or "").startswith("attachment; ")


def test_a_redirect_lasts_as_long_as_a_url(files: Storage) -> None:
    with pytest.raises(ValueError, match="7 days"):
        files.serve("a.txt", redirect=0)


def test_url_stays_as_it_was(make_storage: MakeStorage) -> None:
    files = make_storage(temporary_url_key=KEY, url="https://cdn.example")
    with Flask("tests").test_request_context("/"):
        url = files.url("a.txt", external=True)
    assert url == f"https://cdn.example/{files.name}/a.txt"


def test_a_public_container_has_urls_of_its_own(make_storage: MakeStorage) -> None:
    files = make_storage()
    files.write("a b%20/ü.txt", b"for everybody")
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    backend._container.set_headers({"x-container-read": ".r:*,.rlistings"})
    assert fetch(files.url("a b%20/ü.txt", external=True)).content == b"for everybody"
    with pytest.raises(OperationNotSupported):
        files.url("a b%20/ü.txt")


def test_whether_a_container_is_public_is_asked_once_a_minute(
    make_storage: MakeStorage, swift_faults: Faults
) -> None:
    files = make_storage()
    files.write("a.txt", b"")
    swift_faults.forget()
    for _ in range(3):
        with pytest.raises(OperationNotSupported):
            files.url("a.txt", external=True)
    assert [asked.method for asked in swift_faults.requests()] == ["HEAD"]


def test_an_absent_container_is_not_public(make_storage: MakeStorage) -> None:
    with pytest.raises(ContainerNotFound):
        make_storage(create_container=False).url("a.txt", external=True)


# Forms.


def send(form: FormUpload, *uploads: tuple[str, bytes], **other: str) -> requests.Response:
    """Do as a browser does: the fields, then the files."""
    end = secrets.token_hex(16)
    fields = {**form.fields, **other}
    parts = [
        f'--{end}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts += [
        f'--{end}\r\nContent-Disposition: form-data; name="file{number}"; filename="{name}"\r\n'
        f"Content-Type: text/plain\r\n\r\n".encode()
        + content
        + b"\r\n"
        for number, (name, content) in enumerate(uploads)
    ]
    body = b"".join([*parts, f"--{end}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={end}"}
    return fetch(form.url, "POST", data=body, headers=headers)


def in_container(files: Storage) -> set[str]:
    return set(files.list_files())


def test_a_browser_uploads_straight_to_swift(files: Storage) -> None:
    form = files.form_upload("photos/7", max_size=10, max_count=2)
    sent = send(form, ("a b.TXT", b"one"), ("\N{PILE OF POO}.png", b"0123456789"))
    assert sent.status_code == 201
    done = files.finish_form_upload(form)
    assert done.refused == ()
    first, second = sorted(done.stored, key=lambda name: "a_b" not in name)
    assert first == "photos/7/a_b.txt"
    assert re.fullmatch(r"photos/7/[0-9a-f]{16}\.png", second)
    assert (files.read(first), files.read(second)) == (b"one", b"0123456789")
    assert in_container(files) == {first, second}


def test_the_form_is_what_the_html_needs(files: Storage) -> None:
    form = files.form_upload("in", "https://shop.example/done?a=1", max_size=5, max_count=3)
    assert list(form.fields) == [
        "redirect", "max_file_size", "max_file_count", "expires", "signature", "x_delete_at",
    ]  # fmt: skip
    assert re.fullmatch(r"in/\.uploads/[0-9a-f]{32}-3-5/", form.id)
    assert form.url.endswith(f"/{files.name}/{form.id}")
    assert escape(form.id) == form.id
    assert form.id != files.form_upload("in", max_size=5, max_count=3).id


def test_the_browser_comes_back_with_the_status(files: Storage) -> None:
    form = files.form_upload("in", "https://shop.example/done?a=1", max_size=5)
    answer = send(form, ("a.txt", b"12345"))
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("https://shop.example/done?a=1&status=201")
    assert send(form, ("a.txt", b"1"), redirect="https://evil.example/").status_code == 401


@pytest.mark.parametrize(
    "redirect",
    ["/done", "javascript:x", "https://a.example/-", "https://a b", "https://" + "a" * 4096],
)
def test_a_redirect_that_swift_would_garble_is_refused(files: Storage, redirect: str) -> None:
    with pytest.raises(ValueError, match="redirect must be"):
        files.form_upload("in", redirect, max_size=5)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "../../evil.txt",
        "a/../../../b.txt",
        "sub/a.txt",
        "/a.txt",
        "..",
        ".",
        "..\\a.txt",
    ],
)
def test_a_name_that_leads_elsewhere_reaches_nothing(files: Storage, name: str) -> None:
    files.write("in/evil", "mine")
    files.write("evil.txt", "mine")
    form = files.form_upload("in", max_size=100, max_count=2)
    assert send(form, (name, b"theirs"), ("good.txt", b"good")).status_code == 201
    done = files.finish_form_upload(form.id)
    assert done.stored == ("in/good.txt",)
    assert [refused.reason for refused in done.refused] == ["name"]
    assert in_container(files) == {"in/evil", "evil.txt", "in/good.txt"}
    assert files.read("in/evil") == files.read("evil.txt") == b"mine"


def test_nothing_is_a_file_before_it_was_finished(files: Storage) -> None:
    form = files.form_upload("in", max_size=100)
    send(form, ("a.html", b"<p>"))
    [waiting] = in_container(files)
    assert waiting == f"{form.id}a.html"
    client = Flask("serving")
    client.add_url_rule(
        "/<path:name>", view_func=lambda name: files.serve(name, as_attachment=True)
    )
    assert client.test_client().get(f"/{waiting}").status_code == 404
    files.finish_form_upload(form)
    assert client.test_client().get("/in/a.html").data == b"<p>"


@pytest.mark.parametrize("size", [0, 9, 10, 11, 5000])
def test_a_file_may_be_as_large_as_the_form_says(files: Storage, size: int) -> None:
    form = files.form_upload("", max_size=10)
    assert send(form, ("a.bin", bytes(size))).status_code == (201 if size <= 10 else 400)
    assert files.finish_form_upload(form).stored == (("a.bin",) if size <= 10 else ())
    assert in_container(files) == ({"a.bin"} if size <= 10 else set())


def test_max_size_limits_forms_too(make_storage: MakeStorage) -> None:
    files = make_storage(temporary_url_key=KEY, max_size=7)
    assert files.form_upload("", max_size=10).fields["max_file_size"] == "7"
    assert files.form_upload("", max_size=5).fields["max_file_size"] == "5"


def test_limits_cannot_be_changed(files: Storage) -> None:
    form = files.form_upload("in", max_size=10, max_count=1)
    for changed in (
        {"max_file_size": "99"},
        {"max_file_count": "99"},
        {"expires": str(int(form.fields["expires"]) + 1)},
        {"signature": "0" * 64},
        {"signature": ""},
    ):
        assert send(form, ("a.txt", b"x"), **changed).status_code == 401
    elsewhere = FormUpload(form.id, form.url.replace("/in/", "/up/"), form.fields)
    assert send(elsewhere, ("a.txt", b"x")).status_code == 401
    assert in_container(files) == set()


def test_a_form_that_is_sent_again_brings_no_more_files(files: Storage) -> None:
    form = files.form_upload("in", max_size=10, max_count=2)
    answer = send(form, *[(f"{number}.txt", b"x") for number in range(3)])
    assert answer.status_code == 400
    assert send(form, ("8.txt", b"x"), ("9.txt", b"x")).status_code == 201
    done = files.finish_form_upload(form)
    assert done.stored == ("in/0.txt", "in/1.txt")
    assert done.refused == (RefusedFile("8.txt", "count"), RefusedFile("9.txt", "count"))
    assert in_container(files) == set(done.stored)


def test_a_form_expires(files: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("flask_fs_swift.swift.time.time", lambda: now - 61)
    assert send(files.form_upload("in", max_size=5, expires_in=59), ("a", b"x")).status_code == 401
    assert send(files.form_upload("in", max_size=5, expires_in=90), ("a", b"x")).status_code == 201


def test_extensions_are_those_of_the_storage(files: Storage) -> None:
    files.extensions = frozenset(IMAGES)
    form = files.form_upload("in", max_size=5, max_count=3)
    send(form, ("a.PNG", b"x"), ("b.exe", b"x"), ("c", b"x"))
    done = files.finish_form_upload(form)
    assert done.stored == ("in/a.png",)
    assert done.refused == (RefusedFile("b.exe", "extension"), RefusedFile("c", "extension"))


def test_a_form_overwrites_as_save_does(files: Storage) -> None:
    files.write("in/a.txt", "mine")
    form = files.form_upload("in", max_size=5)
    send(form, ("a.txt", b"new"))
    assert files.finish_form_upload(form).refused == (RefusedFile("a.txt", "exists"),)
    assert files.read("in/a.txt") == b"mine"
    send(form, ("a.txt", b"new"))
    assert files.finish_form_upload(form, overwrite=True).stored == ("in/a.txt",)
    assert files.read("in/a.txt") == b"new"


def test_two_names_that_are_one_when_safe_are_not_merged(files: Storage) -> None:
    form = files.form_upload("in", max_size=5, max_count=2)
    send(form, ("a b.txt", b"one"), ("a_b.txt", b"two"))
    done = files.finish_form_upload(form, overwrite=True)
    assert done.stored == ("in/a_b.txt",)
    assert done.refused == (RefusedFile("a_b.txt", "exists"),)
    assert files.read("in/a_b.txt") == b"one"


def test_what_was_stored_keeps_nothing_of_the_form_but_its_type(files: Storage) -> None:
    """Its expiry and its encoding would be the sender's to choose."""
    form = files.form_upload("in", max_size=5)
    send(form, ("a.txt", b"x"), **{"x_delete_after": "1000", "content-encoding": "gzip"})
    waiting = files.info(f"{form.id}a.txt")
    assert waiting.expires is not None
    files.finish_form_upload(form)
    info = files.info("in/a.txt")
    assert (info.content_type, info.expires, info.content_encoding) == ("text/plain", None, None)
    assert info.metadata == {}


def test_what_nobody_finishes_expires_by_itself(files: Storage) -> None:
    form = files.form_upload("in", max_size=5, expires_in=60)
    send(form, ("a.txt", b"x"))
    expires = files.info(f"{form.id}a.txt").expires
    assert expires is not None
    assert 86400 < expires.timestamp() - time.time() < 86400 + 65


@pytest.mark.parametrize(("method", "skip"), [("COPY", 0), ("DELETE", 0), ("DELETE", 1)])
@pytest.mark.parametrize("action", ["status", "after_status"])
def test_a_finish_that_failed_may_be_repeated(
    make_storage: MakeStorage, swift_faults: Faults, method: str, skip: int, action: Any
) -> None:
    """What was copied before the failure is known to be the form's own."""
    files = make_storage(temporary_url_key=KEY, retries=0)
    files.set_temporary_url_key(KEY)
    form = files.form_upload("in", max_size=5, max_count=2)
    send(form, ("a.txt", b"one"), ("b.txt", b"two"))
    swift_faults.add(action, method=method, skip=skip)
    with pytest.raises(SwiftError):
        files.finish_form_upload(form)
    again = files.finish_form_upload(form)
    assert again.refused == ()
    assert in_container(files) == {"in/a.txt", "in/b.txt"}
    if method == "COPY":
        assert again.stored == ("in/a.txt", "in/b.txt")


def test_what_a_finish_asks_of_swift(files: Storage, swift_faults: Faults) -> None:
    form = files.form_upload("in", max_size=5, max_count=3)
    send(form, ("a.txt", b"one"), ("../b", b"two"), ("../c", b"two"))
    files.delete("absent")  # So it is known that there are no large objects.
    swift_faults.forget()
    files.finish_form_upload(form)
    asked = [(asked.method, "in/a.txt" in unquote(asked.path)) for asked in swift_faults.requests()]
    listing, copying = [("GET", False)] * 2, [("HEAD", False), ("HEAD", True), ("COPY", False)]
    assert asked == [*listing, *copying, ("DELETE", False), ("POST", False)]


def test_a_listing_that_lags_is_no_harm(files: Storage, swift_faults: Faults) -> None:
    form = files.form_upload("in", max_size=5)
    send(form, ("a.txt", b"one"))
    swift_faults.add("stale_listing", names=[f"{form.id}a.txt"], times=2)
    assert files.finish_form_upload(form).stored == ()
    swift_faults.clear()
    assert files.finish_form_upload(form).stored == ("in/a.txt",)


def test_a_swift_that_deletes_no_impossible_names_stores_the_good_ones(
    files: Storage, swift_faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    form = files.form_upload("in", max_size=5, max_count=2)
    send(form, ("../b.txt", b"one"), ("a.txt", b"two"))
    swift_faults.add("status", method="POST", path="bulk-delete", status=405)
    done = files.finish_form_upload(form)
    assert (done.stored, done.refused) == (("in/a.txt",), (RefusedFile("../b.txt", "name"),))
    assert "1 upload(s) with impossible names" in caplog.text


@pytest.mark.parametrize(
    "upload",
    [
        "",
        "in/",
        "in/.uploads/",
        "in/.uploads/" + "0" * 32 + "/",
        "in/.uploads/" + "0" * 32 + "-1-1",
        "in/.uploads/" + "0" * 32 + "-0-1/",
        "in/.uploads/" + "0" * 32 + "-1-1/x",
        "in/.uploads/" + "0" * 32 + "-1-1/x/.uploads/" + "1" * 32 + "-9-9/",
        ".uploads/x/.uploads/" + "1" * 32 + "-9-9/",
    ],
)
def test_what_is_no_upload_is_refused(files: Storage, upload: str) -> None:
    with pytest.raises(InvalidName, match="no form upload"):
        files.finish_form_upload(upload)


def test_an_upload_that_nobody_made_is_empty(files: Storage) -> None:
    """A browser that changes the limits in an id names another folder."""
    form = files.form_upload("in", max_size=5)
    send(form, ("a.txt", b"one"))
    forged = files.finish_form_upload(form.id.replace("-1-5/", "-9-999/"))
    assert (forged.stored, forged.refused) == ((), ())
    assert files.finish_form_upload(form).stored == ("in/a.txt",)


def test_a_form_puts_files_where_save_would(files: Storage) -> None:
    files.upload_to = lambda: "today/"
    assert files.form_upload("in/", max_size=1).id.startswith("today/in/.uploads/")
    assert files.form_upload(lambda: "x", max_size=1).id.startswith("today/x/.uploads/")
    files.upload_to = None
    assert files.form_upload(max_size=1).id.startswith(".uploads/")


@pytest.mark.parametrize("prefix", ["../up", "a/./b", "x" * 1000, "in/.uploads", ".uploads/x"])
def test_no_form_is_for_an_impossible_folder(files: Storage, prefix: str) -> None:
    with pytest.raises(InvalidName):
        files.form_upload(prefix, max_size=1)


@pytest.mark.parametrize("size", [0, -1, 10**19])
def test_a_size_has_limits(files: Storage, size: int) -> None:
    with pytest.raises(ValueError, match="max_size"):
        files.form_upload("in", max_size=size)


def test_a_number_of_files_has_limits(files: Storage) -> None:
    for count in (1, MOST_FILES):
        assert files.form_upload("in", max_size=1, max_count=count).fields["max_file_count"]
    for count in (0, MOST_FILES + 1):
        with pytest.raises(ValueError, match="max_count"):
            files.form_upload("in", max_size=1, max_count=count)


# CORS.

ORIGIN = "https://shop.example"


def preflight(url: str, origin: str) -> requests.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    return fetch(url, "OPTIONS", headers=asked)


def test_a_page_of_another_origin_may_be_let_in(files: Storage) -> None:
    files.write("a.txt", "text")
    url = files.temporary_url("a.txt")
    assert preflight(url, ORIGIN).status_code == 401
    files.set_cors([ORIGIN, "http://localhost:5000"], max_age=60, expose_headers=["X-Own"])
    let_in = preflight(url, ORIGIN)
    assert (let_in.status_code, let_in.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert let_in.headers["Access-Control-Max-Age"] == "60"
    read = fetch(url, headers={"Origin": "http://localhost:5000"})
    assert read.headers["Access-Control-Allow-Origin"] == "http://localhost:5000"
    assert "x-own" in read.headers["Access-Control-Expose-Headers"]
    assert preflight(url, "https://evil.example").status_code == 401
    stranger = fetch(url, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_every_page_may_be_let_in_and_none(files: Storage) -> None:
    url = files.temporary_url("a.txt")
    files.set_cors("*", max_age=60)
    assert preflight(url, ORIGIN).headers["Access-Control-Allow-Origin"] == "*"
    files.set_cors([])
    assert preflight(url, ORIGIN).status_code == 401


def test_setting_cors_leaves_the_keys(files: Storage) -> None:
    files.set_cors([ORIGIN])
    assert status(files.temporary_url("a.txt")) == 404
    files.set_temporary_url_key(KEY)
    assert preflight(files.temporary_url("a.txt"), ORIGIN).status_code == 200


def test_a_script_sees_what_became_of_its_form(files: Storage) -> None:
    files.set_cors([ORIGIN])
    form = files.form_upload("in", max_size=5)
    end = "x"
    body = "".join(
        f'--{end}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.fields.items()
    ) + (f'--{end}\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--{end}--')
    headers = {"Origin": ORIGIN, "Content-Type": f"multipart/form-data; boundary={end}"}
    answer = fetch(form.url, "POST", data=body.encode(), headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/", "https://a b", "https://a,https://b", ""]
)
def test_what_is_no_origin_is_refused(files: Storage, origin: str) -> None:
    with pytest.raises(ValueError, match="not an origin"):
        files.set_cors([origin])


def test_other_arguments_of_cors_are_checked(files: Storage) -> None:
    with pytest.raises(ValueError, match="name of a header"):
        files.set_cors([ORIGIN], expose_headers=["X Own"])
    with pytest.raises(ValueError, match="max_age"):
        files.set_cors([ORIGIN], max_age=-1)


# Elsewhere.


def test_memory_is_out_of_reach(memory_files: Storage) -> None:
    form = ".uploads/" + "0" * 32 + "-1-1/"
    for ask in (
        lambda: memory_files.temporary_url("a.txt"),
        lambda: memory_files.form_upload("in", max_size=1),
        lambda: memory_files.finish_form_upload(form),
        lambda: memory_files.set_temporary_url_key(KEY),
        lambda: memory_files.set_cors([ORIGIN]),
        lambda: memory_files.serve("a.txt", redirect=60),
    ):
        with pytest.raises(OperationNotSupported, match="not on Swift"):
            ask()


@pytest.fixture
def other_program(swift_server: DevServer) -> Iterator[Any]:
    connection: Any = swiftclient.Connection(  # type: ignore[call-arg]
        authurl=swift_server.auth_url, user=swift_server.user, key=swift_server.key
    )
    yield connection
    connection.close()


def test_the_keys_are_where_other_programs_find_them(files: Storage, other_program: Any) -> None:
    files.set_temporary_url_key(KEY, OTHER_KEY)
    headers = other_program.head_container(files.name)
    header = "x-container-meta-temp-url-key"
    assert (headers[header], headers[f"{header}-2"]) == (KEY, OTHER_KEY)
    files.set_temporary_url_key(OTHER_KEY)
    headers = other_program.head_container(files.name)
    assert headers[header] == OTHER_KEY
    assert f"{header}-2" not in headers
