"""Several hosts at once, one step at a time, in every order or in random ones.

Each actor is a greenlet that stops before every call of a store. Its *step* is that call, and
what follows up to the next. All orders that differ are tried: two neighbouring steps whose order
makes no difference are not tried the other way round, too (sleep sets: P. Godefroid,
"Partial-Order Methods for the Verification of Concurrent Systems", 1996).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from .steps import Call, Hook

#: Is given the hook of the actor's host; returns what it saw.
Actor: TypeAlias = "Callable[[Hook], Any]"
#: Called after each step that changes what readers see.
Look: TypeAlias = "Callable[[], None]"

#: What a step does to what there is. No two operations add the same, or strike what the other adds.
_TOUCHES: Mapping[str, Mapping[str, str]] = {
    # Of the database, by the method that asks it.
    "find": {"objects": "read"},
    "expired objects": {"objects": "read"},
    "compare_and_write": {"objects": "write", "changes": "strike", "retired": "add"},
    "enter": {"objects": "read", "changes": "add"},
    "abandon": {"changes": "strike", "retired": "add", "objects": "read"},
    "_changes": {"changes": "read"},
    "standing": {"objects": "read", "changes": "read", "retired": "read"},
    "due": {"retired": "read"},
    "claim": {"retired": "mark"},
    "deleted": {"retired": "mark"},
    "forget": {"retired": "mark"},
    # Of the blobs.
    "get": {"blobs": "read"},
    "head": {"blobs": "read"},
    "put": {"blobs": "add"},
    "copy": {"blobs": "write"},
    "put_part": {"uploads": "write"},
    "start": {"uploads": "write"},
    "complete": {"uploads": "write", "blobs": "add"},
    "abort": {"uploads": "write"},
    # What is deleted too early may be missed only until another object has the name.
    "purge": {"objects": "read", "uploads": "write", "blobs": "end"},
}
_SEEN = frozenset({"compare_and_write", "purge"})
_COMMUTING = {
    frozenset(pair) for pair in (["read"], ["add"], ["end"], ["add", "strike"], ["add", "mark"])
}


class Stage:
    """One run of some actors. Lives until all have ended, or were sent away."""

    def __init__(self, actors: Sequence[Actor], look: Look) -> None:
        self._main = getcurrent()
        self._look = look
        self._running = [greenlet(self._play) for _ in actors]
        #: What each has seen, once it has ended.
        self.answers: list[Any] = [None for _ in actors]
        #: Who can go on, and with what.
        self.ready: dict[int, Call] = {}
        for place, actor in enumerate(actors):
            self._wait_for(place, self._running[place].switch(place, actor))

    def _play(self, place: int, actor: Actor) -> None:
        self.answers[place] = actor(self._stop)

    def _stop(self, call: Call) -> None:
        if not call.is_over:
            self._main.switch(call)

    def step(self, place: int) -> None:
        """Let one actor take a step."""
        taken = self.ready.pop(place)
        self._wait_for(place, self._running[place].switch())
        if taken.verb in _SEEN:
            self._look()

    def _wait_for(self, place: int, call: Call | None) -> None:
        if call is not None:
            self.ready[place] = call

    def leave(self) -> None:
        """Send away those who have not ended."""
        for one in self._running:
            one.throw()


@dataclass
class _Choice:
    """A moment at which somebody has to take the next step."""

    ready: dict[int, Call]
    #: Whose step need not be tried here: it was, where its order made no difference.
    asleep: dict[int, Call]
    chosen: int = -1

    def left(self) -> list[int]:
        return [place for place in self.ready if place not in self.asleep]

    def asleep_after(self) -> dict[int, Call]:
        """Return whose step need not be tried after the chosen one."""
        taken = self.ready[self.chosen]
        return {place: call for place, call in self.asleep.items() if _commute(call, taken)}


@dataclass
class Orders:
    """The orders of steps, each that differs once. Lives as long as they are tried."""

    _choices: list[_Choice] = field(default_factory=list)
    #: How many were tried to their end.
    tried: int = 0

    def run(self, actors: Sequence[Actor], look: Look) -> list[Any] | None:
        """Run the actors in the next order; None where it was another's beginning, only."""
        stage = Stage(actors, look)
        depth = 0
        while stage.ready:
            if depth == len(self._choices):
                asleep = self._choices[-1].asleep_after() if self._choices else {}
                choice = _Choice(dict(stage.ready), asleep)
                if not choice.left():
                    stage.leave()
                    return None
                choice.chosen = choice.left()[0]
                self._choices.append(choice)
            stage.step(self._choices[depth].chosen)
            depth += 1
        self.tried += 1
        return stage.answers

    def advance(self) -> bool:
        """Go on to the next order; tell whether there is one."""
        while self._choices:
            last = self._choices[-1]
            last.asleep[last.chosen] = last.ready[last.chosen]
            if last.left():
                last.chosen = last.left()[0]
                return True
            self._choices.pop()
        return False


def run_randomly(actors: Sequence[Actor], look: Look, random: Random) -> list[Any]:
    """Run the actors in some order."""
    stage = Stage(actors, look)
    while stage.ready:
        stage.step(random.choice(list(stage.ready)))
    return stage.answers


def _commute(one: Call, other: Call) -> bool:
    """Tell whether the order of two steps makes no difference."""
    ours, theirs = _TOUCHES[one.verb], _TOUCHES[other.verb]
    return all(
        frozenset({ours[what], theirs[what]}) in _COMMUTING for what in ours.keys() & theirs.keys()
    )
