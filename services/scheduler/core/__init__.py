"""The pure core: ``advance(run, message, now, salt)`` decides everything that happens to a DAG run.

It does no I/O and no logging, and uses no clock and no randomness: both come in as arguments. The same inputs always
give the same decision, so every rule can be tested with a million generated histories.
"""
