"""docs/operations/verify.md and docs/guarantees.md name what exists."""

import re
from pathlib import Path

from shared.store.checks.verify import CHECKS
from tests.harness.verify_doc import PAGE, page


def test_the_page_lists_the_checks_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.harness.verify_doc"


def test_no_two_checks_have_one_name() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_every_test_that_shows_a_guarantee_exists() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (root / "docs/guarantees.md").read_text(encoding="utf-8"))

    assert named
    for path, test in named:
        assert f"def {test}" in (root / path).read_text(encoding="utf-8"), f"{path}::{test}"
