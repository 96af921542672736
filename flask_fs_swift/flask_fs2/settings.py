"""Read what flask-fs2 hands over as settings of ours.

That is one dict: the storage's values merged over the backend's, keys in lower case,
flask-fs2's own among them. The plugin that ours replaces took numbers as text, anything
for a flag, and nothing at all for an option, so existing applications give it these. Its
keys are as tolerant here; all others are read as everywhere else. What is still wrong
afterwards is refused under the key's full name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: What flask-fs2 reads itself.
OF_FLASK_FS2 = ("BACKEND", "URL", "ROOT", "ALLOW", "DENY", "AES256_ENCRYPTED", "AES256_KEY")

#: Seconds: as good as none, where 0 was said.
_AT_ONCE = 0.001


def in_full(config: Mapping[str, Any], prefix: str) -> dict[str, object]:
    """Return settings under the names that they have in ``app.config``."""
    return {
        prefix + key.upper(): _TOLERANT.get(key, _as_it_is)(value) for key, value in config.items()
    }


def _as_it_is(value: object) -> object:
    return value


def _whole(value: object) -> object:
    try:
        return int(value) if isinstance(value, (str, float)) else value
    except (ValueError, OverflowError):
        return value


def _seconds(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _patience(value: object) -> object:
    seconds = _seconds(value)
    return _AT_ONCE if seconds == 0 else seconds


def _flag(value: object) -> object:
    text = str(value).strip().lower() if isinstance(value, (str, int)) else None
    if text in {"1", "true", "yes", "on"}:
        return True
    return False if text in {"", "0", "false", "no", "off"} else value


def _optional(value: object) -> object:
    return value or None


def _options(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: text for name, text in value.items() if text not in {None, ""}}
    return value or None


_TOLERANT: dict[str, Callable[[object], object]] = {
    "tenant_name": _optional,
    "region_name": _optional,
    "os_options": _options,
    "create_container": _flag,
    "pool_size": _whole,
    "retries": _whole,
    "timeout": _seconds,
    "pool_timeout": _patience,
}
