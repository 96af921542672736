"""What an upload is called, and what it is: a stranger's word, made safe."""

from __future__ import annotations

import mimetypes
import secrets
from functools import lru_cache

from werkzeug.datastructures import FileStorage
from werkzeug.utils import secure_filename

from .errors import InvalidName
from .metadata import check_header


def guess_type(filename: str) -> str:
    """Return the content type that a name's extension suggests."""
    # Of the extensions alone: a whole name may look like a URL that says its own type.
    _, *extensions = filename.rpartition("/")[2].lstrip(".").split(".")
    return _type_of(".".join(extensions[-2:]))


@lru_cache(maxsize=1024)
def _type_of(extensions: str) -> str:
    return mimetypes.guess_type(f"x.{extensions}")[0] or "application/octet-stream"


def uploaded_type(file: object) -> str | None:
    """Return the content type that came with an upload; None where there is no good one."""
    given = file.content_type if isinstance(file, FileStorage) else None
    if given and "swift_" in given.lower():
        return None  # Swift refuses parameters of that name: they are its own.
    try:
        return check_header("content_type", given) if given else None
    except ValueError:
        return None  # A stranger's nonsense: the name's extension decides.


def uploaded_name(file: object) -> str:
    """Return the name that came with an upload, made safe, its extension in lower case.

    :raises InvalidName: none came.
    """
    given = (file.filename if isinstance(file, FileStorage) else None) or ""
    return safe_name(given)


def safe_name(given: str) -> str:
    """Return a stranger's name made safe, its extension in lower case.

    :raises InvalidName: there is none.
    """
    stem, dot, extension = given.rpartition(".")
    if not dot:
        stem, extension = given, ""
    # What has no letter that is safe anywhere still needs a name.
    safe = secure_filename(stem) or (secrets.token_hex(8) if given else "")
    suffix = secure_filename(extension).lower()
    if not safe:
        raise InvalidName("the upload has no file name; give one to save()", filename=given)
    return f"{safe}.{suffix}" if suffix else safe
