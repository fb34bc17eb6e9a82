"""docs/operations/logs.md says what each warning and each error in the log means."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations/logs.md"
_ALARMING = {"warning", "error", "exception", "critical"}
_EVENT = re.compile(r"[a-z_0-9]+\.[a-z_0-9]+")


def logged(*, alarming: bool) -> set[str]:
    """Return the names of events that the services log: all, or those from level warning upwards."""
    return {
        event
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        for event in _events(ast.parse(path.read_text()), alarming=alarming)
    }


def _events(tree: ast.Module, *, alarming: bool) -> Iterator[str]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if ast.unparse(call.func.value) not in {"_log", "log", "_LOG"}:
            continue
        if call.func.attr in _ALARMING | {"log"} or (call.func.attr == "info" and not alarming):
            texts = (node.value for given in call.args for node in ast.walk(given) if isinstance(node, ast.Constant))
            yield from (text for text in texts if isinstance(text, str) and _EVENT.fullmatch(text))


def explained() -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+\.[a-z_0-9]+)`", PAGE.read_text()))


def test_the_page_explains_every_warning_and_error() -> None:
    alarming = logged(alarming=True)

    assert len(alarming) > 90
    assert alarming - explained() - {"lease.renewed"} == set()


def test_the_page_names_no_event_that_is_gone() -> None:
    assert explained() - logged(alarming=False) == set()
