"""The JSON Schema of parameters, from the spec or a file beside it."""

import json
from pathlib import Path

import pytest

from services.worker.inputs.param_schema import apply_schema
from shared.errors import InvalidInput

SCHEMA = json.dumps({"properties": {"n": {"type": "integer", "maximum": 9}, "m": {"default": 2}}, "required": ["n"]})


@pytest.mark.parametrize("place", ["spec", "file"])
def test_parameters_are_checked_and_get_the_defaults(tmp_path: Path, place: str) -> None:
    (tmp_path / "s.json").write_text(SCHEMA)
    reference = SCHEMA if place == "spec" else "s.json"

    assert apply_schema(reference, (("n", "7"),), (tmp_path,)) == (("n", "7"), ("m", "2"))
    for params, message in (((("n", "999"),), "n: 999 is greater than"), ((), "'n' is a required property")):
        with pytest.raises(InvalidInput, match=message):
            apply_schema(reference, params, (tmp_path,))
