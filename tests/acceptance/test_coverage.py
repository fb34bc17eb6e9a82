"""No field of the language is without a test that names it."""

from pathlib import Path

import pytest

from tests.acceptance.coverage import fields, holders, in_unit_tests

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("field", sorted(fields()))
def test_a_field_is_held_by_a_row_or_a_unit_test(field: str) -> None:
    if holders(field):
        return
    place = ROOT / in_unit_tests[field]
    texts = [place.read_text()] if place.is_file() else [path.read_text() for path in place.rglob("*.py")]
    assert any(field in text for text in texts), f"{field} is not in {place}"
