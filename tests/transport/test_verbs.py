"""swiftclient's verbs over our transport are swiftclient's verbs: same values, same errors."""

from __future__ import annotations

import io
import secrets
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import swiftclient
from swiftclient import ClientException

from flask_fs_swift.config import Credentials, LoginSettings
from flask_fs_swift.connection import SwiftConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.devserver import DevServer

STRANGE = "ä ö/?#%\u2028.txt"
CONTENT = bytes(range(256)) * 20
# They differ from one request to the next.
FLEETING = {"x-trans-id", "x-openstack-request-id", "date", "x-timestamp", "last-modified"}
# requests asks for a connection to be kept alive, which ours needs not; Swift answers to it.
OF_THE_CONNECTION = {"connection", "keep-alive"}


@pytest.fixture(scope="module")
def connections(swift_server: DevServer) -> Iterator[dict[str, swiftclient.Connection]]:
    authenticating = swiftclient.Connection()
    authenticating.authurl = f"{swift_server.url}/auth/v1.0"
    authenticating.user, authenticating.key = swift_server.user, swift_server.key
    url, token = authenticating.get_auth()
    authenticating.close()
    nobody = Credentials(swift_server.url, user=None, key=None, auth_version="1", os_options=())
    made: dict[str, swiftclient.Connection] = {
        "swiftclient": swiftclient.Connection(preauthurl=url, preauthtoken=token, retries=0),
        "native": SwiftConnection(LoginSettings(nobody)),
        "requests": SwiftConnection(LoginSettings(nobody, transport="requests")),
    }
    for connection in made.values():
        connection.url, connection.token = url, token
    yield made
    for connection in made.values():
        connection.close()


@pytest.fixture
def container(connections: dict[str, swiftclient.Connection]) -> str:
    name = f"t{secrets.token_hex(6)}"
    connections["swiftclient"].put_container(name)
    return name


def steady(value: Any) -> Any:
    """Return what a verb returned without what differs from one request to the next."""
    if isinstance(value, tuple):
        return tuple(steady(part) for part in value)
    if isinstance(value, list):
        return [steady(part) for part in value]
    if hasattr(value, "items"):
        fleeting = FLEETING | OF_THE_CONNECTION
        lower = {key.lower(): steady(part) for key, part in value.items()}
        return {key: lower[key] for key in sorted(lower.keys() - fleeting)}
    return value


Verb: TypeAlias = "Callable[[Any, str], object]"

VERBS: dict[str, Verb] = {
    "put bytes": lambda c, n: c.put_object(n, "new", b"content"),
    "put text": lambda c, n: c.put_object(n, "new", "Grüße"),
    "put nothing": lambda c, n: c.put_object(n, "new", b""),
    "put none": lambda c, n: c.put_object(n, "new", None),
    "put a file": lambda c, n: c.put_object(n, "new", io.BytesIO(CONTENT)),
    "put a part of a file": lambda c, n: c.put_object(
        n, "new", io.BytesIO(CONTENT), content_length=100
    ),
    "put a generator": lambda c, n: c.put_object(n, "new", iter([b"a", b"b" * 70_000])),
    "put in chunks": lambda c, n: c.put_object(n, "new", io.BytesIO(CONTENT), chunk_size=7),
    "put with headers": lambda c, n: c.put_object(
        n, "new", b"x", content_type="text/x-a", headers={"X-Object-Meta-A": "ö"}
    ),
    "put with a wrong etag": lambda c, n: c.put_object(n, "new", b"x", etag="0" * 32),
    "put with a query": lambda c, n: c.put_object(
        n, "new", b"[]", query_string="multipart-manifest=put"
    ),
    "put into nothing": lambda c, n: c.put_object(f"{n}-absent", "new", b"x"),
    "get": lambda c, n: c.get_object(n, "old"),
    "get empty": lambda c, n: c.get_object(n, "empty"),
    "get in chunks": lambda c, n: read_all(c.get_object(n, "old", resp_chunk_size=100)),
    "get a range": lambda c, n: c.get_object(n, "old", headers={"Range": "bytes=5-9"}),
    "get a range that is none": lambda c, n: c.get_object(
        n, "old", headers={"Range": "bytes=99999-"}
    ),
    "get what has not changed": lambda c, n: c.get_object(
        n, "old", headers={"If-None-Match": c.head_object(n, "old")["etag"]}
    ),
    "get what is not there": lambda c, n: c.get_object(n, "absent"),
    "get a strange name": lambda c, n: c.get_object(n, STRANGE),
    "head": lambda c, n: c.head_object(n, "old"),
    "head a strange name": lambda c, n: c.head_object(n, STRANGE),
    "head what is not there": lambda c, n: c.head_object(n, "absent"),
    "post": lambda c, n: c.post_object(n, "old", {"X-Object-Meta-A": "b"}),
    "post to nothing": lambda c, n: c.post_object(n, "absent", {"X-Object-Meta-A": "b"}),
    "delete": lambda c, n: c.delete_object(n, "old"),
    "delete what is not there": lambda c, n: c.delete_object(n, "absent"),
    "copy": lambda c, n: c.copy_object(n, "old", destination=f"/{n}/copy"),
    "list": lambda c, n: without_dates(c.get_container(n)),
    "list in part": lambda c, n: without_dates(
        c.get_container(n, marker="e", limit=1, prefix="o", delimiter="/")
    ),
    "list all": lambda c, n: without_dates(c.get_container(n, full_listing=True)),
    "list from the end": lambda c, n: without_dates(c.get_container(n, end_marker="o")),
    "list nothing": lambda c, n: c.get_container(f"{n}-absent"),
    "head container": lambda c, n: c.head_container(n),
    "post container": lambda c, n: c.post_container(n, {"X-Container-Meta-A": "b"}),
    "delete container": lambda c, n: c.delete_container(n),
    "head account": lambda c, _: sorted(c.head_account()),
    "capabilities": lambda c, _: sorted(c.get_capabilities()),
}


def read_all(answer: tuple[Any, Any]) -> tuple[Any, bytes]:
    return answer[0], b"".join(answer[1])


def without_dates(listing: tuple[Any, list[dict[str, Any]]]) -> tuple[Any, list[dict[str, Any]]]:
    return listing[0], [{**entry, "last_modified": None} for entry in listing[1]]


def outcome(connection: swiftclient.Connection, container: str, verb: Verb) -> object:
    """Return what a verb did: its value, or its exception."""
    try:
        value = steady(verb(connection, container))
    except ClientException as error:
        value = (
            error.http_status,
            error.http_reason,
            str(error).replace(error.transaction_id or "", ""),
            steady(dict(error.http_response_headers or {})),
        )
    return value


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_verb_does_what_swiftclients_does(
    connections: dict[str, swiftclient.Connection], verb: Verb
) -> None:
    plain = connections["swiftclient"]
    outcomes: dict[str, object] = {}
    for kind, connection in connections.items():
        name = f"t{secrets.token_hex(6)}"
        plain.put_container(name)
        plain.put_object(name, "old", CONTENT, headers={"X-Object-Meta-A": "o"})
        plain.put_object(name, "empty", b"")
        plain.put_object(name, STRANGE, b"strange", headers={"X-Object-Meta-A": "ö"})
        done = repr(outcome(connection, name, verb)).replace(name, "CONTAINER")
        left = repr(steady(without_dates(listed(plain, name)))).replace(name, "CONTAINER")
        outcomes[kind] = (done, left)
    assert outcomes["native"] == outcomes["swiftclient"]
    assert outcomes["requests"] == outcomes["swiftclient"]


def listed(connection: swiftclient.Connection, name: str) -> tuple[Any, list[dict[str, Any]]]:
    try:
        return {}, connection.get_container(name)[1]
    except ClientException as error:
        return {"gone": error.http_status}, []


def test_what_swiftclient_cannot_read_is_read(
    connections: dict[str, swiftclient.Connection], container: str
) -> None:
    """Python's own parser of headers stops at a name in UTF-8, which Swift stores."""
    native = connections["native"]
    native.put_object(container, "a", b"content", headers={"X-Object-Meta-Größe": "1"})
    headers, content = native.get_object(container, "a")
    assert (headers["x-object-meta-größe"], content) == ("1", b"content")
