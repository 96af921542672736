"""Who may do what, over HTTP."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from flask_fs_swift.api.keys import DELETE, READ, WRITE, new_key_pair, read_signing_key
from flask_fs_swift.api.presigned import presign

from .served import KID, Served

STRANGER = read_signing_key("KEY", KID, new_key_pair().private)


def refused(served: Served, method: str = "GET", key: str = "k", **how: object) -> int:
    body = b"" if method in {"PUT", "POST"} else None
    return served.ask(method, served.at(key), body, **how).status  # type: ignore[arg-type]


def test_who_has_no_token_does_nothing(server: Served) -> None:
    for method in ("PUT", "GET", "HEAD", "DELETE", "PATCH"):
        assert refused(server, method, token=None) == 400
    assert refused(server, token="garbage") == 401
    assert refused(server, token=server.token(key=STRANGER)) == 401
    assert refused(server, token=server.token(now=time.time() - 200)) == 401


def test_a_token_is_looked_at_before_the_place(server: Served) -> None:
    assert server.ask("GET", "objects/x/y/z", token=None).status == 400
    assert server.ask("GET", "objects/x/y/z", token="garbage").status == 401
    assert server.ask("GET", "nothing", token=None).status == 404


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [(READ, {"GET", "HEAD"}), (WRITE, {"PUT", "PATCH"}), (DELETE, {"DELETE"})],
)
def test_a_token_allows_what_it_says(server: Served, permission: str, allowed: set[str]) -> None:
    json: dict[str, Any] = {"Content_Type": "application/json"}
    extension = b'{"extend_expiry": {"after": "1s", "from": "now"}}'
    token = server.token([permission])
    for method in ("PUT", "GET", "HEAD", "PATCH", "DELETE"):
        server.put("one", X_Sn_Expiration="ttl:1d")
        sent = {"PUT": b"x", "PATCH": extension}.get(method)
        headers = json if method == "PATCH" else {}
        status = server.ask(method, server.at("one"), sent, token=token, **headers).status
        assert (status == 403) == (method not in allowed), method


def test_a_key_allows_no_more_than_it_may(one_server: Served) -> None:
    one_server.put("one")
    token = one_server.token(key=one_server.reader)
    assert refused(one_server, "GET", "one", token=token) == 200
    assert refused(one_server, "PUT", "one", token=token) == 403


@pytest.mark.parametrize(
    ("usecase", "scopes", "status"),
    [
        ("test", (("org", "1"),), 404),
        ("test", (("org", "*"),), 404),
        ("test", (("project", "7"), ("org", "1")), 404),
        ("test", (("org", "2"),), 403),
        ("test", (), 403),
        ("other", (("org", "1"),), 403),
    ],
)
def test_a_token_is_for_its_place(
    one_server: Served, usecase: str, scopes: tuple[tuple[str, str], ...], status: int
) -> None:
    token = one_server.token(usecase=usecase, scopes=scopes)
    assert refused(one_server, key="absent", token=token) == status


def test_headers_and_the_query_have_tokens_in_their_order(server: Served) -> None:
    server.put("one")
    good = server.token()
    path = server.at("one")

    def status(path: str, **headers: Any) -> int:
        return server.ask("GET", path, token=None, **headers).status

    assert status(path, Authorization=f"Bearer {good}") == 200
    assert status(path, Authorization=f"bearer {good}", X_Os_Auth="Bearer x") == 401
    assert status(path, X_Os_Auth=good) == 400
    assert status(f"{path}?os_auth={good}") == 200
    assert status(f"{path}?os_auth={good}", X_Os_Auth="Basic x") == 200
    assert status(f"{path}?os_auth={good}", X_Os_Auth="Bearer x") == 401
    assert status(f"{path}?os_auth={good[:-2]}") == 401


def signed(served: Served, path: str, *, method: str = "GET", now: float = 0, **how: int) -> str:
    key = served.reader if how.pop("reader", 0) else served.key
    target = f"/v1/{served.at(path)}"
    return presign(key, method, target, time.time() + now, how.get("duration", 60))


def test_who_asks_is_known_before_what_else_is_asked(one_server: Served) -> None:
    target = one_server.at("k") + "?%FF"
    assert one_server.ask("PUT", target, b"", token="garbage").status == 401
    assert one_server.ask("PUT", target, b"").status == 400


@pytest.mark.parametrize("path", ["plain", "/lead//x", "a%20b%25%C3%A9;=", "..", "a%2Fb", "tr/"])
def test_a_signed_url_reads_what_it_names(server: Served, path: str) -> None:
    server.put(path, b"signed")
    for method in ("GET", "HEAD"):
        answer = server.ask(method, signed(server, path, method=method), token=None)
        assert (answer.status, answer.headers["x-sn-size"]) == (200, "6")
    assert server.ask("GET", f"{server.origin}{signed(server, path)}", token=None).status == 200


def test_a_signed_url_does_nothing_else(server: Served) -> None:
    server.put("one")
    target = signed(server, "one")
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        status = server.ask(method, target, b"" if method == "PUT" else None, token=None).status
        assert status == (405 if method == "POST" else 403)
    flipped = target[:-1] + ("A" if target[-1] != "A" else "B")
    assert server.ask("GET", flipped, token=None).status == 401
    assert server.ask("GET", target.replace("/one?", "/two?"), token=None).status == 401
    assert server.ask("GET", target + "&more=1", token=None).status == 401


@pytest.mark.parametrize(("now", "status"), [(30, 200), (90, 401), (-50, 200), (-90, 401)])
def test_a_signed_url_is_good_for_a_while(one_server: Served, now: int, status: int) -> None:
    one_server.put("one")
    assert one_server.ask("GET", signed(one_server, "one", now=now), token=None).status == status


def test_a_signed_url_is_good_for_a_week_at_most(one_server: Served) -> None:
    target = signed(one_server, "one", duration=604_800)
    longer = target.replace("os_duration=604800", "os_duration=604801")
    assert one_server.ask("GET", longer, token=None).status == 400


def test_who_does_not_enforce_asks_nobody(one_server: Served) -> None:
    path = f"/open/v1/objects/test/_/{quote('ä b')}"
    assert one_server.ask("PUT", path, b"open", token=None).status == 200
    assert one_server.ask("GET", path, token="garbage").body == b"open"
