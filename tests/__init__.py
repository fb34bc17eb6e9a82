"""Dagway's tests."""

import sys

# Programs in this package, such as the fork server, run without pytest.
if pytest := sys.modules.get("pytest"):
    pytest.register_assert_rewrite("tests.harness")
