"""Speak HTTP/1.1 to Swift, below swiftclient's verbs.

A :class:`Transport` is one connection, in the shape of swiftclient's ``HTTPConnection``:
``swiftclient.Connection`` makes it in ``http_connection()`` and sends its requests over it.
What fails is an ``OSError``; what cannot be HTTP is :class:`.http1.Malformed`, one of them.

- A connection is used again only when its last answer was read to the end, nothing
  follows it, and the server said that it stays open. Otherwise the next request opens a
  new one; so it does when the server has closed an idle one meanwhile.
- Content above 1 MiB, or of unknown length, waits until the server wants it
  (``Expect: 100-continue``), so that a refusal costs nothing. If it refuses later, the
  sending ends there.
- Every wait of a socket ends after the time-out. An answer's head, and a body that is
  read at once, must have come when the call's deadline is over, however slowly they drip.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict

from .blocks import BLOCK
from .concurrency import Deadline, breathe
from .errors import FSError
from .http1 import (
    LONGEST_CHUNK_LINE,
    LONGEST_HEAD,
    Malformed,
    blocks_to_send,
    check_trailer,
    chunk_size,
    content_length,
    frame,
    is_chunked,
    parse_head,
    request_head,
    request_headers,
)
from .wire import RECEIVE, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from .blocks import Block
    from .http1 import Head, SentContent

#: Bytes of content that are sent with the head, in one packet or a few.
WITH_HEAD = 64 * 1024
#: Seconds to wait for a server that may not know ``100-continue`` (RFC 9110, 10.1.1).
EXPECT_WAIT = 3.0
#: Bytes that are read of the content of an answer that is no success.
LONGEST_ERROR = 64 * 1024
#: Interim answers, such as 100, before an answer.
MOST_INTERIM = 16


class RequestLine(NamedTuple):
    """What an answer is to."""

    method: str
    url: str


class Patience:
    """How long what has begun to come over a connection may take to have come."""

    __slots__ = ("deadline", "timeout")

    def __init__(self, timeout: float) -> None:
        #: Seconds that each wait of the socket may last.
        self.timeout = timeout
        #: Of the call.
        self.deadline: Deadline | None = None

    def begin(self) -> Deadline:
        """Return until when it must have come: the call's deadline, or ``timeout`` from now."""
        left = self.deadline.remaining() if self.deadline is not None else 0.0
        return Deadline(max(left, self.timeout))


class NotConnected(ConnectionError):
    """There was no connection, so nothing was sent."""


class Transport:
    """One connection to one Swift. Belongs to one borrower at a time; it needs no lock.

    :param tls: returns whom to trust, for an ``https`` address; asked for each connection.
    :param timeout: seconds that a socket may wait; see :meth:`limit`.
    """

    def __init__(
        self, url: str, *, tls: Callable[[], ssl.SSLContext] | None, timeout: float
    ) -> None:
        self._address = urlsplit(url)
        netloc = self._address.netloc.rpartition("@")[2]
        self._origin = f"{self._address.scheme}://{netloc}"
        self._fixed = f"host: {netloc}\r\naccept-encoding: identity\r\n"
        self._tls = tls if self._address.scheme == "https" else None
        self._patience = Patience(timeout)
        self._wire: Wire | None = None
        self._expects = True  # Until the server is seen not to know 100-continue.
        # Of the last request: whether the server wanted its content, whether any of it was
        # taken, and until when its head must come, once that is slow.
        self._was_continued = False
        self._was_taken = False
        self._slow: Deadline | None = None
        #: The last answer.
        self.resp: Response | None = None

    def limit(self, timeout: float, deadline: Deadline | None = None) -> None:
        """Say how patient the next request is.

        :param timeout: seconds that each wait of the socket may last.
        :param deadline: of the call; an answer that begins in time may end ``timeout``
            after it.
        """
        patience = self._patience
        patience.deadline = deadline
        if timeout != patience.timeout:
            patience.timeout = timeout
            if self._wire is not None:
                self._wire.wait_at_most(timeout)

    def request(
        self,
        method: str,
        full_path: str,
        data: SentContent | str = None,
        headers: Mapping[str, object] | None = None,
        files: None = None,  # noqa: ARG002 - part of swiftclient's signature, never given
    ) -> Response:
        """Send a request and read the head of its answer.

        What the content raises while it is taken, this raises.

        :raises FSError: it cannot be sent as it is: nothing was, unless ``maybe_applied``.
        :raises StreamBroken: the content has fewer bytes than the headers promise.
        :raises NotConnected: nothing was sent.
        :raises OSError: the network failed, or the answer is none.
        """
        try:
            fields = request_headers(headers or {})
            content = data.encode() if isinstance(data, str) else data
            # Ours to say; and swiftclient asks for gzip, which requests decodes and we do not.
            fields.pop("host", None)
            fields.pop("accept-encoding", None)
            fields.setdefault("user-agent", "flask-fs-swift")
            size = frame(method, content, fields)
            expecting = self._expects and (size is None or size > BLOCK)
            if expecting:
                fields["expect"] = "100-continue"
            head = request_head(method, full_path, self._fixed, fields)
        except ValueError:  # Without its cause, which may have all the headers in it.
            raise FSError("a header has no text or no number; Swift was sent nothing") from None
        try:
            answer, wire = self._exchange(head, content, size, expecting=expecting)
            self.resp = Response(wire, answer, method, self._origin, full_path, self._patience)
        except BaseException:
            self.close()
            raise
        whole = isinstance(content, bytes) or not self._was_taken
        if answer.status == 417 and expecting and whole:  # RFC 9110, section 15.5.18.
            return self.request(method, full_path, data, headers)
        return self.resp

    def putrequest(
        self,
        full_path: str,
        data: SentContent | str = None,
        headers: Mapping[str, object] | None = None,
        files: None = None,  # noqa: ARG002
    ) -> Response:
        """Send a PUT. Raises as :meth:`request`."""
        return self.request("PUT", full_path, data, headers)

    def getresponse(self) -> Response:
        """Return the answer to the last request."""
        if self.resp is None:
            raise NotConnected("nothing was asked yet")
        return self.resp

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    # One request.

    def _exchange(
        self, head: bytes, content: SentContent, size: int | None, *, expecting: bool
    ) -> tuple[Head, Wire]:
        wire = self._connected()
        self._was_continued = self._was_taken = False
        self._slow = None
        if isinstance(content, bytes) and len(content) <= WITH_HEAD:
            wire.send(head + content)
            return self._answer(wire), wire
        wire.send(head)
        if not content:
            return self._answer(wire), wire
        early = self._send(wire, blocks_to_send(content, size), expecting=expecting)
        if early is not None and early.status < 300:
            raise Malformed(f"the answer was {early.status} before the content was sent")
        if early is not None:
            early.may_persist = False  # The server still waits for content.
        # A server that lets us wait for nothing lets us do so once.
        expects_in_vain = early.status == 417 if early is not None else not self._was_continued
        self._expects = self._expects and not (expecting and expects_in_vain)
        return early or self._answer(wire), wire

    def _connected(self) -> Wire:
        """Return a connection on which nothing has arrived since its last answer was read."""
        wire = self._wire
        if wire is not None and wire.is_free and not wire.has_arrived():
            wire.is_free = False
            return wire
        self.close()
        address = self._address
        try:
            port = address.port or (443 if address.scheme == "https" else 80)
            tls = self._tls() if self._tls is not None else None
            self._wire = Wire(address.hostname or "", port, tls, self._patience.timeout)
        except (OSError, ValueError) as error:
            raise NotConnected(f"{self._origin}: {error}") from error
        return self._wire

    def _send(self, wire: Wire, content: Iterator[Block], *, expecting: bool) -> Head | None:
        """Send content; return the answer if it came before the end."""
        if expecting and wire.arrives_within(min(EXPECT_WAIT, self._patience.timeout)):
            answer = self._unless_interim(wire)
            if answer is not None:
                return answer
        self._was_taken = True
        for block in content:
            if wire.has_arrived():
                answer = self._unless_interim(wire)
                if answer is not None:
                    return answer
            breathe()  # Sockets that are never full never let other greenlets run.
            try:
                wire.send(block)
            except OSError:
                answer = self._last_words(wire)
                if answer is None:
                    raise
                return answer
        return None

    def _last_words(self, wire: Wire) -> Head | None:
        """Return what the server said before it stopped listening; None: nothing."""
        try:
            return self._answer(wire)
        except OSError:
            return None

    def _answer(self, wire: Wire) -> Head:
        """Read the head of the answer, and those of the interim ones before it."""
        for _ in range(MOST_INTERIM):
            answer = self._unless_interim(wire)
            if answer is not None:
                return answer
        raise Malformed("the answer does not begin: one interim answer follows another")

    def _unless_interim(self, wire: Wire) -> Head | None:
        """Read a head; return it, but None if another will follow."""
        head = parse_head(wire.read_until(b"\r\n\r\n", LONGEST_HEAD, self._slowly))
        if head.status >= 200:
            return head
        if head.status == 101:
            raise Malformed("the server changed the protocol, which nobody asked for")
        self._was_continued = self._was_continued or head.status == 100
        return None

    def _slowly(self) -> Deadline:
        """Return until when the head must come; that began when it was first found to be slow."""
        self._slow = self._slow or self._patience.begin()
        return self._slow


class Response:
    """One answer: its head, and its content as it arrives.

    Lives until the next request over its connection.
    """

    #: swiftclient's exceptions have this of an answer whose content nobody gave them.
    content = b""

    def __init__(
        self, wire: Wire, head: Head, method: str, origin: str, target: str, patience: Patience
    ) -> None:
        self.status = head.status
        self.reason = head.reason
        #: The headers by lower-case name.
        self.fields = head.headers
        self._asked = (method, origin, target)
        self._patience = patience
        self._wire: Wire | None = wire
        # Bytes left of the content, or of a chunk; None: until the connection ends.
        self._left = content_length(head, method)
        self._chunks = _Chunks(wire, patience) if is_chunked(head, self._left) else None
        self._may_persist = head.may_persist
        if self._chunks is not None:
            self._left = 0
        elif self._left == 0:
            self._end()

    @property
    def status_code(self) -> int:
        """The status, as swiftclient's exceptions ask for it."""
        return self.status

    @property
    def request(self) -> RequestLine:
        """What this is an answer to, as swiftclient's exceptions ask for it."""
        method, origin, target = self._asked
        return RequestLine(method, origin + target)

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The headers as swiftclient's exceptions keep them."""
        return CaseInsensitiveDict(self.fields)

    def getheaders(self) -> list[tuple[str, str]]:
        """Return the headers, by lower-case name."""
        return list(self.fields.items())

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """Return one header."""
        return self.fields.get(name.lower(), default)

    def read(self, size: int | None = None) -> bytes:
        """Return the next bytes, at most ``size``; all that are left by default.

        Of an answer that is no success at most the first 64 KiB.

        :raises OSError: as :meth:`readinto`.
        """
        if size is None or size < 0:
            return self._read_all() if self._wire is not None else b""
        wanted = self._wanted(size)
        if not wanted or self._wire is None:
            return b""
        block = self._wire.receive(wanted)
        self._took(len(block))
        return block

    def _read_all(self) -> bytes:
        deadline = self._patience.begin()
        content = io.BytesIO()
        wanted = LONGEST_ERROR if self.status >= 300 else -1
        size = BLOCK if self._chunks is None else RECEIVE
        while block := self.read(size if wanted < 0 else min(size, wanted)):
            content.write(block)
            wanted -= len(block)
            if not wanted:
                self.close()
            elif self._wire is not None and not deadline.remaining():
                raise TimeoutError("the answer did not end before the deadline")
        return content.getvalue()

    def readinto(self, room: memoryview) -> int:
        """Fill the beginning of ``room`` with the next bytes; return how many, 0 at the end.

        :raises OSError: the network failed, or the answer ended early.
        """
        wanted = self._wanted(len(room))
        if not wanted or self._wire is None:
            return 0
        count = self._wire.receive_into(room[:wanted] if wanted < len(room) else room)
        self._took(count)
        return count

    def is_over(self) -> bool:
        """Tell whether the answer has ended, reading what only ends it.

        :raises OSError: as :meth:`readinto`.
        """
        return not self._wanted(1)

    def _wanted(self, size: int) -> int:
        """Return how many bytes to ask for; 0 at the end of the answer."""
        if self._wire is None:
            return 0
        if self._left == 0 and self._chunks is not None:
            self._left = self._chunks.next_size()
            if not self._left:
                self._end()
        return size if self._left is None else min(size, self._left)

    def _took(self, count: int) -> None:
        if self._left is None:
            if not count:
                self._end()
            return
        if not count:
            raise Malformed(f"the answer ended {self._left} bytes early")
        self._left -= count
        if not self._left and self._chunks is None:
            self._end()

    def close(self) -> None:
        """End the answer. If it has not come to its end, its connection ends, too."""
        self._may_persist = False
        self._end()

    def _end(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self._may_persist and self._left is not None:
            wire.is_free = True
        else:
            wire.close()


class _Chunks:
    """The lines around the chunks of one answer (RFC 9112, section 7.1)."""

    def __init__(self, wire: Wire, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience
        self._begun = False

    def next_size(self) -> int:
        """Return the bytes of the next chunk; 0 after the last, whose trailers are dropped."""
        if self._begun and self._line(0):
            raise Malformed("a chunk of the answer is longer than it says")
        self._begun = True
        size = chunk_size(self._line(LONGEST_CHUNK_LINE))
        if not size:
            self._drop_trailers()
        return size

    def _drop_trailers(self) -> None:
        deadline = self._patience.begin()
        left = LONGEST_HEAD
        while trailer := self._wire.read_until(b"\r\n", left, lambda: deadline):
            check_trailer(trailer)
            left -= len(trailer)

    def _line(self, limit: int) -> bytes:
        return self._wire.read_until(b"\r\n", limit, self._patience.begin)
