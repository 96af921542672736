"""A server of sockets that takes uploads, resumable ones and such in parts, and fails as told."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from .rawserver import Request, Store

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What goes wrong with a request of a resumable upload: its connection breaks after so many bytes
#: of its body; it is done, and nobody is told; a status, and nothing is done.
Fault: TypeAlias = "tuple[Literal['break', 'status'], int] | Literal['lost']"


@dataclass
class Resumable:
    """One upload, as far as it has come."""

    key: str
    headers: dict[str, str]
    size: int
    body: bytes = b""
    is_done: bool = False


@dataclass
class Parted:
    """One upload in parts."""

    key: str
    headers: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


class Uploads(Store):
    """Stores objects however they are sent. Requests of one upload come one after the other.

    :param faults: of the requests with content, in their order.
    :param queries: of those that ask how much there is.
    :param granularity: bytes; what is less is not kept, but at the end.
    """

    def __init__(
        self,
        faults: Iterable[Fault | None] = (),
        queries: Iterable[Fault | None] = (),
        granularity: int = 1,
        creation: int | None = None,
    ) -> None:
        super().__init__()
        self.faults = deque(faults)
        self.queries = deque(queries)
        self.granularity = granularity
        self.creation = creation
        self.resumable: dict[str, Resumable] = {}
        self.parted: dict[str, Parted] = {}
        self.cancelled: list[str] = []
        #: Where each request with content began, and how much of it came.
        self.steps: list[tuple[int, int]] = []
        #: Parts of a page.
        self.page = 2
        self._fault: Fault | None = None

    def breaks(self, request: Request) -> int | None:
        """Choose the fault of a request; tell after how many bytes its connection breaks."""
        offset = request.headers.get("upload-offset")
        if offset is None:
            return None
        faults = self.queries if offset == "*" else self.faults
        self._fault = fault = faults.popleft() if faults else None
        return fault[1] if isinstance(fault, tuple) and fault[0] == "break" else None

    def __call__(self, request: Request) -> None:
        url = urlsplit(request.target)
        query = {name: value[0] for name, value in parse_qs(url.query).items()}
        key = unquote(url.path.split("/", 5)[5])
        if "objects:multipart" in url.path:
            self._parted(request, url.path.split("/")[2], key, query)
        elif query.get("upload_type") == "resumable":
            self._create(request, key)
        elif "session" in query:
            self._resume(request, query["session"])
        else:
            super().__call__(request)

    def _create(self, request: Request, key: str) -> None:
        if self.creation is not None:
            request.answer(self.creation)
            return
        assert request.body == b""
        key = key or "made"
        token = f"s/{len(self.resumable)}="
        size = int(request.headers["upload-length"])
        self.resumable[token] = Resumable(key, request.headers, size)
        said = {"key": key, "session": token, "granularity": self.granularity}
        request.answer(200, {}, json.dumps(said).encode())

    def _resume(self, request: Request, token: str) -> None:
        upload = self.resumable.get(token)
        if upload is None:
            request.answer(404)
            return
        if request.method == "DELETE":
            del self.resumable[token]
            self.cancelled.append(token)
            request.answer(204)
            return
        fault, self._fault = self._fault, None
        if isinstance(fault, tuple) and fault[0] == "status":
            request.answer(fault[1])
            return
        offset = request.headers["upload-offset"]
        if offset != "*":
            self.steps.append((int(offset), len(request.body)))
            if int(offset) != len(upload.body):
                request.answer(409, {"upload-offset": str(len(upload.body))})
                return
            self._take(upload, request.body)
        if fault is not None:
            request.connection.shutdown(socket.SHUT_RDWR)
        elif upload.is_done:
            request.answer(201, {}, json.dumps({"key": upload.key}).encode())
        else:
            request.answer(204, {"upload-offset": str(len(upload.body))})

    def _take(self, upload: Resumable, body: bytes) -> None:
        held = upload.body + body
        if len(held) < upload.size:
            held = held[: len(held) - len(held) % self.granularity]
        upload.body = held
        upload.is_done = len(held) == upload.size
        if upload.is_done:
            self.put(upload.key, upload.headers, held)

    def _parted(self, request: Request, resource: str, key: str, query: dict[str, str]) -> None:
        if "upload_id" not in query:
            upload = f"u/{len(self.parted)}="
            self.parted[upload] = Parted(key or "made", request.headers)
            said = {"key": key or "made", "upload_id": upload}
            request.answer(200, {}, json.dumps(said).encode())
            return
        found = self.parted.get(query["upload_id"])
        if found is None or found.key != key:
            request.answer(404)
        elif request.method == "DELETE":
            del self.parted[query["upload_id"]]
            request.answer(204)
        elif request.method == "PUT":
            self._part(request, found, int(query["part_number"]))
        elif request.method == "GET":
            self._list(request, found, int(query.get("part_number_marker", 0)))
        else:
            assert resource == "objects:multipart:complete"
            self._complete(request, query["upload_id"], found)

    def _part(self, request: Request, upload: Parted, number: int) -> None:
        md5 = hashlib.md5(request.body, usedforsecurity=False)
        assert request.headers["content-length"] == str(len(request.body))
        assert base64.b64decode(request.headers["content-md5"]) == md5.digest()
        upload.parts[number] = request.body
        request.answer(200, {}, json.dumps({"etag": self.etag(request.body)}).encode())

    def etag(self, body: bytes) -> str:
        return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

    def _list(self, request: Request, upload: Parted, after: int) -> None:
        numbers = sorted(number for number in upload.parts if number > after)
        page = numbers[: self.page]
        said: dict[str, object] = {
            "parts": [
                {
                    "part_number": number,
                    "etag": self.etag(upload.parts[number]),
                    "last_modified": "2026-11-20T21:39:45Z",
                    "size": len(upload.parts[number]),
                }
                for number in page
            ],
            "is_truncated": len(numbers) > len(page),
        }
        if len(numbers) > len(page):
            said["next_part_number_marker"] = page[-1]
        request.answer(200, {}, json.dumps(said).encode())

    def _complete(self, request: Request, upload_id: str, upload: Parted) -> None:
        request.begin({"content-type": "application/json"})
        request.chunk(b" ")
        request.chunk(b"  ")
        named = json.loads(request.body)["parts"]
        said: dict[str, object] = {"key": upload.key}
        for part in named:
            body = upload.parts.get(part["part_number"])
            if body is None or self.etag(body) != part["etag"]:
                said = {"error": {"code": "InvalidPart", "message": "no such part"}}
        if "error" not in said:
            del self.parted[upload_id]
            content = b"".join(upload.parts[part["part_number"]] for part in named)
            self.put(upload.key, upload.headers, content)
        request.chunk(json.dumps(said).encode())
        request.end()
