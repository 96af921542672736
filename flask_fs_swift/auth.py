"""Ask once for a token: Keystone v2 or v3, the v1 of Swift itself, the embedded Swift."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timezone
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3
from swiftclient import client as swiftclient

from .errors import AuthFailed
from .retry import PASSING, seconds_until

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from keystoneauth1.access import AccessInfo
    from keystoneauth1.identity import BaseIdentityPlugin

    from .config import Credentials

# swiftclient logs the first 16 characters of tokens; that is half of some.
swiftclient.logger_settings["reveal_sensitive_prefix"] = 0

_NETWORK = (OSError, urllib3.exceptions.HTTPError)


@dataclass(frozen=True)
class Token:
    """What opens Swift: where it is, and the proof that we may."""

    url: str
    #: The secret itself.
    value: str
    #: Seconds since the epoch; None where the service does not say.
    expires: float | None = None
    #: Seconds since the epoch from which it should be renewed.
    renew_from: float | None = None

    def __repr__(self) -> str:
        return f"<Token for {self.url}>"

    def is_due(self, now: float) -> bool:
        """Tell whether it should be renewed."""
        return self.renew_from is not None and now >= self.renew_from

    def is_good(self, now: float) -> bool:
        """Tell whether it can still be used, as far as we know."""
        return self.expires is None or now < self.expires


class Busy(Exception):
    """An authentication failed in a way that may pass."""

    def __init__(self, error: AuthFailed, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        #: What to raise when there is no time to wait.
        self.error = error
        #: Seconds, where the service said how long.
        self.retry_after = retry_after


def authenticate(credentials: Credentials, timeout: float) -> Token:
    """Ask once for a token.

    :param timeout: seconds per socket operation.
    :raises AuthFailed: the credentials were refused.
    :raises Busy: the service could not be asked right now.
    """
    if credentials.embedded_in is not None:
        return _embedded(credentials, credentials.embedded_in, timeout)
    if credentials.auth_version == "1":
        return _v1(credentials, timeout)
    return _keystone(credentials, timeout)


def _embedded(credentials: Credentials, data: Path, timeout: float) -> Token:
    from .devserver import DevServer, DevServerError

    try:
        server = DevServer.share(data)
    except DevServerError as error:
        raise AuthFailed(f"the embedded Swift did not start: {error}") from error
    here = replace(credentials, authurl=server.auth_url, user=server.user, key=server.key)
    return _v1(here, timeout)


def _v1(credentials: Credentials, timeout: float) -> Token:
    """Ask a v1 service such as Swift's own tempauth (Swift API reference, "Auth v1")."""
    url = credentials.authurl
    parsed, connection = swiftclient.http_connection(
        url, cacert=credentials.cacert, insecure=credentials.insecure, timeout=timeout
    )
    headers = {"X-Auth-User": credentials.user or "", "X-Auth-Key": credentials.key or ""}
    try:
        connection.request("GET", parsed.path, "", headers)
        response = connection.getresponse()
        response.read()
    except _NETWORK as error:
        raise _unreachable(url, error) from error
    finally:
        connection.close()
    storage_url = response.getheader("x-storage-url")
    value = response.getheader("x-storage-token") or response.getheader("x-auth-token")
    if not 200 <= response.status < 300 or not storage_url or not value:
        raise _said_no(url, response.status, response.getheader("retry-after"))
    life = response.getheader("x-auth-token-expires")
    expires = time.time() + float(life) if life and life.isdigit() else None
    return Token(storage_url, value, expires)


def _keystone(credentials: Credentials, timeout: float) -> Token:
    """Ask Keystone; its one answer has the token, its end and the catalogue of services."""
    from keystoneauth1 import exceptions
    from keystoneauth1.session import Session

    url = credentials.authurl
    verify = False if credentials.insecure else credentials.cacert or True
    session = Session(verify=verify, timeout=timeout)
    try:
        access = _plugin(credentials).get_access(session)
        storage_url = _endpoint(credentials, access)
    except exceptions.HttpError as error:
        retry_after = error.response.headers.get("retry-after") if error.response else None
        raise _said_no(url, error.http_status, retry_after) from error
    except exceptions.ConnectionError as error:
        raise _unreachable(url, error) from error
    except exceptions.ClientException as error:
        raise AuthFailed(f"{public(url)}: {error}") from error
    finally:
        session.session.close()
    value, ends = access.auth_token, access.expires
    if not value:
        raise AuthFailed(f"{public(url)} answered without a token")
    return Token(storage_url, value, _epoch(ends) if ends else None)


def _epoch(moment: datetime) -> float:
    # Keystone speaks of UTC, also where it does not say so.
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()


def _plugin(credentials: Credentials) -> BaseIdentityPlugin:
    from keystoneauth1.identity import v2, v3

    options = dict(credentials.os_options)
    project = options.get("project_name") or options.get("tenant_name")
    project_id = options.get("project_id") or options.get("tenant_id")
    if credentials.auth_version == "2":
        return v2.Password(
            credentials.authurl,
            username=options.get("username") or credentials.user,
            password=credentials.key,
            tenant_name=project,
            tenant_id=project_id,
        )
    if any(name.startswith("application_credential") for name in options):
        return v3.ApplicationCredential(
            credentials.authurl,
            options.get("application_credential_secret") or credentials.key or "",
            application_credential_id=options.get("application_credential_id"),
            application_credential_name=options.get("application_credential_name"),
            username=options.get("username") or credentials.user,
            user_id=options.get("user_id"),
            user_domain_id=_domain_id(options, "user_domain"),
            user_domain_name=options.get("user_domain_name"),
        )
    user_id = options.get("user_id")
    return v3.Password(
        credentials.authurl,
        password=credentials.key or "",
        user_id=user_id,
        username=None if user_id else options.get("username") or credentials.user,
        user_domain_id=_domain_id(options, "user_domain"),
        user_domain_name=options.get("user_domain_name"),
        project_id=project_id,
        project_name=None if project_id else project,
        project_domain_id=_domain_id(options, "project_domain"),
        project_domain_name=options.get("project_domain_name"),
    )


def _domain_id(options: dict[str, str], whose: str) -> str | None:
    """Return the id of a domain; ``default``, the first of every Keystone, unless it is named."""
    return options.get(f"{whose}_id") or (None if f"{whose}_name" in options else "default")


def _endpoint(credentials: Credentials, access: AccessInfo) -> str:
    options = dict(credentials.os_options)
    if "object_storage_url" in options:
        return options["object_storage_url"]
    catalog = access.service_catalog
    region = options.get("region_name")
    url = catalog.url_for(
        service_type=options.get("service_type", "object-store"),
        interface=options.get("endpoint_type", "public"),
        region_name=region,
    )
    return str(url)


def _said_no(url: str, status: int | None, retry_after: str | None) -> Exception:
    error = AuthFailed(
        f"{public(url)} answered {status} to the authentication; Swift was sent nothing",
        http_status=status,
    )
    if status in PASSING:
        return Busy(error, seconds_until(retry_after))
    return error


def _unreachable(url: str, cause: Exception) -> Exception:
    reason = "did not answer in time" if _is_timeout(cause) else "could not be reached"
    return Busy(AuthFailed(f"{public(url)} {reason}; Swift was sent nothing"))


def _is_timeout(cause: BaseException | None) -> bool:
    while cause is not None:
        if isinstance(cause, (TimeoutError, requests.Timeout)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def public(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else url
