"""Reads the body and the query parameters of a request into the models of its operation."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from services.api.invalid_fields import invalid_fields
from services.api.operations import Body, Query
from services.api.problems import bad_request

__all__ = ["parse_body", "parse_query"]

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


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
