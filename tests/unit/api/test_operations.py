import pytest
from pydantic import Field

from services.api.operations import Body, Query, json_bytes
from services.api.problems import Problem
from services.api.views.request_values import parse_body, parse_query


class Sample(Body):
    name: str
    count: int = 0
    flag: bool = False


class Paging(Query):
    page: int = 1
    per_page: int = Field(default=50, alias="perPage")


def test_unknown_fields_and_nulls_count_as_absent() -> None:
    body = parse_body(Sample, b'{"name": "a", "count": null, "other": [1]}', required=True)

    assert body == Sample(name="a")


@pytest.mark.parametrize(
    "data",
    [b'{"runId": "a", "name": "n"}', b'{"RUNID": "a", "Name": "n"}', b'{"runID": "b", "name": "n", "runId": "a"}'],
)
def test_field_names_match_in_any_case_and_the_exact_one_wins(data: bytes) -> None:
    class Named(Sample):
        run_id: str = Field(alias="runId")

    assert parse_body(Named, data, required=True).run_id == "a"


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b'"x"', b"null", b"\xff", b'{"name": "\\ud800"}', b'{"name": NaN}', b"[" * 5000, b'{"name"'],
)
def test_what_is_not_a_json_object_is_a_400(data: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_body(Sample, data, required=False)

    assert (caught.value.status, caught.value.code) == (400, "bad_request")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"{}", "name"),
        (b'{"name": 1}', "name"),
        (b'{"name": "a", "count": "1"}', "count"),
        (b'{"name": "a", "flag": "yes"}', "flag"),
        (b'{"name": "a", "flag": 1}', "flag"),
        (b'{"name": "a", "count": true}', "count"),
    ],
)
def test_a_wrong_or_missing_field_is_named(data: bytes, field: str) -> None:
    with pytest.raises(Problem, match=f"{field}: "):
        parse_body(Sample, data, required=True)


def test_an_absent_body_is_an_empty_object_where_that_is_allowed() -> None:
    class Free(Body):
        name: str = "none"

    assert parse_body(Free, b" \n", required=False).name == "none"
    with pytest.raises(Problem, match="body is missing"):
        parse_body(Free, b"", required=True)


def test_query_parameters_are_converted_and_empty_ones_count_as_absent() -> None:
    assert parse_query(Paging, {"page": ["3"], "perPage": [""], "remoteNode": ["local"]}) == Paging(page=3)


@pytest.mark.parametrize("values", [{"page": ["abc"]}, {"page": ["1", "2"]}, {"perPage": ["1.5"]}, {"page": ["1\0"]}])
def test_a_query_parameter_of_the_wrong_form_is_named(values: dict[str, list[str]]) -> None:
    with pytest.raises(Problem, match="^400 bad_request: (page|perPage): "):
        parse_query(Paging, values)


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ({"b": [1, 1.5, None, True], "a": "ä\u2028"}, '{"b":[1,1.5,null,true],"a":"ä\u2028"}'),
        ({"a": float("nan"), "b": float("inf")}, '{"a":null,"b":null}'),
        ({"a": "half \udc80 a pair", "b": "ä"}, '{"a":"half ? a pair","b":"ä"}'),
    ],
)
def test_json_output_is_valid_for_every_reader(content: object, sent: str) -> None:
    assert json_bytes(content) == sent.encode()
