"""A client of the service: its connections after a fork, and below several hubs."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from flask_fs_swift.api.client.failures import RequestError
from flask_fs_swift.api.client.operations import Get
from flask_fs_swift.api.client.session import Client

from . import here
from .forks import exit_code, fork

if TYPE_CHECKING:
    from flask_fs_swift.api.client.fetched import Fetched
    from flask_fs_swift.api.client.session import Session

LARGE = os.urandom(1_200_000)
KEPT = 2


def new_session(url: str) -> Session:
    options: dict[str, Any] = {"ca_certs": here.facts["authority"]} if url == "secure_url" else {}
    return Client(here.facts[url], pool_size=KEPT, **options).session("reports")


def write_and_read(session: Session, who: str) -> None:
    for number in range(3):
        content = os.urandom(50_000)
        session.put(content, f"{who}/{number}", compression="none")
        here.breathe()
        found = session.get(f"{who}/{number}")
        assert found is not None
        assert found.read() == content


def children_and_parent_have_connections_of_their_own() -> None:
    for url in ("url", "secure_url"):
        session = new_session(url)
        session.put(LARGE, "large", compression="none")
        held = [opened(session)]
        begin = held[0].read(1000)
        write_and_read(session, "parent")
        assert exit_code(fork(partial(drop_and_use, held, session))) == 0
        write_and_read(session, "parent")
        assert begin + held[0].read() == LARGE


def opened(session: Session) -> Fetched:
    found = session.get("large")
    assert found is not None
    return found


def drop_and_use(held: list[Fetched], session: Session) -> None:
    """What the parent holds is dropped in the child, and harms nobody."""
    write_and_read(session, "child")
    held.clear()
    gc.collect()
    write_and_read(session, "child")


def many_that_is_under_way_goes_on_in_the_parent() -> None:
    session = new_session("url")
    session.put(LARGE, "large", compression="none")
    # More than are kept for who asks: so the request is under way still.
    held = [session.many([Get("large")] * 40, concurrency=1)]
    assert next(held[0]).error is None

    def child() -> None:
        [results] = held
        with results, suppress(RequestError):
            next(results)
            raise AssertionError("the child has a result of its parent's request")
        held.clear()
        del results
        gc.collect()
        write_and_read(session, "child")

    assert exit_code(fork(child)) == 0
    left = [result.value for result in held[0]]
    assert [value.read() for value in left if value is not None] == [LARGE] * 39


def each_hub_has_connections_of_its_own() -> None:
    """Those of hubs that are gone make room for others."""
    from gevent.threadpool import ThreadPool

    session = new_session("url")
    write_and_read(session, "main")
    write_and_read(session, "main")
    for number in range(KEPT + 2):
        here.NativeTask(partial(write_and_read, session, f"thread-{number}")).result()
        pool = ThreadPool(1)
        pool.apply(write_and_read, (session, f"pool-{number}"))
        pool.kill()
    write_and_read(session, "main")
