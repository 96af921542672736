"""Put this process into a situation, then run functions of scripts in it, each in a fork.

``python -m situations SITUATION`` is told one case a line, in JSON, on its standard input; it
answers with the process id of the case, and with its exit code when it has ended. To start a
Python and to import everything takes longer than most cases; so it is done once, and each case
has a process of its own still: nothing was done here before that a case could notice.

Nothing may be imported before the situation is there.
"""

import sys

from . import here


def main() -> None:
    here.enter(sys.argv[1])

    import gc
    import importlib
    import json

    for line in sys.stdin:
        case = json.loads(line)
        script = importlib.import_module(f"situations.{case['script']}")
        watching = importlib.import_module("situations.watching")
        gc.freeze()  # A child that collects would copy all of it.
        pid = here.native("os", "fork")()
        if pid == 0:
            _speak_to(case["output"])
            here.facts.update(case["facts"])
            if here.has_greenlets():
                watching.watch_locks()
            getattr(script, case["function"])()
            return  # What is done when a Python ends belongs to the case.
        print(pid, flush=True)
        _, status = here.native("os", "waitpid")(pid, 0)
        print(_exit_code(status), flush=True)


def _speak_to(path: str) -> None:
    """Read nothing, and write to a file, as does everything that is started from here."""
    import os

    for name, number in ((os.devnull, 0), (path, 1), (path, 2)):
        fd = os.open(name, os.O_RDWR | os.O_APPEND)
        os.dup2(fd, number)
        os.close(fd)


def _exit_code(status: int) -> int:
    import os

    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
