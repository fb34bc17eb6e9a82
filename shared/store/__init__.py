"""The store: Postgres in production, SQLite in embedded mode, one schema for both.

- ``tables``: the schema; ``migrations``: its history.
- ``queries``: the conditions that reads and writes share.
- ``reads``: what the gateway reads. It uses nothing else.
- ``writes``: one transaction of the scheduler, or of an import.
- ``checks``: what ``dagway verify`` looks for.

The rules of runs are in the scheduler's core, never in SQL.
"""
