"""The store seam: Postgres in production, SQLite in embedded mode, one schema for both.

``engine`` is the only file that knows the dialect. ``reads`` is all the gateway may use; the rest is
the scheduler's. Rules live in the core, never in SQL: the store finds, guards and saves.
"""
