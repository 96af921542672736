"""Ask once for a token: Keystone v2 or v3, the v1 of Swift itself, the embedded Swift."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from swiftclient import client as swiftclient

from .answers import NETWORK_ERRORS, causes, is_distrust
from .connection import over_requests
from .errors import AuthFailed
from .retry import is_transient, seconds_until

if TYPE_CHECKING:
    from pathlib import Path

    from keystoneauth1.access import AccessInfo
    from keystoneauth1.identity import BaseIdentityPlugin

    from .config import Credentials

# swiftclient logs the first 16 characters of tokens; that is half of some.
swiftclient.logger_settings["reveal_sensitive_prefix"] = 0

# What reading an answer raises that is JSON, and no token.
_GARBAGE = (AttributeError, LookupError, TypeError, ValueError)


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
    # A user before the host would be logged by keystoneauth, and Swift would refuse it.
    credentials = replace(credentials, authurl=without_secrets(credentials.authurl))
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
    parsed, connection = over_requests(url, credentials, timeout)
    headers = {"X-Auth-User": credentials.user or "", "X-Auth-Key": credentials.key or ""}
    try:
        connection.request("GET", parsed.path, "", headers)
        response = connection.getresponse()
        response.read()
    except requests.exceptions.InvalidHeader:
        # Not with its cause: that one quotes the header.
        raise AuthFailed(f"{url}: v1 keys have no line breaks, and begin with no space") from None
    except NETWORK_ERRORS as error:
        raise _unreachable(url, error) from error
    finally:
        connection.close()
    storage_url = response.getheader("x-storage-url")
    value = response.getheader("x-storage-token") or response.getheader("x-auth-token")
    if not 200 <= response.status < 300:
        raise _said_no(url, response.status, response.getheader("retry-after"))
    if not storage_url or not value:
        raise _no_token(url)
    life = response.getheader("x-auth-token-expires") or ""
    return _token(storage_url, value, float(life) if life.isdecimal() else None)


def _keystone(credentials: Credentials, timeout: float) -> Token:
    """Ask Keystone; its one answer has the token, its end and the catalogue of services."""
    from keystoneauth1 import exceptions
    from keystoneauth1.session import Session

    url = credentials.authurl
    verify = False if credentials.insecure else credentials.cacert or True
    session = Session(verify=verify, cert=_own_certificate(credentials), timeout=timeout)
    if credentials.proxy is not None:
        session.session.proxies = {"http": credentials.proxy, "https": credentials.proxy}
    plugin = _plugin(credentials)
    try:
        access = plugin.get_access(session)
        value, storage_url, life = access.auth_token, _endpoint(credentials, access), _life(access)
    except (exceptions.ClientException, *_GARBAGE) as error:
        raise _explained(url, error) from error
    finally:
        session.session.close()
    if not value or not storage_url:
        raise _no_token(url)
    return _token(storage_url, value, life)


def _own_certificate(credentials: Credentials) -> str | tuple[str, str] | None:
    if credentials.cert is None or credentials.cert_key is None:
        return credentials.cert
    return credentials.cert, credentials.cert_key


def _explained(url: str, error: Exception) -> Exception:
    """Say what a failure of keystoneauth means."""
    from keystoneauth1 import exceptions

    if isinstance(error, exceptions.HttpError):
        # Not "if error.response": a response that says no is false.
        headers = {} if error.response is None else error.response.headers
        return _said_no(url, error.http_status, headers.get("retry-after"))
    if isinstance(error, exceptions.ConnectionError):
        return _unreachable(url, error)
    if isinstance(error, (exceptions.InvalidResponse, *_GARBAGE)):
        return _no_token(url)
    if isinstance(error, exceptions.EmptyCatalog):
        return AuthFailed(f"{url} knows no Swift for this token; is its project set?")
    return AuthFailed(f"{url}: {error}")


def _token(url: str, value: str, life: float | None) -> Token:
    # A slash at the end would be another path: swiftclient removes it for some verbs only.
    return Token(url.rstrip("/"), value, None if life is None else time.time() + life)


def _life(access: AccessInfo) -> float | None:
    """Return how long a new token lives, in seconds, by the clock of its Keystone."""
    try:
        issued = access.issued
    except KeyError:  # v2 need not say.
        issued = None
    ends = access.expires
    return (ends - (issued or datetime.now(timezone.utc))).total_seconds() if ends else None


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


def _endpoint(credentials: Credentials, access: AccessInfo) -> str | None:
    options = dict(credentials.os_options)
    if "object_storage_url" in options:
        return options["object_storage_url"]
    return access.service_catalog.url_for(
        service_type=options.get("service_type", "object-store"),
        interface=options.get("endpoint_type", "public"),
        region_name=options.get("region_name"),
    )


def _said_no(url: str, status: int | None, retry_after: str | None) -> Exception:
    error = AuthFailed(
        f"{url} answered {status} to the authentication; Swift was sent nothing",
        http_status=status,
    )
    if status is not None and is_transient(status):
        return Busy(error, seconds_until(retry_after))
    return error


def _no_token(url: str) -> AuthFailed:
    return AuthFailed(f"{url} answered without a token; is it an auth URL?")


def _unreachable(url: str, failure: Exception) -> Exception:
    reason = _reason(failure)
    if is_distrust(failure, contexts=True):
        return AuthFailed(f"{url} is not trusted: {reason}; Swift was sent nothing")
    return Busy(AuthFailed(f"{url} could not be asked: {reason}; Swift was sent nothing"))


def _reason(failure: Exception) -> str:
    """Say why in the words of the system: the libraries' quote URLs, and even headers."""
    found = causes(failure, contexts=True)
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in found):
        return "no answer in time"
    said = [cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror]
    return said[0] if said else type(found[-1]).__name__


def without_secrets(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else url
