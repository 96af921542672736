"""The command line of the server's process.

Eventlet replaces the locks that it finds when it takes over the standard library, and goes
astray among Flask's proxies. So the process must not import what ``flask_fs_swift`` imports
for its public names: it is given a package of that name that is a path and nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGE = Path(__file__).parents[1]
_MAIN = """
import sys, types
package = types.ModuleType("flask_fs_swift")
package.__path__ = [sys.argv.pop(1)]
sys.modules[package.__name__] = package
from flask_fs_swift.devserver.server import main
main(sys.argv[1:])
"""


def command(arguments: Iterable[str]) -> list[str]:
    """Return the command that runs a server with these arguments."""
    return [sys.executable, "-W", "ignore", "-c", _MAIN, str(_PACKAGE), *arguments]
