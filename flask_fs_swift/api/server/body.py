"""The body of a request, read as it comes in, to its end: sized, or in chunks.

A body that ends before its end is never taken for a whole one: a sized one is counted, and
of one in chunks the server says that its last chunk is missing. Nothing is held here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_fs_swift.api.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Bytes that are read of what nobody wants, so that its sender comes to read the answer.
MOST_DRAINED = 1024 * 1024
#: Bytes per read of those.
_GULP = 64 * 1024
#: Bytes of one read: gunicorn has three copies of what it reads of a body in chunks.
_MOST_READ = 256 * 1024


class Body:
    """What a request brings. Lives as long as it.

    :param environ: of WSGI.
    :raises Refusal: 501, it is encoded on its way: gunicorn joins the chunks and passes on what
        was compressed (RFC 9112, section 6.1); 500, the server hands over no bodies in chunks;
        400, the length is no number.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._input = environ["wsgi.input"]
        coding = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower()
        if coding not in {"", "chunked"}:
            raise Refusal(501, "the only transfer-encoding here is chunked")
        is_chunked = bool(coding)
        if is_chunked and not environ.get("wsgi.input_terminated"):
            raise Refusal(500, "this WSGI server hands over no chunked bodies: use gunicorn")
        #: Bytes; None where the sender did not say.
        self.size = None if is_chunked else _length(environ.get("CONTENT_LENGTH") or "0")
        #: Whether the sender said how long it is.
        self.is_sized = not is_chunked and bool(environ.get("CONTENT_LENGTH"))
        #: Told how many bytes have come in.
        self.meter: Callable[[int], None] | None = None
        self._left = self.size
        self._is_broken = False

    def read(self, size: int = _GULP, /) -> bytes:
        """Return at most so many bytes; none at the end.

        :raises Refusal: 400, it ended before its end, or is not as HTTP has it.
        """
        wanted = min(size, _MOST_READ if self._left is None else min(_MOST_READ, self._left))
        if not wanted:
            return b""
        try:
            block: bytes = self._input.read(wanted)
        except Exception as error:
            # Each server has errors of its own for what was cut off.
            self._is_broken = True
            raise Refusal(400, "the body broke off", (str(error),)) from error
        if self.meter is not None:
            self.meter(len(block))
        if self._left is not None:
            self._left -= len(block)
            if not block:
                self._is_broken = True
                raise Refusal(400, f"the body broke off, {self._left} bytes before its end")
        return block

    def read_all(self, most: int) -> bytes:
        """Return all of it.

        :param most: bytes.
        :raises Refusal: 413, it has more; 400, see :meth:`read`.
        """
        content = bytearray()
        while block := self.read(most + 1 - len(content)):
            content += block
            if len(content) > most:
                raise Refusal(413, f"the body has more than {most} bytes")
        return bytes(content)

    def drain(self) -> None:
        """Read what is left, if it is not too much. What is more, the server has to deal with."""
        left = MOST_DRAINED
        while left > 0 and not self._is_broken:
            try:
                block = self.read(min(left, _GULP))
            except Refusal:
                return
            if not block:
                return
            left -= len(block)


def _length(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise Refusal(400, "the length of the body is no number", form="text")
    return int(text)
