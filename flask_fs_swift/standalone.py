"""Applications that are nothing but the service.

``create_app`` is for those who have none: ``flask --app flask_fs_swift.standalone fs serve``.
``create_service`` is what that command has gunicorn run, whoever the application is: it has
the settings of its storage, and none of its views.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from flask import Flask
from flask.cli import ScriptInfo

from .api.server.blueprint import objectstore
from .api.server.settings import Served, settings_of
from .extension import FS
from .presets import ALL
from .storage import EXTENSION, Storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .events import EventHook
    from .storage import Mount


def create_app() -> Flask:
    """Return an application whose settings are those of the environment, without a storage."""
    # Where it keeps files of its own is below the working directory, not beside the package.
    app = Flask("objectstore", instance_path=os.path.abspath("instance"))  # noqa: PTH100
    app.config.from_prefixed_env()
    FS(app)
    return app


def create_service() -> Flask:
    """Return what ``flask fs serve`` was told to serve.

    :raises ConfigError: it was told nothing, or a setting is wrong.
    """
    served = Served.of_environment(os.environ)
    chosen = ScriptInfo(served.app).load_app()
    app = Flask("service", instance_path=chosen.instance_path)
    app.config.update(settings_of(chosen.config, served.settings))
    files = Storage(served.storage, ALL)
    FS(app, files, on_event=_hook_of(chosen, served.storage))
    service = objectstore(files, keys=served.keys, enforce=served.keys is not None)
    app.register_blueprint(service, url_prefix=served.prefix or None)
    return app


def _hook_of(app: Flask, storage: str) -> EventHook | None:
    mounts = cast("Mapping[str, Mount]", app.extensions[EXTENSION].mounts)
    return mounts[storage].on_event if storage in mounts else None
