"""The same storage over HTTP, by the objectstore protocol: a server, and a client of it.

Names come from their modules when they are first asked for: a client imports no server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blueprint import objectstore
    from .client import Client, Session
    from .description import Description
    from .expiration import Expiration
    from .failures import (
        AnswerBroken,
        AnswerLost,
        Denied,
        ExpiryNotExtended,
        InvalidPart,
        ObjectNotFound,
        PartDamaged,
        RangeNotSatisfiable,
        RequestError,
        ServerBusy,
        ServerFailed,
        StoredCompressed,
        TooMuchContent,
        Unreachable,
        UploadClosed,
    )
    from .fetched import Fetched
    from .limits import Killswitch, Limits
    from .many import Results
    from .operations import Delete, Get, Head, Put, Result
    from .uploads import Part, Upload
    from .usecase import Usecase

_HOMES = {
    "blueprint": "objectstore",
    "client": "Client Session",
    "description": "Description",
    "expiration": "Expiration",
    "failures": (
        "AnswerBroken AnswerLost Denied ExpiryNotExtended InvalidPart ObjectNotFound "
        "PartDamaged RangeNotSatisfiable RequestError ServerBusy ServerFailed "
        "StoredCompressed TooMuchContent Unreachable UploadClosed"
    ),
    "fetched": "Fetched",
    "limits": "Killswitch Limits",
    "many": "Results",
    "operations": "Delete Get Head Put Result",
    "uploads": "Part Upload",
    "usecase": "Usecase",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AnswerBroken",
    "AnswerLost",
    "Client",
    "Delete",
    "Denied",
    "Description",
    "Expiration",
    "ExpiryNotExtended",
    "Fetched",
    "Get",
    "Head",
    "InvalidPart",
    "Killswitch",
    "Limits",
    "ObjectNotFound",
    "Part",
    "PartDamaged",
    "Put",
    "RangeNotSatisfiable",
    "RequestError",
    "Result",
    "Results",
    "ServerBusy",
    "ServerFailed",
    "Session",
    "StoredCompressed",
    "TooMuchContent",
    "Unreachable",
    "Upload",
    "UploadClosed",
    "Usecase",
    "objectstore",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
