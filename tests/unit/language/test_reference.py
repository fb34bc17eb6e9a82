"""The reference of the language has every field, each with an example that loads, and the page is current."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.language.connections import OTEL_KEYS, SMTP_KEYS, SSH_KEYS
from shared.language.load import load
from shared.language.reference.dag_fields import DAG_ENTRIES
from shared.language.reference.field_entry import FieldEntry
from shared.language.reference.step_fields import STEP_ENTRIES
from shared.language.schedule import CATCHUP_KEYS
from shared.language.schema import dag_schema
from shared.language.steps.chat import LLM_KEYS
from shared.language.steps.containers import CONTAINER_KEYS
from shared.language.steps.parallel import PARALLEL_KEYS
from shared.language.yaml.fields import Vocabulary
from tests.acceptance.coverage import fields

ROOT = Path(__file__).parents[3]
DAG = {path: entry for entries in DAG_ENTRIES.values() for path, entry in entries.items()}
STEP = {path: entry for entries in STEP_ENTRIES.values() for path, entry in entries.items()}
VALIDATOR = Draft202012Validator(dag_schema())
RUNNABLE = {"command", "script", "call", "run", "messages"}


def test_the_page_is_current() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "language_doc.py"))["document"]()

    page = ROOT / "docs" / "workflow-reference.md"
    assert page.read_text() == written, "run python -m scripts.language_doc"


def _documented(entries: dict[str, FieldEntry]) -> Iterator[str]:
    for path, entry in entries.items():
        yield path
        if entry.alias:
            below = (other.removeprefix(entry.alias) for other in entries if other.startswith(f"{entry.alias}."))
            yield from (path + rest for rest in below)


def test_every_field_of_the_schema_has_an_entry() -> None:
    documented = {*_documented(DAG), *(f"step.{path}" for path in _documented(STEP))}

    assert fields() - documented == set()


@pytest.mark.parametrize(
    ("entries", "parent", "keys"),
    [
        (DAG, "ssh", SSH_KEYS),
        (DAG, "smtp", SMTP_KEYS),
        (DAG, "otel", OTEL_KEYS),
        (DAG, "llm", LLM_KEYS),
        (DAG, "catchup", CATCHUP_KEYS),
        (STEP, "container", CONTAINER_KEYS),
        (STEP, "parallel", PARALLEL_KEYS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_of_a_map_that_the_schema_leaves_open_has_an_entry(
    entries: dict[str, FieldEntry], parent: str, keys: Vocabulary
) -> None:
    assert {path.partition(".")[2] for path in entries if path.startswith(f"{parent}.")} == keys.names


def test_every_field_in_the_schema_has_its_meaning_as_description() -> None:
    schema = dag_schema()

    for properties, entries in ((schema["properties"], DAG), (schema["definitions"]["step"]["properties"], STEP)):
        assert {key: form["description"] for key, form in properties.items()} == {
            key: re.sub(r",? \[.*\]\(.*\)", "", entries[key].means) for key in properties
        }


def _under(path: str, example: str) -> str:
    """Return ``example`` as the contents of the map or list at ``path``."""
    parent = path.rpartition(".")[0]
    if not parent:
        return example
    return f"{parent}: [{example}]" if parent == "secrets" else f"{parent}:\n{indent(example, '  ')}"


def _workflow(path: str, example: str) -> str:
    text = _under(path, example)
    return text if path == "steps" else f"{text}\nsteps: [echo hi]\n"


def _step_workflow(path: str, example: str) -> str:
    text = _under(path, example)
    if not RUNNABLE & yaml.safe_load(text).keys():
        text += "\ncall: child" if path.startswith("parallel") else "\ncommand: echo hi"
    return f"type: graph\nsteps:\n  - name: first\n    command: echo hi\n  -\n{indent(text, '    ')}\n"


WORKFLOWS = {path: _workflow(path, entry.example) for path, entry in DAG.items()}
WORKFLOWS |= {f"step.{path}": _step_workflow(path, entry.example) for path, entry in STEP.items()}


@pytest.mark.parametrize("path", WORKFLOWS)
def test_an_example_loads_and_contains_its_field(path: str) -> None:
    text = WORKFLOWS[path]

    loaded = load(text, file_name="example.yaml")
    assert [(issue.message, issue.source) for issue in loaded.issues] == [], text
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    assert f"{path.rpartition('.')[2]}:" in text
