"""No field of the language, nor any part of one, is without a test whose spec has it."""

import pytest

from tests.acceptance.coverage import fields, holders


@pytest.mark.parametrize("field", sorted(fields()))
def test_a_field_is_held_by_a_test(field: str) -> None:
    assert holders().get(field), f"no test has {field}: add a row, or a line to test_every_field"


def test_a_field_that_no_test_has_is_noticed() -> None:
    assert "step.retryPolicy.limit" in holders()
    assert "step.retryPolicy.nothingLikeIt" not in holders()
