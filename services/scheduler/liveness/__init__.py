"""Hears the workers and decides which of them are lost.

A heartbeat renews a worker's lease. A scheduler judges only what it provably heard: it sends itself markers among the
heartbeats and the reports, and each scheduler writes its mark, up to which time it has recorded what it received.
"""
