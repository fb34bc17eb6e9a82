"""The patterns of DAG names in a request body: which DAGs an API key or a stored secret is for."""

from services.api.problems import bad_request
from shared.contracts.dag_scope import MOST_PATTERNS, PATTERN_RULE, valid_pattern

__all__ = ["dag_patterns"]


def dag_patterns(patterns: list[str]) -> tuple[str, ...]:
    """Return the patterns of the field ``dags``. Raises ``Problem`` (400) for too many, or one that is not valid."""
    if len(patterns) > MOST_PATTERNS:
        raise bad_request(f"dags: at most {MOST_PATTERNS} patterns", field="dags")
    for pattern in patterns:
        if not valid_pattern(pattern):
            raise bad_request(f"dags: {pattern[:60]!r} is not a pattern of DAG names ({PATTERN_RULE})", field="dags")
    return tuple(patterns)
