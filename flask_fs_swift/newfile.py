"""A file of this machine that has its name only once it is whole.

1. It is made beside its final place, under a random name, for its owner alone.
2. It is filled, by several threads at once if need be, and brought to the disk.
3. It gets its name: the *commit point*. Where nothing may be replaced, this is a hard link,
   which fails if the name is taken; otherwise a renaming.
4. The random name is removed.

Whatever fails before 3 goes to 4: then the folder is as it was before. A crash of the machine
may leave a file called ``.fs-*.part``.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .concurrency import off_hub
from .errors import FileExists

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .blocks import Block

#: Only while it is filled.
PRIVATE = 0o600

# What file systems without hard links answer, and those that take no more of them.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class NewFile:
    """The file while it is filled. Any thread or greenlet may write to it."""

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno

    def write_at(self, position: int, block: Block) -> None:
        """Write a block at a position; below a hub in a real thread.

        :raises OSError: the disk is full, or fails.
        """
        off_hub(self._write, (position, block))

    def _write(self, what: tuple[int, Block]) -> None:
        position, block = what
        rest = memoryview(block)
        while rest:
            count = os.pwrite(self.fileno, rest, position)
            rest, position = rest[count:], position + count


def check_free(path: Path, *, overwrite: bool) -> None:
    """Make sure that a file may get this name, as far as can be told now.

    :raises FileExists: there is something, and it may not be replaced. Folders, devices and the
        like never may; a symbolic link may, and what it leads to is left alone.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not overwrite:
        raise FileExists(f"{str(path)!r} exists", filename=str(path))
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise FileExists(f"{str(path)!r} exists, and is no file", filename=str(path))


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[NewFile]:
    """Make a file that gets its name when the ``with`` block ends well, and is gone otherwise.

    It gets the permissions of the file that it replaces, or those that any new file gets.

    :raises FileExists: see :func:`check_free`; at the beginning, or when it gets its name.
    :raises OSError: the system does not let us; nothing at ``path`` has changed.
    """
    check_free(path, overwrite=overwrite)
    temporary = path.with_name(f".fs-{secrets.token_hex(8)}.part")
    process = os.getpid()
    fileno = None
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        fileno = os.open(temporary, flags, 0o666)  # 1.
        usual = stat.S_IMODE(os.fstat(fileno).st_mode)
        os.fchmod(fileno, PRIVATE)
        yield NewFile(fileno)  # 2.
        os.fchmod(fileno, _mode_of(path, usual))
        off_hub(os.fsync, fileno)
        _give_name(temporary, path, overwrite=overwrite)  # 3.
    finally:
        if os.getpid() == process:  # Not in a forked child, which ends its copy of a greenlet.
            temporary.unlink(missing_ok=True)  # 4.
        if fileno is not None:
            os.close(fileno)


def _mode_of(path: Path, usual: int) -> int:
    """Return the permissions of a file; the usual ones where there is none."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return usual
    return mode & 0o777 if stat.S_ISREG(mode) else usual


def _give_name(temporary: Path, path: Path, *, overwrite: bool) -> None:
    check_free(path, overwrite=overwrite)
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise FileExists(f"{str(path)!r} exists", filename=str(path)) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _replace_claimed(temporary, path)


def _replace_claimed(temporary: Path, path: Path) -> None:
    _claim(path)
    try:
        temporary.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _claim(path: Path) -> None:
    """Take a name that is free, by an empty file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
    except FileExistsError as error:
        raise FileExists(f"{str(path)!r} exists", filename=str(path)) from error
