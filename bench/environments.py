"""The peers' virtual environments: made once, used again while their requirements are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDER = HERE / ".venvs"

#: What every environment has, so that all import and patch the same.
SHARED = ("flask", "gevent")

REQUIREMENTS = {
    "ours": ("-e", f"{ROOT}[gevent,sql]"),
    "swiftclient": ("python-swiftclient", *SHARED),
    "flask-fs2": ("flask-fs2", "python-swiftclient", *SHARED),
    "swiftspec": ("swiftspec", *SHARED),
    "opendal": ("opendal", *SHARED),
    "orjson": ("orjson",),
    "service": ("-e", f"{ROOT}[serve]"),
    "objectstore-client": ("objectstore-client==0.2.10", *SHARED),
    "plots": ("-r", str(ROOT / "requirements" / "bench.txt")),
}

#: The environment that this program runs in, with all that the project is developed with.
PROJECT = "project"
#: Those whose packages are lent this checkout.
OURS = (PROJECT, "ours", "service")


class NotInstalled(Exception):
    """A peer could not be installed; the message says why."""


def python(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there.

    :raises NotInstalled: its requirements could not be installed.
    """
    if name == PROJECT:
        return Path(sys.executable)
    folder = FOLDER / name
    if _receipt(folder) != _wanted(name):
        _make(folder, REQUIREMENTS[name])
        (folder / "requirements").write_text(_wanted(name))
    return folder / "bin" / "python"


def packages(name: str) -> Path:
    """Return the folder of an environment's packages, to lend them to another one.

    :raises NotInstalled: as ``python``.
    """
    return next((python(name).parent.parent / "lib").glob("python*/site-packages"))


def variables(name: str) -> dict[str, str]:
    """Return the process environment for an interpreter that shall import ``bench``.

    A peer's interpreter finds it in its own folder, never the rest of this checkout: the
    package's entry points would make it a part of flask-fs2.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": str(ROOT)} if name in OURS else kept


def _wanted(name: str) -> str:
    files = [Path(part) for part in REQUIREMENTS[name] if part.endswith(".txt")]
    files += [ROOT / "setup.py"] if name in OURS else []
    text = "".join(file.read_text() for file in files)
    return "\n".join([sys.version, *REQUIREMENTS[name], text])


def _receipt(folder: Path) -> str | None:
    receipt = folder / "requirements"
    return receipt.read_text() if receipt.exists() else None


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {folder.name} …", file=sys.stderr, flush=True)
    _run(sys.executable, "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet")
    _run(*pip, "--disable-pip-version-check", *requirements)
    for library in (folder / "lib").glob("python*/site-packages"):
        (library / "bench").symlink_to(HERE)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
        raise NotInstalled(f"could not be installed: {said[-1]}")
