"""The JSON Schema of parameters, from the spec or a file beside it."""

import json
from pathlib import Path

import pytest

from services.worker.inputs.param_schema import apply_schema
from shared.errors import InvalidInput
from shared.language.json_schema import checked_validator

SCHEMA = json.dumps({"properties": {"n": {"type": "integer", "maximum": 9}, "m": {"default": 2}}, "required": ["n"]})


def doubling(levels: int) -> dict[str, object]:
    """Return a schema each of whose levels refers to the next one twice."""
    twice = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**twice, f"d{levels}": {}}}


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


def test_json_that_is_nested_too_deeply_is_a_text_or_no_schema(tmp_path: Path) -> None:
    deep = "[" * 50_000
    (tmp_path / "s.json").write_text(deep)
    readable = "[" * 600 + "]" * 600

    for text in (deep, readable):
        assert apply_schema(SCHEMA, (("n", "7"), ("m", text)), (tmp_path,)) == (("n", "7"), ("m", text))
    with pytest.raises(InvalidInput, match="failed to get JSON schema: s.json: nested too deeply"):
        apply_schema("s.json", (), (tmp_path,))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {"n": {"pattern": "^(n+)+$"}}}, "n: 'n"),
        ({"patternProperties": {"^(n+)+$": {"maxLength": 9}}}, "n: 'n"),
        ({"patternProperties": {"^(n+)+$": {}}, "additionalProperties": False}, "additional properties are not"),
        # A part of a schema may be of another version than the whole.
        ({"allOf": [{"$schema": "http://json-schema.org/draft-07/schema#", "propertyNames": {"pattern": "^(n+)+$"}}]},
         "'n+!' does not match"),
    ],
)  # fmt: skip
def test_no_pattern_takes_long(tmp_path: Path, schema: dict[str, object], problem: str) -> None:
    many = "n" * 5_000 + "!"

    with pytest.raises(InvalidInput, match=f"parameter validation failed: {problem}"):
        apply_schema(json.dumps(schema), (("n", many), (many, "1")), (tmp_path,))


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {"n": {"pattern": "(?=a)"}}}, "'(?=a)' is not a 'regex'"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties is not supported: use additionalProperties"),
        ({"$schema": 7}, "$schema must be the URL of a version of JSON Schema, not 7"),
        ({"$schema": "http://["}, "$schema must be the URL of a version of JSON Schema, not 'http://['"),
    ],
)
def test_a_schema_that_is_none_is_refused(tmp_path: Path, schema: dict[str, object], problem: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(schema))

    with pytest.raises(InvalidInput) as refused:
        apply_schema("s.json", (("n", "7"),), (tmp_path,))

    assert str(refused.value) == f"failed to get JSON schema: s.json: {problem}"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (doubling(30), "more than 50,000 references would have to be followed"),
        ({"allOf": [{"$ref": "#"}]}, "its references go round in a circle"),
    ],
)
def test_no_references_are_followed_for_ever(tmp_path: Path, schema: dict[str, object], problem: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(schema))

    with pytest.raises(InvalidInput, match=f"failed to get JSON schema: s.json: {problem}"):
        apply_schema("s.json", (("n", "7"),), (tmp_path,))


def test_the_references_of_each_value_count_anew(tmp_path: Path) -> None:
    for _ in range(4):
        assert apply_schema(json.dumps(doubling(13)), (("n", "7"),), (tmp_path,)) == (("n", "7"),)


def test_others_in_this_process_may_follow_references_without_a_limit(tmp_path: Path) -> None:
    apply_schema(json.dumps(doubling(13)), (("n", "7"),), (tmp_path,))
    validator = checked_validator(doubling(13))(doubling(13))

    # Together more than one value may need.
    assert [validator.is_valid({"n": 7}) for _ in range(8)] == [True] * 8


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([{"a": [number]} for number in range(30_000)], True),
        ([1, True, "1", None, [1], [True], {"a": 1}, {"a": True}, [["a", 1]], {}, []], True),
        ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], False),
    ],
)
def test_many_items_are_quickly_known_to_be_unique(tmp_path: Path, items: list[object], unique: bool) -> None:
    schema, params = json.dumps({"properties": {"n": {"uniqueItems": True}}}), (("n", json.dumps(items)),)

    if unique:
        assert apply_schema(schema, params, (tmp_path,)) == params
    else:
        with pytest.raises(InvalidInput, match="parameter validation failed: n: the items are not unique"):
            apply_schema(schema, params, (tmp_path,))
