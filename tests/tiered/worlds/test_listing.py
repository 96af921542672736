"""A listing of two tiers is that of one: in byte order, rolled up, whatever a page holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_fs_swift.content import Held
from flask_fs_swift.memory import MemoryBackend
from flask_fs_swift.objects import Properties

from .operations import LARGE, SMALL
from .steps import World

if TYPE_CHECKING:
    from .conftest import MakeWorld
    from .steps import TestedDatabase

LETTERS = "a/bé\ud7ff\ue000\uffff\U0001f389\U0010ffff"
NAMES = st.text(LETTERS, min_size=1, max_size=4)
#: What ends a page, and begins the next.
EDGES = st.one_of(st.just(""), st.text(LETTERS, max_size=3))
DELIMITERS = st.sampled_from(["", "/", "a", "a/", "//", "é", "\U0010ffff", "\U0010ffff\U0010ffff"])

PLAIN = Properties("text/plain")


def check(
    world: World, names: dict[str, bytes], listings: list[tuple[str, str, str]], page: int
) -> None:
    model = MemoryBackend()
    host = world.host()
    for name, data in names.items():
        host.put(name, data)
        model.put(name, Held(data), PLAIN, overwrite=True)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("rows", "listing"):
            patch.setattr(f"flask_fs_swift.tiered.{module}.PAGE", page)
        for prefix, delimiter, after in listings:
            ours = list(host.backend.list(prefix, delimiter, after))
            expected = list(model.list(prefix, delimiter, after))
            assert [(one.name, one.size, one.etag, one.is_prefix) for one in ours] == [
                (one.name, one.size, one.etag, one.is_prefix) for one in expected
            ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.dictionaries(NAMES, st.sampled_from([SMALL, LARGE]), max_size=8),
    listings=st.lists(st.tuples(EDGES, DELIMITERS, EDGES), min_size=1, max_size=8),
    page=st.sampled_from([1, 2, 3, 1000]),
)
def test_a_listing_is_that_of_one_tier(
    sqlite: TestedDatabase,
    names: dict[str, bytes],
    listings: list[tuple[str, str, str]],
    page: int,
) -> None:
    world = World(sqlite)
    check(world, names, listings, page)
    world.forget()


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_listing_is_the_same_in_any_database(make_any_world: MakeWorld, page: int) -> None:
    names = ["a", "a/", "a/b", "a/é", "é", "\U0001f389", "\uffff", "\U0010ffff", "\ue000", "\ud7ff"]
    edges = ["", "a", "a/", "é", "\ud7ff", "\U0010ffff"]
    listings = [
        (prefix, delimiter, after)
        for prefix in edges
        for delimiter in ("", "/", "/b")
        for after in edges
    ]
    data = {name: [SMALL, LARGE][place % 2] for place, name in enumerate(names)}
    check(make_any_world(), data, listings, page)


@pytest.mark.parametrize(
    ("prefix", "delimiter", "after"),
    [("a\0", "", ""), ("", "\0", ""), ("", "", "a\0"), ("", "/", "a\0b")],
)
def test_what_no_name_has_may_be_asked_for(
    make_any_world: MakeWorld, prefix: str, delimiter: str, after: str
) -> None:
    data = dict.fromkeys(("a", "a/b", "b"), SMALL)
    check(make_any_world(), data, [(prefix, delimiter, after)], 1)
