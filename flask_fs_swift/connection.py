"""swiftclient's connection, over our transport where there is no proxy to go through."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlparse

import swiftclient
from requests.utils import get_environ_proxies, select_proxy
from swiftclient.client import HTTPConnection

from .tls import context_for
from .transport import Transport

if TYPE_CHECKING:
    from typing import TypeAlias
    from urllib.parse import ParseResult

    from .config import Credentials, LoginSettings

    _Http: TypeAlias = Transport | HTTPConnection


class SwiftConnection(swiftclient.Connection):
    """One connection to Swift with all of swiftclient's verbs. Not connected before the first.

    It neither retries nor authenticates: see :mod:`.call` and :mod:`.login`.
    """

    def __init__(self, settings: LoginSettings) -> None:
        super().__init__(retries=0, timeout=settings.timeout)
        self._settings = settings

    def http_connection(self, url: str | None = None) -> tuple[ParseResult, _Http]:
        """Return the address of Swift, and what speaks HTTP to it."""
        address = url or self.url or ""
        credentials = self._settings.credentials
        proxy = credentials.proxy or select_proxy(address, get_environ_proxies(address))
        if proxy is None and self._settings.transport == "native":
            tls = context_for(credentials) if address.startswith("https:") else None
            return urlparse(address), Transport(address, tls=tls, timeout=self._settings.timeout)
        return over_requests(address, credentials, self._settings.timeout)


def over_requests(
    url: str, credentials: Credentials, timeout: float
) -> tuple[ParseResult, HTTPConnection]:
    """Return an address, and swiftclient's own way to speak HTTP to it.

    :param timeout: seconds per socket operation.
    """
    http = HTTPConnection(
        url,
        cacert=credentials.cacert,
        insecure=credentials.insecure,
        cert=credentials.cert,
        cert_key=credentials.cert_key,
        timeout=timeout,
    )
    if credentials.proxy is not None:
        # Not through swiftclient, which asks the proxy of http for http alone.
        http.requests_args["proxies"] = {"http": credentials.proxy, "https": credentials.proxy}
    return http.parsed_url, http
