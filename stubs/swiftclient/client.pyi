from collections.abc import Mapping
from typing import Any
from urllib.parse import ParseResult

from . import Response

logger_settings: dict[str, Any]

def http_log(args: object, kwargs: object, resp: Response, body: bytes | None) -> None: ...
def resp_header_dict(resp: Response) -> Mapping[str, str]: ...

class _ObjectBody:
    def __init__(self, resp: Response, chunk_size: int, conn_to_close: None) -> None: ...

class HTTPConnection:
    resp: Response | None
    parsed_url: ParseResult
    requests_args: dict[str, Any]
    def __init__(
        self,
        url: str,
        *,
        cacert: str | None = ...,
        insecure: bool = ...,
        cert: str | None = ...,
        cert_key: str | None = ...,
        timeout: float | None = ...,
    ) -> None: ...
    def request(
        self, method: str, full_path: str, data: str | bytes = ..., headers: Mapping[str, str] = ...
    ) -> object: ...
    def getresponse(self) -> Response: ...
    def close(self) -> None: ...
