"""Imports go down only: the picture of the package, held against its code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import flask_fs_swift

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = Path(flask_fs_swift.__file__).parent

#: A module may import from the lines below its own, and from its left on the same line.
LAYERS = [
    "testing standalone",
    "extension flask_fs2",
    "api.client api.server cli",
    "api",
    "storage",
    "fetching serving forms batch",
    "upload",
    "tiered",
    "swift memory_uploads memory uploads",
    "multipart",
    "sweeping",
    "segments",
    "bulk",
    "capabilities container",
    "download",
    "call",
    "login window",
    "tokens",
    "backend operations",
    "pool",
    "tokencache",
    "auth",
    "connection",
    "retry",
    "answers",
    "intake",
    "content seekable",
    "streams",
    "transport",
    "tls wire",
    "config http1 hashing",
    "checks conditions ranges",
    "objects names metadata etag concurrency blocks events writer presets signing parallel newfile",
    "devserver",
    "errors",
]

#: Who may import what is not ours. Typing imports count, too.
KEEPERS = {
    "flask": {"api.server", "storage", "extension", "cli", "flask_fs2", "standalone"},
    "click": {"api.server", "cli"},
    "werkzeug": {
        "api.server", "conditions", "extension", "serving", "storage", "uploads", "flask_fs2"
    },
    "swiftclient": {
        "errors", "answers", "auth", "bulk", "call", "capabilities", "connection",
        "container", "download", "pool", "login",
        "flask_fs2",
    },
    "gevent": {"concurrency"},
    "sqlalchemy": {"tiered"},
    "keystoneauth1": {"auth"},
    "requests": {"answers", "auth", "connection", "transport"},
    "urllib3": {"answers", "api.client", "auth"},
    "zstandard": {"api.client"},
    "orjson": {"connection"},
    "jwt": {"api"},
    "cryptography": {"api"},
    "pytest": {"testing"},
    "swift": {"devserver"},
    "eventlet": {"devserver"},
    "flask_fs": {"flask_fs2"},
}  # fmt: skip

ORDER = {
    module: (len(LAYERS) - line, column)
    for line, modules in enumerate(LAYERS)
    for column, module in enumerate(modules.split())
}


def imports(path: Path) -> set[tuple[int, str]]:
    """Return what a file imports, as (level, module)."""
    found: set[tuple[int, str]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {(node.level, name or "") for name in names}
    return found


def part_of(path: Path) -> str:
    """Return the module, or the folder, that a file is of."""
    return part_named(path.relative_to(PACKAGE).with_suffix("").parts)


def part_named(names: Sequence[str]) -> str:
    """Return the module, or the folder, that something is of: in folders of two parts, the part."""
    part = ".".join(names[:2])
    return part if part in ORDER else names[0]


#: These two only name what others have.
FACES = {PACKAGE / "__init__.py", PACKAGE / "api" / "__init__.py"}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path not in FACES]


def inner_imports(path: Path) -> set[str]:
    """Return the parts of the package that a file imports, its own aside."""
    folders = path.relative_to(PACKAGE).parts[:-1]
    inner = set()
    for level, name in imports(path):
        if level:
            inner.add(part_named([*folders[: len(folders) + 1 - level], *name.split(".")]))
        elif name.startswith("flask_fs_swift."):
            inner.add(part_named(name.split(".")[1:]))
    return inner - {part_of(path)}


def test_every_module_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    own = ORDER[part_of(path)]
    upward = {name for name in inner_imports(path) if not _is_below(ORDER[name], own)}
    assert upward == set()


def _is_below(other: tuple[int, int], own: tuple[int, int]) -> bool:
    return other[0] < own[0] or (other[0] == own[0] and other[1] < own[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_imported_only_by_those_who_keep_it(path: Path) -> None:
    outer = {name.split(".")[0] for level, name in imports(path) if level == 0}
    trespassing = {name for name in outer & KEEPERS.keys() if part_of(path) not in KEEPERS[name]}
    assert trespassing == set()
