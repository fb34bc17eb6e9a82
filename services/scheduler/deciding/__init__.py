"""Decisions made durable: runs loaded and locked, advanced by the core, written with all they owe.

``Transactor.decide`` is one transaction; within it a ``Batch`` gathers what is decided, and ``PostCommit``
is what must follow the commit. Nothing here knows who asks for decisions, nor who follows up.
"""
