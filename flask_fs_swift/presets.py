"""Which file extensions a storage takes: Flask-FS's presets, under their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Extensions(Protocol):
    """Anything that can be asked whether an extension, in lower case, is in it."""

    def __contains__(self, extension: object, /) -> bool:
        """Tell whether files of this extension are taken; "" is that of files without."""


TEXT = ("txt",)
DOCUMENTS = ("rtf", "odf", "ods", "gnumeric", "abw", "doc", "docx", "xls", "xlsx")
IMAGES = ("jpg", "jpe", "jpeg", "png", "gif", "svg", "bmp")
AUDIO = ("wav", "mp3", "aac", "ogg", "oga", "flac")
DATA = ("csv", "ini", "json", "plist", "xml", "yaml", "yml")
SCRIPTS = ("js", "php", "pl", "py", "rb", "sh", "bat")
ARCHIVES = ("gz", "bz2", "zip", "tar", "tgz", "txz", "7z")
EXECUTABLES = ("so", "exe", "dll")
DEFAULTS = TEXT + DOCUMENTS + IMAGES + DATA


class _All:
    def __contains__(self, extension: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "ALL"


ALL = _All()
NONE: tuple[str, ...] = ()


class AllExcept:
    """All extensions but some: ``AllExcept(SCRIPTS + EXECUTABLES)``."""

    def __init__(self, items: Iterable[str]) -> None:
        self.items = frozenset(map(_bare, items))

    def __contains__(self, extension: object) -> bool:
        return extension not in self.items

    def __repr__(self) -> str:
        return f"AllExcept({sorted(self.items)})"


def normalised(extensions: Extensions) -> Extensions:
    """Return extensions in lower case and without a dot, where they can be told apart."""
    if isinstance(extensions, (tuple, list, set, frozenset)):
        return frozenset(map(_bare, extensions))
    return extensions


def _bare(extension: str) -> str:
    return extension.lower().removeprefix(".")


def is_allowed(filename: str, extensions: Extensions, allow: Extensions, deny: Extensions) -> bool:
    """Tell whether a file of this name is taken.

    Its last extension must be in ``extensions`` or ``allow``. None of its extensions,
    the inner ones included, may be in ``deny`` or excepted by an :class:`AllExcept`:
    some servers run ``page.php.jpg``. Deny wins.
    """
    _stem, *all_of_them = filename.rpartition("/")[2].lower().split(".")
    last = all_of_them[-1] if all_of_them else ""
    excepted = extensions.items if isinstance(extensions, AllExcept) else frozenset()
    if any(extension in deny or extension in excepted for extension in all_of_them or [""]):
        return False
    return last in extensions or last in allow
