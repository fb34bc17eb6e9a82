"""The store: Postgres in production, SQLite in embedded mode, one schema for both.

``tables`` is the schema, ``queries`` the conditions that reads and writes share. ``reads`` is all that the gateway may
use; ``writes`` is for the scheduler only. Rules live in the scheduler's core, never in SQL.
"""
