"""Dagway's tests."""

import sys

# The programs in this package, as the fork server, run without pytest.
if pytest := sys.modules.get("pytest"):
    pytest.register_assert_rewrite("tests.harness")
