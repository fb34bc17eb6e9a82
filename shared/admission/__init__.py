"""Admission: may this run or step start now, and if not, why not? Pure: no store, transport or clock.

A scheduler takes its decisions here, and a gateway asks here why something waits. Both use the same
facts and the same functions, so the explanation agrees with the decision.
"""
