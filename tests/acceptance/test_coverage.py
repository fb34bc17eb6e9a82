"""Every field of the language, and every part of one, has a test whose spec uses it."""

import pytest

from tests.acceptance.coverage import fields, holders


@pytest.mark.parametrize("field", sorted(fields()))
def test_a_field_has_a_test(field: str) -> None:
    assert holders().get(field), f"no test has {field}: add a row, or a line to test_every_field"


def test_a_field_that_no_test_has_is_noticed() -> None:
    assert "step.retryPolicy.limit" in holders()
    assert "step.retryPolicy.nothingLikeIt" not in holders()
