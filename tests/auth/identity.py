"""A Keystone for the tests: installed once, started for a run, filled through its own API."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_CHECKOUT = Path(__file__).parents[2]
_REQUIREMENTS = _CHECKOUT / "requirements" / "keystone.txt"
_ENVIRONMENTS = _CHECKOUT / ".keystone"
_SERVER = Path(__file__).with_name("keystone_server.py")
_PATIENCE = 30.0  # seconds

ADMIN = "admin"
ADMIN_PASSWORD = "keystone-admin-password"
REGION = "RegionOne"


def install() -> Path:
    """Return the Python of an environment that has Keystone; make it if there is none.

    :raises RuntimeError: it could not be made.
    """
    home = _ENVIRONMENTS / "{}.{}".format(*sys.version_info)
    python, wanted = home / "bin" / "python", _REQUIREMENTS.read_text()
    stamp = home / "installed.txt"
    _ENVIRONMENTS.mkdir(exist_ok=True)
    with (_ENVIRONMENTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _run(sys.executable, "-m", "venv", "--clear", str(home))
            # Python compiles what Keystone imports, which is a small part of all that.
            install = ("-m", "pip", "install", "--quiet", "--no-compile")
            _run(str(python), *install, "-r", str(_REQUIREMENTS))
            stamp.write_text(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"no Keystone: {' '.join(command)} failed:\n{done.stdout[-3000:]}")


class Keystone:
    """A Keystone on loopback. It lives until it is stopped, or until this process ends.

    :param directory: empty; it keeps its data and its log there.
    :raises RuntimeError: it could not be installed, or did not start.
    """

    def __init__(self, directory: Path) -> None:
        python, log = install(), directory / "output.log"
        secrets = {"OS_BOOTSTRAP_PASSWORD": ADMIN_PASSWORD, "OS_BOOTSTRAP_REGION_ID": REGION}
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [python, "-I", "-W", "ignore", _SERVER],
                cwd=directory,
                env=os.environ | secrets,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        #: Of the v3 API.
        self.url = _pipe(self._process.stdout).readline().strip()
        if not self.url:
            self.stop()
            raise RuntimeError(f"Keystone did not start:\n{log.read_text()[-3000:]}")
        self._token = self.log_in(ADMIN, ADMIN_PASSWORD, ADMIN)
        answer = self.ask("GET", "/roles")
        self._roles = {role["name"]: role["id"] for role in answer["roles"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()

    def let_tokens_live(self, seconds: int) -> None:
        """Set the life of the tokens that are issued from now on."""
        orders, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
        orders.write(f"{seconds}\n")
        orders.flush()
        assert int(answers.readline()) == seconds

    def revoke(self, token: str) -> None:
        """Revoke a token, as its owner or an operator can."""
        self.ask("DELETE", "/auth/tokens", **{"X-Subject-Token": token})

    def create(self, kind: str, **fields: object) -> str:
        """Create a domain, a project, a user, a service, a region or an endpoint.

        :returns: its id.
        """
        created: str = self.ask("POST", f"/{kind}s", {kind: fields})[kind]["id"]
        return created

    def grant(self, role: str, user: str, project: str) -> None:
        """Give a user a role in a project, all three by their ids but the role."""
        self.ask("PUT", f"/projects/{project}/users/{user}/roles/{self._roles[role]}")

    def ask(self, method: str, path: str, content: object = None, **headers: str) -> Any:
        """Send a request, as the administrator unless the headers say otherwise."""
        answer = self._send(method, path, content, {"X-Auth-Token": self._token} | headers)
        return answer.json() if answer.content else None

    def log_in(self, user: str, password: str, project: str) -> str:
        """Return a token of a user of the default domain."""
        domain = {"id": "default"}
        who = {"name": user, "domain": domain, "password": password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": who}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        answer = self._send("POST", "/auth/tokens", {"auth": auth}, {})
        return answer.headers["X-Subject-Token"]

    def _send(
        self, method: str, path: str, content: object, headers: dict[str, str]
    ) -> requests.Response:
        answer = requests.request(
            method, self.url + path, json=content, headers=headers, timeout=_PATIENCE
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
