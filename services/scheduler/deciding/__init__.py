"""Makes decisions durable: loads and locks runs, lets the core advance them, writes them with their messages.

``Transactor.decide`` runs one transaction. Its ``Batch`` collects what is decided, and its ``PostCommit`` what must
follow the commit. This package knows neither who asks for decisions nor who follows them up.
"""
