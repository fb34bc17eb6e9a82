"""Says in plain words which fields of a body, or which query parameters, are invalid and what they must be."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from services.api.problems import Problem, bad_request

__all__ = ["invalid_fields"]

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
