"""Put this process into a situation, then run one function of a script in it.

``python -m situations SITUATION SCRIPT FUNCTION FACTS``, where FACTS is JSON about the
Swift to use. Nothing may be imported before the situation is there.
"""

import sys

from . import here


def main() -> None:
    situation, script, function, facts = sys.argv[1:]
    here.enter(situation)

    import importlib
    import json

    here.facts.update(json.loads(facts))
    getattr(importlib.import_module(f"situations.{script}"), function)()


if __name__ == "__main__":
    main()
