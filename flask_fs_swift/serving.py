"""A stored file as a Flask response (RFC 9110): ranges, conditions, HEAD.

One request to Swift per response, which judges the conditions and cuts the range. Two where
a range is wanted of a version that is no longer there (``If-Range``, which Swift ignores).
Several ranges are described first, then fetched one after the other as they are sent.

A file is a stranger's. What a browser would run in the application's name is an attachment.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound, PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.http import parse_date, parse_options_header, unquote_etag
from werkzeug.wrappers import Response

from .conditions import NotModified, conditions_in, of_version
from .errors import FileNotFound, ObjectChanged, RangeNotSatisfiable
from .ranges import WHOLE, ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from werkzeug.wrappers import Request

    from .backend import Backend
    from .conditions import Conditions
    from .objects import ObjectInfo
    from .ranges import Span
    from .streams import ObjectStream

#: More ranges than a reader of documents needs are somebody's attempt to keep us busy: such a
#: request is answered with the whole file (RFC 9110, section 14.2).
MOST_RANGES = 20

_RANGES = re.compile(r"bytes[ \t]*=([0-9, \t-]*)")
_RANGE = re.compile(r"([0-9]{1,19})[ \t]*-[ \t]*([0-9]{1,19})?|-(0*[1-9][0-9]{0,18})")

# What a browser shows and does not run. HTML, SVG, XML and scripts are among the others.
_SHOWN = {"text/plain", "text/csv", "application/json", "application/pdf"}


@dataclass(frozen=True)
class Manner:
    """How a file is served."""

    #: Of files that were stored without one of their own.
    cache_control: str
    #: Whether what a browser would run is shown as it is: everybody who writes is trusted.
    is_trusted: bool = False
    as_attachment: bool = False
    #: What the browser calls it when it saves it; None: the file's own, without its folders.
    download_name: str | None = None
    #: Bytes.
    chunk_size: int = 64 * 1024


class Server:
    """Answers one request for one file. Lives as long as the view.

    :param on_stream: is given each stream before it is read.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        manner: Manner,
        on_stream: Callable[[ObjectStream], object],
    ) -> None:
        self._backend = backend
        self._name = name
        self._manner = manner
        self._on_stream = on_stream

    def answer(self, request: Request) -> Response:
        """Return the response; it closes its stream when it ends, also when the client leaves.

        :raises HTTPException: 404, 412 or 416.
        """
        conditions = conditions_in(request.headers)
        try:
            if request.method == "HEAD":
                return self._described(conditions)
            ranges = _ranges_in(request.headers)
            if len(ranges) > 1:
                return self._several(ranges, conditions, request.headers)
            return self._one(ranges[0] if ranges else WHOLE, conditions, request.headers)
        except NotModified as known:
            return self._with_headers(Response(status=304), known.info, with_content=False)
        except FileNotFound as error:
            raise NotFound from error
        except ObjectChanged as error:
            raise PreconditionFailed from error
        except RangeNotSatisfiable as error:
            raise RequestedRangeNotSatisfiable(error.size) from error

    def _described(self, conditions: Conditions) -> Response:
        info = self._backend.head(self._name)
        conditions.check(info)
        response = self._with_headers(Response(), info)
        if info.size is not None:
            response.content_length = info.size
        return response

    def _one(self, wanted: ByteRange, conditions: Conditions, headers: Headers) -> Response:
        stream, wanted = self._of_version(wanted, conditions, headers.get("If-Range"))
        span = stream.span
        is_part = wanted is not WHOLE and span is not None and span.size > 0
        response = Response(stream, status=206 if is_part else 200, direct_passthrough=True)
        response.call_on_close(stream.close)
        if is_part and span is not None:
            response.headers["Content-Range"] = _content_range(span)
        if span is not None:
            response.content_length = span.end - span.start
        return self._with_headers(response, stream.info)

    def _of_version(
        self, wanted: ByteRange, conditions: Conditions, if_range: str | None
    ) -> tuple[ObjectStream, ByteRange]:
        """Open the range, or the whole if the version is not the one that ``If-Range`` names."""
        if wanted is WHOLE or if_range is None:
            return self._open(wanted, conditions), wanted
        etag = _strong_tag(if_range)
        of_named = conditions
        if etag is not None and conditions.match is None:
            of_named = replace(conditions, match=frozenset({etag}))
        try:
            stream = self._open(wanted, of_named)
        except ObjectChanged:
            if of_named is conditions:
                raise
            return self._open(WHOLE, conditions), WHOLE
        except RangeNotSatisfiable:
            stream = self._open(WHOLE, conditions)
            if not _is_named(stream.info, if_range):
                return stream, WHOLE
            stream.close()
            raise
        if of_named is not conditions or _is_named(stream.info, if_range):
            return stream, wanted
        stream.close()
        return self._open(WHOLE, conditions), WHOLE

    def _open(self, wanted: ByteRange, conditions: Conditions) -> ObjectStream:
        stream = self._backend.get(self._name, self._manner.chunk_size, wanted, conditions)
        self._on_stream(stream)
        return stream

    def _several(
        self, ranges: list[ByteRange], conditions: Conditions, headers: Headers
    ) -> Response:
        info = self._backend.head(self._name)
        conditions.check(info)
        size = info.size or 0
        spans = [span for wanted in ranges if (span := wanted.of(size)) and size]
        if_range = headers.get("If-Range")
        is_other = if_range is not None and not _is_named(info, if_range)
        if is_other or sum(span.end - span.start for span in spans) > size:
            return self._one(WHOLE, of_version(info.etag), Headers())
        if not spans:
            raise RangeNotSatisfiable(f"{self._name!r} has {size} bytes", size=size)
        if len(spans) == 1:
            only = ByteRange(spans[0].start, spans[0].end)
            return self._one(only, of_version(info.etag), Headers())
        boundary = secrets.token_hex(16)
        heads = [_part_head(boundary, info.content_type, span) for span in spans]
        end = f"\r\n--{boundary}--\r\n".encode()
        version = of_version(info.etag)
        parts = [
            (head, partial(self._open, ByteRange(span.start, span.end), version))
            for span, head in zip(spans, heads, strict=True)
        ]
        response = Response(_Parts(parts, end), status=206)
        response.direct_passthrough = True
        self._with_headers(response, info)
        response.content_type = f"multipart/byteranges; boundary={boundary}"
        response.content_length = (
            sum(map(len, heads)) + sum(span.end - span.start for span in spans) + len(end)
        )
        return response

    def _with_headers(
        self, response: Response, info: ObjectInfo, *, with_content: bool = True
    ) -> Response:
        response.last_modified = info.modified
        if info.etag is not None:
            response.set_etag(info.etag)
        response.headers["Cache-Control"] = info.cache_control or self._manner.cache_control
        if not with_content:
            return response
        response.content_type = info.content_type
        if info.content_encoding:
            response.headers["Content-Encoding"] = info.content_encoding
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Disposition"] = self._disposition(info)
        return response

    def _disposition(self, info: ObjectInfo) -> str:
        shown = self._manner.is_trusted or is_shown(info.content_type)
        if shown and not self._manner.as_attachment and self._manner.download_name is None:
            return info.content_disposition or _disposition("inline", self._name)
        kind = "inline" if shown and not self._manner.as_attachment else "attachment"
        return _disposition(kind, self._manner.download_name or self._name)


class _Parts:
    """Several ranges as one body: each is opened when the one before has been sent.

    Closed, it closes what is being sent. Dropped without that, it only drops it: a finaliser
    must not wait, and a hook may.
    """

    def __init__(
        self, parts: Sequence[tuple[bytes, Callable[[], ObjectStream]]], end: bytes
    ) -> None:
        self._parts = parts
        self._end = end
        self._stream: ObjectStream | None = None

    def __iter__(self) -> Iterator[bytes]:
        for head, open_part in self._parts:
            yield head
            stream = self._stream = open_part()
            # "yield from" would close it, where this is dropped.
            for chunk in stream:  # noqa: UP028
                yield chunk
        yield self._end

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def is_shown(content_type: str) -> bool:
    """Tell whether a browser that believes this type shows the content and runs none of it."""
    mimetype = parse_options_header(content_type)[0].lower()
    kind, _, subtype = mimetype.partition("/")
    is_picture = kind == "image" and not subtype.startswith("svg")
    return is_picture or kind in {"audio", "video"} or mimetype in _SHOWN


def _disposition(kind: str, name: str) -> str:
    """Return a header in which a name of any characters ends nothing (RFC 6266, section 4.3)."""
    base = name.rstrip("/").rpartition("/")[2] or "file"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in base)
    if plain == base:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(base, safe='')}"


def _ranges_in(headers: Headers) -> list[ByteRange]:
    """Return the ranges that are asked for; none where that is nothing that we understand."""
    asked = _RANGES.fullmatch(headers.get("Range", ""))
    specs = [spec.strip() for spec in asked[1].split(",") if spec.strip()] if asked else []
    if len(specs) > MOST_RANGES:
        return []
    try:
        return [_range(spec) for spec in specs]
    except ValueError:
        return []


def _range(spec: str) -> ByteRange:
    """Read one range (RFC 9110, section 14.1.1).

    :raises ValueError: it is none.
    """
    found = _RANGE.fullmatch(spec)
    if found is None:
        raise ValueError(f"no range: {spec!r}")
    first, last, from_end = found.groups()
    if from_end is not None:
        return ByteRange(-int(from_end))
    return ByteRange(int(first), int(last) + 1 if last else None)


def _strong_tag(if_range: str) -> str | None:
    """Return the ETag that ``If-Range`` has; None for a date, and for one that is weak."""
    etag, is_weak = unquote_etag(if_range) if '"' in if_range else (None, False)
    return None if is_weak else etag


def _is_named(info: ObjectInfo, if_range: str) -> bool:
    """Tell whether ``If-Range`` names this version (RFC 9110, section 13.1.5)."""
    etag = _strong_tag(if_range)
    if etag is not None:
        return etag == info.etag
    date = parse_date(if_range)
    modified = info.modified and info.modified.replace(microsecond=0)
    return date is not None and modified == date


def _content_range(span: Span) -> str:
    return f"bytes {span.start}-{span.end - 1}/{span.size}"


def _part_head(boundary: str, content_type: str, span: Span) -> bytes:
    lines = (
        f"\r\n--{boundary}",
        f"Content-Type: {content_type}",
        f"Content-Range: {_content_range(span)}",
        "\r\n",
    )
    return "\r\n".join(lines).encode()
