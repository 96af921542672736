"""A forked child has the parent's token, and none of its sockets."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import sys
import traceback
import warnings
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from flask_fs_swift.wire import Wire

from . import here
from .load import prepare
from .swift import POOL_SIZE, assert_all_is_back, authentications, faults, new_storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift import ObjectStream, Pool, Storage

# Python 3.12 and later warn, rightly, of forks beside other threads. That there are some
# is the point here.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

CHILDREN = 3
OBJECTS_EACH = 2
SIZE = 300_000


def children_and_parent_work_on_sockets_of_their_own() -> None:
    files, pool = new_storage()
    prepared = prepare(files, 1, lambda: SIZE)
    faults().forget()
    warm_up(files, pool)
    held = [files.read_chunks("prepared/0", 1000)]
    half = held[0].read(SIZE // 2)
    before = ports_by_process(files)["prepared"]
    assert len(before) == POOL_SIZE

    def child(number: int) -> None:
        # What the parent holds is dropped here, and harms nobody.
        held.clear()
        gc.collect()
        assert pool.stats().idle == 0
        here.at_once([partial(write_and_read, files, f"child-{number}") for _ in range(3)])
        assert_all_is_back(pool)

    busy = Busy(files)
    pids = [fork(partial(child, number)) for number in range(CHILDREN)]
    here.at_once([partial(write_and_read, files, "parent") for _ in range(3)])
    assert half + held.pop().read() == prepared["prepared/0"]
    assert [exit_code(pid) for pid in pids] == [0] * CHILDREN
    busy.end()
    assert_all_is_back(pool)

    ports = ports_by_process(files)
    assert len(ports) == CHILDREN + 2
    assert ports["parent"] <= before
    everybody = [ports[f"child-{number}"] for number in range(CHILDREN)] + [before]
    assert sum(map(len, everybody)) == len(set.union(*everybody))
    assert authentications() == 0


def a_checkout_held_through_a_fork_is_harmless() -> None:
    files, pool = new_storage()
    prepare(files, 1, lambda: 1000)
    faults().forget()
    assert files.exists("prepared/0")
    checkout = pool.checkout()

    def child() -> None:
        nonlocal checkout
        checkout.discard()
        del checkout
        assert (pool.stats().lent, pool.stats().discarded) == (0, 0)
        write_and_read(files, "child")

    assert exit_code(fork(child)) == 0
    connection = checkout.connection
    connection.head_container(files.name)
    checkout.checkin()
    write_and_read(files, "parent")
    ports = ports_by_process(files)
    assert len(ports["prepared"]) == 1
    assert ports["parent"] == ports["prepared"]
    assert not ports["child"] & ports["parent"]


def a_fork_while_the_locks_are_held_leaves_the_child_none_of_them() -> None:
    files, pool = new_storage()
    prepare(files, 1, lambda: 1000)
    backend = files._mount().backend
    login = backend._login.tokens  # type: ignore[attr-defined]
    with pool._lock, login._lock:
        pid = fork(partial(write_and_read, files, "child"))
    assert exit_code(pid) == 0


def a_child_takes_nothing_from_a_greenlet_that_receives() -> None:
    """Although it has a copy of it, which waits for the same bytes."""
    import gevent

    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire("127.0.0.1", listener.getsockname()[1], None, 60.0)
        served, _ = listener.accept()
    with served:
        receiver = gevent.spawn(wire.receive, 100)
        gevent.sleep(0.01)
        pid = fork(lambda: receiver.get(timeout=10))
        served.sendall(b"whole")
        # Until then the parent receives nothing.
        waited: Callable[..., object] = here.native("os", "waitid")
        waited(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert receiver.get(timeout=10) == b"whole"
    assert exit_code(pid) == 0


def write_and_read(files: Storage, who: str) -> None:
    for _ in range(OBJECTS_EACH):
        name, content = f"{who}/{secrets.token_hex(8)}", os.urandom(50_000)
        files.write(name, content)
        here.breathe()
        assert files.read(name) == content


def warm_up(files: Storage, pool: Pool) -> None:
    streams: list[ObjectStream] = [files.read_chunks("prepared/0", 1000) for _ in range(POOL_SIZE)]
    for stream in streams:
        stream.read()
    assert pool.stats().idle == POOL_SIZE


class Busy:
    """Threads that read all the time, while others fork; none where there are greenlets.

    A forked child has copies of the greenlets, which would go on in it; not of threads.
    """

    def __init__(self, files: Storage) -> None:
        self._files = files
        self._is_over = False
        count = 0 if here.has_greenlets() else 2
        self._threads = [here.NativeTask(self._read) for _ in range(count)]

    def _read(self) -> None:
        while not self._is_over:
            assert len(self._files.read("prepared/0")) == SIZE

    def end(self) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.result()


def fork(child: Callable[[], object]) -> int:
    """Run a function in a child; return its process id."""
    here.expect_children()
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def exit_code(pid: int) -> int:
    """Wait for a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ports_by_process(files: Storage) -> dict[str, set[int]]:
    """Return the sockets that Swift saw, by the folder that they read or wrote in."""
    ports = defaultdict(set)
    for request in faults().requests():
        _, found, name = request.path.partition(f"/{files.name}/")
        if found:
            ports[name.split("/")[0]].add(request.peer_port)
    return ports
