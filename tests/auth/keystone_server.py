"""Run a real Keystone on loopback, with its data in the current directory.

It runs in an environment of its own (requirements/keystone.txt): Keystone needs some eighty
packages that nothing else here needs. To begin with it has one user, ``admin`` of the project
``admin``; the password and the region are in ``OS_BOOTSTRAP_PASSWORD`` and
``OS_BOOTSTRAP_REGION_ID``.

It writes the URL of its v3 API to its standard output when it answers, then obeys its standard
input: a number on a line is the life of the tokens issued from now on, in seconds, and is
written back when it holds; the end of the input ends the server. So it never outlives the
tests, however they end.
"""

from __future__ import annotations

import os
import socket
import sys
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import keystone.conf
from keystone.cmd import cli
from keystone.server.wsgi import initialize_public_application
from werkzeug.serving import WSGIRequestHandler, make_server

_CONFIGURATION = """\
[DEFAULT]
log_file = {directory}/keystone.log
[database]
connection = sqlite:///{directory}/keystone.db
[fernet_tokens]
key_repository = {directory}/token-keys
[fernet_receipts]
key_repository = {directory}/token-keys
[credential]
key_repository = {directory}/credential-keys
[identity]
# The fewest that Keystone takes: these passwords are worth nothing.
password_hash_rounds = 4
[cache]
# Without it every validation of a token takes a third of a second.
enabled = true
backend = dogpile.cache.memory
"""


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main(directory: Path) -> None:
    """Serve until the standard input ends."""
    announcements = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever Keystone prints
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}/v3"
        _prepare(directory, url)
        application = initialize_public_application()
        server = make_server(
            "127.0.0.1",
            port,
            application,
            threaded=True,
            request_handler=_Quiet,
            fd=listener.fileno(),
        )
    Thread(target=server.serve_forever, daemon=True).start()
    announcements.write(f"{url}\n")
    for line in sys.stdin:
        keystone.conf.CONF.set_override("expiration", int(line), "token")
        announcements.write(line)
    os._exit(0)  # requests in flight have nobody left to answer


def _prepare(directory: Path, url: str) -> None:
    configuration = directory / "keystone.conf"
    configuration.write_text(_CONFIGURATION.format(directory=directory))
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(configuration)
    _manage(configuration, "db_sync")
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    _manage(configuration, "fernet_setup", *owner)
    _manage(configuration, "credential_setup", *owner)
    _manage(
        configuration,
        "bootstrap",
        *("--bootstrap-public-url", url, "--bootstrap-internal-url", url),
    )


def _manage(configuration: Path, *command: str) -> None:
    """Run a command of ``keystone-manage``: in a fork, because it configures its process."""
    arguments = ["keystone-manage", "--config-file", str(configuration), *command]
    process = get_context("fork").Process(target=cli.main, args=(arguments,))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"keystone-manage {command[0]} failed")


if __name__ == "__main__":
    main(Path.cwd())
