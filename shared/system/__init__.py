"""What only some systems can do: each function says what it does where the system cannot.

Dagway runs on Linux and on macOS, and chooses by what a system has, not by its name. Other modules name nothing that
only Linux has, and ``tests/unit/test_portable.py`` checks that. Standard library only: the guardian imports it.
"""
