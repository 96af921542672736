"""Whom we trust over TLS, read from files once: a fresh context costs 20 times a handshake."""

from __future__ import annotations

import logging
import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

if TYPE_CHECKING:
    from typing import TypeAlias

    from .config import Credentials

    _Dated: TypeAlias = tuple[str, int]

logger = logging.getLogger(__name__)


def context_for(credentials: Credentials) -> ssl.SSLContext:
    """Return the context of a login, shared by all its connections.

    Trusted are the authorities in ``CACERT``; without one those in the file or folder that
    ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE`` names in the environment, or certifi's.

    :raises OSError: a file cannot be read, or is not what it should be.
    """
    bundle = credentials.cacert or _from_environment() or certifi.where()
    # gevent's patching replaces the class; a context made before would block its hub.
    return _context(
        ssl.SSLContext,
        None if credentials.insecure else _dated(bundle),
        _dated(credentials.cert) if credentials.cert else None,
        _dated(credentials.cert_key) if credentials.cert_key else None,
    )


def _from_environment() -> str | None:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None


def _dated(path: str) -> _Dated:
    """Return a path with the time of its last change: certificates are renewed in place."""
    return path, Path(path).stat().st_mtime_ns


@lru_cache(maxsize=32)
def _context(
    kind: type[ssl.SSLContext], bundle: _Dated | None, cert: _Dated | None, key: _Dated | None
) -> ssl.SSLContext:
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if bundle is None:
        logger.warning("INSECURE: whoever answers at the address of Swift is believed to be Swift")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif Path(bundle[0]).is_dir():
        context.load_verify_locations(capath=bundle[0])
    else:
        context.load_verify_locations(cafile=bundle[0])
    if cert is not None:
        context.load_cert_chain(cert[0], key[0] if key else None, password=_no_pass_phrase)
    return context


def _no_pass_phrase() -> str:
    # Otherwise OpenSSL would ask for it on the terminal.
    raise OSError("the key of CERT is encrypted; give one that is not")
