"""Reads the body and the query parameters of a request into the models of its operation.

If a field is invalid, the error says in plain words what it must be.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from services.api.operations import Body, Query
from services.api.problems import Problem, bad_request

__all__ = ["invalid_fields", "parse_body", "parse_query"]

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)
_A_TIME = "must be a time such as 2026-03-01T12:00:00Z"
_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text",
    "value_error": "{error}",
    "string_too_short": "is too short: at least {min_length} characters",
    "string_too_long": "is too long: at most {max_length} characters",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number with fewer digits",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_short": "is too short: at least {min_length}",
    "too_long": "is too long: at most {max_length}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "literal_error": "must be {expected}",
    "timezone_aware": "must say its time zone, as in 2026-03-01T12:00:00Z",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
}
"""What to say of each type of pydantic's errors. Other types keep pydantic's words."""


def parse_body(model: type[B], data: bytes, *, required: bool) -> B:
    """Return the body as its model. The content type and the case of field names do not matter.

    Raises:
        Problem: 400 if the body is not a JSON object, is required but absent, or has a field of a wrong type.
    """
    content: Any = None
    if data.strip():
        try:
            content = from_json(data, allow_inf_nan=False)
        except ValueError as error:
            raise bad_request(f"The body is not valid JSON: {error}") from error
    if content is None and not required:
        content = {}
    if content is None:
        raise bad_request("The body is missing: send a JSON object")
    if not isinstance(content, dict):
        raise bad_request("The body must be a JSON object")
    present = {name: value for name, value in content.items() if value is not None}
    names = _names(model)
    found = {names.get(name.lower(), name): value for name, value in present.items()}
    exact = {name: value for name, value in present.items() if names.get(name.lower()) == name}
    try:
        return model.model_validate(found | exact)
    except ValidationError as error:
        raise invalid_fields(error) from error


@lru_cache
def _names(model: type[Body]) -> Mapping[str, str]:
    """Return the field names of a body by their lower-case form: ``dagRunID`` is accepted for ``dagRunId``."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    return {name.lower(): name for name in names}


def parse_query(model: type[Q], values: Mapping[str, list[str]]) -> Q:
    """Return the query parameters as their model. A parameter with an empty value counts as absent.

    Raises:
        Problem: 400 for a value of a wrong type, or a parameter that is given twice.
    """
    single: dict[str, str] = {}
    for name in _parameters(model) & values.keys():
        if len(values[name]) > 1:
            raise bad_request(f"{name}: this parameter is given {len(values[name])} times; give it once", field=name)
        if "\0" in values[name][0]:
            raise bad_request(f"{name}: must not contain a NUL character", field=name)
        if values[name][0] != "":
            single[name] = values[name][0]
    try:
        return model.model_validate(single)
    except ValidationError as error:
        raise invalid_fields(error) from error


@lru_cache
def _parameters(model: type[Query]) -> frozenset[str]:
    return frozenset(info.alias or name for name, info in model.model_fields.items())


def invalid_fields(error: ValidationError) -> Problem:
    """Return a 400 that names each invalid field. ``details.fields`` has the same for programs."""
    found = error.errors(include_url=False, include_input=False)
    issues = [(".".join(str(part) for part in issue["loc"]), _words(issue)) for issue in found]
    message = "; ".join(f"{name}: {why}" if name else why for name, why in issues)
    return bad_request(message, fields=[{"field": name, "message": why} for name, why in issues])


def _words(issue: Mapping[str, Any]) -> str:
    context = issue.get("ctx", {})
    if context.get("min_length") == 1:
        return "must not be empty"
    words = _WORDS.get(issue["type"])
    return words.format_map(context) if words else str(issue["msg"])
