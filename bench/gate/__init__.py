"""Whether small files still cost what they may: ``python -m bench.gate``.

It counts instructions, not seconds: a machine that is busy with something else counts the
same. The same PUT and GET over a raw socket (``raw.py``) are counted beside ours
(``ours.py``), and their ratio has a limit (``limits.json``), which holds for other machines, too.
``client.py`` is the program that is counted, ``instructions.py`` counts, and ``server.py``
answers both.
"""
