"""swiftclient's connection, over our transport where there is no proxy to go through."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlparse

import swiftclient
from requests.utils import get_environ_proxies, select_proxy
from swiftclient import ClientException
from swiftclient.client import HTTPConnection, _ObjectBody, http_log, resp_header_dict

from .blocks import BLOCK
from .tls import context_for
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias
    from urllib.parse import ParseResult

    from swiftclient import Response as Answer

    from .config import Credentials, LoginSettings

    _Speaker: TypeAlias = Transport | HTTPConnection


# Names that quoting does not change, which takes four times as long to find out by itself.
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]+")
_SECRETS = {"x-container-meta-temp-url-key", "x-container-meta-temp-url-key-2"}
_quoted = lru_cache(maxsize=256)(quote)


def _fastest_json() -> Callable[[bytes], Any]:
    try:
        import orjson
    except ImportError:
        return json.loads
    return orjson.loads


#: Reads JSON; in half the time where the extra ``speed`` is installed.
loads = _fastest_json()


class SwiftConnection(swiftclient.Connection):
    """One connection to Swift with all of swiftclient's verbs. Not connected before the first.

    It neither retries nor authenticates: see :mod:`.call` and :mod:`.login`.
    """

    def __init__(self, settings: LoginSettings) -> None:
        super().__init__(retries=0, timeout=settings.timeout)
        self._settings = settings

    def http_connection(self, url: str | None = None) -> tuple[ParseResult, _Speaker]:
        """Return the address of Swift, and what speaks HTTP to it."""
        address = url or self.url or ""
        credentials = self._settings.credentials
        proxy = credentials.proxy or select_proxy(address, get_environ_proxies(address))
        if proxy is None and self._settings.transport == "native":
            tls = partial(context_for, credentials)
            return urlparse(address), Transport(address, tls=tls, timeout=self._settings.timeout)
        return over_requests(address, credentials, self._settings.timeout)

    # Verbs that swiftclient spends more time on than the network does: it decodes every
    # header of an answer, whether or not anybody looks. What is out of the ordinary is
    # left to swiftclient.

    def head_object(
        self,
        container: str,
        obj: str,
        headers: Mapping[str, str] | None = None,
        query_string: str | None = None,
    ) -> Mapping[str, str]:
        """Return the headers of an object."""
        if self.retries:
            return super().head_object(container, obj, headers, query_string)
        answer = self._ask("HEAD", container, obj, query_string, headers)
        answer.read()
        return Decoded(answer)

    def get_object(
        self,
        container: str,
        obj: str,
        resp_chunk_size: int | None = None,
        query_string: str | None = None,
        response_dict: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, str], Any]:
        """Return the headers of an object, and its content: a body to read, with a chunk size."""
        if self.retries or not resp_chunk_size or response_dict is not None:
            return super().get_object(
                container, obj, resp_chunk_size, query_string, response_dict, headers
            )
        answer = self._ask("GET", container, obj, query_string, headers)
        return Decoded(answer), _ObjectBody(answer, resp_chunk_size, None)

    def get_container(
        self,
        container: str,
        marker: str | None = None,
        limit: int | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        end_marker: str | None = None,
        **others: Any,
    ) -> tuple[Mapping[str, str], list[dict[str, Any]]]:
        """Return the headers of a container, and one page of its listing."""
        given: dict[str, Any] = {
            "limit": limit,
            "marker": marker,
            "prefix": prefix,
            "delimiter": delimiter,
            "end_marker": end_marker,
        }
        if self.retries or others:
            return super().get_container(container, **given, **others)
        query = "".join(f"&{key}={quote(str(value))}" for key, value in given.items() if value)
        answer = self._ask("GET", container, None, f"format=json{query}", None)
        return Decoded(answer), loads(answer.read() or b"[]")

    def put_object(
        self,
        container: str,
        obj: str,
        contents: Any,
        content_length: int | None = None,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
        query_string: str | None = None,
        **others: Any,
    ) -> str:
        """Store an object; return its ETag."""
        self._http()
        if isinstance(contents, bytes) and len(contents) > BLOCK and not is_native(self):
            # requests sends bytes in one go, and one time-out would be for all of them.
            contents = io.BytesIO(contents)
        if self.retries or others or not isinstance(contents, bytes):
            return super().put_object(
                container,
                obj,
                contents,
                content_length=content_length,
                etag=etag,
                headers=headers or {},
                query_string=query_string,
                **others,
            )
        fields = {**(headers or {}), "Content-Length": str(content_length or len(contents))}
        if etag:
            fields["ETag"] = etag.strip('"')
        answer = self._ask("PUT", container, obj, query_string, fields, contents)
        answer.read()
        return (answer.getheader("etag") or "").strip('"')

    def post_container(
        self,
        container: str,
        headers: Mapping[str, str],
        response_dict: dict[str, Any] | None = None,
    ) -> None:
        """Change a container's headers."""
        if self.retries or response_dict is not None:
            super().post_container(container, headers, response_dict)
            return
        self._ask("POST", container, None, None, {**headers, "Content-Length": "0"}).read()

    def _http(self) -> tuple[ParseResult, _Speaker]:
        if self.http_conn is None:
            self.http_conn = self.http_connection()
        return self.http_conn

    def _ask(
        self,
        method: str,
        container: str,
        obj: str | None,
        query: str | None,
        headers: Mapping[str, str] | None,
        content: bytes = b"",
    ) -> Answer:
        """Send a request; return its answer, whose content is still to be read.

        :raises ClientException: as swiftclient's own verbs.
        """
        base, http = self._http()
        url = f"{base.path}/{_quoted(container)}"
        if obj is not None:
            url = f"{url}/{obj if _PLAIN.fullmatch(obj) else quote(obj)}"
        if query:
            url = f"{url}?{query}"
        fields = {**(headers or {}), "X-Auth-Token": self.token or ""}
        http.request(method, url, content, fields)
        answer: Answer = http.getresponse()
        failed = not 200 <= answer.status < 300
        body = answer.read() if failed else None
        called = (f"{base.scheme}://{base.netloc}{url}", method)
        # swiftclient would log the first half of a secret.
        shown = {name: value for name, value in fields.items() if name.lower() not in _SECRETS}
        http_log(called, {"headers": shown}, answer, body)
        if failed:
            kind = "Container" if obj is None else "Object"
            raise ClientException.from_response(answer, f"{kind} {method} failed", body)
        return answer


class Decoded(Mapping[str, str]):
    """The headers of an answer as swiftclient gives them, once somebody looks at them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        return resp_header_dict(self._answer)

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


def is_native(connection: swiftclient.Connection) -> bool:
    """Tell whether a connection speaks HTTP as we do, once it is attached."""
    return connection.http_conn is not None and isinstance(connection.http_conn[1], Transport)


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
