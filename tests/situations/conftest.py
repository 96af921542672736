from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Protocol

import pytest

from flask_fs_swift.devserver import DevServer

from .cases import Situation
from .swift import SKIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_fs_swift.devserver import Faults


class Run(Protocol):
    """Runs a function of a script in a situation; it must end well, and say nothing."""

    def __call__(self, situation: str, script: str, function: str, **facts: str) -> None: ...


@pytest.fixture(scope="session")
def situation_of() -> Iterator[Callable[[str], Situation]]:
    """The Pythons of the run, one for each situation that is asked for."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(Situation(name)))


@pytest.fixture
def run(
    swift_server: object, swift_faults: Faults, situation_of: Callable[[str], Situation]
) -> Run:
    assert swift_faults
    assert isinstance(swift_server, DevServer)
    known = {key: getattr(swift_server, key) for key in ("url", "auth_url", "user", "key")}

    def run(situation: str, script: str, function: str, **facts: str) -> None:
        code, said = situation_of(situation).run(script, function, known | facts)
        if SKIPPED in said:
            pytest.skip(SKIPPED)
        assert (code, said) == (0, ""), said

    return run
