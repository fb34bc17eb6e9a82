"""Every page of the documentation can be reached from the README, by way of the page that lists them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def linked(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in LINK.findall(page.read_text())}


def test_every_page_is_listed_or_lies_in_a_folder_that_is() -> None:
    listing = ROOT / "docs" / "README.md"
    assert listing in linked(ROOT / "README.md")
    targets = linked(listing)

    pages = set((ROOT / "docs").rglob("*.md")) - {listing}
    lost = [page for page in sorted(pages) if not {page, page.parent} & targets]
    assert [str(page.relative_to(ROOT)) for page in lost] == []


def test_no_link_leads_nowhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    broken = [(page.name, target.name) for page in pages for target in linked(page) if not target.exists()]
    assert broken == []


def test_two_decisions_of_which_one_changes_the_other_both_say_so() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    status = {page: re.search(r"^Status: (.+?)\n\n", page.read_text(), re.DOTALL | re.MULTILINE) for page in pages}
    named = {
        (page, (page.parent / target).resolve())
        for page, found in status.items()
        for target in LINK.findall(found[1] if found else "")
    }

    assert [page.name for page, found in status.items() if found is None] == []
    assert [(one.name, other.name) for one, other in sorted(named) if (other, one) not in named] == []


def _functions(tree: ast.AST, prefix: str = "") -> set[str]:
    """Return the dotted names of all functions and classes below ``tree``."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names |= {f"{prefix}{node.name}"} | _functions(node, f"{prefix}{node.name}.")
        else:
            names |= _functions(node, prefix)
    return names


def test_every_function_on_the_paths_through_the_code_exists() -> None:
    rows = re.findall(
        r"^\| \d+ \| `(\S+)` \| `(\S+)` \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )

    assert len(rows) > 100
    known = {path: _functions(ast.parse((ROOT / path).read_text())) for path in {path for path, _ in rows}}
    missing = [f"{path}: {name}" for path, name in rows if name not in known[path]]
    assert missing == []


def test_every_file_that_the_page_for_contributors_names_exists() -> None:
    named = re.findall(
        r"`((?:services|shared|tests|docs|scripts|examples)/[\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    made = {"SUBJECT", "TYPE", "NAME"}

    assert [path for path in named if not any(word in path for word in made) and not (ROOT / path).exists()] == []


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


_NOT_OURS = {"node_modules", "docs_site"}
"""Folders that npm and `make docs` fill with the code of others."""


def _code() -> Iterator[Path]:
    for folder in ("services", "shared", "dagway", "scripts", "bench", "tests", "examples"):
        for ending in ("py", "js", "yaml"):
            found = (ROOT / folder).rglob(f"*.{ending}")
            yield from (path for path in found if not _NOT_OURS.intersection(path.parts))


def test_every_page_and_heading_that_the_code_names_exists() -> None:
    broken = []
    for path in _code():
        for page, anchor in re.findall(r"(?<![\w/])(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text()):
            target = ROOT / page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{path.relative_to(ROOT)}: {page}#{anchor}")
    assert broken == []


def test_a_numbered_section_is_one_of_a_standard() -> None:
    """The headings of this repository's pages have no numbers."""
    number, standards = re.compile(r"\bsections? \d|workflow language, \d"), ("RFC", "W3C")

    lost = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in _code()
        if number.search(text := path.read_text())
        for line in text.splitlines()
        if number.search(line) and not any(name in line for name in standards)
    ]
    assert lost == []


def test_the_page_of_the_decisions_names_the_numbers_without_a_page() -> None:
    folder = ROOT / "docs" / "adr"
    used = {int(page.name[:4]) for page in folder.glob("0*.md")}
    missing = set(range(1, max(used) + 1)) - used

    numbers = {int(number) for number in re.findall(r"\b\d+\b", (folder / "README.md").read_text())}
    assert numbers == missing
