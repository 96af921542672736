"""The child processes that measure: one for each client, and what is said to them."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import tempfile
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import environments
from .clients.client import Cannot, Setup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .peers import Peer

#: Seconds for one slice of work.
PATIENCE = 120.0


class Failed(Exception):
    """A client failed at what it was asked for; the message says how."""


class Child:
    """A client in a process of its own. Lives until it is ended, or it fails to answer.

    :param kind: ``plain`` or ``gevent``.
    :param extra: variables for its environment.
    :raises Cannot: the client cannot be run here.
    """

    def __init__(
        self, peer: Peer, kind: str, setup: Setup, extra: Mapping[str, str] | None = None
    ) -> None:
        try:
            interpreter = environments.python(peer.environment)
        except environments.NotInstalled as why:
            raise Cannot(str(why)) from why
        self._process = subprocess.Popen(
            [interpreter, "-m", "bench.clients", peer.module, kind, json.dumps(asdict(setup))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr if "-v" in sys.argv else subprocess.DEVNULL,
            text=True,
            env={**_variables(peer, kind), **(extra or {})},
            cwd=tempfile.gettempdir(),
        )
        #: What was measured, in the client's own words.
        self.version = str(self._answer()["version"])

    def do(self, verb: str, /, **options: object) -> dict[str, float]:
        """Have it do a slice of work.

        :raises Cannot: it has no way of doing it.
        :raises Failed: it tried.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": verb, **options}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed("its process has ended") from None
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                self.end()
                raise Failed(f"no answer in {PATIENCE:.0f} seconds")
        line = self._process.stdout.readline()
        if not line:
            self.end()
            raise Failed("its process has ended")
        answer: dict[str, float] = json.loads(line)
        if "cannot" in answer:
            raise Cannot(answer["cannot"])
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def end(self) -> None:
        """End it. Doing it twice is fine."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _variables(peer: Peer, kind: str) -> dict[str, str]:
    variables = environments.variables(peer.environment)
    hidden = peer.hidden + (peer.hidden_if_plain if kind == "plain" else ())
    variables["BENCH_HIDDEN"] = " ".join(hidden)
    if peer.borrows:
        paths = [variables.get("PYTHONPATH", ""), str(environments.packages(peer.borrows))]
        variables["PYTHONPATH"] = ":".join(filter(None, paths))
    return variables
