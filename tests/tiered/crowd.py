"""A process that writes, deletes and reads a few names, as fast as it can, until it is killed.

``python crowd.py SETTINGS`` where SETTINGS is JSON: what ``app.config`` needs, the container, how
many operations, a seed, and ``pause``: after how many it says so and waits to be killed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import sys
from typing import Any

from flask import Flask

from flask_fs_swift import ALL, FS, FileExists, FileNotFound, ObjectChanged, Storage, StreamBroken

NAMES = 10
SMALL, LARGE = 50, 5000


def value(seed: random.Random) -> bytes:
    """Return content that proves itself: its MD5, and what that is of."""
    body = seed.randbytes(seed.choice((SMALL, SMALL, LARGE)))
    return hashlib.md5(body, usedforsecurity=False).digest() + body


def is_whole(content: bytes) -> bool:
    """Tell whether content is what somebody has written."""
    body = content[16:]
    whole = hashlib.md5(body, usedforsecurity=False).digest() == content[:16]
    return whole and len(body) in {SMALL, LARGE}


def storage(settings: dict[str, Any], folder: str) -> tuple[Storage, FS, Flask]:
    """Return a storage of the crowd."""
    app = Flask("crowd", instance_path=folder)
    app.config.update(settings["config"])
    files = Storage(settings["container"], ALL)
    fs = FS(app, files)
    return files.bound(app), fs, app


def read(files: Storage, name: str) -> bool:
    """Read a file; tell whether it was there. What was replaced meanwhile is no whole file."""
    try:
        content = files.read(name)
    except FileNotFound:
        return False
    except (ObjectChanged, StreamBroken):
        return True
    assert is_whole(content), (name, len(content))
    return True


def act(files: Storage, seed: random.Random) -> None:
    """Do one thing to one of the names."""
    name = f"name/{seed.randrange(NAMES)}"
    choice = seed.random()
    try:
        if choice < 0.55:
            files.write(name, value(seed), overwrite=True)
        elif choice < 0.7:
            files.write(name, value(seed), overwrite=False)
        elif choice < 0.8:
            files.delete(name)
        elif choice < 0.85:
            files.copy(name, f"name/{seed.randrange(NAMES)}", overwrite=True)
        else:
            read(files, name)
    except (FileExists, FileNotFound):
        pass


def main() -> None:
    """Be one of the crowd."""
    settings = json.loads(sys.argv[1])
    logging.disable(logging.WARNING)
    files, fs, app = storage(settings, settings["folder"])
    seed = random.Random(settings["seed"])
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(settings["count"]):
        if number == settings.get("told"):
            print("told", flush=True)
        act(files, seed)
    fs.close(app)


if __name__ == "__main__":
    main()
