"""Uploads that outlive their connection: begin, send chunks, ask how far it got, cancel.

A session is an upload of the storage of which the size is known, and nothing else: what it is
lies in the storage, so that any process of any host goes on with it. It is cut into *grains*,
each of which is one part, and is put once:

1. The bytes of a grain come in, up to 4 MiB in memory and more in a temporary file.
2. The grain is stored, and then its receipt is created: from then on it is held. Meanwhile the
   next ones come in, up to 256 MiB of them into temporary files: published clients give up a
   connection when nobody reads for a tenth of a second.
3. With the last one the object is made of them all: the **commit point**.

What is held is what has receipts, without a gap. They are asked for by name: a listing may lag. A
connection that breaks in (1) or (2) loses what it brought of one grain, and nothing that was ever
acknowledged. Nobody has to wait until its end is noticed: whoever comes second with a grain
finds its receipt, and is told how far it is. So of two chunks at once, one goes on.

A session is over after 7 days. One whose object was made is remembered for 7 days, and answers
as it did at the end: that answer may have been lost.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import json
import re
import uuid
from collections import deque
from dataclasses import replace
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, cast

from flask_fs_swift.api.keys import WRITE
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.blocks import BLOCK
from flask_fs_swift.concurrency import Strand, new_lock, off_hub
from flask_fs_swift.errors import FileExists, InvalidPart, UploadClosed
from flask_fs_swift.intake import HELD, LARGEST_PART
from flask_fs_swift.upload import MAX_PARTS

from .answers import respond
from .multipart import begun
from .objects import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self
    from werkzeug.wrappers import Response

    from flask_fs_swift.objects import Part
    from flask_fs_swift.upload import Upload

    from .body import Body
    from .service import Call, Service

#: Bytes that a grain has at least, unless it is the last one: what is held in memory.
SMALLEST_GRAIN = HELD
#: Bytes that wait on the disk while others are stored. Then nobody reads until they are, too.
AHEAD = 256 * 1024 * 1024
#: Bytes of the longest object.
LONGEST = MAX_PARTS * LARGEST_PART

_MIB = 1024 * 1024
_DIGITS = re.compile("[0-9]{1,18}")


def grain_of(size: int) -> int:
    """Return the bytes of all grains but the last, for an object of so many.

    Sessions that are under way rely on it: what an object is cut into never changes.
    """
    shortest = -(-size // MAX_PARTS)
    return max(SMALLEST_GRAIN, -(-shortest // _MIB) * _MIB)


def post(service: Service, call: Call) -> Response:
    """Begin a session for a key that nobody has had."""
    return put(service, replace(call, key=str(uuid.uuid4())))


def put(service: Service, call: Call) -> Response:
    """Begin a session for a key."""
    if call.query["upload_type"] != "resumable":
        raise Refusal(501, "the only upload_type here is resumable")
    size = _number(call, "upload-length")
    if not size:
        raise Refusal(400, "an object without bytes is put at once")
    if size > LONGEST:
        raise Refusal(413, f"an object has at most {LONGEST} bytes")
    upload = begun(service, call, size)
    session = {"key": call.key, "session": _session_of(upload.id), "granularity": grain_of(size)}
    return respond(200, JSON, json.dumps(session).encode())


def put_chunk(service: Service, call: Call) -> Response:
    """Take what a chunk brings, or only tell how far the session is."""
    is_query = call.headers.get("upload-offset") == "*"
    offset = 0 if is_query else _number(call, "upload-offset")
    if is_query and call.body.read(1):
        raise Refusal(400, "a query has no content")
    if not is_query and not call.body.is_sized:
        raise Refusal(400, "a chunk has a Content-Length")
    service.permit(call, WRITE)
    session = _Session(call)
    try:
        held = session.held() if is_query else session.take(offset, call.body)
    except (_Elsewhere, FileExists, UploadClosed) as error:
        # Others go on with it, or have come to its end.
        held = session.held()
        if held < session.size:
            raise _conflict(held) from error
    call.body.drain()
    if held < session.size:
        return respond(204, {"upload-offset": str(held)})
    session.complete()
    return respond(201, JSON, json.dumps({"key": call.key}).encode())


def cancel(service: Service, call: Call) -> Response:
    """Give up a session, and remove what is held."""
    service.permit(call, WRITE)
    _Session(call).cancel()
    return respond(204, {})


class _Elsewhere(Exception):
    """A chunk does not begin where the session is."""


class _Session:
    """A session, for the length of one request.

    :raises Refusal: 404, there is none of this key.
    :raises UploadClosed: neither is there, or it was cancelled.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._id = _id_of(call.query["session"])
        self._upload = self._resumed()
        #: Bytes of the object.
        self.size = self._upload.size or 0
        self._grain = grain_of(self.size)
        self._count = -(-self.size // self._grain)
        # What this request has put.
        self._put: dict[int, Part] = {}

    def held(self) -> int:
        """Return how many bytes are held now.

        :raises UploadClosed: it was cancelled.
        """
        count = bisect.bisect_left(range(self._count), True, key=lambda index: not self._has(index))
        # Looked at last: when the object is made, the receipts go.
        self._upload = self._resumed()
        return self.size if self._upload.is_completed else min(count * self._grain, self.size)

    def take(self, offset: int, body: Body) -> int:
        """Store what a chunk brings; return how many bytes are held then.

        What is less than a grain is not kept, unless it is the object's end.

        :raises _Elsewhere: it begins where the session is not.
        :raises FileExists: somebody else was first.
        :raises UploadClosed: it is over, or was cancelled.
        :raises Refusal: 400, it broke off, or is too short or too long.
        """
        if self._upload.is_completed:
            return self.size
        end = offset + (body.size or 0)
        if end > self.size:
            raise Refusal(400, f"the chunk ends at {end}, the object at {self.size}")
        index = -(-offset // self._grain)
        if offset != min(index * self._grain, self.size) or not self._ends_before(index):
            raise _Elsewhere
        if offset < end < min(offset + self._grain, self.size):
            raise Refusal(400, f"a chunk has at least {self._grain} bytes, unless it is the last")
        with _Storing(self._store, most=max(AHEAD // self._grain, 1)) as storing:
            while offset < self.size and (after := min(offset + self._grain, self.size)) <= end:
                index += 1
                held = HELD if storing.keeps_up() else 1
                storing.add(index, _read(body, after - offset, held))
                offset = after
        while body.read():
            pass  # Less than a grain, but all of it: the connection goes on.
        return offset

    def _store(self, index: int, content: IO[bytes]) -> None:
        self._put[index] = self._upload.put_part(index, content)

    def complete(self) -> None:
        """Make the object; if it has been made, do nothing.

        :raises Refusal: 410, a part was lost.
        """
        try:
            self._upload.complete(() if self._upload.is_completed else self._parts())
        except InvalidPart as error:
            # Somebody else may have completed it just now.
            if not self._resumed().is_completed:
                raise Refusal(410, "what was held is held no more: begin again") from error

    def cancel(self) -> None:
        """End it, and remove what is held.

        :raises Refusal: 410, the object was made: it stays.
        """
        try:
            self._upload.abort()
        except UploadClosed as error:
            # In two tiers, an upload whose parts are joined is not yet an object.
            if self._resumed().is_completed:
                raise Refusal(410, "the object is stored") from error
            raise

    def _resumed(self) -> Upload:
        upload = self._call.files.resume_upload(self._call.name, self._id)
        if upload.size is None:
            raise _unknown()
        return upload

    def _has(self, index: int) -> bool:
        return self._upload.receipts([index + 1]) != [None]

    def _ends_before(self, index: int) -> bool:
        """Tell whether so many parts are held, and no more."""
        last = [index] if index else []
        following = [index + 1] if index < self._count else []
        found = self._upload.receipts(last + following)
        return None not in found[: len(last)] and not any(found[len(last) :])

    def _parts(self) -> list[Part]:
        numbers = range(1, self._count + 1)
        others = [number for number in numbers if number not in self._put]
        found = dict(zip(others, self._upload.receipts(others), strict=True)) | self._put
        parts = [found[number] for number in numbers]
        if None in parts:
            raise InvalidPart("a receipt is missing", filename=self._call.name)
        return [part for part in parts if part is not None]


class _Storing:
    """What stores grains one after the other, while its caller reads those that follow. A context.

    Belongs to its caller. Leaving the context waits for the last, and raises what one raised,
    unless something else was raised before.

    ``_lock`` guards what the strand shares with the caller: ``_waiting``, the grains to be stored,
    ``_runs``, whether the strand will look at them again, and ``_error``, what ended it.

    :param store: given the number and the content of a grain.
    :param most: grains that may wait.
    """

    def __init__(self, store: Callable[[int, IO[bytes]], None], most: int) -> None:
        self._store = store
        self._most = most
        self._strand: Strand | None = None
        self._lock = new_lock()
        self._waiting: deque[tuple[int, IO[bytes]]] = deque()
        self._runs = False
        self._error: BaseException | None = None

    def keeps_up(self) -> bool:
        """Tell whether no grain waits."""
        with self._lock:
            return not self._waiting

    def add(self, index: int, content: IO[bytes]) -> None:
        """Have a grain stored, and closed. Where too many wait, wait for all of them.

        :raises BaseException: what an earlier one raised; this one is only closed.
        """
        if not self._appended(index, content):
            try:
                self._begin(index, content)
            except BaseException:
                content.close()
                raise
        with self._lock:
            is_full = len(self._waiting) >= self._most
        if is_full:
            self._join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._join()
        except BaseException:
            if kind is None:
                raise

    def _appended(self, index: int, content: IO[bytes]) -> bool:
        """Leave a grain to the strand, if that runs."""
        with self._lock:
            runs = self._runs and self._error is None
            if runs:
                self._waiting.append((index, content))
            return runs

    def _begin(self, index: int, content: IO[bytes]) -> None:
        """Store a grain in a new strand, when the one before has ended."""
        self._join()
        self._strand = Strand(self._run, self._end)
        with self._lock:
            self._waiting.append((index, content))
            self._runs = True
        self._strand.start()

    def _join(self) -> None:
        if self._strand is not None:
            self._strand.join()
        if self._error is not None:
            raise self._error

    def _next(self) -> tuple[int, IO[bytes]] | None:
        with self._lock:
            self._runs = bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def _run(self) -> None:
        try:
            while (grain := self._next()) is not None:
                with grain[1]:
                    self._store(*grain)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            with self._lock:
                self._error = error

    def _end(self) -> None:
        """Close what is not stored because of an error, or because the strand never began."""
        with self._lock:
            left = list(self._waiting)
            self._waiting.clear()
            self._runs = False
            if left and self._error is None:
                self._error = RuntimeError("what stores the grains was ended")
        for _, content in left:
            content.close()


def _read(body: Body, size: int, held: int) -> IO[bytes]:
    """Take so many bytes of a body; whoever stores them closes them.

    :param held: how many may be in memory.
    :raises Refusal: 400, it broke off.
    """
    content = SpooledTemporaryFile(held)  # noqa: SIM115
    try:
        while size and (block := body.read(min(size, BLOCK))):
            # Disks are slow, and memory may be full of what they have still to take.
            off_hub(content.write, block)
            size -= len(block)
        content.seek(0)
    except BaseException:
        content.close()
        raise
    return cast("IO[bytes]", content)


def _number(call: Call, header: str) -> int:
    """Return the number that a header has.

    :raises Refusal: 400, it is missing or none.
    """
    text = call.headers.get(header, "")
    if not _DIGITS.fullmatch(text):
        raise Refusal(400, f"{header} is a number of bytes")
    return int(text)


def _conflict(held: int) -> Refusal:
    return Refusal(409, f"{held} bytes are held", also={"upload-offset": str(held)})


def _unknown() -> Refusal:
    return Refusal(404, "there is no such session", form="empty")


def _session_of(upload_id: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(upload_id)).decode().rstrip("=")


def _id_of(session: str) -> str:
    """Return the id of the upload that a session is: a stranger's word, of which one form is good.

    :raises Refusal: 404, it has another.
    """
    try:
        upload_id = base64.b64decode(session + "==", b"-_", validate=True).hex()
    except (binascii.Error, ValueError) as error:
        raise _unknown() from error
    if _session_of(upload_id) != session:
        raise _unknown()
    return upload_id
