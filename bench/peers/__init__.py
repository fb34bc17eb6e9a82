"""Systems that keep durable state, to compare Dagway with.

Each has a Python environment of its own, which ``running`` makes, and in which it starts the processes. A module
``*_peer`` has the commands ``prepare``, ``worker``, ``client`` and the services of its peer. Nothing that runs there
imports what is installed for Dagway.
"""
