"""Chromium without a window, driven over the DevTools protocol.

Of its two ways in, the pipe is taken: JSON between NUL bytes, so that nothing but the standard
library and the browser itself is needed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

#: Seconds for one answer, and for whatever a page is waited for.
PATIENCE = 60.0

#: The browser reads file 3 and writes file 4; from here on no number is one of these.
FREE = 10
BECOME = """
import os, sys
commands, answers, *program = sys.argv[1:]
os.dup2(int(commands), 3)
os.dup2(int(answers), 4)
os.closerange(5, 1024)
os.execv(program[0], program)
"""

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class BrowserError(Exception):
    """The browser refused, or a script of the test failed in it; the message says why."""


class NoBrowser(Exception):
    """There is no Chromium on PATH."""


class Chromium:
    """A running browser. Lives until the ``with`` block ends, and nothing of it is left then.

    :param folder: an empty one, for its profile and its downloads.
    :raises NoBrowser: there is none.
    """

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise NoBrowser(f"there is none of {', '.join(NAMES)}")
        self.downloads = folder / "downloads"
        theirs, self._to = os.pipe()
        self._from, its = os.pipe()
        kept = tuple(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, FREE) for each in (theirs, its))
        options = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder / 'profile'}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--autoplay-policy=no-user-gesture-required",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", BECOME, *map(str, kept), program, *options],
            pass_fds=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in (theirs, its, *kept):
            os.close(each)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._from, selectors.EVENT_READ)
        self._received = b""
        self._number = 0
        # What has come and nobody has asked for yet.
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            self.ask("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._selector.close()
            os.close(self._to)
            os.close(self._from)

    def open(self, url: str) -> Page:
        """Return a page that has been loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(self.downloads),
            eventsEnabled=True,
        )
        page = Page(self, session)
        page.go(url)
        return page

    def ask(self, method: str, /, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result.

        :raises BrowserError: it was refused, or is not answered.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        number = self._number
        self._receive_until(lambda: number in self._answers, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, method: str, **having: Any) -> dict[str, Any]:
        """Return what an event says, which may have come already; others before it are lost."""
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            while self.events and not found:
                event = self.events.popleft()
                said = event["params"]
                if event["method"] == method and having.items() <= said.items():
                    found.append(said)
            return bool(found)

        self._receive_until(has_come, method)
        return found[0]

    def _receive_until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if not self._selector.select(max(0, deadline - time.monotonic())):
                raise BrowserError(f"{what}: nothing has come in {PATIENCE:.0f} seconds")
            block = os.read(self._from, 1024 * 1024)
            if not block:
                raise BrowserError(f"{what}: the browser has ended")
            *messages, self._received = (self._received + block).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self.events.append(message)


class Page:
    """What is open in a tab. Lives as long as its browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self._ask("Page.enable")

    def go(self, url: str) -> None:
        """Load an address."""
        self._browser.events.clear()
        said = self._ask("Page.navigate", url=url)
        if "errorText" in said:
            raise BrowserError(f"{url}: {said['errorText']}")
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait for the end of a navigation that has just been begun."""
        self._browser.wait_for("Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; of a promise, what it comes to.

        :raises BrowserError: it threw.
        """
        said = self._ask(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in said:
            thrown = said["exceptionDetails"]
            raise BrowserError(thrown.get("exception", {}).get("description") or thrown["text"])
        return said["result"].get("value")

    def click(self, selector: str) -> None:
        """Click on the first element that a CSS selector finds, and wait for the next page."""
        self._browser.events.clear()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait_until_loaded()

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file of this machine into a form's field."""
        document = self._ask("DOM.getDocument")["root"]["nodeId"]
        node = self._ask("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self._ask("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def download(self, selector: str) -> Path:
        """Click on a link that is saved; return where it is, when it is whole."""
        self._browser.events.clear()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        begun = self._browser.wait_for("Browser.downloadWillBegin")
        self._browser.wait_for("Browser.downloadProgress", guid=begun["guid"], state="completed")
        name: str = begun["suggestedFilename"]
        return self._browser.downloads / name

    def look(self, width: int, height: int, **features: str) -> bytes:
        """Return a picture of it (PNG), in a window of this size and with these CSS features."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        wanted = [
            {"name": name.replace("_", "-"), "value": each} for name, each in features.items()
        ]
        self._ask("Emulation.setEmulatedMedia", features=wanted)
        shot: Mapping[str, str] = self._ask("Page.captureScreenshot")
        return base64.b64decode(shot["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)
