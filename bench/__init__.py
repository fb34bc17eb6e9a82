"""Speed, measured: never asserted in a test. ``python -m bench`` prints, ``docs/performance.md`` keeps."""
