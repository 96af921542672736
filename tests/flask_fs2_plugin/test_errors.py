"""Errors: an application that catches swiftclient's goes on working."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import flask_fs.errors
import pytest
from swiftclient import ClientException

from flask_fs_swift import errors
from flask_fs_swift.flask_fs2 import errors as twins

from .conftest import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.devserver import Faults

    from .conftest import MakeFiles

VERBS: dict[str, Callable[[Any], object]] = {
    "exists": lambda backend: backend.exists("a"),
    "read": lambda backend: backend.read("a"),
    "read_chunks": lambda backend: backend.read_chunks("a", 1),
    "metadata": lambda backend: backend.metadata("a"),
    "list_files": lambda backend: list(backend.list_files()),
    "serve": lambda backend: backend.serve("a"),
    "write": lambda backend: backend.write("a", "x"),
    "save": lambda backend: backend.save(io.BytesIO(b"x"), "a"),
    "delete": lambda backend: backend.delete("a"),
    "copy": lambda backend: backend.copy("a", "b"),
    "move": lambda backend: backend.move("a", "b"),
    "open": lambda backend: backend.open("a").__enter__(),
    "borrow": lambda backend: backend._borrow().__enter__(),
}
REFUSABLE = VERBS.keys() - {"borrow"}
MISSING = {"read", "read_chunks", "metadata", "copy", "move", "open"}


@pytest.mark.parametrize("verb", sorted(MISSING))
def test_a_missing_file_is_what_everybody_calls_it(files: Any, verb: str) -> None:
    files.write("b", "x")
    with pytest.raises(ClientException) as caught:
        VERBS[verb](files.backend)
    assert caught.value.http_status == 404
    for name in (errors.FileNotFound, flask_fs.errors.FileNotFound, FileNotFoundError):
        assert isinstance(caught.value, name)
    assert caught.value.filename == "a"  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", sorted(REFUSABLE))
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, twins.SwiftError),
        (403, twins.Forbidden),
        (413, twins.QuotaExceeded),
        (503, twins.SwiftUnavailable),
    ],
)
def test_an_answer_of_swift_is_a_client_exception_of_its_status(
    make_files: MakeFiles, swift_faults: Faults, verb: str, status: int, kind: type
) -> None:
    files = make_files(retries=0)
    swift_faults.add("status", path=files.name, status=status, times=-1, drain=True)
    with pytest.raises(ClientException) as caught:
        VERBS[verb](files.backend)
    assert type(caught.value) is kind
    assert caught.value.http_status == status
    assert isinstance(caught.value, errors.SwiftError)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_refused_login_is_a_client_exception(make_files: MakeFiles, verb: str) -> None:
    backend = make_files(key="wrong").backend
    with pytest.raises(ClientException) as caught:
        VERBS[verb](backend)
    assert type(caught.value) is twins.AuthFailed
    assert caught.value.http_status == 401


def test_a_missing_container_is_a_client_exception(make_files: MakeFiles) -> None:
    backend = make_files(create_container=False).backend
    with pytest.raises(ClientException) as caught:
        backend.write("a", "x")
    assert type(caught.value) is twins.ContainerNotFound
    assert caught.value.http_status == 404


def test_a_network_that_fails_is_a_client_exception_without_a_status(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    files = make_files(retries=0)
    swift_faults.add("reset", path=files.name, times=-1)
    with pytest.raises(ClientException) as caught:
        files.backend.read("a")
    assert type(caught.value) is twins.SwiftUnavailable
    assert caught.value.http_status is None
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_says_what_swift_said(make_files: MakeFiles, swift_faults: Faults) -> None:
    files = make_files(retries=0)
    swift_faults.add("status", path=files.name, status=503, body="too busy", headers={"X-A": "b"})
    with pytest.raises(ClientException) as caught:
        files.backend.read("a")
    error = caught.value
    assert error.http_response_content == b"too busy"
    assert error.http_response_headers is not None
    assert error.http_response_headers["x-a"] == "b"
    assert error.msg == str(error)
    assert "after 1 attempt(s)" in str(error)
    assert isinstance(error.__cause__, ClientException)


def test_a_missing_file_is_a_404_whoever_says_so() -> None:
    with pytest.raises(ClientException) as caught, twins.as_client_exceptions():
        raise errors.FileNotFound("it is not there", filename="a")
    assert caught.value.http_status == 404


def test_an_error_survives_pickling(files: Any) -> None:
    files.write("b", "x")
    with pytest.raises(twins.FileNotFound) as caught:
        files.backend.read("a")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is twins.FileNotFound
    assert (again.filename, again.http_status, str(again)) == ("a", 404, str(caught.value))


def test_what_was_no_answer_stays_what_it_is(make_files: MakeFiles) -> None:
    files = make_files(pool_size=1, pool_timeout=0)
    with pytest.raises(errors.InvalidName) as refused:
        files.backend.read("../a")
    assert not isinstance(refused.value, ClientException)
    files.write("a", "xy")
    with files.backend.read_chunks("a", 1), pytest.raises(errors.PoolExhaustedError):
        files.backend.read("a")


def test_every_error_of_swift_has_its_twin() -> None:
    kinds = {errors.SwiftError, *errors.SwiftError.__subclasses__()}
    ours = {kind for kind in kinds if kind.__module__ == errors.__name__}
    assert twins._TWINS.keys() == {*ours, errors.FileNotFound}


def test_an_existing_file_is_not_replaced_while_swift_cannot_say_that_it_exists(
    make_files: MakeFiles, swift_faults: Faults
) -> None:
    files = make_files(retries=1)
    files.write("a", "old")
    swift_faults.forget()
    swift_faults.add("status", method="HEAD", path=f"{files.name}/a", times=-1)
    with pytest.raises(ClientException):
        files.write("a", "new")
    assert asked(swift_faults) == ["HEAD", "HEAD"]
    swift_faults.clear()
    assert files.read("a") == b"old"
