"""A process that writes one file, to be killed: ``python -m writing SETTINGS STORAGE FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flask import Flask

from flask_fs_swift import ALL, FS, Storage


def main() -> None:
    settings, name, path = sys.argv[1:]
    app = Flask("writing")
    app.config.update(json.loads(settings))
    storage = Storage(name, ALL)
    FS(app, storage)
    storage.bound(app).write("a.bin", Path(path).read_bytes(), overwrite=True)


if __name__ == "__main__":
    main()
