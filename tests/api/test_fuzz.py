"""Requests that nobody should send: each is answered or cut off, and nothing else comes of it.

They go to real servers as bytes. What comes back is no failure and no line of the sender's, it
comes in time, the log has no traceback, and what was stored is where the token allows it.
"""

from __future__ import annotations

import re
import socket
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.api.presigned import presign
from flask_fs_swift.api.wire import closing

from .served import serving
from .test_batches import BOUNDARY, TYPE, op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.api.keys import KeyPair

    from .served import Served

#: A header of an answer, if somebody gets it there.
INJECTED = b"x-injected:1"
_BREAKS = [each + INJECTED for each in (b"\r\n", b"\n", b"\r", b"\0", b"\x85")]
_ODD = [
    b"%",
    b"%zz",
    b"%ff",
    b"%00",
    b"%2e%2e",
    b"//",
    b"..",
    b"?",
    b"#",
    b";=",
    b'"',
    b"\\",
    b"-1",
]


def weighed(*choices: tuple[st.SearchStrategy[bytes], int]) -> st.SearchStrategy[bytes]:
    """Return one of some strategies, each as often as its weight says."""
    spread = [strategy for strategy, weight in choices for _ in range(weight)]
    return st.sampled_from(range(len(spread))).flatmap(spread.__getitem__)


#: A few bytes of a line that mean something somewhere.
tame = st.one_of(
    st.sampled_from([*_ODD, b"%0d%0a" + INJECTED, b"%0A" + INJECTED]),
    st.binary(max_size=12).map(lambda data: quote(data).encode()),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(str.encode),
)
#: Any bytes, of which most servers take no line.
wild = st.one_of(st.sampled_from(_BREAKS), st.binary(max_size=12))
bits = weighed((tame, 12), (wild, 1))


def mostly(*usual: bytes) -> st.SearchStrategy[bytes]:
    """Return what is right, and now and then is not: with all wrong, nothing gets far."""
    right = st.sampled_from(usual)
    return weighed((right, 20), (st.builds(bytes.__add__, right, bits), 1), (bits, 1))


METHODS = mostly(b"PUT", b"PUT", b"GET", b"POST", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS")
RESOURCES = mostly(
    *[b"objects"] * 5, *[b"objects:batch"] * 2, b"objects:multipart", b"objects:multipart:parts",
    b"objects:multipart:complete", b"health", b"keda",
)  # fmt: skip
USECASES = mostly(*[b"test"] * 8, b"brief", b"other", b"..", b"")
SCOPES = mostly(*[b"org=1"] * 8, b"_", b"org=2", b"org=1;org=1", b"org=1/../org=2", b"")
KEYS = mostly(b"k", b"a%2Fb", b"../../x", b"%00%7f%0d", b"", b"/", b"x" * 1100, b"\xc3\xa9")
PARAMETERS = [
    b"upload_id", b"part_number", b"upload_type", b"session", b"os_auth", b"os_sig", b"os_kid",
    b"os_duration", b"os_timestamp", b"max_parts",
]  # fmt: skip
QUERIES = st.lists(st.builds(b"%s=%s".__mod__, st.tuples(mostly(*PARAMETERS), bits)), max_size=3)
NAMES = mostly(
    b"Range", b"Content-Type", b"Content-Encoding", b"x-sn-expiration", b"x-sn-filename",
    b"x-sn-origin", b"x-snme-a", b"Upload-Offset", b"Upload-Length", b"Content-MD5", b"Expect",
    b"x-os-auth", b"Authorization", b"Host", b"Connection", b"X-HTTP-Method-Override",
)  # fmt: skip
VALUES = mostly(
    b"bytes=0-3", b"bytes=-1", b"text/plain", TYPE.encode(), b"application/json", b"zstd",
    b"ttl:1d", b"tti:1h", b"ttl:99999999999d", b"manual", b"a%0d%0ax-injected:1", b"0",
    b"100-continue", b"multipart/form-data; boundary=" + b"b" * 80,
)  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, weighed((VALUES, 3), (bits, 1))), max_size=4)
PARTS = st.one_of(
    st.sampled_from(
        [
            op("insert", "b%2F1", b"content"),
            op("insert", "%2E%2E%2F..%2Fb", b"content", x_sn_filename="a%0D%0Ax-injected:1"),
            op("get", "k"),
            op("head", "absent%0D%0Ax-injected:1"),
            op("delete", "b%2F1"),
            op("nothing"),
        ]
    ),
    bits,
    wild,
)
BODIES = st.one_of(
    st.sampled_from([b"", b"content", b"x" * 9_000, b'{"extend_expiry": {"after": "1d"}}']),
    st.lists(PARTS, max_size=6).map(lambda parts: b"".join(parts) + closing(BOUNDARY)),
    st.binary(max_size=60),
)


def chunked(body: bytes, size: bytes = b"%x") -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" + size % len(body) + b"\r\n%b\r\n0\r\n\r\n" % body


#: What may be said of a body, and the body as it is sent then.
FRAMES: list[Callable[[bytes], bytes]] = [
    lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
    lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body) + 9, body),
    lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body) // 2, body),
    lambda body: b"Content-Length: -1\r\n\r\n%b" % body,
    lambda body: b"Content-Length: 1e3\r\n\r\n%b" % body,
    lambda body: b"Content-Length: 99999999999999999999\r\n\r\n%b" % body,
    lambda body: b"\r\n" + body,
    chunked,
    lambda body: chunked(body)[:-5],
    lambda body: chunked(body)[:-3] + b"x",
    lambda body: chunked(body, b"0%x;a=b"),
    lambda body: chunked(body, b"-%x"),
    lambda body: chunked(body, b"ffffffff%x"),
    lambda body: b"Content-Length: 3\r\n" + chunked(body),
    lambda body: b"Transfer-Encoding: gzip, " + chunked(body)[19:],
]


@st.composite
def requests(draw: Any) -> bytes:
    """A request, in which ``TOKEN`` stands for a good one of a place, and ``SIGNED`` for a URL."""
    target = b"/".join([b"/v1", draw(RESOURCES), draw(USECASES), draw(SCOPES), draw(KEYS)])
    target += b"".join(b"?&"[min(n, 1) :][:1] + each for n, each in enumerate(draw(QUERIES)))
    line = b"%b %b HTTP/1.1" % (draw(METHODS), draw(st.sampled_from([target] * 9 + [b"SIGNED"])))
    known = draw(st.sampled_from([b"x-os-auth: Bearer TOKEN"] * 7 + [b"x-a: b"]))
    headers = [b"%b: %b" % pair for pair in draw(HEADERS)]
    head = b"".join(each + b"\r\n" for each in [line, b"Host: test", known, *headers])
    framed: bytes = draw(st.sampled_from([*FRAMES, *[FRAMES[0], FRAMES[7]] * 8]))(draw(BODIES))
    return head + framed


class Target:
    """A server under fire, its storage where that is in this process, and what it has logged."""

    def __init__(self, served: Served, log: Any, files: Storage | None) -> None:
        self.served = served
        self.files = files
        self.statuses: set[int] = set()
        self._log = log
        self._token = served.token().encode()
        self._signed = presign(served.key, "GET", f"/v1/{served.at('k')}", 1e9, 60).encode()

    def fire(self, request: bytes) -> bytes:
        """Send a request, and return all that comes back."""
        request = request.replace(b"TOKEN", self._token).replace(b"SIGNED", self._signed)
        answer = b""
        with self.served.connect() as connection:
            try:
                connection.sendall(request)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                while block := connection.recv(65536):
                    answer += block
            except ConnectionError:
                pass  # It was cut off. What takes too long is another error.
        return answer

    def check(self, request: bytes) -> None:
        """Send a request; nothing may come of it but an answer."""
        answer = self.fire(request)
        assert not re.search(rb"[\r\n\x85]" + INJECTED[:10], answer, re.IGNORECASE)
        found = re.match(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)
        if found is None:
            # To the other one, a line that is broken is one of HTTP/0.9: no head is sent.
            assert not answer or self.served.kind == "werkzeug"
            return
        status = int(found[1])
        self.statuses.add(status)
        assert status in {501, 505} or status < 500
        head = answer.partition(b"\r\n\r\n")[0]
        for line in head.split(b"\r\n")[1:]:
            assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\x20-\x7e\t]*", line), line

    def check_traces(self) -> None:
        """What may be left is in its place, nothing was said, and the server goes on."""
        if self.files is not None:
            for name in self.files.list_files():
                # Who may write for an organisation may do so for its usecase alone.
                assert name.startswith(("test/org.1/objects/", "test/objects/"))
        self._log.seek(0)
        assert b"Traceback" not in self._log.read()
        assert self.served.ask("GET", "health", token=None).status == 200


@pytest.fixture(
    scope="module", params=["werkzeug", "gthread", pytest.param("gevent", marks=pytest.mark.large)]
)
def target(request: pytest.FixtureRequest, key_pairs: dict[str, KeyPair]) -> Iterator[Target]:
    app = Flask("fuzzed")
    app.config["FS_BACKEND"] = "memory"
    storage = Storage("files", ALL)
    FS(app, storage)
    files = storage.bound(app) if request.param == "werkzeug" else None
    with tempfile.TemporaryFile() as log, serving(request.param, key_pairs, files, log) as served:
        served.put("k")
        yield Target(served, log, files)


NO_LIMITS = settings(deadline=None, suppress_health_check=list(HealthCheck))


def test_no_request_does_harm(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    @settings(NO_LIMITS, max_examples=200, derandomize=True)  # By chance: the one below.
    @given(requests())
    def play(request: bytes) -> None:
        target.check(request)

    play()
    assert {200, 400, 404} <= target.statuses
    target.check_traces()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_no_request_of_many_does_harm(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    @settings(NO_LIMITS, max_examples=20_000)
    @given(requests())
    def play(request: bytes) -> None:
        target.check(request)

    play()
    target.check_traces()
    assert not [record for record in caplog.records if record.exc_info]
