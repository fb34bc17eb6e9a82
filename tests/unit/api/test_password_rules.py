"""New passwords that would be guessed first are refused, with the rule that they break."""

import pytest

from services.api.auth.password_rules import why_refused


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "at least 8"),
        ("seven77", "at least 8"),
        ("        ", "blank"),
        ("\t\t\t\t\t\t\t\t", "blank"),
        ("zzzzzzzzzzzz", "one character repeated"),
        ("Ann.Miller", "the username"),
        (" ann.miller ", "the username"),
        ("password", "most common"),
        ("Password123", "most common"),
        ("  PASSWORD  ", "most common"),
        ("adminadmin", "most common"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule(password: str, rule: str) -> None:
    assert rule in why_refused(password, "ann.miller")


@pytest.mark.parametrize("password", ["long enough", "another one", "Zürich 8", "пароль", "ann.miller2", "x" * 9 + "y"])
def test_other_passwords_are_accepted(password: str) -> None:
    assert why_refused(password, "ann.miller") == ""
