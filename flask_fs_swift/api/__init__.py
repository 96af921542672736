"""The same storage over HTTP, by the objectstore protocol: a server, and a client of it.

They share what the protocol is made of: places, keys and tokens, what describes an object, and
the parts of a batch.

Names come from their modules when they are first asked for: a client imports no server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client.failures import (
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
    from .client.fetched import Fetched
    from .client.many import Results
    from .client.operations import Delete, Get, Head, Put, Result
    from .client.session import Client, Session
    from .client.uploads import Part, Upload
    from .client.usecase import Usecase
    from .description import Description
    from .expiration import Expiration
    from .server.blueprint import objectstore
    from .server.limits import Killswitch, Limits

_HOMES = {
    "server.blueprint": "objectstore",
    "client.session": "Client Session",
    "description": "Description",
    "expiration": "Expiration",
    "client.failures": (
        "AnswerBroken AnswerLost Denied ExpiryNotExtended InvalidPart ObjectNotFound "
        "PartDamaged RangeNotSatisfiable RequestError ServerBusy ServerFailed "
        "StoredCompressed TooMuchContent Unreachable UploadClosed"
    ),
    "client.fetched": "Fetched",
    "server.limits": "Killswitch Limits",
    "client.many": "Results",
    "client.operations": "Delete Get Head Put Result",
    "client.uploads": "Part Upload",
    "client.usecase": "Usecase",
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
