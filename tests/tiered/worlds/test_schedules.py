"""Operations at the same time, one step at a time: every pair in every order, more at random."""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .operations import COPY, NAME, OPERATIONS, STARTS, explains, outcome, prepared
from .schedules import Orders, run_randomly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .conftest import MakeWorld
    from .operations import Before
    from .schedules import Actor
    from .steps import Hook, World

NAMES = ["small put", "large put", "delete", "complete", "abort", "copy", "recover", "read"]
PAIRS = [
    *itertools.combinations_with_replacement(NAMES, 2),
    ("large create", "large create"),
    ("small create", "large create"),
    ("small create", "small create"),
    ("copy over", "large put"),
    ("copy over", "delete many"),
]


def actor(world: World, before: Before, name: str, hook: Hook) -> object:
    """Run an operation, and what follows it beside its caller."""
    host = world.host(hook)
    seen = outcome(OPERATIONS[name], host, before)
    host.work_off()
    return name, seen


def run(
    world: World,
    start: str,
    names: Sequence[str],
    schedule: Callable[[Sequence[Actor], Callable[[], None]], list[tuple[str, str]] | None],
) -> bool:
    """Run operations in some order, and hold what comes of them against the model."""
    before = prepared(world, start, upload=bool({"complete", "abort"}.intersection(names)))
    actors = [partial(actor, world, before, name) for name in names]

    def look() -> None:
        assert world.dangling() == set()

    seen = schedule(actors, look)
    if seen is None:
        return False
    world.expire_leases(uploads=True)
    host = world.recovered()
    left = {NAME: host.read(NAME), COPY: host.read(COPY)}
    assert explains(before.start, seen, left), (seen, left)
    return True


def settings(names: Sequence[str]) -> dict[str, float]:
    """Let whoever recovers take over what is alive."""
    return {"lease": -1, "lifetime": -1} if "recover" in names else {}


#: What has so many orders that they are tried only where somebody asks for it.
LONG = [("large put", "recover", "large"), ("copy", "recover", "large")]
CASES = [(*names, start) for names in PAIRS for start in STARTS]


@pytest.mark.parametrize(
    ("one", "other", "start"),
    [pytest.param(*case, marks=[pytest.mark.large] if case in LONG else []) for case in CASES],
)
def test_two_operations_in_every_order_are_as_one_after_the_other(
    make_world: MakeWorld, one: str, other: str, start: str
) -> None:
    names = (one, other)
    orders = Orders()
    goes_on = True
    while goes_on:
        world = make_world(**settings(names))
        run(world, start, names, orders.run)
        world.forget()
        goes_on = orders.advance()
    print("orders", orders.tried)
    assert orders.tried > 0


@pytest.mark.parametrize("seed", range(6))
def test_three_or_four_operations_in_random_order_are_as_one_after_the_other(
    make_world: MakeWorld, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(15):
        names = chance.choices([*NAMES, "large create", "copy over"], k=chance.choice([3, 4]))
        world = make_world(**settings(names))
        run(world, chance.choice(list(STARTS)), names, partial(run_randomly, random=chance))
        world.forget()
