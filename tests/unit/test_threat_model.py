"""The page of threats names for each one the test that shows its answer, or says that it is open."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = re.findall(r"^\| ([STRIDE](?:, [STRIDE])*) \| (.+?) \| (.+?) \| *(.*?) *\|$", PAGE, re.MULTILINE)


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_row_is_read_here() -> None:
    tables = [line for line in PAGE.splitlines() if re.match(r"\| [STRIDE][ ,]", line)]

    assert len(ROWS) == len(tables) > 50


def test_every_threat_names_a_test_or_is_open() -> None:
    silent = [
        threat
        for _, threat, answer, tests in ROWS
        if not re.search(r"`tests/[\w/]+\.py::\w+`|the tests named there", tests) and "*open*" not in answer
    ]

    assert silent == []


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", "\n".join(tests for *_, tests in ROWS))

    assert [pair for pair in named if pair[1] not in functions(pair[0])] == []
