"""A deterministic simulation of a whole cluster in one process and one thread; see README.md."""
