"""Makes the documentation site from ``docs/`` and the pages beside it: hooks of MkDocs, see ``mkdocs.yml``.

The Markdown files are written for reading in the repository. This adds the pages that lie outside ``docs/``, a page
with all examples and a list for each folder of pages, and turns the links to them into links within the site.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "readme.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages outside ``docs/``, and their names in the site."""
FOLDERS = {"adr": "Decisions", "runbooks": "Runbooks"}
_LINK = re.compile(r"(!?)\[([^\[\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {name: (ROOT / path).read_text() for path, name in OUTSIDE.items()}
    pages["examples.md"] = _examples()
    for folder, title in FOLDERS.items():
        if (opening := files.get_file_from_path(f"{folder}/README.md")) is not None:
            files.remove(opening)
        pages[f"{folder}/index.md"] = _listing(ROOT / "docs" / folder, title)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links and pictures of a page into those within the site."""
    name = page.file.src_uri
    outside = {site: path for path, site in OUTSIDE.items()}
    source = ROOT / outside[name] if name in outside else ROOT / "docs" / name
    here = Path(name).parent

    def replaced(found: re.Match[str]) -> str:
        image, text, path, anchor = found.groups(default="")
        target = _in_site((source.parent / path).resolve())
        # Files that only the repository has keep their names.
        return f"{image}[{text}]({'../' * len(here.parts)}{target}{anchor})" if target else text

    return _LINK.sub(replaced, markdown)


def _in_site(target: Path) -> str | None:
    """Return the name of a file or folder of the repository in the site, or ``None`` if the site does not have it."""
    path = target.relative_to(ROOT).as_posix()
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path == "examples" or path.startswith("examples/"):
        return "examples.md"
    if not path.startswith("docs/"):
        return None
    inside = path.removeprefix("docs/")
    return f"{inside}/index.md" if inside in FOLDERS else inside


def _listing(folder: Path, title: str) -> str:
    """Return the page of a folder: its own page if it has one, and a list of the others."""
    opening = folder / "README.md"
    lines = [opening.read_text() if opening.exists() else f"# {title}\n"]
    for page in sorted(set(folder.glob("*.md")) - {opening}):
        heading = _HEADING.search(page.read_text())
        lines.append(f"- [{heading[1] if heading else page.stem}]({page.name})")
    return "\n".join(lines) + "\n"


def _examples() -> str:
    parts = [
        f"## {path.relative_to(ROOT / 'examples').with_suffix('')}\n\n```yaml\n{path.read_text()}```\n"
        for path in sorted((ROOT / "examples").rglob("*.yaml"))
    ]
    return "\n".join(["# Examples\n\nEach file shows one feature. `dagway up --examples` has them all.\n", *parts])
