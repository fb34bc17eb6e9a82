"""The workflow language: YAML text in, an immutable typed model out, every problem with its line.

``model`` is the meaning, ``load`` the way there, ``expand`` the variable language that both the
scheduler (pure parts) and the worker (with a shell at hand) apply.
"""
