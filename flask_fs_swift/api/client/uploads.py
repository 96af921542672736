"""An upload in parts, as a client has it: parts in any order, from anywhere, and then one object.

1. The server is told what the object will be, and names the upload.
2. Each part is measured and hashed before it is sent, so that the server refuses what arrives
   damaged; where its ETag has the form of an MD5, that is compared, too.
3. The server is told which parts the object is made of: the **commit point**. Until it is done it
   sends blanks, and then how it has ended, below a status that always says well.

State: ``_parts``, what was put through this handle. It is changed, and copied, in one step each:
so it needs no lock, and no child inherits one that is held.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_fs_swift.api.description import parse_time

from .content import blocks_of, check_content, size_of
from .extent import in_place, spooled
from .failures import (
    CLOSED,
    Denied,
    InvalidPart,
    PartDamaged,
    RequestError,
    ServerBusy,
    ServerFailed,
    UploadClosed,
)
from .storing import body_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from flask_fs_swift.events import Watch

    from .calls import Answer
    from .content import Content
    from .endpoint import Endpoint
    from .extent import Extent
    from .usecase import Storing

#: Parts of one page of a list, and bytes that such a page has at most.
PAGE = 1000
LONGEST_PAGE = 4 * 1024 * 1024

_UPLOADS = "objects:multipart"
_OF_CODE: dict[str, type[RequestError]] = {
    "AccessDenied": Denied,
    "EntityTooLarge": RequestError,
    "InvalidPart": InvalidPart,
    "InvalidPartOrder": InvalidPart,
    "InvalidRequest": RequestError,
    "NoSuchUpload": UploadClosed,
    "SlowDown": ServerBusy,
}
_MD5 = re.compile('"?([0-9a-f]{32})"?')


@dataclass(frozen=True)
class Part:
    """A part of an upload, as it was stored."""

    #: From 1.
    number: int
    #: The server's word for these bytes.
    etag: str
    #: Bytes, as they are stored.
    size: int
    #: Aware; None where the server was not asked.
    modified: datetime | None = None


class Upload:
    """An upload that was started, here or elsewhere. Any thread or greenlet may use it.

    The object appears when it is completed, whole. Lives as long as its client.

    :param compresses: whether each part is compressed on its way, to a frame of its own.
    :param folder: for temporary files; None: where the system has them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str,
        id: str,  # noqa: A002 - the field's word
        *,
        compresses: bool,
        folder: str | None,
    ) -> None:
        if not id:
            raise ValueError("an upload has an id")
        #: What ``resume_upload`` is given. Whoever knows it, and may write, can go on with it.
        self.id = id
        #: That the object will have.
        self.key = key
        self._endpoint = endpoint
        self._compresses = compresses
        self._folder = folder
        self._parts: dict[int, Part] = {}
        self._target(_UPLOADS)

    def __repr__(self) -> str:
        return f"<Upload of {self.key!r}>"

    def put_part(self, number: int, content: Content) -> Part:
        """Store a part; another of the same number is replaced.

        What passes only once, or is compressed on its way, goes to a temporary file first.

        :param number: from 1; parts are joined in the order of their numbers.
        :param content: as for ``put``.
        :raises InvalidPart: there is no such number; nothing was sent.
        :raises PartDamaged: what was stored is not what was sent.
        :raises UploadClosed: the upload was completed or aborted.
        :raises OSError: there is no room for a temporary file.
        :raises RequestError: as for ``put``.
        """
        self._check_number(number)
        check_content(content)
        target = self._target(f"{_UPLOADS}:parts", part_number=number)
        with self._endpoint.watch("put_part") as seen, self._measured(content, seen) as extent:
            md5 = extent.md5()
            headers = {
                "content-length": str(extent.size),
                "content-md5": b64encode(bytes.fromhex(md5)).decode(),
            }
            answer = self._endpoint.call("PUT", target, headers, extent.blocks(), key=self.key)
            part = self._checked(number, answer, extent.size, md5)
        self._parts[number] = part
        return part

    def list_parts(self) -> list[Part]:
        """Return the parts that the server has, by number.

        :raises UploadClosed: the upload was completed or aborted.
        :raises AnswerBroken: a page says that there are more, and not after which.
        """
        with self._endpoint.watch("list_parts"):
            return [part for page in self._pages() for part in page]

    def complete(self, parts: Iterable[Part] | None = None) -> str:
        """Make the object; return its key. What had the key is replaced.

        :param parts: what it is made of; None: all that was put through this handle.
        :raises InvalidPart: there are none, or one is absent or another than it was; the
            upload can still be used.
        :raises UploadClosed: it was completed or aborted.
        :raises RequestError: with ``maybe_applied`` where the outcome is not known: call again.
        """
        chosen = self._chosen(parts)
        listed = [{"part_number": part.number, "etag": part.etag} for part in chosen]
        headers = {"content-type": "application/json"}
        body = json.dumps({"parts": listed}).encode()
        target = self._target(f"{_UPLOADS}:complete")
        with self._endpoint.watch("complete_upload"):
            answer = self._endpoint.call("POST", target, headers, body, key=self.key)
            said = _said(answer)
            if isinstance(said, dict) and "error" in said:
                raise _failure(answer, said["error"], self.key)
            if _text(answer, said, "key") != self.key:
                raise answer.broken("it names another key")
        return self.key

    def abort(self) -> None:
        """Remove the parts. Nothing becomes of the upload any more; aborting again is fine."""
        target = self._target(_UPLOADS)
        with (
            self._endpoint.watch("abort_upload"),
            self._endpoint.call("DELETE", target, key=self.key) as answer,
        ):
            if answer.status not in CLOSED:
                answer.checked()

    def _checked(self, number: int, answer: Answer, size: int, md5: str) -> Part:
        part = Part(number, _text(answer, _said(answer), "etag"), size)
        stored = _MD5.fullmatch(part.etag)
        if stored is not None and stored[1] != md5:
            raise PartDamaged(
                f"part {number} of {self.key!r} was sent with MD5 {md5} and has {stored[1]}",
                status=answer.status,
                key=self.key,
                maybe_applied=True,
            )
        return part

    def _measured(self, content: Content, seen: Watch) -> AbstractContextManager[Extent]:
        size = size_of(content)
        if size is not None and not self._compresses:
            seen.bytes = size
            return nullcontext(in_place(content, size))
        body = body_of(blocks_of(content), seen, compresses=self._compresses)
        return spooled(body, self._folder)

    def _pages(self) -> Iterator[list[Part]]:
        marker = 0
        while True:
            after = {"part_number_marker": marker} if marker else {}
            target = self._target(f"{_UPLOADS}:parts", max_parts=PAGE, **after)
            answer = self._endpoint.call("GET", target, key=self.key)
            said = _said(answer, LONGEST_PAGE)
            try:
                yield [_part(each) for each in said["parts"]]
                if not said["is_truncated"]:
                    return
                before, marker = marker, said["next_part_number_marker"]
            except (KeyError, TypeError, ValueError) as error:
                raise answer.broken(f"it is no list of parts: {error!r}") from error
            if type(marker) is not int or marker <= before:
                raise answer.broken(f"there are parts after {before}, and then after {marker!r}")

    def _chosen(self, parts: Iterable[Part] | None) -> list[Part]:
        if parts is None:
            parts = self._parts.copy().values()
        chosen = sorted(parts, key=lambda part: part.number)
        for part in chosen:
            self._check_number(part.number)
        if len({part.number for part in chosen}) < max(len(chosen), 1):
            raise InvalidPart("there are no parts, or two have the same number", key=self.key)
        return chosen

    def _check_number(self, number: int) -> None:
        if type(number) is not int or number < 1:
            raise InvalidPart(f"parts have numbers from 1, not {number!r}", key=self.key)

    def _target(self, resource: str, **query: int) -> str:
        return self._endpoint.target(self.key, resource, upload_id=self.id, **query)


def start(endpoint: Endpoint, storing: Storing, folder: str | None) -> Upload:
    """Begin an upload of what is described like this.

    :raises RequestError: the server says no.
    """
    method = "POST" if storing.key is None else "PUT"
    target = endpoint.target(storing.key, _UPLOADS)
    answer = endpoint.call(method, target, storing.headers(), key=storing.key)
    said = answer.checked().document()
    key, upload = _text(answer, said, "key"), _text(answer, said, "upload_id")
    if key != (storing.key or key):
        raise answer.broken("it names another key")
    return Upload(endpoint, key, upload, compresses=storing.compresses, folder=folder)


def _said(answer: Answer, most: int | None = None) -> Any:
    answer.checked(CLOSED)
    return answer.document() if most is None else answer.document(most)


def _text(answer: Answer, said: Any, name: str) -> str:
    text = said.get(name) if isinstance(said, dict) else None
    if not isinstance(text, str) or not text:
        raise answer.broken(f"it names no {name}")
    return text


def _part(said: Any) -> Part:
    """Read a part of a list.

    :raises ValueError: a value is none of its kind.
    """
    number, etag, size = said["part_number"], said["etag"], said["size"]
    if type(number) is not int or type(size) is not int or not isinstance(etag, str):
        raise ValueError("a part has a number, an etag and a size")
    return Part(number, etag, size, parse_time(said["last_modified"]))


def _failure(answer: Answer, error: Any, key: str) -> RequestError:
    """Return what it means that a completion has failed."""
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (0, 0)
    kind = _OF_CODE.get(str(code), ServerFailed)
    failure = kind(
        f"{code}: {message}"[:1000],
        status=answer.status,
        key=key,
        maybe_applied=kind is ServerFailed,
    )
    failure.code = str(code)
    return failure
