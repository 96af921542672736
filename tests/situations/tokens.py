"""However many need a token, one of them asks for it."""

from __future__ import annotations

from functools import partial

from flask import Flask

from flask_fs_swift import FSError, SwiftBackend

from . import here
from .load import prepare
from .swift import assert_all_is_back, authentications, faults, new_storage

WORKERS = 12
WRITES_EACH = 3


def a_cold_start_authenticates_once() -> None:
    faults().forget()
    files, pool = new_storage()
    here.at_once([partial(files.write, f"cold/{n}", b"content") for n in range(WORKERS)])
    assert authentications() == 1
    assert_all_is_back(pool)


def revoked_tokens_are_renewed_once() -> None:
    files, pool = new_storage()
    files.write("before", b"content")
    faults().forget()
    written: list[str] = []

    def work(worker: int) -> None:
        for number in range(WRITES_EACH):
            name = f"{worker}/{number}"
            files.write(name, name.encode())
            written.append(name)
            if len(written) == WORKERS * WRITES_EACH // 2:
                faults().revoke_tokens()
            here.breathe()

    here.at_once([partial(work, worker) for worker in range(WORKERS)])
    refused = [request for request in faults().requests() if request.status == 401]
    assert refused
    assert authentications() == 1
    assert_all_is_back(pool)
    assert len(set(written)) == WORKERS * WRITES_EACH
    assert all(files.read(name) == name.encode() for name in written)


def the_next_leads_when_the_leader_is_killed() -> None:
    """Only greenlets can be killed, and only patched ones while they authenticate."""
    import gevent

    control = faults()
    files, pool = new_storage()
    prepare(files, 1, lambda: 10)
    control.revoke_tokens()
    control.forget()
    control.add("hang", path="^/auth")
    readers = [here.Spawned(lambda: files.read("prepared/0")) for _ in range(3)]
    here.until(lambda: authentications() == 1)
    leader = readers.pop(0).greenlet
    assert leader is not None
    leader.kill()
    assert isinstance(leader.value, gevent.GreenletExit)
    for reader in readers:
        reader.result()
    assert authentications() == 2
    assert_all_is_back(pool)


def the_impatient_share_a_failure() -> None:
    """Not where the network blocks the hub: there, nobody asks while another does."""
    control = faults()
    files, pool = new_storage()
    backend = files._mount().backend
    assert isinstance(backend, SwiftBackend)
    login = backend._login.tokens
    control.forget()
    control.add("hang", path="^/auth", times=-1)

    def fail() -> str:
        # A web request does not wait for another authentication.
        with Flask("views").test_request_context():
            try:
                files.read("anything")
            except FSError as error:
                return f"{type(error).__name__} {error}"
        return "read"

    def let_fail() -> str:
        here.until(lambda: authentications() == 1)
        here.until(lambda: login._flight and len(login._flight._waiting) == WORKERS - 1)
        control.clear()
        return ""

    *outcomes, _ = here.at_once([*[fail] * WORKERS, let_fail])
    assert len(set(outcomes)) == 1, outcomes
    assert outcomes[0].startswith("AuthFailed"), outcomes
    assert authentications() == 1
    assert_all_is_back(pool)
