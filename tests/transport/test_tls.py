"""TLS: whom we believe, and what an end is worth that nobody vouches for."""

from __future__ import annotations

import os
import ssl
import subprocess
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from auth.certificates import Authority

from flask_fs_swift import tls
from flask_fs_swift.config import Credentials
from flask_fs_swift.http1 import Malformed
from flask_fs_swift.transport import NotConnected, Transport

from .scripted import OK, Scripted, answer, then, wait_for_the_end

if TYPE_CHECKING:
    from pathlib import Path

    from .scripted import Caller, Script


@pytest.fixture(autouse=True)
def _no_bundle_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


NOBODY = Credentials("http://127.0.0.1", user=None, key=None, auth_version="1", os_options=())


def trusting(
    authority: Authority, *, cert: Path | None = None, key: Path | None = None
) -> Credentials:
    own = str(cert) if cert else None
    own_key = str(key) if key else None
    return replace(NOBODY, cacert=str(authority.file), cert=own, cert_key=own_key)


def get(server: Scripted, settings: Credentials) -> bytes:
    transport = Transport(server.url, tls=partial(tls.context_for, settings), timeout=5.0)
    try:
        return transport.request("GET", "/").read()
    finally:
        transport.close()


def refuse(caller: Caller) -> None:
    pytest.fail(f"a client that should not trust us asked {caller.head()!r}")


def test_an_authority_that_is_named_is_trusted(authority: Authority) -> None:
    with Scripted(answer(OK), tls=authority.server()) as server:
        assert get(server, trusting(authority)) == b"ok"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_in_the_environment_is_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority.file))
    with Scripted(answer(OK), tls=authority.server()) as server:
        assert get(server, NOBODY) == b"ok"


def test_the_environment_may_name_a_folder_of_authorities(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    # OpenSSL looks for files that are named by a hash of the authority's name.
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(authority.file)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (folder / f"{name}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    with Scripted(answer(OK), tls=authority.server()) as server:
        assert get(server, NOBODY) == b"ok"


def test_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another")
    with Scripted(refuse, refuse, tls=authority.server()) as server:
        for settings in (NOBODY, trusting(other)):
            with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED") as raised:
                get(server, settings)
            assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.parametrize(("host", "certified"), [("localhost", "127.0.0.1"), (None, "127.0.0.2")])
def test_a_certificate_of_another_host_is_not_trusted(
    authority: Authority, host: str | None, certified: str
) -> None:
    context = partial(tls.context_for, trusting(authority))
    with Scripted(refuse, tls=authority.server(certified)) as server:
        url = server.url.replace("127.0.0.1", host or "127.0.0.1")
        with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
            Transport(url, tls=context, timeout=5.0).request("GET", "/")


def test_whoever_is_insecure_trusts_everybody_and_is_warned(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls._context.cache_clear()  # One that is shared has warned already.
    with Scripted(answer(OK), tls=authority.server("127.0.0.9")) as server:
        assert get(server, replace(NOBODY, insecure=True)) == b"ok"
    assert "INSECURE" in caplog.text


def test_an_old_protocol_is_not_spoken(authority: Authority) -> None:
    old = authority.server()
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        Scripted(refuse, tls=old) as server,
        pytest.raises(NotConnected),
    ):
        get(server, trusting(authority))


def asking_for_a_certificate(authority: Authority) -> ssl.SSLContext:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    return context


def test_a_certificate_of_our_own_is_shown(authority: Authority) -> None:
    own = authority.certificate("127.0.0.2")
    with Scripted(answer(OK), tls=asking_for_a_certificate(authority)) as server:
        assert get(server, trusting(authority, cert=own)) == b"ok"


def test_its_key_may_be_in_a_file_of_its_own(authority: Authority, tmp_path: Path) -> None:
    text = authority.certificate("127.0.0.2").read_text()
    key, certificate = text.split("-----BEGIN CERTIFICATE", 1)
    (tmp_path / "own.key").write_text(key)
    (tmp_path / "own.pem").write_text("-----BEGIN CERTIFICATE" + certificate)
    settings = trusting(authority, cert=tmp_path / "own.pem", key=tmp_path / "own.key")
    with Scripted(answer(OK), tls=asking_for_a_certificate(authority)) as server:
        assert get(server, settings) == b"ok"


def test_a_server_that_asks_for_a_certificate_refuses_who_has_none(authority: Authority) -> None:
    with (
        Scripted(refuse, tls=asking_for_a_certificate(authority)) as server,
        pytest.raises(OSError, match=r"(?i)certificate|reset|EOF|broken"),
    ):
        get(server, trusting(authority))


def test_a_context_is_shared_until_its_files_change(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "trusted.pem"
    other = Authority(tmp_path, "another")
    settings = replace(NOBODY, cacert=str(file))
    file.write_bytes(other.file.read_bytes())
    os.utime(file, (1, 1))
    first = tls.context_for(settings)
    assert tls.context_for(settings) is first
    file.write_bytes(authority.file.read_bytes())
    assert tls.context_for(settings) is not first
    with Scripted(answer(OK), tls=authority.server()) as server:
        assert get(server, settings) == b"ok"


def test_certificates_are_read_anew_for_each_connection(
    authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "trusted.pem"
    file.write_bytes(Authority(tmp_path, "another").file.read_bytes())
    os.utime(file, (1, 1))
    context = partial(tls.context_for, replace(NOBODY, cacert=str(file)))
    with Scripted(refuse, answer(OK), tls=authority.server()) as server:
        transport = Transport(server.url, tls=context, timeout=5.0)
        with pytest.raises(NotConnected):
            transport.request("GET", "/")
        file.write_bytes(authority.file.read_bytes())
        assert transport.request("GET", "/").read() == b"ok"
        transport.close()


def test_a_certificate_that_cannot_be_read_was_sent_nothing(tmp_path: Path) -> None:
    missing = partial(tls.context_for, replace(NOBODY, cacert=str(tmp_path / "missing.pem")))
    with pytest.raises(NotConnected, match=r"missing\.pem"):
        Transport("https://127.0.0.1:9", tls=missing, timeout=5.0).request("GET", "/")


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked(
    authority: Authority, tmp_path: Path
) -> None:
    own = authority.certificate("127.0.0.2")
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "ec", "-in", str(own), "-aes128", "-passout", "pass:secret"]
    subprocess.run([*command, "-out", str(encrypted)], check=True, capture_output=True)
    with pytest.raises(OSError, match="encrypted"):
        tls.context_for(trusting(authority, cert=own, key=encrypted))


def cut_off(said: bytes) -> Script:
    def script(caller: Caller) -> None:
        caller.answer(said)
        caller.close_without_a_word()

    return script


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhalf of it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf of it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n",
    ],
)
def test_an_end_that_nobody_vouches_for_is_no_end(authority: Authority, said: bytes) -> None:
    with (
        Scripted(cut_off(said), tls=authority.server()) as server,
        pytest.raises((ssl.SSLEOFError, Malformed)),
    ):
        get(server, trusting(authority))


def test_an_answer_that_says_where_it_ends_needs_nobody_to_vouch(authority: Authority) -> None:
    context = partial(tls.context_for, trusting(authority))
    with Scripted(cut_off(OK), answer(OK), tls=authority.server()) as server:
        transport = Transport(server.url, tls=context, timeout=5.0)
        assert transport.request("GET", "/").read() == b"ok"
        server.wait_until_closed()
        assert transport.request("GET", "/").read() == b"ok"
        transport.close()
    assert server.connections == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_ticket_is_no_answer(authority: Authority, version: ssl.TLSVersion) -> None:
    """TLS 1.3 sends tickets after the handshake, when we look for what nobody asked for."""
    context = authority.server()
    context.minimum_version = context.maximum_version = version
    ours = partial(tls.context_for, trusting(authority))
    script = then(*[answer(OK)] * 5, wait_for_the_end)
    with Scripted(script, tls=context) as server:
        transport = Transport(server.url, tls=ours, timeout=5.0)
        for _ in range(5):
            assert transport.request("GET", "/").read() == b"ok"
        transport.close()
    assert server.connections == 1


def test_a_plain_server_where_tls_is_expected_is_no_server(authority: Authority) -> None:
    context = partial(tls.context_for, trusting(authority))
    with Scripted(lambda caller: caller.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(NotConnected):
            Transport(url, tls=context, timeout=5.0).request("GET", "/")


@pytest.mark.parametrize("secured", [False, True])
def test_an_address_may_be_ipv6(authority: Authority, secured: bool) -> None:
    context = partial(tls.context_for, trusting(authority))
    served = authority.server("::1") if secured else None
    with Scripted(answer(OK), host="::1", tls=served) as server:
        transport = Transport(server.url, tls=context, timeout=5.0)
        assert transport.request("GET", "/").read() == b"ok"
        transport.close()
    assert b"host: [::1]:%d" % server.port in server.heads()[0]
