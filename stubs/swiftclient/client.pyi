from typing import Any

from . import HTTPConnection

logger_settings: dict[str, Any]

def http_connection(
    url: str, *, cacert: str | None = ..., insecure: bool = ..., timeout: float | None = ...
) -> tuple[Any, HTTPConnection]: ...
