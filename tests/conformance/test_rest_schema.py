"""The JSON Schema of specs is served as an asset, with Dagway's own page and with another front end."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.api.settings import Settings
from tests.conformance.rest_stack import open_stack

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
OTHER_GENERATION = "dagu-2.yaml"
"""The example in the YAML of Dagu 2. The schema describes the fields of Dagway's own language only."""


@pytest.mark.parametrize("bundle", [False, True])
def test_the_schema_is_served_and_every_example_is_valid_by_it(tmp_path: Path, bundle: bool) -> None:
    folder = tmp_path / "bundle"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "dag.schema.json").write_text("{}")
    with open_stack(tmp_path, settings=Settings(ui_dir=folder if bundle else None)) as stack:
        answer = stack.client.get("/assets/dag.schema.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "max-age=3600"
    schema = answer.get_json()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in EXAMPLES:
        if path.name == OTHER_GENERATION:
            continue
        for document in yaml.safe_load_all(path.read_text()):
            assert [error.message for error in validator.iter_errors(document)] == [], path.name
    assert list(validator.iter_errors({"stepz": []}))
