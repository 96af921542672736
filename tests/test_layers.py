"""Imports go down only: the picture of the package, held against its code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import flask_fs_swift

PACKAGE = Path(flask_fs_swift.__file__).parent

#: A module may import from the lines below its own, and from its left on the same line.
LAYERS = [
    "testing standalone",
    "extension flask_fs2",
    "api cli",
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
    "flask": {"api", "storage", "extension", "cli", "flask_fs2", "standalone"},
    "click": {"api", "cli"},
    "werkzeug": {
        "api", "conditions", "extension", "serving", "storage", "uploads", "flask_fs2"
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
    "urllib3": {"answers", "api", "auth"},
    "zstandard": {"api"},
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
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if part_of(path) != "__init__"]


def inner_imports(path: Path) -> set[str]:
    """Return the parts of the package that a file imports, its own folder's aside."""
    depth = len(path.relative_to(PACKAGE).parts)
    inner = {name.split(".")[0] for level, name in imports(path) if level == depth}
    inner |= {
        name.split(".")[1]
        for level, name in imports(path)
        if level == 0 and name.startswith("flask_fs_swift.")
    }
    return inner


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
