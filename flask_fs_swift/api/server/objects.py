"""Single objects: store, read, describe, delete, and let them live longer.

What describes an object is stored beside it, its deadline too: from then on it is absent
here. Time to live is told to the storage as well, which removes the object by itself. It is
not told of time to idle, which every reader may move: such an object stays until it is
replaced or deleted, and nobody sees it.

A deadline moves without the content where the storage was told of none. Where it was,
the object is written anew, in these steps:

1. Its content is copied here: up to 4 MiB in memory, more in a temporary file.
2. It is looked at again: if it is another version by now, that is a conflict.
3. It is written with its new deadline. Until then the old one holds.

Between the last two somebody else may write, and is overwritten: storages compare nothing
when they replace.
"""

from __future__ import annotations

import json
import logging
import math
import re
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from flask_fs_swift.api.description import Description, parse_time
from flask_fs_swift.api.durations import parse_duration
from flask_fs_swift.api.expiration import Expiration, is_expired
from flask_fs_swift.api.keys import DELETE, READ, WRITE
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.concurrency import off_hub
from flask_fs_swift.errors import FileNotFound, FSError, RangeNotSatisfiable
from flask_fs_swift.intake import HELD
from flask_fs_swift.ranges import WHOLE, ByteRange
from flask_fs_swift.storage import CENTURY

from .answers import respond
from .stored import description_of, to_metadata, to_update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from flask_fs_swift.objects import ObjectInfo
    from flask_fs_swift.storage import Storage
    from flask_fs_swift.streams import ObjectStream

    from .service import Call, Service

logger = logging.getLogger(__name__)

#: Bytes that are sent at a time.
CHUNK = 256 * 1024
#: Bytes of a JSON document.
_MOST_JSON = 64 * 1024

#: Of a document.
JSON = {"content-type": "application/json"}
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE)


def post(service: Service, call: Call) -> Response:
    """Store an object under a key that nobody has had."""
    fresh = replace(call, key=str(uuid.uuid4()))
    return _stored(service, fresh, 201, replaces=False)


def put(service: Service, call: Call) -> Response:
    """Store an object under its key, in place of any other."""
    return _stored(service, call, 200, replaces=True)


def _stored(service: Service, call: Call, status: int, *, replaces: bool) -> Response:
    description = stamped(Description.of_request(call.headers.items()), call.now)
    service.check_policy(call.place, description.expiration)
    service.permit(call, WRITE)
    call.files.write(
        call.name,
        call.body,
        overwrite=replaces,
        content_type=description.content_type,
        metadata=to_metadata(description),
        expires_after=seconds_of(description, call.now),
    )
    return respond(status, JSON, json.dumps({"key": call.key}).encode())


def get(service: Service, call: Call) -> Response:
    """Send an object, or a range of it."""
    wanted = range_of(call.headers.get("range"))
    service.permit(call, READ)
    stream = _opened(call, wanted)
    try:
        description = living(stream.info, call.now)
        if wanted is not WHOLE and stream.span is not None and not stream.span.size:
            raise RangeNotSatisfiable("the object is empty", size=0)
        headers = _headers(description)
        span = stream.span
        if span is not None:
            headers["content-length"] = str(span.end - span.start)
        if wanted is not WHOLE and span is not None:
            headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{span.size}"
    except RangeNotSatisfiable as error:
        stream.close()
        raise _out_of_range(error.size) from error
    except BaseException:
        stream.close()
        raise
    response = respond(206 if "content-range" in headers else 200, headers, stream)
    # Werkzeug closes the stream first: there may be no connection but this one.
    response.call_on_close(partial(touch, call.files, call.name, description, call.now))
    return response


def head(service: Service, call: Call) -> Response:
    """Describe an object."""
    service.permit(call, READ)
    info = call.files.info(call.name)
    description = living(info, call.now)
    touch(call.files, call.name, description, call.now)
    headers = _headers(description)
    if info.size is not None:
        headers["content-length"] = str(info.size)
    return respond(200, headers)


def delete(service: Service, call: Call) -> Response:
    """Remove an object; one that is absent counts as removed."""
    service.permit(call, DELETE)
    call.files.delete(call.name)
    return respond(204, {})


def patch(service: Service, call: Call) -> Response:
    """Let an object live until a moment, at least."""
    wanted = _wanted(call)
    service.permit(call, WRITE)
    info = call.files.info(call.name)
    description = living(info, call.now)
    extended = wanted.applied(description, call.now)
    if extended is not None:
        length = (extended.expires or _date(call.now)) - _date(call.now)
        longest = extended.expiration
        if longest.kind == "tti":
            longest = Expiration("tti", length)
        service.check_policy(call.place, longest)
        _extend(call.files, info, extended, call.now)
    return respond(204, {})


# What batches do, too.


def stamped(description: Description, now: float) -> Description:
    """Say of an object that is stored now when that was, and until when it lives."""
    created = _date(now)
    return replace(description, created=created, expires=description.expiration.deadline(created))


def seconds_of(description: Description, now: float) -> float | None:
    """Return after how many seconds the storage removes an object; None: it does not.

    That is a little later than it counts as absent here.
    """
    if description.expiration.kind != "ttl" or description.expires is None:
        return None
    seconds = math.ceil((description.expires - _date(now)).total_seconds()) + 1
    return seconds if 1 <= seconds <= CENTURY else None


def living(info: ObjectInfo, now: float) -> Description:
    """Return what describes an object.

    :raises FileNotFound: it has expired.
    :raises FSError: somebody else changed what describes it.
    """
    description = description_of(info)
    if is_expired(description.expires, _date(now)):
        raise FileNotFound(f"{info.name!r} has expired", filename=info.name)
    return description


def touch(files: Storage, name: str, description: Description, now: float) -> None:
    """Move the deadline of an object that was asked for, where that is worth a write.

    To send it may have taken long: so it is looked at again, and what was written anew, or
    lives longer by now, is left. What fails is logged: the reader has what it wanted.

    :param description: of what the reader got.
    """
    if _moved(description, now) is None:
        return
    try:
        info = files.info(name)
        latest = description_of(info)
        moved = _moved(latest, now)
        if moved is not None and latest.created == description.created:
            files.set_metadata(name, to_update(replace(latest, expires=moved), info.metadata))
    except (FSError, ValueError):
        logger.warning("the deadline of %r did not move", name, exc_info=True)


def _moved(description: Description, now: float) -> datetime | None:
    return description.expiration.moved(description.expires, _date(now))


def range_of(header: str | None) -> ByteRange:
    """Return which bytes are asked for. Of several ranges, none is.

    :raises Refusal: 400, this is no range.
    """
    if header is None or "," in header:
        return WHOLE
    found = _RANGE.fullmatch(header.replace(" ", ""))
    try:
        if found is None:
            raise ValueError("it is no range of bytes")
        first, last, from_end = found.groups()
        if from_end is None:
            return ByteRange(int(first), int(last) + 1 if last else None)
        if not int(from_end):
            raise ValueError("no bytes are asked for")
        return ByteRange(-int(from_end))
    except ValueError as error:
        raise Refusal.of(400, error) from error


def _opened(call: Call, wanted: ByteRange) -> ObjectStream:
    try:
        return call.files.read_chunks(call.name, CHUNK, start=wanted.start, end=wanted.end)
    except RangeNotSatisfiable as error:
        living(call.files.info(call.name), call.now)
        raise _out_of_range(error.size) from error


def _out_of_range(size: int | None) -> Refusal:
    headers = {"content-range": f"bytes */{'*' if size is None else size}"}
    return Refusal(
        416,
        "the object has none of these bytes",
        also={"accept-ranges": "bytes", **headers},
    )


def _headers(description: Description) -> dict[str, str]:
    return {
        **description.headers(),
        "accept-ranges": "bytes",
        "content-disposition": description.disposition,
        # It is a stranger's.
        "x-content-type-options": "nosniff",
    }


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


class _Wanted:
    """Until when an object shall live: a moment, or a time from now or from its creation."""

    def __init__(
        self, at: datetime | None, after: timedelta = timedelta(), *, from_now: bool = True
    ) -> None:
        self._at = at
        self._after = after
        self._from_now = from_now

    def applied(self, description: Description, now: float) -> Description | None:
        """Return what describes the object then; None: it lives as long already.

        :raises Refusal: 409, it has no deadline, or nobody knows when it was created; 400, it
            would live too long.
        """
        if description.expires is None or description.expiration.length is None:
            raise Refusal(409, "the object does not expire")
        created = description.created
        if created is None:
            raise Refusal(409, "nobody knows when the object was created")
        try:
            expires = self._at or (_date(now) if self._from_now else created) + self._after
            if expires <= description.expires:
                return None
            expiration = description.expiration
            if expiration.kind == "ttl":
                expiration = Expiration("ttl", expires - created)
        except (ValueError, OverflowError) as error:
            raise Refusal.of(400, error) from error
        return replace(description, expires=expires, expiration=expiration)


def _wanted(call: Call) -> _Wanted:
    """Read what a PATCH asks for.

    :raises Refusal: 415, it is no JSON; 400, it is malformed; 422, it asks for something else.
    """
    said = read_json(call)
    asked = said.get("extend_expiry") if isinstance(said, dict) and len(said) == 1 else None
    if not isinstance(asked, dict) or not all(isinstance(each, str) for each in asked.values()):
        raise Refusal(422, "extend_expiry is an object, and nothing is beside it")
    try:
        if asked.keys() == {"at"}:
            return _Wanted(parse_time(asked["at"]))
        if asked.keys() == {"after", "from"} and asked["from"] in {"now", "creation"}:
            return _Wanted(None, parse_duration(asked["after"]), from_now=asked["from"] == "now")
    except ValueError as error:
        raise Refusal.of(422, error) from error
    raise Refusal(422, "extend_expiry has 'at', or 'after' and 'from': now or creation")


def read_json(call: Call, most: int = _MOST_JSON) -> object:
    """Return the JSON document of a request.

    :param most: bytes.
    :raises Refusal: 415, it is none; 400, it is malformed; 413, it has more than that.
    """
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "the body must be application/json")
    try:
        document: object = json.loads(call.body.read_all(most))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the body is no JSON") from error
    return document


def _extend(files: Storage, info: ObjectInfo, description: Description, now: float) -> None:
    """Let an object live longer; see the module."""
    if info.expires is None:
        update: Mapping[str, str | None] = to_update(description, info.metadata)
        files.set_metadata(info.name, update)
        return
    with SpooledTemporaryFile(HELD) as file:
        with files.read_chunks(info.name) as stream:  # (1)
            for chunk in stream:
                # Disks are slow, and memory may be full of what they have still to take.
                off_hub(file.write, chunk)
        file.seek(0)
        if _version(files.info(info.name)) != _version(info):  # (2)
            raise Refusal(409, "the object was changed meanwhile")
        files.write(  # (3)
            info.name,
            file,
            overwrite=True,
            content_type=description.content_type,
            metadata=to_metadata(description),
            expires_after=seconds_of(description, now),
        )


def _version(info: ObjectInfo) -> tuple[object, ...]:
    return info.etag, info.modified, info.metadata
