"""Makes decisions durable: loads and locks runs, lets the core advance them, writes them and their messages.

``Transactor.decide`` runs one transaction. Its ``Batch`` collects the decisions, and its ``PostCommit`` the actions
after the commit. This package depends neither on the code that asks for decisions nor on the code that acts on them.
"""
