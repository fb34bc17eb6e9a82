"""Admission: decides whether a run or step may start now, and explains why it waits. Pure: no store, no clock.

The scheduler uses these functions to decide, and the gateway to explain. Given the same facts, an explanation agrees
with the decision. One fact can differ: in a queue without a global limit the scheduler takes ``maxActiveRuns`` from the
first run of the queue, and the gateway from the run it explains. They differ only if the two runs have different specs.
"""
