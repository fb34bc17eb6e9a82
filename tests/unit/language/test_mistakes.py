"""docs/mistakes.md shows the current error messages."""

from scripts.mistakes import MISTAKES, TARGET, text
from shared.language.load import load


def test_the_page_shows_todays_messages() -> None:
    assert TARGET.read_text() == text(), "run python -m scripts.mistakes"


def test_every_mistake_is_found_where_it_is() -> None:
    assert len(MISTAKES) >= 15
    for title, spec in MISTAKES:
        issues = load(spec, file_name="workflow.yaml").issues
        assert issues, title
        assert all(issue.line for issue in issues), title
