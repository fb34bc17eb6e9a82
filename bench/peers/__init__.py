"""Systems that keep durable state, to compare Dagway with. They run in a Python environment of their own.

``contenders`` makes the environment and starts the processes. The other modules run inside it: each has the commands
``prepare``, ``worker`` and ``client``, and none of them imports what is installed for Dagway.
"""
