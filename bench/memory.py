"""Resident memory that large transfers and long listings add: ``python -m bench.memory``."""

import sys

from .__main__ import main

if __name__ == "__main__":
    sys.exit(main(["--only", "memory", *sys.argv[1:]]))
