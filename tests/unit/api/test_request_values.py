from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, Field, SecretStr, TypeAdapter, ValidationError

from services.api.operations import Body, Storable
from services.api.problems import Problem
from services.api.views.request_values import invalid_fields, parse_body


class Named(Body):
    name: str
    count: int = Field(default=1, ge=1)


def test_every_invalid_field_is_named_once_for_people_and_once_for_programs() -> None:
    with pytest.raises(Problem) as caught:
        parse_body(Named, b'{"count": 0}', required=True)

    assert (caught.value.status, caught.value.message) == (400, "name: is required; count: must be at least 1")
    assert caught.value.details["fields"] == [
        {"field": "name", "message": "is required"},
        {"field": "count", "message": "must be at least 1"},
    ]


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (str, 5, "must be text"),
        (Annotated[SecretStr, Field(max_length=3)], "abcd", "is too long: at most 3"),
        (Annotated[str, Field(max_length=3)], "abcd", "is too long: at most 3 characters"),
        (bool, "perhaps", "must be true or false"),
        (bool, [], "must be true or false"),
        (int, "many", "must be a whole number"),
        (int, 1.5, "must be a whole number"),
        (int, None, "must be a whole number"),
        (int, "9" * 5000, "must be a whole number with fewer digits"),
        (Annotated[int, Field(le=500)], 501, "must be at most 500"),
        (list[str], "a", "must be a list"),
        (Annotated[str, Field(min_length=1)], "", "must not be empty"),
        (Annotated[list[str], Field(min_length=1)], [], "must not be empty"),
        (Annotated[list[str], Field(min_length=2)], [], "is too short: at least 2"),
        (Storable, "a\0b", "must not contain a NUL character"),
        (dict[str, str], 5, "must be an object"),
        (Named, [], "must be an object"),
        (Literal["none", "latest", "all"], "some", "must be 'none', 'latest' or 'all'"),
        (AwareDatetime, "yesterday", "must be a time such as 2026-03-01T12:00:00Z"),
        (AwareDatetime, [], "must be a time such as 2026-03-01T12:00:00Z"),
        (AwareDatetime, "2026-03-01T12:00:00", "must say its time zone, as in 2026-03-01T12:00:00Z"),
    ],
)
def test_a_field_is_told_what_it_must_be(kind: Any, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)

    assert invalid_fields(caught.value).message == words
