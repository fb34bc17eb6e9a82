"""The schema for editors agrees with the loader wherever a schema can."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.language.document import DAG_KEYS
from shared.language.schema import dag_schema
from shared.language.steps.step import STEP_KEYS
from tests.acceptance.cases import CASES

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
OTHER_GENERATION = "dagu-2"
"""The example in the YAML of Dagu 2. The schema describes the fields of Dagway's own language only."""
VALIDATOR = Draft202012Validator(dag_schema())


def test_it_is_a_schema_that_knows_every_key() -> None:
    Draft202012Validator.check_schema(dag_schema())
    assert set(dag_schema()["properties"]) == DAG_KEYS.names
    assert set(dag_schema()["definitions"]["step"]["properties"]) == STEP_KEYS.names


def test_all_references_are_of_the_one_form_that_dagus_front_end_follows() -> None:
    schema = dag_schema()
    assert set(re.findall(r'"\$ref": "([^"]+)/', json.dumps(schema))) == {"#/definitions"}
    assert set(re.findall(r'"\$ref": "#/definitions/([^"]+)"', json.dumps(schema))) == set(schema["definitions"])


def test_no_description_has_a_link_of_the_reference_page() -> None:
    schema = dag_schema()
    assert "](" not in json.dumps(schema)
    assert schema["definitions"]["step"]["properties"]["config"]["description"] == "Settings of the executor."


def test_each_process_writes_the_same_text() -> None:
    program = "import json; from shared.language.schema import dag_schema; print(json.dumps(dag_schema()))"
    texts = {
        subprocess.check_output([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}) for seed in ("1", "2")
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.stem != OTHER_GENERATION], ids=lambda path: path.stem
)
def test_it_accepts_every_example(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_it_accepts_every_acceptance_case(case: object) -> None:
    for document in yaml.safe_load_all(case.spec.replace("{dir}", "/x")):  # type: ignore[attr-defined]
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "text", ["stepz: []", "timeoutSec: '60'", "schedule: {begin: x}", "steps: [{command: a, nope: 1}]", "steps: 3"]
)
def test_it_refuses_what_the_loader_refuses(text: str) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))
