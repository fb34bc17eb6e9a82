"""Benchmarks. ``docs/performance.md`` holds their results; no test asserts a speed.

Each module of this folder is a command, ``python -m bench.NAME``. The folders hold what the commands are made of:
``loads`` the workloads w1 to w8, ``systems`` what runs them, ``floor`` and ``peers`` what Dagway is compared with,
``measuring`` the instruments. ``results`` has the figures of the page and its plots.
"""
