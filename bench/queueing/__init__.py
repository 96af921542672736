"""How large a pool must be, and how long its time-out: ``python -m bench.queueing``.

``model.py`` computes it, ``simulation.py`` tries it where the model's assumptions fail, and
``lending.py`` lets a real pool do it. None of them needs a Swift: a call is a time, in seconds.
"""
