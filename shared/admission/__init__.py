"""Admission: decides whether a run or step may start now, and explains why it waits. Pure: no store, no clock.

The scheduler uses these functions to decide, and the gateway to explain. Both pass the same facts, so an explanation
agrees with the decision.
"""
