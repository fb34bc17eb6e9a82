"""JSON Schemas whose patterns are those of RE2, as in Dagu: no schema can stop the process that reads or applies it.

Python's patterns can take for ever, and meanwhile hold up all threads. The library uses them for several keywords, also
where a subclass of its validators has no influence: a part of a schema with a ``$schema`` of its own gets another class
of the library. So the modules of the library get another ``re``. Import this module inside functions: the library takes
0.1 s, and few DAGs have a schema.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import FormatChecker, SchemaError, _keywords, _legacy_keywords, _utils
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from shared.language.patterns import PatternError, compile_pattern

__all__ = ["checked_validator"]


class _Re2:
    """What the library uses of ``re``."""

    @staticmethod
    def search(pattern: str, text: str) -> Any:
        return compile_pattern(pattern).search(text)


for _module in (_keywords, _legacy_keywords, _utils):
    _module.re = _Re2  # type: ignore[attr-defined]

_FORMATS = FormatChecker(formats=())


_FORMATS.checks("regex", raises=PatternError)(lambda it: not isinstance(it, str) or compile_pattern(it) is not None)


def checked_validator(schema: Mapping[str, Any]) -> type[Validator]:
    """Return the class that validates by ``schema``. Raises ``SchemaError`` if ``schema`` is no valid JSON Schema."""
    named = schema.get("$schema", "")
    try:
        found: Any = validator_for(schema) if isinstance(named, str) else None
    except ValueError:
        found = None
    if found is None:
        raise SchemaError(f"$schema must be the URL of a version of JSON Schema, not {named!r}")
    found.check_schema(schema, format_checker=_FORMATS)
    return found  # type: ignore[no-any-return]
