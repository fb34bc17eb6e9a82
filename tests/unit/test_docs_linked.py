"""Every page of the documentation can be reached from the README."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def linked(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in LINK.findall(page.read_text())}


def test_every_page_is_linked_from_the_readme_or_lies_in_a_folder_that_is() -> None:
    targets = linked(ROOT / "README.md")

    lost = [page for page in (ROOT / "docs").rglob("*.md") if not {page, page.parent} & targets]
    assert [str(page.relative_to(ROOT)) for page in lost] == []


def test_no_link_leads_nowhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    broken = [(page.name, target.name) for page in pages for target in linked(page) if not target.exists()]
    assert broken == []
