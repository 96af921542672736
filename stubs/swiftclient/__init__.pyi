# The part of python-swiftclient that the package uses; it ships no types.
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .client import HTTPConnection as HTTPConnection
from .client import logger_settings as logger_settings

class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes | memoryview: ...

class ClientException(Exception):
    msg: str
    http_status: int | None
    http_reason: str
    http_response_content: bytes | str
    http_response_headers: Mapping[str, str] | None
    transaction_id: str | None
    def __init__(
        self, msg: str, *, http_status: int | None = ..., http_reason: str = ...
    ) -> None: ...
    @classmethod
    def from_response(
        cls, resp: Response, msg: str | None = ..., body: bytes | None = ...
    ) -> ClientException: ...

class Body:
    resp: object
    def read(self, length: int | None = ...) -> bytes: ...
    def close(self) -> None: ...

class Response(Protocol):
    status: int
    def read(self, size: int | None = ..., /) -> bytes: ...
    def getheaders(self) -> list[tuple[str, str]]: ...
    def getheader(self, name: str) -> str | None: ...
    def close(self) -> None: ...

class Connection:
    url: str | None
    token: str | None
    authurl: str | None
    user: str | None
    key: str | None
    session: Any
    get_auth: Callable[[], tuple[str, str]]
    timeout: float | None
    retries: int
    http_conn: tuple[Any, Any] | None
    def __init__(
        self,
        *,
        retries: int = ...,
        preauthurl: str | None = ...,
        preauthtoken: str | None = ...,
        cacert: str | None = ...,
        insecure: bool = ...,
        timeout: float | None = ...,
    ) -> None: ...
    def close(self) -> None: ...
    def http_connection(self, url: str | None = ...) -> tuple[Any, Any]: ...
    def head_container(self, container: str) -> Mapping[str, str]: ...
    def put_container(self, container: str) -> None: ...
    def post_container(
        self,
        container: str,
        headers: Mapping[str, str],
        response_dict: dict[str, Any] | None = ...,
    ) -> None: ...
    def post_account(
        self,
        headers: Mapping[str, str],
        response_dict: dict[str, Any] | None = ...,
        query_string: str | None = ...,
        data: bytes | None = ...,
    ) -> tuple[Mapping[str, str], bytes]: ...
    def get_container(
        self,
        container: str,
        marker: str | None = ...,
        limit: int | None = ...,
        prefix: str | None = ...,
        delimiter: str | None = ...,
        **others: Any,
    ) -> tuple[Mapping[str, str], list[dict[str, Any]]]: ...
    def head_object(
        self,
        container: str,
        obj: str,
        headers: Mapping[str, str] | None = ...,
        query_string: str | None = ...,
    ) -> Mapping[str, str]: ...
    def get_object(
        self,
        container: str,
        obj: str,
        resp_chunk_size: int | None = ...,
        query_string: str | None = ...,
        response_dict: dict[str, Any] | None = ...,
        headers: Mapping[str, str] | None = ...,
    ) -> tuple[Mapping[str, str], Any]: ...
    def put_object(
        self,
        container: str,
        obj: str,
        contents: bytes | _Readable | Iterable[bytes | memoryview],
        *,
        content_length: int | None = ...,
        etag: str | None = ...,
        headers: Mapping[str, str] = ...,
        query_string: str | None = ...,
    ) -> str: ...
    def post_object(self, container: str, obj: str, headers: Mapping[str, str]) -> None: ...
    def copy_object(
        self, container: str, obj: str, *, destination: str, headers: Mapping[str, str] = ...
    ) -> None: ...
    def delete_object(self, container: str, obj: str) -> None: ...
