"""Benchmarks. ``docs/performance.md`` holds their results; no test asserts a speed."""
