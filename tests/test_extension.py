"""FS and Storage in an application: registration, contexts, uploads, addresses, events."""

from __future__ import annotations

import io
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, has_app_context, request
from werkzeug.datastructures import FileStorage

from flask_fs_swift import (
    ALL,
    DEFAULTS,
    EXECUTABLES,
    FS,
    IMAGES,
    NONE,
    SCRIPTS,
    TEXT,
    AllExcept,
    ConfigError,
    Event,
    FileExists,
    FileNotFound,
    FSError,
    InvalidName,
    OperationNotSupported,
    Storage,
    SwiftBackend,
    UnauthorizedFileType,
    UploadNotAllowed,
    by_name,
    init_app,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeStorage


def memory_app(*storages: Storage, **config: object) -> Flask:
    app = Flask("tests")
    app.config.update(FS_BACKEND="memory", **config)
    init_app(app, *storages)
    return app


# Registration.


def test_storages_can_be_registered_in_each_of_the_usual_ways() -> None:
    files, avatars, papers = Storage("files"), Storage("avatars"), Storage("papers")
    app = Flask("tests")
    app.config["FS_BACKEND"] = "memory"
    fs = FS(app, files)
    fs.init_app(app, avatars)
    init_app(app, papers)
    with app.app_context():
        assert [by_name(name) for name in ("files", "avatars", "papers")] == [
            files,
            avatars,
            papers,
        ]
    later = FS(None, files)
    other = Flask("other")
    other.config["FS_BACKEND"] = "memory"
    later.init_app(other, avatars)
    with other.app_context():
        assert (by_name("files"), by_name("avatars")) == (files, avatars)


def test_registering_twice_is_an_error_that_says_so() -> None:
    files = Storage("files")
    app = memory_app(files)
    for again in (files, Storage("files")):
        with pytest.raises(ConfigError, match="'files' is registered with this application twice"):
            init_app(app, again)


def test_a_storage_that_is_not_registered_says_what_to_call() -> None:
    app, other = memory_app(Storage("other")), Flask("empty")
    with app.app_context(), pytest.raises(ConfigError, match=r"call FS\(app, files\)"):
        Storage("files").exists("a")
    with pytest.raises(ConfigError, match="not registered"):
        Storage("files").bound(other)
    with app.app_context(), pytest.raises(ConfigError, match=r"no storage 'files', only \['other"):
        by_name("files")
    with other.app_context(), pytest.raises(ConfigError, match="no storage is registered"):
        by_name("files")


def test_one_storage_serves_two_applications_at_once() -> None:
    files = Storage("files")
    one, two = memory_app(files), memory_app(files)
    with one.app_context():
        files.write("a.txt", "one")
        with two.app_context():
            assert not files.exists("a.txt")
            files.write("a.txt", "two")
        assert files.read("a.txt") == b"one"
    assert files.bound(two).read("a.txt") == b"two"


def test_a_bound_storage_works_without_a_context_and_pushes_none() -> None:
    files = Storage("files")
    bound = files.bound(memory_app(files))
    bound.write("a.txt", "text")
    assert bound.read("a.txt") == b"text"
    assert not has_app_context()
    with pytest.raises(RuntimeError, match="application context"):
        files.read("a.txt")


def test_no_operation_pushes_or_pops_an_application_context(
    swift_settings: dict[str, Any],
) -> None:
    app = Flask("tests")
    app.config.update(swift_settings)
    files = Storage(f"t{secrets.token_hex(6)}", ALL)
    fs = FS(app, files)
    ended: list[object] = []
    app.teardown_appcontext(ended.append)
    with app.app_context():
        files.write("a.txt", "text")
        files.read("a.txt")
        with files.open("b.txt", "w") as file:
            file.write("x")
        list(files.list_files())
        files.metadata("a.txt")
        assert ended == []
    fs.close(app)


def test_a_file_opened_in_a_view_is_stored_where_it_was_opened() -> None:
    files = Storage("files")
    app = memory_app(files)
    with app.app_context():
        file = files.open("a.txt", "w")
    file.write("text")
    file.close()
    assert files.bound(app).read("a.txt") == b"text"


def test_a_stream_outlives_the_context_it_was_opened_in() -> None:
    files = Storage("files")
    app = memory_app(files)

    @app.get("/<name>")
    def download(name: str) -> Any:
        stream = files.read_chunks(name, 3)
        return app.response_class(stream, mimetype=stream.info.content_type)

    files.bound(app).write("a.txt", "content")
    response = app.test_client().get("/a.txt")
    assert response.data == b"content"
    assert response.mimetype == "text/plain"


# Logins.


def storages_on_swift(
    settings: dict[str, Any], names: tuple[str, ...] = ("one", "two"), **more: object
) -> tuple[Flask, FS, list[Storage]]:
    app = Flask("tests")
    app.config.update(settings, **more)
    storages = [Storage(name, ALL) for name in names]
    return app, FS(app, *storages), [storage.bound(app) for storage in storages]


def backend_of(storage: Storage) -> SwiftBackend:
    backend = storage._mount().backend
    assert isinstance(backend, SwiftBackend)
    return backend


def test_storages_with_one_login_share_a_pool_and_a_token(
    swift_settings: dict[str, Any], swift_faults: Any
) -> None:
    app, fs, (one, two) = storages_on_swift(swift_settings)
    swift_faults.forget()
    assert backend_of(one).pool is backend_of(two).pool
    one.write("a.txt", "1", overwrite=True)
    two.write("a.txt", "2", overwrite=True)
    logins = [r for r in swift_faults.requests() if r.path.startswith("/auth")]
    assert len(logins) == 1
    assert backend_of(one).pool.stats().lent == 0
    fs.close(app)


def test_one_login_with_two_pools_is_an_error(swift_settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one login has one pool"):
        storages_on_swift(swift_settings, TWO_FS_POOL_SIZE=3)


def test_other_credentials_have_a_pool_of_their_own(swift_settings: dict[str, Any]) -> None:
    _, _, (one, two) = storages_on_swift(swift_settings, TWO_FS_USER="test:other")
    assert backend_of(one).pool is not backend_of(two).pool


def test_close_drains_and_closes_and_the_storage_is_not_used_after_it(
    swift_settings: dict[str, Any],
) -> None:
    app, fs, (one, _) = storages_on_swift(swift_settings)
    one.write("a.txt", b"x" * 1_000_000, overwrite=True)
    stream = one.read_chunks("a.txt", 1000)
    next(stream)
    fs.close(app, timeout=0.01)
    assert sum(map(len, stream)) == 999_000
    stats = backend_of(one).pool.stats()
    assert (stats.idle, stats.lent) == (0, 0)
    with pytest.raises(FSError, match="closed"):
        one.read("a.txt")


# Uploads.


def upload(name: str | None, content: bytes = b"content", kind: str | None = None) -> FileStorage:
    return FileStorage(io.BytesIO(content), name, content_type=kind)


def test_an_uploaded_file_gets_a_safe_name() -> None:
    files = Storage("files", ALL)
    with memory_app(files).app_context():
        assert files.save(upload("../../etc/Some File.TXT")) == "etc_Some_File.txt"
        assert files.save(upload("C:\\evil\\x.txt")) == "Cevilx.txt"
        assert re.fullmatch(r"[0-9a-f]{16}\.pdf", files.save(upload("报告.pdf")))
        for name in (None, ""):
            with pytest.raises(InvalidName, match="no file name"):
                files.save(upload(name))


def test_a_name_that_is_given_is_used_as_it_is() -> None:
    files = Storage("files", TEXT)
    with memory_app(files).app_context():
        assert files.save(upload("x.exe"), "folder/a b.txt") == "folder/a b.txt"


def test_folders_come_before_the_name() -> None:
    files = Storage("files", TEXT, upload_to=lambda: "2026/")
    with memory_app(files).app_context():
        assert files.save(upload("a.txt"), prefix="users/7") == "2026/users/7/a.txt"
        assert files.save(upload("a.txt"), prefix=lambda: "b") == "2026/b/a.txt"
        assert files.save(upload("a.txt")) == "2026/a.txt"
        assert files.exists("2026/users/7/a.txt")


def test_saving_keeps_the_content_type_and_leaves_the_file_open() -> None:
    files = Storage("files", ALL)
    with memory_app(files).app_context():
        source = upload("a.txt", kind="text/x-odd; charset=utf-8")
        files.save(source)
        assert not source.stream.closed
        assert files.info("a.txt").content_type == "text/x-odd; charset=utf-8"
        files.save(upload("b.txt", kind="text/\x00ü"))
        assert files.info("b.txt").content_type == "text/plain"
        files.save(io.BytesIO(b"x"), "c.png")
        assert files.info("c.png").content_type == "image/png"


def test_saving_does_not_overwrite_unless_asked() -> None:
    for storage_says in (True, False):
        files = Storage("files", TEXT, overwrite=storage_says)
        with memory_app(files).app_context():
            files.save(upload("a.txt", b"1"))
            with pytest.raises(FileExists):
                files.save(upload("a.txt", b"2"), overwrite=False)
            files.save(upload("a.txt", b"3"), overwrite=True)
            assert files.read("a.txt") == b"3"


@pytest.mark.parametrize(
    ("extensions", "config", "name", "taken"),
    [
        (DEFAULTS, {}, "a.txt", True),
        (DEFAULTS, {}, "a.TXT", True),
        (DEFAULTS, {}, "a.exe", False),
        (DEFAULTS, {}, "a", False),
        (ALL, {}, "a", True),
        (ALL, {}, "a.exe", True),
        (NONE, {}, "a.txt", False),
        (NONE, {"allow": ["txt"]}, "a.txt", True),
        (IMAGES, {"allow": ["txt"]}, "a.png", True),
        (ALL, {"deny": ["exe"]}, "a.exe", False),
        (ALL, {"deny": ["exe"], "allow": ["exe"]}, "a.exe", False),
        (ALL, {"deny": ["php"]}, "a.php.jpg", False),
        (AllExcept(SCRIPTS + EXECUTABLES), {}, "a.png", True),
        (AllExcept(SCRIPTS + EXECUTABLES), {}, "a.py", False),
        (AllExcept(SCRIPTS + EXECUTABLES), {}, "a.php.png", False),
        (AllExcept(SCRIPTS), {"allow": ["py"]}, "a.py", False),
        (DEFAULTS, {}, "v1.2.txt", True),
        (TEXT, {}, ".txt", True),
    ],
)
def test_extensions_are_allowed_and_denied_and_deny_wins(
    extensions: Any, config: dict[str, Any], name: str, taken: bool
) -> None:
    files = Storage("files", extensions)
    settings = {f"FILES_FS_{key.upper()}": value for key, value in config.items()}
    with memory_app(files, **settings).app_context():
        if taken:
            assert files.save(upload("x.y"), name) == name
            return
        with pytest.raises(UnauthorizedFileType) as caught:
            files.save(upload("x.y"), name)
        assert isinstance(caught.value, UploadNotAllowed)
        assert list(files.list_files()) == []


def test_an_extension_can_be_asked_about() -> None:
    files = Storage("files", IMAGES)
    with memory_app(files).app_context():
        assert files.extension_allowed("png")
        assert not files.extension_allowed("exe")


def test_a_request_body_can_be_stored(make_storage: MakeStorage) -> None:
    files = make_storage()
    app = Flask("uploads")

    @app.put("/<name>")
    def put(name: str) -> str:
        files.write(name, request.stream)
        return ""

    @app.post("/")
    def post() -> str:
        return files.save(request.files["file"])

    content = bytes(range(256)) * 20_000
    client = app.test_client()
    assert client.put("/a.bin", data=content).status_code == 200
    assert files.read("a.bin") == content
    small = content[:100_000]  # What is longer Werkzeug's client leaves in an open file.
    form = {"file": (io.BytesIO(small), "b.bin", "application/x-odd")}
    assert client.post("/", data=form).text == "b.bin"
    assert files.read("b.bin") == small
    assert files.info("b.bin").content_type == "application/x-odd"


# Addresses.


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"FILES_FS_URL": "https://cdn.example/f"}, "https://cdn.example/f/a%20b/%C3%BC%25.txt"),
        ({"FS_MEMORY_URL": "https://cdn.example"}, "https://cdn.example/files/a%20b/%C3%BC%25.txt"),
        ({"FILES_FS_URL": "/static/"}, "/static/a%20b/%C3%BC%25.txt"),
    ],
)
def test_an_address_is_the_base_and_the_encoded_name(config: dict[str, Any], url: str) -> None:
    files = Storage("files", ALL)
    app = memory_app(files, **config)
    with app.app_context():
        files.write("a b/ü%.txt", b"")
        assert files.url("a b/ü%.txt") == url
        assert files.metadata("a b/ü%.txt")["url"] == url
    with app.test_request_context(base_url="https://site.example"):
        external = url if url.startswith("https") else "https://site.example" + url
        assert files.url("a b/ü%.txt", external=True) == external


def test_without_a_base_there_is_no_address() -> None:
    files = Storage("files")
    app = memory_app(files)
    with app.app_context(), pytest.raises(OperationNotSupported, match="FILES_FS_URL"):
        files.url("a.txt")


# Events.


def test_every_operation_tells_what_it_did(make_storage: MakeStorage) -> None:
    events: list[Event] = []
    files = make_storage(on_event=events.append)
    verbs: list[tuple[Callable[[], object], str, int, str]] = [
        (lambda: files.write("a.txt", b"content"), "write", 7, "ok"),
        (lambda: files.write("a.txt", b"content"), "write", 0, "FileExists"),
        (lambda: files.read("a.txt"), "read", 7, "ok"),
        (lambda: files.read("absent"), "read", 0, "FileNotFound"),
        (lambda: list(files.read_chunks("a.txt", 2)), "read_chunks", 7, "ok"),
        (lambda: files.read_chunks("absent"), "read_chunks", 0, "FileNotFound"),
        (lambda: files.exists("a.txt"), "exists", 0, "ok"),
        (lambda: files.info("a.txt"), "info", 0, "ok"),
        (lambda: files.copy("a.txt", "b.txt"), "copy", 0, "ok"),
        (lambda: files.set_metadata("a.txt", {}), "set_metadata", 0, "ok"),
        (lambda: list(files.list_files()), "list", 0, "ok"),
        (lambda: files.delete("a.txt"), "delete", 0, "ok"),
    ]
    for verb, operation, size, outcome in verbs:
        events.clear()
        try:
            verb()
        except FSError as error:
            assert type(error).__name__ == outcome  # noqa: PT017
        told = [event for event in events if event.operation != "checkout"]
        assert [(e.operation, e.storage, e.bytes, e.outcome) for e in told] == [
            (operation, files.name, size, outcome)
        ]
        assert told[0].seconds > 0
        assert any(event.operation == "checkout" for event in events)


def test_a_half_read_stream_tells_how_far_it_came(make_storage: MakeStorage) -> None:
    events: list[Event] = []
    files = make_storage(on_event=events.append)
    files.write("a.txt", b"content")
    with files.read_chunks("a.txt", 2) as stream:
        next(stream)
    assert (events[-1].operation, events[-1].bytes, events[-1].outcome) == ("read_chunks", 2, "ok")


def test_a_hook_that_fails_harms_nothing(
    make_storage: MakeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(event: Event) -> None:
        raise ZeroDivisionError(event.operation)

    files = make_storage(on_event=hook)
    files.write("a.txt", b"content")
    assert files.read("a.txt") == b"content"
    with pytest.raises(FileNotFound):
        files.read("absent")
    assert "the event hook failed" in caplog.text
