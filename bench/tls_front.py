"""TLS in front of the C server, with a certificate that is made for the run."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class NoCertificate(Exception):
    """A certificate could not be made."""


class TLSFront:
    """Decrypts, and passes on. Its threads live until it is stopped.

    :param folder: where key, certificate and bundle are put.
    :raises NoCertificate: nothing was started.
    """

    def __init__(self, folder: Path, upstream: int) -> None:
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        _make_certificate(key, certificate)
        #: What clients trust: every public authority, as they do in production, and ours.
        self.bundle = folder / "bundle.pem"
        self.bundle.write_text(_public_authorities() + certificate.read_text())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Server(context, upstream)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.context = context
        self.upstream = upstream


class _Passing(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._pass()

    def _pass(self) -> None:
        with (
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self.server.upstream)) as swift,
        ):
            swift.sendall(client.recv(65536))  # The one request that a connection is for.
            while data := swift.recv(65536):
                client.sendall(data)


def _make_certificate(key: Path, certificate: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise NoCertificate("no certificate: there is no openssl on PATH")
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run(
        [openssl, "req", "-x509", *kind, *subject, *files], check=True, capture_output=True
    )


def _public_authorities() -> str:
    try:
        import certifi
    except ImportError:
        default = ssl.get_default_verify_paths().cafile
        return Path(default).read_text() if default else ""
    return certifi.contents()
