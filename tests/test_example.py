"""The example, as its visitors meet it: a server process, a page, its links and its forms."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import pytest
import requests
from flask import Flask
from werkzeug.http import parse_options_header

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.devserver.locks import is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.devserver import Faults

EXAMPLE = Path(__file__).parent.parent / "examples" / "files"
PATIENCE = 15.0  # seconds
MIB = 1024 * 1024

STRANGE_NAMES = [
    "a b.txt",
    "100%.txt",
    "%41%2e%2e",
    "why?.txt",
    "#1.txt",
    "a+b=c&d;e.txt",
    "'single' \"double\"",
    "<b>&amp;.html",
    "报告 🎉.pdf",
    "...",
]

#: Names that no form sends, and other programs can store.
STRANGER_NAMES = ["/leading", "//two", "a//b", "trailing/", "a/..b/c", "back\\slash", "x\u2028y"]


class Page(HTMLParser):
    """What a visitor sees of a page: its text, its links, and its forms by their address."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: list[dict[str, str]] = []
        self._base = response.url
        self._link: str | None = None
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link = urljoin(self._base, given["href"])
        elif tag == "form":
            self.forms.append({"action": urljoin(self._base, given["action"])})
        elif tag == "input" and given.get("type") != "checkbox":
            self.forms[-1][given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._link is not None:
            self.links[self.links.get(data, data)] = self._link


class Visitor:
    """A browser, as far as it matters: it follows links, and sends forms as they are."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._session.get(urljoin(self.url, url), timeout=PATIENCE, **options)

    def open(self, url: str = "/") -> Page:
        return Page(self.get(url))

    def upload(self, *files: tuple[str, bytes], folder: str = "", **ticked: str) -> Page:
        form = self.open(f"/?folder={folder}").forms[0]
        fields = {"folder": form["folder"], **ticked}
        return self._send(form["action"], fields, [("files", file) for file in files])

    def bring(self, archive: bytes, folder: str = "", **ticked: str) -> Page:
        form = next(form for form in self.open("/").forms if "archive" in form)
        fields = {"folder": folder, **ticked}
        return self._send(form["action"], fields, [("archive", ("a.zip", archive))])

    def delete(self, page: Page, name: str) -> Page:
        form = next(form for form in page.forms if form.get("name") == name)
        return self._send(form["action"], {"name": name}, None)

    def _send(self, url: str, fields: dict[str, str], files: Any) -> Page:
        headers = {"Origin": self.url}
        return Page(self._session.post(url, fields, files=files, headers=headers, timeout=PATIENCE))

    def close(self) -> None:
        self._session.close()


@contextmanager
def served(example: Path, settings: dict[str, object], end: int) -> Iterator[Visitor]:
    """Run the example in a server process, as its README says, until the block ends."""
    environment = {name: value for name, value in os.environ.items() if name[:6] != "FLASK_"}
    environment |= {f"FLASK_{key}": json.dumps(value) for key, value in settings.items()}
    command = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        str(example / "app.py"),
        "run",
        "--port",
        "0",
    ]
    # Where a shell has started us in the background, children would ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    with process.stderr as said:
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in said)))
        drain = subprocess.Popen(["cat"], stdin=said, stdout=subprocess.DEVNULL)
    visitor = Visitor(found.group())
    try:
        yield visitor
    finally:
        visitor.close()
        process.send_signal(end)
        process.wait(PATIENCE)
        drain.wait(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


CONTAINER = f"t{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def swift_of_the_run(swift_server: Any) -> dict[str, object]:
    """The settings of the Swift of the run, for a process of its own."""
    return {
        "FS_SWIFT_AUTHURL": swift_server.auth_url,
        "FS_SWIFT_USER": swift_server.user,
        "FS_SWIFT_KEY": swift_server.key,
        "FS_SWIFT_AUTH_VERSION": getattr(swift_server, "auth_version", "1"),
        "FS_SWIFT_OS_OPTIONS": dict(getattr(swift_server, "os_options", {})),
    }


@pytest.fixture(scope="module")
def visitor(swift_of_the_run: dict[str, object]) -> Iterator[Visitor]:
    """A visitor of the example, which stores in the Swift of the run."""
    settings = {
        **swift_of_the_run,
        "FILES_FS_CONTAINER": CONTAINER,
        "FS_SWIFT_MAX_SIZE": 6 * MIB,
        "FS_SWIFT_POOL_SIZE": 2,
        "FS_SWIFT_POOL_TIMEOUT": 5,
        "FS_SWIFT_RETRIES": 0,
    }
    with served(EXAMPLE, settings, signal.SIGTERM) as someone:
        yield someone


@pytest.fixture
def stored(swift_of_the_run: dict[str, object]) -> Iterator[Storage]:
    """The same container, seen from a program."""
    app = Flask("tests")
    app.config.from_mapping(
        swift_of_the_run, FILES_FS_CONTAINER=CONTAINER, FS_SWIFT_CREATE_CONTAINER=True
    )
    files = Storage("files", ALL)
    fs = FS(app, files)
    yield files.bound(app)
    fs.close(app)


def test_files_are_uploaded_listed_downloaded_and_deleted(visitor: Visitor) -> None:
    files = {"a.txt": b"text\r\n", "b.bin": os.urandom(5 * MIB + 1), "empty.bin": b""}
    page = visitor.upload(*files.items(), folder="round/trip")
    assert page.status == 200
    assert page.links["trip"].endswith("folder=round/trip/")
    for name, content in files.items():
        response = visitor.get(page.links[name])
        assert response.content == content
        assert response.headers["Content-Length"] == str(len(content))
    assert "5.24 MB" in page.text
    for name in files:
        page = visitor.delete(page, f"round/trip/{name}")
    assert "Nothing is here yet" in page.text
    assert visitor.get(f"/files/round/trip/{name}").status_code == 404


@pytest.fixture
def swift_command(swift_of_the_run: dict[str, Any]) -> Callable[..., None]:
    """The ``swift`` of python-swiftclient, which knows nothing of us."""
    settings = swift_of_the_run
    options = [
        *("--auth", settings["FS_SWIFT_AUTHURL"], "--user", settings["FS_SWIFT_USER"]),
        *("--key", settings["FS_SWIFT_KEY"], "--auth-version", settings["FS_SWIFT_AUTH_VERSION"]),
    ]
    for name, value in settings["FS_SWIFT_OS_OPTIONS"].items():
        options += [f"--os-{name.replace('_', '-')}", value]

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "swiftclient.shell", *options, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)

    return run


def test_what_is_uploaded_here_the_swift_command_downloads_and_the_other_way_round(
    visitor: Visitor, swift_command: Callable[..., None], tmp_path: Path
) -> None:
    content = os.urandom(5 * MIB + 17)
    ours, theirs, received = tmp_path / "ours", tmp_path / "theirs", tmp_path / "received"
    ours.write_bytes(content)
    theirs.write_bytes(content[::-1])

    assert visitor.upload(("Größe 1.bin", content), folder="to swift").status == 200
    swift_command("download", CONTAINER, "to swift/Größe 1.bin", "--output", str(received))
    assert received.read_bytes() == content

    swift_command("upload", CONTAINER, str(theirs), "--object-name", "from swift/Größe 2.bin")
    page = visitor.open("/?folder=from swift/")
    assert visitor.get(page.links["Größe 2.bin"]).content == content[::-1]


def test_files_keep_the_strange_names_that_browsers_send(visitor: Visitor) -> None:
    files = {name: name.encode() for name in STRANGE_NAMES}
    page = visitor.upload(*files.items(), folder="strange ☃")
    assert page.status == 200
    for name, content in files.items():
        response = visitor.get(page.links[name])
        assert response.content == content
        assert _saved_as(response) == name


def test_names_that_only_programs_use_are_linked_and_deleted(
    visitor: Visitor, stored: Storage
) -> None:
    for name in STRANGER_NAMES:
        stored.write(name, name)
        folder = name[: name.rstrip("/").rfind("/") + 1]
        page = Page(visitor.get("/", params={"folder": folder}))
        link = next((url for url in page.links.values() if "/files/" in url), None)
        if link is None:  # A name with a final slash is listed in the folder that it names.
            page = Page(visitor.get("/", params={"folder": name}))
            link = next(url for url in page.links.values() if "/files/" in url)
        assert visitor.get(link).text == name
        visitor.delete(page, name)
        assert not stored.exists(name)


def _saved_as(response: requests.Response) -> str:
    return parse_options_header(response.headers["Content-Disposition"])[1]["filename"]


def test_a_path_that_comes_with_a_name_is_left_out(visitor: Visitor, stored: Storage) -> None:
    visitor.upload(("../../etc/passwd", b"x"), ("photos/cat.png", b"y"), folder="paths")
    assert list(stored.list_files("paths/")) == ["paths/cat.png", "paths/passwd"]
    page = visitor.upload(("..", b"x"), ("good.txt", b"y"), folder="paths")
    assert page.status == 400
    assert "“paths/..” is no name that a file can have." in page.text
    assert stored.exists("paths/good.txt")
    assert visitor.upload(("a.txt", b"x"), folder="../x").status == 400
    assert visitor.upload(("", b""), folder="nothing chosen").status == 200


def test_an_existing_file_is_kept_unless_replace_is_ticked(
    visitor: Visitor, stored: Storage
) -> None:
    visitor.upload(("a.txt", b"old"), folder="kept")
    page = visitor.upload(("a.txt", b"new"), folder="kept")
    assert page.status == 409
    assert "“kept/a.txt” exists already and was kept." in page.text
    assert stored.read("kept/a.txt") == b"old"
    assert visitor.upload(("a.txt", b"new"), folder="kept", replace="on").status == 200
    assert stored.read("kept/a.txt") == b"new"


def test_a_file_that_is_too_large_is_refused(visitor: Visitor, stored: Storage) -> None:
    page = visitor.upload(("large.bin", bytes(6 * MIB + 1)))
    assert page.status == 413
    assert "“large.bin” is too large and was not stored." in page.text
    assert not stored.exists("large.bin")


def test_what_is_missing_is_said_to_be(visitor: Visitor) -> None:
    page = visitor.open("/files/absent.txt")
    assert page.status == 404
    assert "“absent.txt” does not exist, or no longer." in page.text
    assert visitor.open("/files/a/%00b").status == 400


def test_a_swift_that_is_down_is_said_to_be(visitor: Visitor, swift_faults: Faults) -> None:
    visitor.upload(("a.txt", b"x"), folder="down")
    swift_faults.add("status", status=503, times=-1)
    for url in ("/", "/files/down/a.txt"):
        page = visitor.open(url)
        assert page.status == 503
        assert "could not be reached. Try again later." in page.text
    swift_faults.clear()
    swift_faults.add("after_status", method="PUT", status=503)
    page = visitor.upload(("b.txt", b"x"), folder="down")
    assert page.status == 503
    assert "It may have been stored all the same." in page.text


def zipped(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_an_archive_of_a_thousand_files_is_imported(example_in_memory: Flask) -> None:
    contents = {f"folder/{number:04}.txt": b"%d" % number for number in range(1000)}
    with example_in_memory.test_client() as client:
        files: Any = {"archive": (io.BytesIO(zipped(contents)), "a.zip"), "folder": "zip"}
        answer = client.post("/import", data=files)
        assert answer.status_code == 200
        assert "1000 of 1000 files were stored" in answer.text
        assert answer.text.count("<td>stored</td>") == 1000
        assert client.get("/files/zip/folder/0417.txt").data == b"417"
    stored = Storage("files").bound(example_in_memory)
    assert list(stored.list_files()) == [f"zip/{name}" for name in sorted(contents)]


def test_an_archive_is_imported_and_each_result_is_shown(visitor: Visitor, stored: Storage) -> None:
    stored.write("zip/kept.txt", b"old")
    contents = {
        "a b.txt": b"a",
        "deep/er/b.bin": os.urandom(200_000),
        "../escape.txt": b"x",
        "kept.txt": b"new",
        "報告.txt": b"c",
        "broken.txt": b"this will be changed",
    }
    archive = bytearray(zipped(contents))
    # The packed bytes of a file follow its name, where that stands first.
    place = archive.index(b"broken.txt") + len(b"broken.txt")
    archive[place] ^= 0xFF
    page = visitor.bring(bytes(archive), "zip")
    assert page.status == 200
    assert "3 of 6 files were stored" in page.text
    assert "“zip/kept.txt” exists already" in page.text
    assert "is no name that a file can have" in page.text
    assert "could not be read" in page.text
    assert {"a b.txt", "deep/er/b.bin", "報告.txt"} <= page.links.keys()
    assert visitor.get(page.links["deep/er/b.bin"]).content == contents["deep/er/b.bin"]
    assert sorted(stored.list_files("zip/")) == sorted(
        ["zip/a b.txt", "zip/deep/er/b.bin", "zip/kept.txt", "zip/報告.txt"]
    )
    assert stored.read("zip/kept.txt") == b"old"
    visitor.bring(bytes(archive), "zip", replace="on")
    assert stored.read("zip/kept.txt") == b"new"


def test_what_is_no_archive_is_said_to_be_none(visitor: Visitor) -> None:
    page = visitor.bring(b"nonsense")
    assert page.status == 400
    assert "This is no zip archive." in page.text


def test_only_what_cannot_run_is_shown(visitor: Visitor, stored: Storage) -> None:
    shown = {"a.txt": True, "a.png": True, "a.jpg": True, "a.pdf": True, "a.mp4": True}
    attached = {"a.html": False, "a.svg": False, "a.js": False, "a": False}
    for name, is_shown in (shown | attached).items():
        stored.write(f"kinds/{name}", b"<script>alert(1)</script>")
        response = visitor.get(f"/files/kinds/{name}")
        kind = response.headers["Content-Disposition"].partition(";")[0]
        assert (name, kind) == (name, "inline" if is_shown else "attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "content_type", "player"),
    [
        ("a b#.mp4", "video/mp4", "video"),
        ("a.mp3", "audio/mpeg", "audio"),
        ("a.WEBM", "Video/WebM", "video"),
        ("a.txt", "text/plain", None),
        ("a.html", "text/html", None),
        ("a.xml", "videos/mp4", None),
    ],
)
def test_sound_and_film_have_a_player_and_nothing_else_has(
    visitor: Visitor, stored: Storage, name: str, content_type: str, player: str | None
) -> None:
    folder = f"play-{secrets.token_hex(3)}/"
    stored.write(folder + name, b"<script>", content_type=content_type)
    page = visitor.open(f"/?folder={folder}")
    assert ("/play/" in page.links[name]) == bool(player)
    url = visitor.url + "/play/" + quote(folder + name)
    answer = visitor.get(url)
    if player is None:
        assert answer.url == visitor.url + "/files/" + quote(folder + name)
        return
    [source] = re.findall(f'<{player} controls preload="metadata" src="([^"]+)">', answer.text)
    assert visitor.get(source, headers={"Range": "bytes=1-6"}).content == b"script"
    played = Page(answer)
    assert played.links["Download"] == visitor.url + source
    assert played.links[folder[:-1]].endswith(f"folder={folder}")
    assert "8 bytes" in played.text


def test_what_is_missing_is_not_played(visitor: Visitor) -> None:
    assert visitor.open("/play/absent.mp4").status == 404


def test_another_sites_form_is_refused(visitor: Visitor, stored: Storage) -> None:
    stored.write("csrf/a.txt", b"x")
    for origin in ("https://evil.example", "null", visitor.url + "0"):
        for url, fields in (("/delete", {"name": "csrf/a.txt"}), ("/", {"folder": "csrf"})):
            answer = requests.post(
                visitor.url + url,
                fields,
                files={"files": ("b.txt", b"x")},
                headers={"Origin": origin},
                timeout=PATIENCE,
            )
            assert answer.status_code == 403
    assert list(stored.list_files("csrf/")) == ["csrf/a.txt"]


def test_a_visitor_who_leaves_gives_the_connection_back(visitor: Visitor, stored: Storage) -> None:
    """There are two connections; each of five visitors takes one and leaves half-way."""
    stored.write("long.bin", bytes(40 * MIB))
    for _ in range(5):
        with visitor.get("/files/long.bin", stream=True) as response:
            assert response.raw.read(1000) == bytes(1000)
    assert visitor.open("/").status == 200
    stored.delete("long.bin")


@pytest.fixture
def example_in_memory(monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The example's application, in this process and in memory."""
    monkeypatch.setenv("FLASK_FS_BACKEND", "memory")
    spec = importlib.util.spec_from_file_location("example_in_memory", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where Flask looks for its folder
    spec.loader.exec_module(module)
    app: Flask = module.app
    return app


def test_a_long_list_goes_on_on_further_pages(example_in_memory: Flask) -> None:
    app = example_in_memory
    files = Storage("files").bound(app)
    names = [f"list/{number:04}" for number in range(2001)]
    for name in names:
        files.write(name, b"")
    listed: list[str] = []
    url: str | None = "/?folder=list/"
    lengths = []
    with app.test_client() as client:
        while url:
            html = client.get(url).text
            shown = re.findall(r'href="/files/([^"]+)"', html)
            listed += shown
            lengths.append(len(shown))
            link = re.search(r'href="([^"]+)">Next page', html)
            url = link and link[1].replace("&amp;", "&")
    assert lengths == [1000, 1000, 1]
    assert listed == names


def test_without_settings_the_files_are_in_a_swift_that_ends_with_the_page(
    tmp_path: Path,
) -> None:
    example = tmp_path / "files"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("instance", "__pycache__"))
    lock = example / "instance" / "swift" / "server.lock"
    content = os.urandom(MIB)
    with served(example, {}, signal.SIGINT) as visitor:
        assert visitor.upload(("a.bin", content)).status == 200
        assert is_held(lock)
    wait_until(lambda: not is_held(lock))
    with served(example, {}, signal.SIGTERM) as visitor:
        assert visitor.get("/files/a.bin").content == content
    wait_until(lambda: not is_held(lock))
