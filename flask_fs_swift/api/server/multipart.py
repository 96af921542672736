"""Uploads in parts: begin, put parts, list them, make the object of them, or give up.

An upload is one of the storage's, of the key's object: its id means nothing for another key,
scope or usecase. What describes the object is fixed when it begins, and its deadline is counted
from then on. A part is held in memory up to 4 MiB, and more of it in a temporary file, before the
storage gets it: one that breaks off is not stored.

Making the object may take longer than clients and proxies wait for a byte. So the answer begins
before it is known: a space each second, and in the end one JSON document. What was begun runs to
its end, also when nobody waits for it any more; asked again, it has the same outcome.

An upload that is neither completed nor aborted is over after 7 days.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from flask_fs_swift.api.description import Description
from flask_fs_swift.api.keys import WRITE
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.concurrency import Latch, Strand
from flask_fs_swift.errors import InvalidPart, upload_closed
from flask_fs_swift.etag import unquoted
from flask_fs_swift.intake import LARGEST_PART

from .answers import refusal_of, respond
from .objects import JSON, read_json, seconds_of, stamped
from .stored import to_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from werkzeug.wrappers import Response

    from flask_fs_swift.objects import Part
    from flask_fs_swift.upload import Upload

    from .service import Call, Service

    #: Numbers and ETags of parts, in the order in which they are to be joined.
    Names: TypeAlias = "list[tuple[int, str]]"

#: Seconds for which an upload may be completed.
LIFETIME = 7 * 24 * 3600.0
#: Parts of one page, unless fewer are asked for.
PAGE = 1000
#: Seconds after which somebody who waits is sent a space.
PATIENCE = 1.0
#: Bytes of what names the parts: room for 10,000 of them.
_MOST_JSON = 2 * 1024 * 1024

#: How an answer that has begun says what the status would have said.
_CODES = {403: "AccessDenied", 404: "NoSuchUpload", 413: "EntityTooLarge", 429: "SlowDown"}


def post(service: Service, call: Call) -> Response:
    """Begin an upload to a key that nobody has had."""
    return put(service, replace(call, key=str(uuid.uuid4())))


def put(service: Service, call: Call) -> Response:
    """Begin an upload to a key."""
    upload = begun(service, call)
    return _said({"key": call.key, "upload_id": upload.id})


def begun(service: Service, call: Call, size: int | None = None) -> Upload:
    """Begin an upload of an object that is described as if it were put at once.

    :param size: of the whole, in bytes, where it is known.
    :raises Refusal: 400, the description is none, or there is a body; 403.
    :raises FSError: see ``Storage.start_upload``.
    """
    description = stamped(Description.of_request(call.headers.items()), call.now)
    if call.body.read(1):
        raise Refusal(400, "an upload begins without content")
    service.check_policy(call.place, description.expiration)
    service.permit(call, WRITE)
    return call.files.start_upload(
        call.name,
        overwrite=True,
        content_type=description.content_type,
        metadata=to_metadata(description),
        expires_after=seconds_of(description, call.now),
        size=size,
        lifetime=LIFETIME,
    )


def put_part(service: Service, call: Call) -> Response:
    """Store a part, in place of another of its number."""
    upload_id, number = _upload_id(call), _number(call, "part_number", least=1)
    if call.body.size is None or not call.body.is_sized:
        raise Refusal(400, "a part has a Content-Length")
    etag = _md5(call.headers.get("content-md5"))
    service.permit(call, WRITE)
    if call.body.size > LARGEST_PART:
        raise Refusal(413, f"a part has at most {LARGEST_PART} bytes")
    part = _resumed(call, upload_id).put_part(number, call.body, etag=etag)
    return _said({"etag": _quoted(part)})


def list_parts(service: Service, call: Call) -> Response:
    """Tell which parts there are, a page at a time."""
    upload_id = _upload_id(call)
    most = min(_number(call, "max_parts", least=1, default=PAGE), PAGE)
    after = _number(call, "part_number_marker", least=0, default=0)
    service.permit(call, WRITE)
    found = _resumed(call, upload_id).list_parts(after, most + 1)
    page = found[:most]
    said: dict[str, object] = {
        "parts": [_described(part) for part in page],
        "is_truncated": len(found) > most,
    }
    if len(found) > most:
        said["next_part_number_marker"] = page[-1].number
    return _said(said)


def complete(service: Service, call: Call) -> Response:
    """Make the object; the answer begins before that is done.

    What is wrong with the request itself is refused at once. All else, also that it is not
    allowed, is told where the answer ends.
    """
    upload_id, names = _upload_id(call), _names(read_json(call, _MOST_JSON))
    completion = _Completion(partial(_completed, service, call, upload_id, names), call.key)
    return respond(200, JSON, completion.answer())


def abort(service: Service, call: Call) -> Response:
    """Give up an upload, and remove its parts."""
    upload_id = _upload_id(call)
    service.permit(call, WRITE)
    call.files.abort_upload(call.name, upload_id)
    return respond(204, {})


def _resumed(call: Call, upload_id: str) -> Upload:
    """Return an upload of the key.

    :raises UploadClosed: there is none, or it was aborted; or it is a session's, whose parts are
        no matter of whoever sends it.
    """
    upload = call.files.resume_upload(call.name, upload_id)
    if upload.size is not None and not upload.is_completed:
        raise upload_closed(call.name)
    return upload


# What a request says.


def _upload_id(call: Call) -> str:
    """Return the id of the upload that a request is about.

    :raises Refusal: 400, it is missing, or looks like a path.
    """
    upload_id = call.query.get("upload_id", "")
    if not upload_id or upload_id.startswith("/") or ".." in upload_id.split("/"):
        raise Refusal(400, "upload_id is missing, or is none")
    return upload_id


def _number(call: Call, name: str, *, least: int, default: int | None = None) -> int:
    """Return a number of the query.

    :raises Refusal: 400, it is none, or too small, or missing where there is no default.
    """
    text = call.query.get(name)
    if text is None and default is not None:
        return default
    number = int(text) if text and text.isdecimal() and text.isascii() and len(text) < 10 else -1
    if number < least:
        raise Refusal(400, f"{name} is a number from {least}")
    return number


def _md5(text: str | None) -> str | None:
    """Return the MD5 that a header gives, in hexadecimal digits (RFC 1864).

    :raises Refusal: 400, it is none.
    """
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise Refusal(400, "Content-MD5 is the base64 of 16 bytes")
    return digest.hex()


def _names(said: object) -> Names:
    """Read which parts are to be joined.

    :raises Refusal: 422, the document says something else.
    """
    parts = said.get("parts") if isinstance(said, dict) else None
    if not isinstance(parts, list):
        raise Refusal(422, "parts is a list")
    names: Names = []
    for part in parts:
        number = part.get("part_number") if isinstance(part, dict) else None
        etag = part.get("etag") if isinstance(part, dict) else None
        if type(number) is not int or number < 1 or not isinstance(etag, str):
            raise Refusal(422, "each of the parts has a part_number from 1, and an etag")
        names.append((number, unquoted(etag) or ""))
    return names


# What an answer says.


def _described(part: Part) -> dict[str, object]:
    # In a form that Python reads since 3.7: published clients leave it to that.
    stored = datetime.fromtimestamp(part.stored or 0, timezone.utc)
    return {
        "part_number": part.number,
        "etag": _quoted(part),
        "last_modified": stored.isoformat(),
        "size": part.size,
    }


def _quoted(part: Part) -> str:
    return f'"{part.etag}"'


def _said(document: object) -> Response:
    return respond(200, JSON, json.dumps(document).encode())


# Completion.


class _CannotComplete(Exception):
    """The parts cannot be joined, for a reason that has a code: its arguments are both."""


def _completed(service: Service, call: Call, upload_id: str, names: Names) -> None:
    """Make the object; if it has been made, do nothing.

    :raises Exception: it was not made, and the upload can be used as before. Where outside that
        is an ``internal error``, it may have been made: completed again, it is made once.
    """
    with ExitStack() as held:  # Its request may have ended before it.
        service.permit(replace(call, held=held), WRITE)
        _check_order(names)
        upload = _resumed(call, upload_id)
        try:
            upload.complete(() if upload.is_completed else upload.named_parts(names))
        except InvalidPart:
            # Somebody else may have completed it just now.
            if not _resumed(call, upload_id).is_completed:
                raise


def _check_order(names: Names) -> None:
    numbers = [number for number, _ in names]
    if not numbers:
        raise _CannotComplete("InvalidRequest", "an object has at least one part")
    if any(number >= following for number, following in pairwise(numbers)):
        raise _CannotComplete("InvalidPartOrder", "the numbers of the parts do not ascend")


class _Completion:
    """A completion that runs beside who waits for its answer. It outlives who leaves.

    ``_document`` is set by it, before ``_ended`` opens; nobody else looks at it earlier.

    :param work: raises what is wrong.
    :raises RuntimeError: nothing more can run at the same time; nothing was begun.
    """

    def __init__(self, work: Callable[[], None], key: str | None) -> None:
        self._work = work
        self._key = key
        self._document: object = _error("internal error", "the completion was not begun")
        self._ended = Latch()
        self._strand = Strand(self._run, self._ended.open)
        self._strand.start()

    def answer(self) -> Iterator[bytes]:
        """Yield a space for each second of waiting, and then the outcome."""
        while not self._ended.wait(PATIENCE):
            yield b" "
        self._strand.join()
        yield json.dumps(self._document).encode()

    def _run(self) -> None:
        try:
            self._work()
        except _CannotComplete as error:
            self._document = _error(*error.args)
        except InvalidPart as error:
            self._document = _error("InvalidPart", str(error))
        except BaseException as error:  # noqa: BLE001 - every one of them is an answer
            refusal = refusal_of(error)
            code = _CODES.get(refusal.status, "internal error")
            self._document = _error(code, refusal.detail)
        else:
            self._document = {"key": self._key}


def _error(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}
