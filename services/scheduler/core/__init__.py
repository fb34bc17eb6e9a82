"""The pure core: ``advance(run, message, now)`` decides everything that happens to a DAG-run.

No I/O, clock, randomness or logging inside. The same inputs give the same decision, so every rule
can be tried with a million invented histories.
"""
