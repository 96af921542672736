"""Swift's configuration files, for one development server.

What is set differs from Swift's defaults for a reason, given beside it. Whatever a caller
sets (``"slo.max_manifest_segments": "5"``) is laid over it last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import DevServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .datadir import DataDirectory

    Sections = dict[str, dict[str, str]]

#: Holds settings as JSON. Command lines can be read by every user of a machine.
SETTINGS_VARIABLE = "DEVSERVER_SETTINGS"
KEYSTONE_DEFAULTS = {
    "keystone.url": "http://127.0.0.1:5000",
    "keystone.user": "swift",
    "keystone.password": "",
    "keystone.project": "service",
}
_SECTIONS = {
    "DEFAULT": "DEFAULT",
    "constraints": "swift-constraints",
    "proxy-server": "app:proxy-server",
}
_PIPELINE = (
    "catch_errors gatekeeper healthcheck proxy-logging listing_formats bulk tempurl formpost"
    " {auth} staticweb copy container-quotas account-quotas slo dlo versioned_writes symlink"
    " proxy-logging proxy-server"
)
# s3api with Keystone would need s3token and EC2 credentials as well.
_AUTH = {"tempauth": "s3api tempauth", "keystone": "authtoken keystoneauth"}

_FILTERS: Sections = {
    "catch_errors": {},
    "gatekeeper": {},
    "healthcheck": {},
    "proxy_logging": {},
    "listing_formats": {},
    "bulk": {"delete_concurrency": "4"},
    "tempurl": {},
    "formpost": {},
    "s3api": {"dns_compliant_bucket_names": "false", "min_segment_size": "1"},
    "tempauth": {
        "user_admin_admin": "admin .admin .reseller_admin",
        "user_test_tester": "testing .admin",
        "user_test_tester2": "testing2 .admin",
        "user_test_tester3": "testing3",
        "user_test2_tester2": "testing2 .admin",
    },
    "keystoneauth": {
        "operator_roles": "admin, member, swiftoperator",
        "reseller_admin_role": "ResellerAdmin",
    },
    "staticweb": {},
    "copy": {},
    "container_quotas": {},
    "account_quotas": {},
    # By default one small segment per second after the tenth.
    "slo": {"rate_limit_segments_per_sec": "0"},
    "dlo": {"rate_limit_segments_per_sec": "0"},
    "versioned_writes": {"allow_versioned_writes": "true", "allow_object_versioning": "true"},
    "symlink": {},
}
# Pipelines write these with a dash, Swift's entry points with an underscore.
_DASHED = {"proxy_logging", "container_quotas", "account_quotas"}

_PROXY = {
    "use": "egg:swift#proxy",
    "account_autocreate": "true",
    "allow_account_management": "true",
    "allow_open_expired": "true",
    # There is one node: it is never put aside after an error.
    "error_suppression_interval": "0",
    "conn_timeout": "5",
    "node_timeout": "30",
}


@dataclass(frozen=True)
class Configuration:
    """What Swift's parts read when they are built."""

    etc: Path
    defaults: dict[str, str]  # what every part is told

    @property
    def proxy(self) -> Path:
        """The proxy server's file."""
        return self.etc / "proxy-server.conf"

    @property
    def internal_client(self) -> Path:
        """The file of the clients inside Swift's daemons."""
        return self.etc / "internal-client.conf"


@dataclass(frozen=True)
class Account:
    """How clients log in to the server at a URL."""

    auth_url: str
    user: str
    key: str
    storage_url: str  # with Keystone it ends before the project's id

    @classmethod
    def at(cls, url: str, settings: Mapping[str, str]) -> Account:
        """Return the account that every client may use."""
        if not _uses_keystone(settings):
            return cls(f"{url}/auth/v1.0", "test:tester", "testing", f"{url}/v1/AUTH_test")
        keystone = KEYSTONE_DEFAULTS | dict(settings)
        return cls(
            auth_url=f"{keystone['keystone.url']}/v3",
            user=keystone["keystone.user"],
            key=keystone["keystone.password"],
            storage_url=f"{url}/v1/AUTH_",
        )


def write(directory: DataDirectory, settings: Mapping[str, str]) -> Configuration:
    """Write the files.

    :param settings: ``section.key`` to value; ``auth`` and ``keystone.*`` choose who checks
        tokens.
    :raises DevServerError: a setting belongs to no section we have.
    """
    swift = _swift_sections(directory, settings)
    proxy = _proxy_sections(directory, settings)
    for name, value in settings.items():
        if name != "auth" and name not in KEYSTONE_DEFAULTS:
            section, key = _place(name, swift | proxy)
            section[key] = value
    configuration = Configuration(directory.etc, proxy["DEFAULT"])
    directory.etc.mkdir(exist_ok=True)
    _write_file(directory.etc / "swift.conf", swift)
    _write_file(configuration.proxy, proxy)
    _write_file(configuration.internal_client, _internal_client_sections(directory))
    return configuration


def _place(name: str, sections: Sections) -> tuple[dict[str, str], str]:
    prefix, _, key = name.rpartition(".")
    for section in (_SECTIONS.get(prefix), f"filter:{prefix}"):
        if section in sections:
            return sections[section], key
    filters = [section.removeprefix("filter:") for section in sections if "filter:" in section]
    known = ", ".join(sorted([*_SECTIONS, "keystone", *filters]))
    raise DevServerError(f"unknown setting {name!r}; the part before the dot is one of {known}")


def _uses_keystone(settings: Mapping[str, str]) -> bool:
    return _auth(settings) == "keystone"


def _auth(settings: Mapping[str, str]) -> str:
    auth = settings.get("auth", "tempauth")
    if auth not in _AUTH:
        raise DevServerError(f"setting 'auth' is {auth!r}; it may be one of {sorted(_AUTH)}")
    return auth


def _swift_sections(directory: DataDirectory, settings: Mapping[str, str]) -> Sections:
    return {
        "swift-hash": {
            "swift_hash_path_prefix": "flask-fs-swift",
            "swift_hash_path_suffix": directory.hash_suffix(),
        },
        "storage-policy:0": {"name": "default", "default": "yes"},
        # Keystone's tokens are long.
        "swift-constraints": {"max_header_size": "16384"} if _uses_keystone(settings) else {},
    }


def _proxy_sections(directory: DataDirectory, settings: Mapping[str, str]) -> Sections:
    filters = {
        f"filter:{name.replace('_', '-') if name in _DASHED else name}": {
            "use": f"egg:swift#{name}",
            **options,
        }
        for name, options in _FILTERS.items()
    }
    return {
        "DEFAULT": _defaults(directory),
        "pipeline:main": {"pipeline": _PIPELINE.format(auth=_AUTH[_auth(settings)])},
        "app:proxy-server": dict(_PROXY),
        "filter:authtoken": _authtoken(KEYSTONE_DEFAULTS | dict(settings)),
        **filters,
    }


def _defaults(directory: DataDirectory) -> dict[str, str]:
    return {
        "swift_dir": str(directory.etc),
        "devices": str(directory.devices),
        "mount_check": "false",
        "recon_cache_path": str(directory.recon),
        "lock_path": str(directory.recon),
        "fallocate_reserve": "0",
        # No object-updater runs: an update of a listing that is not waited for is lost for ever.
        "container_update_timeout": "30",
        "conn_timeout": "5",
        "node_timeout": "30",
        "client_timeout": "60",
        # Swift refuses to build a proxy that does not know where it listens; nothing uses it.
        "bind_port": "1",
    }


def _authtoken(keystone: Mapping[str, str]) -> dict[str, str]:
    return {
        "paste.filter_factory": "keystonemiddleware.auth_token:filter_factory",
        "www_authenticate_uri": keystone["keystone.url"],
        "auth_url": keystone["keystone.url"],
        "auth_type": "password",
        "project_domain_id": "default",
        "user_domain_id": "default",
        "project_name": keystone["keystone.project"],
        "username": keystone["keystone.user"],
        "password": keystone["keystone.password"],
        "delay_auth_decision": "True",
        "include_service_catalog": "False",
        "service_token_roles_required": "True",
        "cache": "swift.cache",
    }


def _internal_client_sections(directory: DataDirectory) -> Sections:
    return {
        "DEFAULT": {"swift_dir": str(directory.etc)},
        "pipeline:main": {"pipeline": "catch_errors proxy-server"},
        "app:proxy-server": dict(_PROXY),
        "filter:catch_errors": {"use": "egg:swift#catch_errors"},
    }


def _write_file(path: Path, sections: Sections) -> None:
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_escaped(value)}" for key, value in options.items()]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def _escaped(value: str) -> str:
    """Let no value be interpolated. Swift interpolates those that hold ``%(``, and only them."""
    return value.replace("%", "%%") if "%(" in value else value
