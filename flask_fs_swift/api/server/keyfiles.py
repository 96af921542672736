"""Write a new key: its private half for its owner alone, its public one where servers look.

1. The private half gets a file of its own, which nobody else may read, and which was not there.
2. The public one becomes a version of its id in the folder of a server, by one rename: the
   *commit point*, after which servers that are started trust it.

What fails in the second step undoes the first.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flask_fs_swift.api.keys import SUFFIX, read_keys
from flask_fs_swift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: What is the name of a file everywhere, and needs no escape in a URL.
_KID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
#: Nobody but its owner reads a private key; everybody may read a public one.
_PRIVATE, _PUBLIC = 0o600, 0o644


def check_kid(kid: str) -> str:
    """Return the id of a key unchanged.

    :raises ValueError: it is not 1 to 64 letters, digits, ``_``, ``-`` and inner dots.
    """
    if not _KID.fullmatch(kid):
        raise ValueError(f"the id of a key is 1 to 64 letters, digits, '_', '-' and '.': {kid!r}")
    return kid


@contextmanager
def private_file(path: Path, pem: str) -> Iterator[None]:
    """Have a private key in a file, unless the ``with`` block raises.

    :raises FileExistsError: there is something of this name; it is left alone.
    :raises OSError: it cannot be written.
    """
    fileno = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(fileno, "w") as file:
            file.write(pem)
        yield
    except BaseException:
        path.unlink()
        raise


def public_text(pem: str, permissions: Collection[str]) -> str:
    """Return the file of a key that has one version."""
    return f"max_permissions: {' '.join(sorted(permissions))}\n{pem}"


def add_version(folder: Path, kid: str, pem: str, permissions: Collection[str] | None) -> Path:
    """Have the servers that read a folder trust a public key; return its file.

    An id that is there gets one version more, after those that it has.

    :param permissions: of the key; None: those that it has.
    :raises ConfigError: it is there with others, or is not there and has none, or what is
        there is broken.
    :raises OSError: it cannot be written.
    """
    path = folder / f"{kid}{SUFFIX}"
    known = read_keys("--keys", folder).get(kid)
    if known is None:
        if permissions is None:
            raise ConfigError(f"key {kid!r} is new: say what its tokens may allow")
        text = public_text(pem, permissions)
    else:
        if permissions is not None and known.max_permissions != set(permissions):
            held = ", ".join(sorted(known.max_permissions)) or "nothing"
            raise ConfigError(f"key {kid!r} is there already, and allows {held}")
        text = f"{path.read_text(encoding='utf-8').rstrip()}\n{pem}"
    _replace(path, text)
    return path


def _replace(path: Path, text: str) -> None:
    # A hidden name: no server takes it for a key.
    fileno, name = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=SUFFIX)
    try:
        with os.fdopen(fileno, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(fileno, _PUBLIC)
            file.flush()
            os.fsync(fileno)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
