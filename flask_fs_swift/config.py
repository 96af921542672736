"""Read settings once, from ``app.config`` into frozen, checked values.

``{STORAGE}_FS_{KEY}`` beats ``FS_{BACKEND}_{KEY}`` beats the default. A key that is not
known, a value that cannot be right, or credentials that are not complete stop the
application at its start, with the full name of the key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from .checks import (
    at_least,
    choice,
    flag,
    fraction,
    not_negative,
    refuse_unknown,
    seconds,
    text,
    wrong,
)
from .errors import ConfigError, InvalidName
from .etag import POLICIES, MismatchPolicy
from .metadata import check_header
from .names import check_container
from .presets import normalised
from .signing import check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .presets import Extensions

T = TypeVar("T")

#: The value of ``AUTHURL`` that runs the development Swift.
EMBEDDED = "embedded"

BACKENDS = ("swift", "memory", "tiered")
TRANSPORTS = ("native", "requests")

_NONE: Extensions = ()


class TokenCache(Protocol):
    """What processes share a token through: any cache of cachelib's."""

    def get(self, key: str) -> object:
        """Return what was set; None where nothing is, or no longer."""

    def set(self, key: str, value: str, timeout: int | None = None) -> object:
        """Keep a value for ``timeout`` seconds."""

    def delete(self, key: str) -> object:
        """Forget a value."""


@dataclass(frozen=True)
class Credentials:
    """Who asks, and whom: the identity of one token."""

    authurl: str = field(repr=False)
    user: str | None
    key: str | None = field(repr=False)
    auth_version: str
    #: Sorted pairs, so that equal options are equal settings. They may hold secrets.
    os_options: tuple[tuple[str, str], ...] = field(repr=False)
    cacert: str | None = None
    insecure: bool = False
    #: Our own certificate for TLS, and its key where that is in another file.
    cert: str | None = None
    cert_key: str | None = None
    #: Its address may have a password in it.
    proxy: str | None = field(default=None, repr=False)
    #: Where the embedded Swift keeps its data; None for any other Swift.
    embedded_in: Path | None = None


@dataclass(frozen=True)
class LoginSettings:
    """One login: its token and its pool are shared by all storages with equal ones."""

    credentials: Credentials
    #: Connections per process.
    pool_size: int = 20
    #: Seconds to wait for one.
    pool_timeout: float = 30.0
    #: Of the free ones, what a batch reserves.
    bulk_share: float = 0.10
    #: Of all, what batches may have.
    bulk_ceiling: float = 0.8
    #: Seconds per socket operation.
    timeout: float = 60.0
    #: What speaks HTTP to Swift: ours, or requests, as swiftclient does by itself.
    transport: str = TRANSPORTS[0]
    token_cache: TokenCache | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RetrySettings:
    """How long a call goes on trying."""

    #: Seconds per call, retries and pauses included.
    deadline: float = 300.0
    #: Further attempts after one that failed.
    retries: int = 5
    #: Seconds before the second retry, doubled each time, always jittered.
    backoff: float = 0.5


@dataclass(frozen=True)
class SwiftSettings:
    """What one storage needs to know about its Swift."""

    login: LoginSettings
    container: str
    create_container: bool = False
    etag_mismatch_policy: MismatchPolicy = "log"
    retrying: RetrySettings = field(default=RetrySettings())
    #: Bytes; longer content becomes a large object, made of segments of this size.
    segment_size: int = 64 * 1024 * 1024
    #: Segments of one object on their way at a time.
    segment_concurrency: int = 4
    #: Signs temporary URLs and forms; the container has the same.
    temporary_url_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class TieredSettings:
    """What a storage in two tiers needs to know about the one that is no Swift."""

    #: An URL for SQLAlchemy. It may have a password in it.
    database: str = field(repr=False)
    #: Whether missing tables are created: the database is our own.
    is_own: bool = False
    #: Bytes; what has more is in Swift.
    threshold: int = 1024 * 1024
    #: Seconds after which a write that is not heard of is given up.
    lease: float = 60.0
    #: Seconds for which an upload in parts may be completed.
    upload_lifetime: float = 7 * 24 * 3600.0
    #: Seconds between two recoveries; None: only by command.
    recovery_interval: float | None = 300.0


@dataclass(frozen=True)
class StorageSettings:
    """What one storage needs to know about itself."""

    name: str
    backend: str
    #: None for a backend that needs none.
    swift: SwiftSettings | None = None
    #: None for a backend of one tier.
    tiered: TieredSettings | None = None
    #: Bytes.
    max_size: int | None = None
    #: Bytes; what is longer is stored in parts. None: nothing is.
    part_size: int | None = None
    #: Where the files can be fetched, with a final slash.
    url: str | None = None
    #: ``Cache-Control`` of what is served, where a file was stored without one.
    cache_control: str = "private, no-cache"
    #: Whether what a browser would run is served as it is, and not as an attachment.
    serve_inline: bool = False
    #: Extensions allowed or denied beside those of the ``Storage``.
    allow: Extensions = ()
    deny: Extensions = ()


def read_settings(config: Mapping[str, object], name: str, instance_path: str) -> StorageSettings:
    """Return the settings of the storage called ``name``.

    :param instance_path: below which the embedded Swift keeps its data.
    :raises ConfigError: see the module; nothing was connected.
    """
    own = f"{name.upper()}_FS_"
    backend_key = f"{own}BACKEND" if config.get(f"{own}BACKEND") else "FS_BACKEND"
    backend = choice(*BACKENDS)(backend_key, config.get(backend_key) or "swift")
    reader = _Reader(config, (own, f"FS_{backend.upper()}_"))
    if backend != "tiered":
        return reader.storage(name, backend, instance_path)
    in_swift = _Reader(config, (own, "FS_SWIFT_"))
    in_swift.refuse_unknown("FS_SWIFT_", (*_SWIFT, *_ANY_BACKEND))
    swift = in_swift.swift(name, instance_path)
    tiered = reader.tiered(instance_path, swift.segment_size)
    return replace(
        reader.storage(name, backend, instance_path),
        swift=swift,
        tiered=tiered,
        part_size=swift.segment_size,
    )


def read_swift_settings(
    config: Mapping[str, object], prefix: str, container: str, also: tuple[str, ...]
) -> SwiftSettings:
    """Return the settings of one container from keys that all have one prefix.

    The embedded Swift keeps its data in ``instance/`` of the working directory.

    :param also: keys that somebody else reads under the same prefix.
    :raises ConfigError: see the module.
    """
    reader = _Reader(config, (prefix,))
    reader.refuse_unknown(prefix, (*_SWIFT, *_ANY_BACKEND, *_STORAGE_ONLY, *also))
    return reader.swift(container, instance_path=str(Path("instance").absolute()))


def read_max_size(config: Mapping[str, object], prefix: str) -> int | None:
    """Return how many bytes an object may have; None: no limit.

    :raises ConfigError: see the module.
    """
    return _Reader(config, (prefix,)).get("MAX_SIZE", at_least(0), None)


# What a value must be, beside what any setting's may.


def _header(key: str, value: object) -> str:
    try:
        return check_header(key, text(key, value))
    except ValueError as error:
        raise ConfigError(str(error), key=key) from error


def _auth_version(key: str, value: object) -> str:
    version = str(value).removesuffix(".0") if isinstance(value, (int, float, str)) else ""
    if version not in {"1", "2", "3"}:
        raise wrong(key, value, "1, 2 or 3, as a string or a number")
    return version


def _authurl(key: str, value: object) -> str:
    url = text(key, value)
    if url != EMBEDDED and urlsplit(url).scheme not in {"http", "https"}:
        # Without the value: it may have a password in it.
        raise ConfigError(f"{key} must be an http or https URL, or {EMBEDDED!r}", key=key)
    return url


def _proxy(key: str, value: object) -> str:
    url = text(key, value)
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        # Without the value: it may have a password in it.
        raise ConfigError(f"{key} must be an http or https URL", key=key)
    return url


def _readable_file(key: str, value: object) -> str:
    path = text(key, value)
    if not Path(path).is_file():
        raise wrong(key, value, "the path of a file")
    return path


def _options(key: str, value: object) -> dict[str, str]:
    good = isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    )
    if not good:
        raise ConfigError(f"{key} must be a dict of strings", key=key)
    return cast("dict[str, str]", value)


def _cache(key: str, value: object) -> TokenCache:
    if not all(callable(getattr(value, verb, None)) for verb in ("get", "set", "delete")):
        # Without the value: what was meant for one may be an address with a password.
        allowed = "a cache with get, set and delete, such as cachelib's"
        raise ConfigError(f"{key} must be {allowed}, not a {type(value).__name__}", key=key)
    return cast("TokenCache", value)


def _extensions(key: str, value: object) -> Extensions:
    if isinstance(value, str) or not hasattr(value, "__contains__"):
        raise wrong(key, value, "a collection of extensions such as ('txt', 'pdf')")
    return normalised(cast("Extensions", value))


def _base_url(key: str, value: object) -> str:
    return text(key, value).rstrip("/") + "/"


_ANY_BACKEND = ("MAX_SIZE", "URL", "CACHE_CONTROL", "SERVE_INLINE")
_STORAGE_ONLY = ("BACKEND", "ALLOW", "DENY", "CONTAINER")
_SWIFT = (
    "AUTHURL",
    "USER",
    "KEY",
    "AUTH_VERSION",
    "TENANT_NAME",
    "REGION_NAME",
    "OS_OPTIONS",
    "CACERT",
    "INSECURE",
    "CERT",
    "CERT_KEY",
    "PROXY",
    "TRANSPORT",
    "CREATE_CONTAINER",
    "POOL_SIZE",
    "POOL_TIMEOUT",
    "BULK_SHARE",
    "BULK_CEILING",
    "TIMEOUT",
    "DEADLINE",
    "RETRIES",
    "BACKOFF",
    "ETAG_MISMATCH_POLICY",
    "TOKEN_CACHE",
    "SEGMENT_SIZE",
    "SEGMENT_CONCURRENCY",
    "TEMPORARY_URL_KEY",
)


_TIERED = ("DATABASE", "THRESHOLD", "LEASE", "UPLOAD_LIFETIME", "RECOVERY_INTERVAL")

#: Bytes; what has more would not be held in memory.
_HIGHEST_THRESHOLD = 4 * 1024 * 1024


class _Reader:
    """Looks keys up under the first prefix that has them."""

    def __init__(self, config: Mapping[str, object], prefixes: tuple[str, ...]) -> None:
        self._config = config
        self._prefixes = prefixes

    def _full(self, key: str) -> str:
        full = [prefix + key for prefix in self._prefixes]
        return next((name for name in full if name in self._config), full[-1])

    def get(self, key: str, check: Callable[[str, object], T], default: T) -> T:
        """Return a checked value; the default where the key is absent or None."""
        name = self._full(key)
        value = self._config.get(name)
        return default if value is None else check(name, value)

    def need(self, key: str, check: Callable[[str, object], T], why: str) -> T:
        """Return a checked value that must be there."""
        name = self._full(key)
        value = self._config.get(name)
        if value is None:
            raise ConfigError(f"{name} is missing: {why}", key=name)
        return check(name, value)

    def refuse_unknown(self, prefix: str, known: tuple[str, ...]) -> None:
        """Refuse keys that begin with a prefix of ours and are none of ours."""
        refuse_unknown(self._config, prefix, known)

    def storage(self, name: str, backend: str, instance_path: str) -> StorageSettings:
        own, shared = self._prefixes
        keys = {
            "swift": (*_ANY_BACKEND, *_SWIFT),
            "tiered": (*_ANY_BACKEND, *_TIERED),
            "memory": _ANY_BACKEND,
        }[backend]
        also = _SWIFT if backend == "tiered" else ()
        self.refuse_unknown(own, (*keys, *also, *_STORAGE_ONLY))
        self.refuse_unknown(shared, keys)
        swift = self.swift(name, instance_path) if backend == "swift" else None
        return StorageSettings(
            name=name,
            backend=backend,
            swift=swift,
            part_size=swift.segment_size if swift is not None else None,
            max_size=self.get("MAX_SIZE", at_least(0), None),
            url=self._url(name),
            cache_control=self.get("CACHE_CONTROL", _header, StorageSettings.cache_control),
            serve_inline=self.get("SERVE_INLINE", flag, False),
            allow=self.get("ALLOW", _extensions, _NONE),
            deny=self.get("DENY", _extensions, _NONE),
        )

    def _url(self, name: str) -> str | None:
        # One base for all storages gets a folder for each, or their files would be one another's.
        key = self._full("URL")
        url = self.get("URL", _base_url, None)
        return f"{url}{name}/" if url and key == self._prefixes[-1] + "URL" else url

    def tiered(self, instance_path: str, segment_size: int) -> TieredSettings:
        """Return the settings of the tier that is no Swift."""
        own = f"sqlite:///{Path(instance_path) / 'tiered.sqlite3'}"
        database = self.get("DATABASE", _secret, None)
        threshold = self.get("THRESHOLD", at_least(0), TieredSettings.threshold)
        highest = min(_HIGHEST_THRESHOLD, segment_size)
        if threshold > highest:
            key = self._full("THRESHOLD")
            raise wrong(key, threshold, f"at most {highest} bytes, what is held in memory")
        interval = self.get("RECOVERY_INTERVAL", not_negative, TieredSettings.recovery_interval)
        return TieredSettings(
            database=database or own,
            is_own=database is None,
            threshold=threshold,
            lease=self.get("LEASE", seconds, TieredSettings.lease),
            upload_lifetime=self.get("UPLOAD_LIFETIME", seconds, TieredSettings.upload_lifetime),
            recovery_interval=interval or None,
        )

    def swift(self, name: str, instance_path: str) -> SwiftSettings:
        policy = self.get("ETAG_MISMATCH_POLICY", choice(*POLICIES), "log")
        return SwiftSettings(
            login=self._login(instance_path),
            container=self._container(name),
            create_container=self.get("CREATE_CONTAINER", flag, False),
            etag_mismatch_policy=cast("MismatchPolicy", policy),
            retrying=RetrySettings(
                deadline=self.get("DEADLINE", seconds, RetrySettings.deadline),
                retries=self.get("RETRIES", at_least(0), RetrySettings.retries),
                backoff=self.get("BACKOFF", seconds, RetrySettings.backoff),
            ),
            segment_size=self.get("SEGMENT_SIZE", at_least(1), SwiftSettings.segment_size),
            segment_concurrency=self.get(
                "SEGMENT_CONCURRENCY", at_least(1), SwiftSettings.segment_concurrency
            ),
            temporary_url_key=self.get("TEMPORARY_URL_KEY", _signing_key, None),
        )

    def _container(self, name: str) -> str:
        try:
            return check_container(self.get("CONTAINER", text, name))
        except InvalidName as error:
            key = self._full("CONTAINER")
            raise ConfigError(f"{key}: {error}", key=key) from error

    def _login(self, instance_path: str) -> LoginSettings:
        return LoginSettings(
            credentials=self._credentials(instance_path),
            pool_size=self.get("POOL_SIZE", at_least(1), LoginSettings.pool_size),
            pool_timeout=self.get("POOL_TIMEOUT", seconds, LoginSettings.pool_timeout),
            bulk_share=self.get("BULK_SHARE", fraction, LoginSettings.bulk_share),
            bulk_ceiling=self._bulk_ceiling(),
            timeout=self.get("TIMEOUT", seconds, LoginSettings.timeout),
            transport=self.get("TRANSPORT", choice(*TRANSPORTS), LoginSettings.transport),
            token_cache=self.get("TOKEN_CACHE", _cache, None),
        )

    def _bulk_ceiling(self) -> float:
        share = self.get("BULK_SHARE", fraction, LoginSettings.bulk_share)
        ceiling = self.get("BULK_CEILING", fraction, LoginSettings.bulk_ceiling)
        if ceiling < share:
            key = self._full("BULK_CEILING")
            raise wrong(key, ceiling, f"no less than {self._full('BULK_SHARE')}, {share}")
        return ceiling

    def _credentials(self, instance_path: str) -> Credentials:
        authurl = self.need("AUTHURL", _authurl, "the URL of Keystone, or 'embedded'")
        if authurl == EMBEDDED:
            data = Path(instance_path) / "swift"
            return Credentials(authurl, None, None, "1", (), embedded_in=data)
        options = self._os_options()
        by_application = any(name.startswith("application_credential") for name in options)
        user, key = self._user_and_key(needed=not by_application)
        return Credentials(
            authurl=authurl,
            user=user,
            key=key,
            auth_version=self.get("AUTH_VERSION", _auth_version, "3"),
            os_options=tuple(sorted(options.items())),
            cacert=self.get("CACERT", _readable_file, None),
            insecure=self.get("INSECURE", flag, False),
            cert=self._certificate(),
            cert_key=self.get("CERT_KEY", _readable_file, None),
            proxy=self.get("PROXY", _proxy, None),
        )

    def _certificate(self) -> str | None:
        if self.get("CERT_KEY", _readable_file, None) is None:
            return self.get("CERT", _readable_file, None)
        return self.need("CERT", _readable_file, "there is a CERT_KEY, which is the key of one")

    def _user_and_key(self, *, needed: bool) -> tuple[str | None, str | None]:
        if needed:
            why = "it is needed unless OS_OPTIONS has an application credential"
            return self.need("USER", text, why), self.need("KEY", _secret, why)
        return self.get("USER", text, None), self.get("KEY", _secret, None)

    def _os_options(self) -> dict[str, str]:
        options = {
            "tenant_name": self.get("TENANT_NAME", text, None),
            "region_name": self.get("REGION_NAME", text, None),
        }
        given = {name: value for name, value in options.items() if value is not None}
        return {**given, **self.get("OS_OPTIONS", _options, {})}


def _secret(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} must be a string that is not empty", key=key)
    return value


def _signing_key(key: str, value: object) -> str:
    try:
        return check_key(cast("str", value))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}", key=key) from error
