"""Secrets in the params of a sub-run: what the API shows, and what logs mask."""

import pytest

from shared.language.expansion.secret_params import hidden_params, secrets_in, show_params


@pytest.mark.parametrize(
    ("asked_as", "expected"),
    [
        ("", ()),
        ('A="x" B="y"', ()),
        ('A="x ******* z" B="y"', (("A", "x ******* z"),)),
        ('{"A": "*******", "B": 1}', (("A", "*******"),)),
        ("*******", (("1", "*******"),)),
    ],
)
def test_which_parameters_hold_a_secret(asked_as: str, expected: object) -> None:
    assert hidden_params(asked_as) == expected


def test_other_parameters_are_shown() -> None:
    assert show_params((("A", "s"), ("B", "y")), 'A="*******"') == (("A", "*******"), ("B", "y"))


@pytest.mark.parametrize(
    ("value", "shown", "expected"),
    [
        ("s3cr3t", "*******", ("s3cr3t",)),
        ("Bearer s3\ncr3t!", "Bearer *******!", ("s3\ncr3t",)),
        ("a.b:c", "*******:*******", ("a.b:c", "a.b", "c")),
        # The value has changed since: then all of it is masked.
        ("other", "Bearer *******", ("other",)),
        ("a" * 40, "*******" * 20, ("a" * 40,)),
        ("abc", "**************", ("abc", "a", "bc")),
        ("aXbXc", "aX*******Xc", ("b",)),
        ("aXc", "aX*******Xc", ("aXc",)),
        # Found at once, however often a part between the stars occurs.
        ("a" * 100_000, "*******a*******a*******b", ("a" * 100_000,)),
        ("abc", "abd", ("abc",)),
        ("*******", "*******", ()),
    ],
)
def test_the_secret_behind_the_stars_is_found(value: str, shown: str, expected: tuple[str, ...]) -> None:
    assert secrets_in(value, shown) == expected


def test_a_text_that_only_looks_sealed_is_shown() -> None:
    """It is a value like any other. It once broke every list of runs in which its run was."""
    for data in ("A", "AAAAA"):
        assert show_params((("A", f"dagway-sealed:v1:k:{data}:"),), "") == (("A", f"dagway-sealed:v1:k:{data}:"),)
    for data in ("AA", "AAA", "AAAA", "AAAAAA"):
        assert show_params((("A", f"dagway-sealed:v1:k:{data}:"),), "") == (("A", "*******"),)
