"""A stored object as a Flask response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from flask_fs_swift.serving import is_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_fs_swift.streams import ObjectStream


def respond(stream: ObjectStream, content: Iterable[bytes], size: int | None) -> Response:
    """Return a response that sends content as it is read.

    The stream is closed with the response: at its end, or when the client leaves.

    :param content: the stream, or what is made of it.
    :param size: of the content, in bytes, where it is known.
    """
    info = stream.info
    response = Response(content, content_type=info.content_type)
    response.call_on_close(stream.close)
    if size is not None:
        response.content_length = size
    response.last_modified = info.modified
    if info.etag is not None:
        response.set_etag(info.etag)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if not is_shown(info.content_type):
        response.headers["Content-Disposition"] = "attachment"
    return response
