"""File storage for Flask on OpenStack Swift."""

from .config import TokenCache
from .errors import (
    AuthFailed,
    ConfigError,
    ContainerNotFound,
    ETagMismatchError,
    FileExists,
    FileNotFound,
    FileTooLarge,
    Forbidden,
    FSError,
    InvalidName,
    ObjectChanged,
    OperationNotSupported,
    PoolExhaustedError,
    QuotaExceeded,
    RangeNotSatisfiable,
    StreamBroken,
    SwiftError,
    SwiftUnavailable,
    UnauthorizedFileType,
    UploadNotAllowed,
)
from .events import Event
from .extension import FS, by_name, init_app
from .memory import MemoryBackend
from .objects import ObjectInfo
from .pool import Pool, PoolStats
from .presets import (
    ALL,
    ARCHIVES,
    AUDIO,
    DATA,
    DEFAULTS,
    DOCUMENTS,
    EXECUTABLES,
    IMAGES,
    NONE,
    SCRIPTS,
    TEXT,
    AllExcept,
)
from .storage import Storage
from .streams import ObjectStream
from .swift import SwiftBackend

__all__ = [
    "ALL",
    "ARCHIVES",
    "AUDIO",
    "DATA",
    "DEFAULTS",
    "DOCUMENTS",
    "EXECUTABLES",
    "FS",
    "IMAGES",
    "NONE",
    "SCRIPTS",
    "TEXT",
    "AllExcept",
    "AuthFailed",
    "ConfigError",
    "ContainerNotFound",
    "ETagMismatchError",
    "Event",
    "FSError",
    "FileExists",
    "FileNotFound",
    "FileTooLarge",
    "Forbidden",
    "InvalidName",
    "MemoryBackend",
    "ObjectChanged",
    "ObjectInfo",
    "ObjectStream",
    "OperationNotSupported",
    "Pool",
    "PoolExhaustedError",
    "PoolStats",
    "QuotaExceeded",
    "RangeNotSatisfiable",
    "Storage",
    "StreamBroken",
    "SwiftBackend",
    "SwiftError",
    "SwiftUnavailable",
    "TokenCache",
    "UnauthorizedFileType",
    "UploadNotAllowed",
    "by_name",
    "init_app",
]
