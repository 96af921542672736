"""One login, one pool; and what subclasses do with connections."""

from __future__ import annotations

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import swiftclient
from flask import Flask

from flask_fs_swift.flask_fs2 import OpenStackBackend
from flask_fs_swift.flask_fs2.errors import AuthFailed, FileNotFound

from .conftest import asked, logins

if TYPE_CHECKING:
    from flask_fs_swift.devserver import Faults

    from .conftest import MakeFiles


def lent(files: Any) -> int:
    number: int = files.backend.pool.stats().lent
    return number


def test_storages_with_one_login_have_one_pool_and_one_token(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    storages = [make_files(), make_files(), make_files()]
    swift_faults.forget()
    for files in storages:
        files.write("a", "x")
    assert len({id(files.backend.pool) for files in storages}) == 1
    assert logins(swift_faults) == 1


def test_many_threads_authenticate_once(make_files: MakeFiles, swift_faults: Faults) -> None:
    storages = [make_files(), make_files()]
    swift_faults.forget()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: storages[n % 2].write(str(n), "x"), range(24)))
    assert logins(swift_faults) == 1


def test_two_applications_in_one_process_have_one_pool(
    make_files: MakeFiles, openstack_settings: dict[str, Any]
) -> None:
    other = Flask("other")
    other.config.update(openstack_settings)
    assert make_files(app=other).backend.pool is make_files().backend.pool


@pytest.mark.parametrize("setting", ["pool_size", "pool_timeout", "timeout"])
def test_storages_with_other_pool_settings_have_a_pool_of_their_own(
    make_files: MakeFiles, setting: str
) -> None:
    other: dict[str, Any] = {setting: 3}
    assert make_files(**other).backend.pool is not make_files().backend.pool


class Cache(dict[str, str]):
    """A cache that is equal to others, and has no hash."""

    def set(self, key: str, value: str, timeout: int | None = None) -> None:  # noqa: ARG002
        self[key] = value

    def delete(self, key: str) -> None:
        del self[key]


def test_storages_with_one_token_cache_have_one_pool(make_files: MakeFiles) -> None:
    one, equal = Cache(), Cache()
    assert one == equal
    pool = make_files(token_cache=one).backend.pool
    assert make_files(token_cache=one).backend.pool is pool
    assert make_files(token_cache=equal).backend.pool is not pool


def test_a_request_does_not_wait_for_keystone_and_a_job_does(
    make_files: MakeFiles, app: Flask, swift_faults: Faults
) -> None:
    files = make_files()
    swift_faults.add("status", path="/auth", times=2)
    with app.test_request_context(), pytest.raises(AuthFailed):
        files.backend.exists("a")
    assert not files.backend.exists("a")


def test_a_subclass_has_a_pool_of_its_own(make_files: MakeFiles) -> None:
    class Own(OpenStackBackend):
        pass

    assert make_files(kind=Own).backend.pool is not make_files().backend.pool


def test_a_pool_ends_with_the_last_storage_that_has_it(openstack_settings: dict[str, Any]) -> None:
    settings = {
        key.removeprefix("FS_OPENSTACK_").lower(): value
        for key, value in openstack_settings.items()
        if key.startswith("FS_OPENSTACK_")
    }
    backend = OpenStackBackend("files", {**settings, "pool_size": 7})
    pool = weakref.ref(backend.pool)
    del backend
    gc.collect()
    assert pool() is None


def test_storages_that_are_made_after_a_close_begin_anew(make_files: MakeFiles) -> None:
    files = make_files()
    files.write("a", "x")
    files.backend.close()
    assert make_files(container=files.name).read("a") == b"x"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(files: Any, swift_faults: Faults) -> None:
    files.write("a", "x")
    swift_faults.forget()
    child = os.fork()
    if not child:
        os._exit(0 if files.read("a") == b"x" else 1)
    assert os.waitpid(child, 0)[1] == 0
    theirs = {request.peer_port for request in swift_faults.requests()}
    assert logins(swift_faults) == 0
    swift_faults.forget()
    assert files.read("a") == b"x"
    ours = {request.peer_port for request in swift_faults.requests()}
    assert theirs
    assert ours
    assert not theirs & ours


# Overriding _new_connection.


class Counting(swiftclient.Connection):
    """A connection of an application's own, which notes what is put through it."""

    puts: ClassVar[list[str]] = []

    def put_object(self, container: str, obj: str, *args: Any, **options: Any) -> str:
        self.puts.append(obj)
        return super().put_object(container, obj, *args, **options)


class Overriding(OpenStackBackend):
    """A backend as applications write it: its connections could log in and retry by themselves."""

    def _new_connection(self) -> swiftclient.Connection:
        return Counting(  # type: ignore[call-arg]
            authurl=self._authurl,
            user=self._user,
            key=self._key,
            auth_version=self._auth_version,
            os_options=self._os_options,
            timeout=self._timeout,
            retries=5,
            preauthurl="http://localhost:1/v1/AUTH_stale",
            preauthtoken="stale",
        )


def test_an_override_makes_the_connections(make_files: MakeFiles, swift_faults: Faults) -> None:
    files = make_files(kind=Overriding)
    swift_faults.forget()
    Counting.puts.clear()
    files.write("a", "x")
    assert files.read("a") == b"x"
    assert set(Counting.puts) == {"a"}
    assert logins(swift_faults) == 1


def test_the_token_of_an_override_is_renewed_like_any(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    files = make_files(kind=Overriding)
    files.write("a", "x")
    swift_faults.forget()
    swift_faults.revoke_tokens()
    files.write("a", "y", overwrite=True)
    assert files.read("a") == b"y"
    assert logins(swift_faults) == 1


def test_an_override_leaves_retries_to_us(make_files: MakeFiles, swift_faults: Faults) -> None:
    files = make_files(kind=Overriding, retries=2)
    files.write("a", "x")
    swift_faults.forget()
    swift_faults.add("status", path=f"{files.name}/a", times=-1)
    with pytest.raises(swiftclient.ClientException):
        files.backend.read("a")
    assert asked(swift_faults) == ["GET"] * 3


# Using _borrow.


@pytest.fixture(params=[OpenStackBackend, Overriding])
def borrowed(request: pytest.FixtureRequest, make_files: MakeFiles) -> Any:
    """A storage whose connections are used directly."""
    return make_files(kind=request.param)


def test_a_borrowed_connection_is_logged_in_and_given_back(borrowed: Any) -> None:
    with borrowed.backend._borrow() as connection:
        assert lent(borrowed) == 1
        connection.put_object(borrowed.name, "a", b"x", headers={"x-object-meta-colour": "red"})
        headers, content = connection.get_object(borrowed.name, "a")
    assert (headers["x-object-meta-colour"], content) == ("red", b"x")
    assert lent(borrowed) == 0
    with borrowed.backend._borrow() as again:
        assert again is connection


@pytest.mark.parametrize(
    ("status", "is_kept"), [(400, True), (404, True), (416, True), (401, False), (408, False)]
)
def test_an_answer_that_ends_a_block_keeps_the_connection_if_it_was_clean(
    borrowed: Any, status: int, is_kept: bool
) -> None:
    with pytest.raises(swiftclient.ClientException), borrowed.backend._borrow() as connection:
        raise swiftclient.ClientException("as said", http_status=status)
    with borrowed.backend._borrow() as again:
        assert (again is connection) is is_kept
    assert lent(borrowed) == 0


@pytest.mark.parametrize(
    "error",
    [
        swiftclient.ClientException("busy", http_status=503),
        swiftclient.ClientException("no answer"),
        ConnectionError(),
        LookupError(),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_a_block_that_raises_anything_else_costs_the_connection(
    borrowed: Any, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, borrowed.backend._borrow() as connection:
        raise error
    assert caught.value is error
    assert lent(borrowed) == 0
    with borrowed.backend._borrow() as again:
        assert again is not connection


def test_a_block_that_lasts_renews_its_token(borrowed: Any, swift_faults: Faults) -> None:
    borrowed.write("a", "x")
    swift_faults.forget()
    with borrowed.backend._borrow() as connection:
        swift_faults.revoke_tokens()
        assert connection.get_object(borrowed.name, "a")[1] == b"x"
    assert borrowed.read("a") == b"x"
    assert logins(swift_faults) == 1


def test_a_borrowed_connection_retries_and_one_given_back_does_not(
    borrowed: Any, swift_faults: Faults
) -> None:
    borrowed.write("a", "x")
    swift_faults.add("status", path=f"{borrowed.name}/a")
    with borrowed.backend._borrow() as connection:
        assert connection.get_object(borrowed.name, "a")[1] == b"x"
    assert connection.retries == 0
    assert connection.authurl is None


def test_borrowing_authenticates_once_and_waits_as_long_as_was_set(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    container = make_files()
    container.write("a", "x")
    files = make_files(container=container.name, create_container=False, timeout=17)
    swift_faults.forget()
    for _ in range(2):
        with files.backend._borrow() as connection:
            connection.head_container(container.name)
            assert connection.timeout == 17
    assert logins(swift_faults) == 1


def test_the_container_is_made_for_the_first_borrower(borrowed: Any) -> None:
    with borrowed.backend._borrow() as connection:
        connection.head_container(borrowed.name)


def test_a_borrower_can_use_the_backend_meanwhile(borrowed: Any) -> None:
    borrowed.write("b", "x")
    with pytest.raises(FileNotFound), borrowed.backend._borrow():
        borrowed.backend.read("a")
