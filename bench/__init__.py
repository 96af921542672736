"""What operations cost beside other clients: ``python -m bench``. The test suite runs none of it.

``rows.py`` says what is measured, ``peers.py`` who is, ``bars.py`` what must be reached. Each
client is a child process (``clients/``, ``children.py``) in an environment of its own
(``environments.py``), against a server in C that is faster than any of them (``server.c``).

Beside it: ``gate/`` limits the instructions of a small call, ``fuzz/`` looks for answers and
requests that break the transport, ``queueing/`` computes pools and time-outs.
"""
