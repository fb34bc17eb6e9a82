"""What the pages show is right: each ``dagway`` command with its options, and each workflow. Nothing is run.

The README, the tutorial, the recipes and the pages for operators are also run, by ``tests/e2e/test_readme.py`` and
``tests/deploy``.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from services.cli import cli
from services.cli.catalog import COMMANDS
from shared.language.load import load

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("[!a]*/*.md")}
)
"""All but the decisions, which say what was so when they were made."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(dagway [^`]+)`")
NAMES = {each.name for each in COMMANDS}
ASSIGNMENT = re.compile(r"\w+=.*")
FAULTY = {"mistakes.md"}
"""Pages that show mistakes; ``tests/unit/language/test_mistakes.py`` checks them."""


def shown_commands(page: str) -> Iterator[str]:
    """Yield each line of a page that may be a command: those of blocks for a shell, and inline code."""
    blocks = [text for kind, text in BLOCK.findall(page) if kind in ("sh", "console")]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        # An example of a help page has its meaning behind two or more blanks.
        yield re.sub(r"(?<=\S) {2,}\S.*", "", line).removeprefix("$ ")
    yield from INLINE.findall(BLOCK.sub("", page))


def arguments(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``dagway`` in a command line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # A quote that ends on another line.
        words = line.split()
    for position, word in enumerate(words):
        before = words[position - 1] if position else ";"
        first = before in {"--", "exec"} or set(before) <= set("();<>|&") or ASSIGNMENT.fullmatch(before)
        known = "kubectl" not in words and position + 1 < len(words) and words[position + 1] in NAMES
        if word == "dagway" and (first or known):
            rest = words[position + 1 :]
            yield rest[: next((at for at, each in enumerate(rest) if set(each) <= set("();<>|&")), len(rest))]


def mistake(given: Sequence[str]) -> str:
    """Return what is wrong with the arguments of ``dagway``, or an empty text."""
    command: click.Command = cli
    rest = list(given)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0].isupper() or "…" in rest[0]:
            return ""
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return f"there is no command {rest[0]}"
        command, rest = found, rest[1:]
    context = click.Context(command)
    if "[OPTIONS]" in rest:
        return ""
    rest = [each for each in rest if each not in {"…", "..."}]
    try:
        _, extra, _ = command.make_parser(context).parse_args(rest)
    except click.NoSuchOption as error:
        return error.format_message()
    except click.BadOptionUsage as error:
        # A text may name an option without its value.
        return "" if given[-1].startswith("-") else error.format_message()
    return f"what is {' '.join(extra)}?" if extra and not isinstance(command, click.Group) else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists_with_its_options(page: Path) -> None:
    wrong = {
        " ".join(given): why
        for line in shown_commands(page.read_text())
        for given in arguments(line)
        if (why := mistake(given))
    }

    assert wrong == {}


def test_a_wrong_command_is_found() -> None:
    page = "```sh\nX=1 dagway strat hello && dagway ls --tags a\n```\nGive `dagway logs a b c`."

    assert [mistake(given) for line in shown_commands(page) for given in arguments(line)] == [
        "there is no command strat",
        "No such option '--tags'. Did you mean '--tag'?",
        "what is c?",
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in FAULTY], ids=lambda page: page.stem)
def test_every_workflow_loads(page: Path) -> None:
    workflows = [text for kind, text in BLOCK.findall(page.read_text()) if kind == "yaml" and "\nsteps:" in f"\n{text}"]

    assert [str(issue) for text in workflows for issue in load(text, file_name="w").errors] == []
