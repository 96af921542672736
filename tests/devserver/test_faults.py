"""Every way to fail, as a client on the wire sees it."""

from __future__ import annotations

import hashlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from flask_fs_swift.devserver import DevServer, DevServerError, Fault

from .client import PATIENCE, Client, ask, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from flask_fs_swift.devserver import Faults

BODY = bytes(range(256)) * 512  # 128 KiB: more than one chunk of Swift's


@pytest.fixture
def path(client: Client, container: str) -> str:
    path = f"{container}/object"
    assert client("PUT", path, BODY).status == 201
    return path


def etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def flipped(body: bytes, offset: int) -> bytes:
    return body[:offset] + bytes([body[offset] ^ 1]) + body[offset + 1 :]


def test_without_a_fault_an_object_comes_back_as_it_was_stored(client: Client, path: str) -> None:
    answer = client("GET", path)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["etag"] == etag(BODY)


def test_status_answers_without_asking_swift(
    client: Client, faults: Faults, container: str
) -> None:
    faults.add("status", method="PUT", status=507, headers={"Retry-After": "3"}, body="full")
    answer = client("PUT", f"{container}/new", b"x")
    assert (answer.status, answer.body) == (507, b"full")
    assert answer.headers["retry-after"] == "3"
    assert client("HEAD", f"{container}/new").status == 404


def test_status_reads_the_upload_first_where_it_is_told_to(
    client: Client, faults: Faults, container: str
) -> None:
    faults.add("status", method="PUT", drain=True)
    upload = bytes(8 * 2**20)  # more than the sockets' buffers hold
    assert client("PUT", f"{container}/new", upload).status == 503


def test_a_failed_head_has_no_body(client: Client, faults: Faults, path: str) -> None:
    faults.add("status", body="no")
    answer = client("HEAD", path)
    assert (answer.status, answer.body) == (503, b"")


def test_unauthorized_answers_401(client: Client, faults: Faults, path: str) -> None:
    faults.add("unauthorized")
    assert client("GET", path).status == 401
    assert client("GET", path).status == 200


def test_after_status_stores_and_reports_a_failure(
    client: Client, faults: Faults, container: str
) -> None:
    faults.add("after_status", method="PUT", status=500)
    assert client("PUT", f"{container}/new", b"abc").status == 500
    assert client("GET", f"{container}/new").body == b"abc"


def test_reset_comes_before_swift_is_asked(client: Client, faults: Faults, container: str) -> None:
    faults.add("reset", method="PUT", bytes=1000)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        client("PUT", f"{container}/new", bytes(2**20))
    assert client("HEAD", f"{container}/new").status == 404


def test_after_reset_stores_and_breaks_the_connection(
    client: Client, faults: Faults, container: str
) -> None:
    faults.add("after_reset", method="PUT")
    with pytest.raises(ConnectionResetError):
        client("PUT", f"{container}/new", b"abc")
    assert client("GET", f"{container}/new").body == b"abc"


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, len(BODY) - 1])
def test_truncate_sends_exactly_so_many_bytes(
    client: Client, faults: Faults, path: str, size: int
) -> None:
    faults.add("truncate", method="GET", bytes=size)
    with pytest.raises(IncompleteRead) as raised:
        client("GET", path)
    assert raised.value.partial == BODY[:size]


def test_truncate_leaves_a_body_that_is_not_longer(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("truncate", method="GET", bytes=len(BODY))
    assert client("GET", path).body == BODY


def test_reset_body_breaks_the_connection_in_the_body(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("reset_body", method="GET", bytes=70_000)
    with pytest.raises(ConnectionResetError):
        client("GET", path)


def test_delay_is_over_after_its_seconds(client: Client, faults: Faults, path: str) -> None:
    faults.add("delay", seconds=0.2)
    begin = time.monotonic()
    assert client("GET", path).body == BODY
    assert time.monotonic() - begin >= 0.2


@pytest.mark.parametrize("size", [0, 10, 70_000])
def test_stall_sends_so_many_bytes_before_it_waits(
    server: DevServer, client: Client, faults: Faults, path: str, size: int
) -> None:
    faults.add("stall", seconds=3600, bytes=size)
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE)) as connection:
        connection.request("GET", urlsplit(server.storage_url).path + path, headers=client.login)
        with connection.getresponse() as response:
            assert response.read(size) == BODY[:size]
            faults.clear()
            assert response.read() == BODY[size:]


def test_hang_breaks_the_connection_after_its_seconds(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("hang", seconds=0.1)
    with pytest.raises(ConnectionResetError):
        client("GET", path)


@pytest.mark.parametrize("action", ["hang", "delay", "stall"])
def test_clear_lets_go_of_those_held_up(
    client: Client, faults: Faults, path: str, action: str
) -> None:
    faults.add(action, seconds=3600)
    with ThreadPoolExecutor(1) as pool:
        held_up = pool.submit(client, "GET", path)
        wait_until(lambda: any(entry.method == "GET" for entry in faults.requests()))
        faults.clear()
        if action == "hang":
            assert isinstance(held_up.exception(), ConnectionResetError)
        else:
            assert held_up.result().body == BODY


def test_etag_is_replaced(client: Client, faults: Faults, path: str) -> None:
    faults.add("etag", value="0" * 32)
    answer = client("GET", path)
    assert (answer.headers["etag"], answer.body) == ("0" * 32, BODY)


@pytest.mark.parametrize("offset", [0, 65535, 65536, len(BODY) - 1])
def test_corrupt_flips_one_bit_of_an_answer(
    client: Client, faults: Faults, path: str, offset: int
) -> None:
    faults.add("corrupt", method="GET", offset=offset)
    answer = client("GET", path)
    assert answer.body == flipped(BODY, offset)
    assert answer.headers["etag"] == etag(BODY)


@pytest.mark.parametrize("offset", [0, 65535, 65536, len(BODY) - 1])
def test_corrupt_upload_flips_one_bit_before_swift_sees_it(
    client: Client, faults: Faults, path: str, offset: int
) -> None:
    faults.add("corrupt_upload", method="PUT", offset=offset)
    assert client("PUT", path, BODY).headers["etag"] == etag(flipped(BODY, offset))
    assert client("GET", path).body == flipped(BODY, offset)


def test_a_corrupted_upload_is_refused_when_it_says_its_etag(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("corrupt_upload", method="PUT", offset=3)
    assert client("PUT", path, BODY, ETag=etag(BODY)).status == 422


def test_a_chunked_upload_is_corrupted_too(client: Client, faults: Faults, path: str) -> None:
    faults.add("corrupt_upload", method="PUT", offset=70_000)
    assert client("PUT", path, iter([BODY])).status == 201
    assert client("GET", path).body == flipped(BODY, 70_000)


def test_stale_listing_lacks_names(client: Client, faults: Faults, container: str) -> None:
    for name in ("a", "b", "d/e"):
        client("PUT", f"{container}/{name}", b"")
    faults.add("stale_listing", names=["b", "d/"])
    listing = client("GET", f"{container}?format=json&delimiter=/")
    assert re.findall(rb'"(?:name|subdir)": "([^"]+)"', listing.body) == [b"a"]
    assert client("GET", container).body == b"a\nb\nd/e\n"


def test_a_rule_strikes_as_often_as_it_may_after_those_it_skips(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("status", skip=1, times=2)
    assert [client("HEAD", path).status for _ in range(5)] == [200, 503, 503, 200, 200]


def test_a_rule_without_end_strikes_until_it_is_cleared(
    client: Client, faults: Faults, path: str
) -> None:
    faults.add("status", times=-1)
    assert [client("HEAD", path).status for _ in range(3)] == [503] * 3
    faults.clear()
    assert client("HEAD", path).status == 200


def test_rules_match_in_order_of_addition(client: Client, faults: Faults, path: str) -> None:
    faults.add("status", status=500)
    faults.add("status", status=502)
    assert [client("HEAD", path).status for _ in range(3)] == [500, 502, 200]


def test_a_rule_names_whole_methods_and_parts_of_raw_paths(
    client: Client, faults: Faults, container: str
) -> None:
    faults.add("status", method="HEAD|GET", path=r"/%C3%A4\?x=1$", times=-1)
    assert client("HEAD", f"{container}/%C3%A4").status == 404
    assert client("POST", f"{container}/%C3%A4?x=1").status == 404
    assert client("HEAD", f"{container}/%C3%A4?x=1").status == 503


def test_logging_in_can_fail(server: DevServer, faults: Faults) -> None:
    faults.add("status", path="^/auth/", status=429, headers={"Retry-After": "1"})
    answer = ask("GET", server.auth_url)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert [entry.path for entry in faults.requests()] == ["/auth/v1.0"]


def test_requests_are_logged_oldest_first(client: Client, faults: Faults, container: str) -> None:
    faults.forget()
    client("PUT", f"{container}/%C3%A4", b"abc", ETag=etag(b"abc"))
    client("PUT", f"{container}/b", iter([b"abc"]))
    client("GET", f"{container}/b?x=1")
    first, second, third = faults.requests()
    assert first.path.endswith("/%C3%A4")
    assert (first.method, first.status, first.length) == ("PUT", 201, 3)
    assert (first.etag, first.transfer_encoding) == (etag(b"abc"), None)
    assert (second.etag, second.transfer_encoding) == (None, "chunked")
    assert (third.method, third.query, third.status) == ("GET", "x=1", 200)
    assert first.peer_port != second.peer_port
    assert first.time <= second.time <= third.time


def test_an_unanswered_request_is_logged_without_a_status(
    client: Client, faults: Faults, path: str
) -> None:
    faults.forget()
    faults.add("reset")
    with pytest.raises(ConnectionResetError):
        client("GET", path)
    assert [entry.status for entry in faults.requests()] == [None]


def test_the_log_tells_tokens_apart_and_gives_none_away(
    server: DevServer, faults: Faults, path: str
) -> None:
    client = Client(server)
    client("HEAD", path)
    client("HEAD", path)
    server.faults.revoke_tokens()
    client.log_in()
    client("HEAD", path)
    entries = [entry for entry in faults.requests() if entry.method == "HEAD"]
    first, second, third = (entry.token_id for entry in entries)
    assert first == second != third
    assert client.login["X-Auth-Token"] not in repr(entries)


def test_a_revoked_token_is_refused_and_a_new_login_gets_a_new_one(
    client: Client, faults: Faults, path: str
) -> None:
    old = client.login
    faults.revoke_tokens()
    assert client("HEAD", path).status == 401
    client.log_in()
    assert client.login != old
    assert client("HEAD", path).status == 200


def test_a_tick_lets_statistics_catch_up(client: Client, faults: Faults, path: str) -> None:
    faults.tick()
    before = int(client("HEAD", "").headers["x-account-object-count"])
    client("PUT", path + "2", b"")
    faults.tick()
    assert int(client("HEAD", "").headers["x-account-object-count"]) == before + 1


def test_a_tick_deletes_what_has_expired(client: Client, faults: Faults, container: str) -> None:
    client("PUT", f"{container}/brief", b"", **{"X-Delete-After": "1"})
    wait_until(lambda: client("HEAD", f"{container}/brief").status == 404)
    assert client("GET", container).body == b"brief\n"
    faults.tick()
    assert client("GET", container).body == b""


def test_an_unknown_action_is_refused_before_it_is_sent(faults: Faults) -> None:
    with pytest.raises(ValueError, match="unknown action 'explode'"):
        faults.add("explode")


def test_a_broken_pattern_is_refused_before_it_is_sent(faults: Faults) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        faults.add("status", path="(")


def test_a_fault_is_frozen() -> None:
    fault = Fault("status")
    with pytest.raises(AttributeError):
        fault.times = 2  # type: ignore[misc]


def test_a_server_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    with DevServer.start(tmp_path) as server:
        server.kill()
        with pytest.raises(DevServerError, match="did not answer"):
            server.faults.clear()
