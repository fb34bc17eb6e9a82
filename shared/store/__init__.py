"""The store: Postgres in production, SQLite in embedded mode, one schema for both.

``tables`` is the schema. ``queries`` has the conditions that reads and writes share. The gateway uses only ``reads``;
only the scheduler uses ``writes``. The rules of runs are in the scheduler's core, never in SQL.
"""
