"""What holds for a client in each of the four situations, in a process of its own.

The server is here, out of the way of whatever the client's process does.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from api.rawserver import RawServer, Store
from auth.certificates import Authority

from .here import PATCHED, SITUATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Run

in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


@dataclass(frozen=True)
class Servers:
    plain: RawServer
    secure: RawServer
    #: The facts about them.
    urls: dict[str, str]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    authority = Authority(tmp_path, "ours")
    plain, secure = RawServer(Store()), RawServer(Store(), context=authority.server())
    with closing(plain), closing(secure):
        urls = {"url": plain.url, "secure_url": secure.url, "authority": str(authority.file)}
        yield Servers(plain, secure, urls)


def connections(server: RawServer) -> dict[str, set[int]]:
    """Return those over which objects went, by the folder of their keys."""
    found = defaultdict(set)
    for request in server.requests:
        found[request.target.split("/")[5]].add(id(request.connection))
    return found


@in_every_situation
def test_children_and_parent_have_connections_of_their_own(
    run: Run, situation: str, servers: Servers
) -> None:
    run(situation, "clients", "children_and_parent_have_connections_of_their_own", **servers.urls)
    for server in servers.plain, servers.secure:
        theirs = connections(server)
        assert not theirs["child"] & (theirs["parent"] | theirs["large"])
        assert len(theirs["parent"]) == 1


@in_every_situation
def test_many_that_is_under_way_goes_on_in_the_parent(
    run: Run, situation: str, servers: Servers
) -> None:
    run(situation, "clients", "many_that_is_under_way_goes_on_in_the_parent", **servers.urls)


def test_each_hub_has_connections_of_its_own(run: Run, servers: Servers) -> None:
    run(PATCHED, "clients", "each_hub_has_connections_of_its_own", **servers.urls)
    theirs = connections(servers.plain)
    assert len(theirs) == 9
    # That of the main thread had to make room, too, before it was used again.
    assert len(theirs.pop("main")) == 2
    assert {len(each) for each in theirs.values()} == {1}
