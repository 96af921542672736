"""``FS_SWIFT_AUTHURL = "embedded"``: a Swift of the application's own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from flask import Flask

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.devserver import DevServer

if TYPE_CHECKING:
    from pathlib import Path


def test_an_embedded_swift_that_was_killed_is_started_again(tmp_path: Path) -> None:
    app = Flask("tests", instance_path=str(tmp_path))
    app.config.update(
        FS_SWIFT_AUTHURL="embedded", FS_SWIFT_CREATE_CONTAINER=True, FS_SWIFT_BACKOFF=0.1
    )
    storage = Storage("files", ALL)
    fs = FS(app, storage)
    assert list(tmp_path.iterdir()) == []
    files = storage.bound(app)
    files.write("a.txt", b"content")
    first = DevServer.share(tmp_path / "swift")
    os.kill(first.pid, signal.SIGKILL)
    assert files.read("a.txt") == b"content"
    files.write("b.txt", b"more")
    second = DevServer.share(tmp_path / "swift")
    assert second.pid != first.pid
    fs.close(app)
    second.stop()
    first.stop()
