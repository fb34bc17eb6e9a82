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


def test_a_reference_to_another_schema_opens_no_file(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "string"}')

    for reference in (other.as_uri(), "other.json", "ftp://localhost/other.json"):
        with pytest.raises(InvalidInput, match=r"failed to get JSON schema: .*other.json: \$ref: only a URL"):
            apply_schema(json.dumps({"properties": {"n": {"$ref": reference}}}), (("n", "7"),), (tmp_path,))


def test_references_within_a_schema_and_to_the_standard_need_no_network(tmp_path: Path) -> None:
    whole = {"$defs": {"n": {"maximum": 9}, "schema": {"$ref": "http://json-schema.org/draft-07/schema#"}}}
    schema = json.dumps({**whole, "properties": {"n": {"$ref": "#/$defs/n"}, "s": {"$ref": "#/$defs/schema"}}})

    assert apply_schema(schema, (("n", "7"), ("s", "{}")), (tmp_path,)) == (("n", "7"), ("s", "{}"))
    with pytest.raises(InvalidInput, match="n: 999 is greater than"):
        apply_schema(schema, (("n", "999"),), (tmp_path,))


@pytest.mark.timeout(20)
def test_no_pattern_takes_long(tmp_path: Path) -> None:
    value = "a" * 5_000 + "!"
    for schema in ({"properties": {"n": {"pattern": "^(a+)+$"}}}, {"patternProperties": {"^(n+)+$": {"maxLength": 9}}}):
        with pytest.raises(InvalidInput, match=r"parameter validation failed: n: "):
            apply_schema(json.dumps(schema), (("n", value),), (tmp_path,))
    with pytest.raises(InvalidInput, match="a pattern is not valid: invalid perl operator"):
        apply_schema(json.dumps({"properties": {"n": {"pattern": "(?=a)"}}}), (("n", value),), (tmp_path,))
