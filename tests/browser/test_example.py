"""The example in Chromium: players that seek, and a large upload through the page."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from .chromium import PATIENCE, Chromium, NoBrowser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .chromium import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "files"
MIB = 1024 * 1024
#: Seconds.
LENGTH = 300
FAR = 240
LARGE = 300 * MIB


@dataclass
class Answer:
    """What the application has sent for one request."""

    path: str
    ranges: str | None
    status: int = 0
    #: Bytes of content that the server took, as far as it has got.
    sent: int = 0

    @property
    def start(self) -> int:
        """The first byte that was asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-\d*", self.ranges or "")
        assert asked, self
        return int(asked[1])


class Tally:
    """An application in front of the example, which counts what it sends."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self.answers: list[Answer] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = Answer(environ["PATH_INFO"], environ.get("HTTP_RANGE"))
        self.answers.append(answer)

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            answer.status = int(status.split(maxsplit=1)[0])
            return start_response(status, headers, error)

        return self._counted(answer, self._app(environ, start))

    def _counted(self, answer: Answer, content: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in content:
                yield chunk
                answer.sent += len(chunk)
        finally:
            getattr(content, "close", lambda: None)()

    def of(self, path: str) -> list[Answer]:
        """Return the answers to requests for a path."""
        return [answer for answer in self.answers if answer.path == path]


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Site:
    """The example, running."""

    url: str
    tally: Tally
    #: The server's, which its connections inherit options from.
    listener: socket.socket
    module: ModuleType

    def slots_lent(self) -> int:
        """Count the connections to Swift that somebody has."""
        [pool] = self.module.app.extensions["flask_fs_swift"].pools
        lent: int = pool.stats().lent
        return lent


@pytest.fixture
def site(swift_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The example as it is, below Werkzeug's threads, on the Swift of the run."""
    settings = {**swift_settings, "FILES_FS_CONTAINER": f"t{secrets.token_hex(6)}"}
    for key, value in settings.items():
        monkeypatch.setenv(f"FLASK_{key}", json.dumps(value))
    spec = importlib.util.spec_from_file_location("example_in_browser", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where Flask looks for its folder
    spec.loader.exec_module(module)
    tally = Tally(module.app)
    server = make_server("127.0.0.1", 0, tally, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Site(f"http://127.0.0.1:{server.port}", tally, server.socket, module)
    server.shutdown()
    thread.join()
    server.server_close()
    module.FS().close(module.app, timeout=5)


@pytest.fixture
def browser(tmp_path: Path, site: Site) -> Iterator[Chromium]:
    assert site
    try:
        running = Chromium(tmp_path / "chromium")
    except NoBrowser as why:
        pytest.skip(str(why))
    with running:
        yield running


def wav(path: Path) -> None:
    """Write sound: stereo, 44,100 times 16 bits a second."""
    second = secrets.token_bytes(4 * 44_100)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        for _ in range(LENGTH):
            file.writeframes(second)


def film(path: Path, *coding: str) -> None:
    """Write a film that does not compress well; an MP4 has its table of contents at its end."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg")
    source = f"testsrc2=size=320x240:rate=10:duration={LENGTH},noise=alls=60:allf=t"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *coding, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def mp4(path: Path) -> None:
    film(path, "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "2M", "-pix_fmt", "yuv420p")


def webm(path: Path) -> None:
    film(
        path,
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "16",
        "-b:v",
        "2M",
        "-cues_to_front",
        "1",
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def upload(page: Page, site: Site, path: Path, folder: str = "") -> None:
    """Send a file with the form of the page; the page that comes then is the list."""
    page.go(f"{site.url}/?folder={folder}")
    page.choose_file("[name=files]", path)
    page.click(".upload button")


SEEK = f"""
new Promise((done, fail) => {{
    const player = document.querySelector("audio, video");
    player.addEventListener("error", () => fail(new Error(player.error.message)));
    player.addEventListener("seeked", () => done([player.readyState, player.currentTime]));
    const seek = () => {{ player.currentTime = {FAR}; }};
    if (player.readyState > 0) seek(); else player.addEventListener("loadedmetadata", seek);
}})
"""

PLAY = """
new Promise((done, fail) => {
    const player = document.querySelector("audio, video"), from = player.currentTime;
    player.addEventListener("timeupdate", function check() {
        if (player.currentTime < from + 1) return;
        player.removeEventListener("timeupdate", check);
        player.pause();
        done(player.currentTime);
    });
    player.play().catch(fail);
})
"""


@pytest.mark.parametrize("make", [wav, mp4, webm], ids=lambda make: make.__name__)
def test_a_player_seeks_far_ahead_with_ranges(
    browser: Chromium, site: Site, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / f"a long one.{make.__name__}"
    make(path)
    size = path.stat().st_size
    page = browser.open(site.url)
    upload(page, site, path, "media/")
    assert page.run("document.querySelector('.file a').textContent") == path.name
    page.click(".file a")
    ready, at = page.run(SEEK)
    assert ready >= 2
    assert at == FAR
    assert page.run(PLAY) > FAR + 1

    answers = site.tally.of(f"/files/media/{path.name}")
    assert {answer.status for answer in answers} <= {206, 304}  # What it knows is not sent again.
    starts = [answer.start for answer in answers if answer.status == 206]
    assert starts[0] == 0
    assert any(0.7 * size < start < 0.9 * size for start in starts), (starts, size)
    sent = sum(answer.sent for answer in answers)
    assert sent < size / 2
    assert site.slots_lent() <= 1
    page.go("about:blank")
    wait_until(lambda: site.slots_lent() == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
def test_a_player_that_was_given_up_while_it_paused_plays_on(
    browser: Chromium, site: Site, tmp_path: Path
) -> None:
    """Paused, it reads nothing, and would keep its slot; see the recipe against that."""
    site.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
    path = tmp_path / "long.wav"
    wav(path)
    page = browser.open(site.url)
    upload(page, site, path)
    page.click(".file a")
    page.run(PLAY)
    wait_until(lambda: site.slots_lent() == 1)
    wait_until(lambda: site.slots_lent() == 0)
    *_, given_up = site.tally.of("/files/long.wav")
    assert given_up.sent < path.stat().st_size / 2
    page.run("document.querySelector('audio').playbackRate = 16")
    wait_until(lambda: page.run(PLAY) > FAR / 2)
    assert site.tally.of("/files/long.wav")[-1].start > given_up.start


def test_300_mib_are_uploaded_and_downloaded_through_the_page(
    browser: Chromium, site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    page = browser.open(site.url)
    upload(page, site, path)
    assert page.run("document.querySelector('.problem')?.textContent") is None
    assert page.run("document.querySelector('.file').textContent") == "large.bin"
    assert page.run("document.querySelector('td.number').textContent") == "315 MB"
    received = page.download(".file a")
    assert digest(received) == digest(path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        hashed = hashlib.sha256()
        while block := file.read(MIB):
            hashed.update(block)
    return hashed.hexdigest()
