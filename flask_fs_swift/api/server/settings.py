"""What a service that runs by itself is told: which storage, for whom, and below which server.

``flask fs serve`` becomes gunicorn: it is replaced by it, as the same process. So its workers
are not the children of one that has imported and patched nothing, signals reach the master
itself, and each worker reads here, from its environment, what it is to serve.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from flask_fs_swift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

WorkerClass: TypeAlias = Literal["sync", "gthread", "gevent"]

#: Of the environment: what the workers are told.
VARIABLE = "OBJECTSTORE_SERVICE"
#: What gunicorn calls in each worker.
TARGET = "flask_fs_swift.standalone:create_service()"
#: Bytes of a request line, the most that gunicorn takes: a key has up to 1,024, each of which
#: may be three, and a token of a URL comes on top.
_LONGEST_LINE = 8190
#: Addresses that nobody reaches from another machine: of loopback, and sockets that are files.
_LOCAL = re.compile(r"unix:.+|(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|localhost)(?::[0-9]+)?")


@dataclass(frozen=True)
class Served:
    """What is served, and to whom."""

    #: The application, as ``flask --app`` has it; None: it is found as Flask finds it.
    app: str | None
    #: The name of the storage.
    storage: str
    #: Of the storage, beside those of the application. No secrets: others may see them.
    settings: Mapping[str, object] = field(default_factory=dict)
    #: The folder of the keys; None: everybody may do everything.
    keys: str | None = None
    #: Of the paths; empty: none.
    prefix: str = "/v1"

    @property
    def variables(self) -> dict[str, str]:
        """The environment that tells it to the workers."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Served:
        """Return what ``flask fs serve`` was told.

        :raises ConfigError: it did not start this process.
        """
        if VARIABLE not in environ:
            raise ConfigError("a service is started by 'flask fs serve', which tells it what to do")
        return cls(**json.loads(environ[VARIABLE]))


def settings_of(config: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of storages: those of an application, and what is said beside them.

    What has the application itself serve files, which asks for no token, is left out.
    """
    own = {key: value for key, value in config.items() if "FS_" in key and key != "FS_SERVE"}
    return {**own, **settings}


@dataclass(frozen=True)
class Server:
    """How gunicorn runs. What is not said here, ``GUNICORN_CMD_ARGS`` may say."""

    #: Addresses, as gunicorn writes them.
    bind: tuple[str, ...]
    workers: int
    worker_class: WorkerClass
    #: Requests at a time, of each worker of the class gthread.
    threads: int
    #: Seconds until a worker that does not answer is ended; of the class sync: a request.
    timeout: int
    #: Seconds that requests get to their end once the service is to end.
    graceful_timeout: int

    @property
    def command(self) -> list[str]:
        """The command that becomes it."""
        said = {
            "--workers": self.workers,
            "--worker-class": self.worker_class,
            "--threads": self.threads if self.worker_class == "gthread" else 1,
            "--timeout": self.timeout,
            "--graceful-timeout": self.graceful_timeout,
            "--limit-request-line": _LONGEST_LINE,
        }
        options = [text for option, value in said.items() for text in (option, str(value))]
        binds = [text for address in self.bind for text in ("--bind", address)]
        # Nobody asked for a way to command it from outside.
        return [sys.executable, "-m", "gunicorn", TARGET, *binds, *options, "--no-control-socket"]

    def check(self) -> None:
        """Make sure that it can run.

        :raises ConfigError: a package is missing.
        """
        if find_spec("gunicorn") is None:
            raise ConfigError("serving needs gunicorn: pip install 'flask-fs-swift[serve]'")
        if self.worker_class == "gevent" and find_spec("gevent") is None:
            raise ConfigError("these workers need gevent: pip install 'flask-fs-swift[gevent]'")

    @property
    def is_local(self) -> bool:
        """Whether nobody can reach it from another machine, as far as its addresses say."""
        return all(map(_LOCAL.fullmatch, self.bind))
