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

from .concurrency import Deadline, breathe
from .http1 import (
    BLOCK,
    LONGEST_CHUNK_LINE,
    LONGEST_HEAD,
    Malformed,
    blocks_of,
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
    from collections.abc import Iterator, Mapping

    from .http1 import Block, Head, SentContent

#: Bytes of content that are sent with the head, in one packet or a few.
WITH_HEAD = 64 * 1024
#: Seconds to wait for a server that may not know ``100-continue`` (RFC 9110, 10.1.1).
EXPECT_WAIT = 3.0
#: Bytes that are read of the content of an answer that is no success.
LONGEST_ERROR = 64 * 1024
#: Interim answers, such as 100, before an answer.
MOST_INTERIM = 16


class Asked(NamedTuple):
    """What an answer is to."""

    method: str
    url: str


class NotConnected(ConnectionError):
    """There was no connection, so nothing was sent."""


class Transport:
    """One connection to one Swift. Belongs to one borrower at a time; it needs no lock.

    :param tls: for an ``https`` address.
    :param timeout: seconds that a socket may wait; see :meth:`limit`.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None, timeout: float) -> None:
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls if parts.scheme == "https" else None
        self._fixed = f"host: {parts.netloc.rpartition('@')[2]}\r\naccept-encoding: identity\r\n"
        self._timeout = timeout
        self._deadline: Deadline | None = None
        self._wire: Wire | None = None
        self._expects = True  # Until the server is seen not to know 100-continue.
        self._continued = False  # Whether it has said it to the last request.
        #: The last answer.
        self.resp: Response | None = None

    def limit(self, timeout: float, deadline: Deadline | None = None) -> None:
        """Say how patient the next request is.

        :param timeout: seconds that each wait of the socket may last.
        :param deadline: of the call; an answer that begins in time may end ``timeout``
            after it.
        """
        self._deadline = deadline
        if timeout != self._timeout:
            self._timeout = timeout
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

        :raises NotConnected: nothing was sent.
        :raises OSError: the network failed, or the answer is none.
        """
        fields = request_headers(headers or {})
        fields.setdefault("user-agent", "flask-fs-swift")
        # swiftclient asks for gzip, which requests decodes; we do not.
        fields.pop("accept-encoding", None)
        content = data.encode() if isinstance(data, str) else data
        size = frame(method, content, fields)
        expecting = self._expects and (size is None or size > BLOCK)
        if expecting:
            fields["expect"] = "100-continue"
        head = request_head(method, full_path, self._fixed, fields)
        try:
            self.resp = self._exchange(method, head, content, size, expecting=expecting)
            self.resp.target = full_path
        except BaseException:
            self.close()
            raise
        if expecting and self.resp.status == 417:  # RFC 9110, section 15.5.18.
            self._expects = False
            return self.request(method, full_path, data, headers)
        return self.resp

    def putrequest(
        self,
        full_path: str,
        data: SentContent | str = None,
        headers: Mapping[str, object] | None = None,
        files: None = None,  # noqa: ARG002
    ) -> Response:
        """Send a PUT."""
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
        self, method: str, head: bytes, content: SentContent, size: int | None, *, expecting: bool
    ) -> Response:
        wire = self._connected()
        self._continued = False
        early = None
        if isinstance(content, bytes) and len(content) <= WITH_HEAD:
            wire.send(head + content)
        elif content:
            early = self._send(wire, head, blocks_of(content, size), expecting=expecting)
        else:
            wire.send(head)
        answer = early or self._final_head(wire)
        # A server that lets us wait for nothing lets us do so once.
        self._expects = self._expects and (self._continued or not expecting or early is not None)
        return Response(self, wire, answer, method, is_last=early is not None)

    def _connected(self) -> Wire:
        """Return a connection on which nothing has arrived since its last answer was read."""
        wire = self._wire
        if wire is not None and wire.is_free and not wire.has_arrived():
            wire.is_free = False
            return wire
        self.close()
        try:
            self._wire = Wire(self._host, self._port, self._tls, self._timeout)
        except OSError as error:
            raise NotConnected(f"{self._host}:{self._port}: {error}") from error
        return self._wire

    def _send(
        self, wire: Wire, head: bytes, content: Iterator[Block], *, expecting: bool
    ) -> Head | None:
        """Send a request with its content; return the answer if it came before the end."""
        wire.send(head)
        answer = self._answer_before_content(wire) if expecting else None
        for block in content if answer is None else ():
            answer = self._answer_before_end(wire)
            if answer is not None:
                break
            breathe()  # Sockets that are never full never let other greenlets run.
            try:
                wire.send(block)
            except OSError:
                answer = self._last_words(wire)
                if answer is None:
                    raise
                break
        if answer is not None and answer.status < 300:
            raise Malformed(f"the answer was {answer.status} before the content was sent")
        return answer

    def _answer_before_content(self, wire: Wire) -> Head | None:
        if not wire.arrives_within(min(EXPECT_WAIT, self._timeout)):
            return None
        return self._if_final(self._read_head(wire))

    def _answer_before_end(self, wire: Wire) -> Head | None:
        return self._if_final(self._read_head(wire)) if wire.has_arrived() else None

    def _last_words(self, wire: Wire) -> Head | None:
        """Return what the server said before it stopped listening; None: nothing."""
        try:
            return self._final_head(wire)
        except OSError:
            return None

    def _final_head(self, wire: Wire) -> Head:
        for _ in range(MOST_INTERIM):
            head = self._read_head(wire)
            if head.status >= 200 or self._if_final(head) is not None:
                return head
        raise Malformed("the answer does not begin: one interim answer follows another")

    def _if_final(self, head: Head) -> Head | None:
        if head.status == 101:
            raise Malformed("the server changed the protocol, which nobody asked for")
        self._continued = self._continued or head.status == 100
        return head if head.status >= 200 else None

    def _read_head(self, wire: Wire) -> Head:
        return parse_head(wire.read_until(b"\r\n\r\n", LONGEST_HEAD, self.patience))

    def patience(self) -> Deadline:
        """Return until when an answer that has begun must have come."""
        left = self._deadline.remaining() if self._deadline is not None else 0.0
        return Deadline(max(left, self._timeout))


class Response:
    """One answer: its head, and its content as it arrives.

    Lives until the next request over its connection.
    """

    #: What was not read yet when an exception was made of the answer: nothing.
    content = b""
    #: The target of the request that this is an answer to.
    target = ""

    def __init__(
        self, transport: Transport, wire: Wire, head: Head, method: str, *, is_last: bool
    ) -> None:
        self.status = head.status
        self.reason = head.reason
        #: The headers by lower-case name.
        self.fields = head.headers
        self._method = method
        self._transport = transport
        self._wire: Wire | None = wire
        # Bytes left of the content, or of a chunk; None: until the connection ends.
        self._left = content_length(head, method)
        self._chunks = _Chunks(wire, transport) if is_chunked(head, self._left) else None
        self._may_persist = head.may_persist and not is_last
        if self._chunks is not None:
            self._left = 0
        elif self._left == 0:
            self._end()

    @property
    def status_code(self) -> int:
        """The status, as swiftclient's exceptions ask for it."""
        return self.status

    @property
    def request(self) -> Asked:
        """What this is an answer to, as swiftclient's exceptions ask for it."""
        return Asked(self._method, self._transport.origin + self.target)

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

        Of an answer that is no success no more than the first 64 KiB.

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
        patience = self._transport.patience()
        content = io.BytesIO()
        while block := self.read(BLOCK if self._chunks is None else RECEIVE):
            content.write(block)
            if self.status >= 300 and content.tell() >= LONGEST_ERROR:
                self.close()
            elif self._wire is not None and not patience.remaining():
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
        """Tell whether the answer has ended, reading what only ends it."""
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
        if wire is not None:
            wire.is_free = self._may_persist and self._left is not None
            if not wire.is_free:
                self._transport.close()


class _Chunks:
    """The lines around the chunks of one answer (RFC 9112, section 7.1)."""

    def __init__(self, wire: Wire, transport: Transport) -> None:
        self._wire = wire
        self._patience = transport.patience
        self._begun = False

    def next_size(self) -> int:
        """Return the bytes of the next chunk; 0 after the last, whose trailers are dropped."""
        if self._begun and self._line(0):
            raise Malformed("a chunk of the answer is longer than it says")
        self._begun = True
        size = chunk_size(self._line(LONGEST_CHUNK_LINE))
        left = LONGEST_HEAD
        while not size and (trailer := self._line(left)):
            left -= len(trailer)
        return size

    def _line(self, limit: int) -> bytes:
        return self._wire.read_until(b"\r\n", limit, self._patience)
