"""Which row of the table, or which other test, holds each field of the language."""

from shared.spec.document import DAG_KEYS
from shared.spec.steps import STEP_KEYS
from tests.acceptance.cases import CASES, REFUSED
from tests.acceptance.test_base_config import BASE, SPEC

__all__ = ["fields", "holders", "in_unit_tests"]

_FIELDS = "tests/unit/spec/test_every_field.py"

in_unit_tests = {
    "group": _FIELDS,
    "schedule": _FIELDS,
    "skipIfSuccessful": _FIELDS,
    "restartWaitSec": _FIELDS,
    "logDir": _FIELDS,
    "container": _FIELDS,
    "registryAuths": _FIELDS,
    "ssh": _FIELDS,
    "llm": _FIELDS,
    "smtp": _FIELDS,
    "mailOn": _FIELDS,
    "errorMail": _FIELDS,
    "infoMail": _FIELDS,
    "waitMail": _FIELDS,
    "otel": _FIELDS,
    "runConfig": _FIELDS,
    "maxActiveRuns": _FIELDS,
    "shellPackages": _FIELDS,
    "config": _FIELDS,
    "mailOnError": _FIELDS,
    "run": _FIELDS,
    "dir": _FIELDS,
    "messages": _FIELDS,
    "catchup": _FIELDS,
    "pool": _FIELDS,
    "lock": _FIELDS,
    "rateLimit": _FIELDS,
}
"""Fields that no run of the table names, and the file that does."""


def fields() -> set[str]:
    """Return every key of a workflow and of a step."""
    return set(DAG_KEYS.names | STEP_KEYS.names)


def holders(field: str) -> list[str]:
    """Return the rows whose spec has this key."""
    specs = [(case.row, case.spec) for case in CASES] + [(one.row, one.spec) for one in REFUSED]
    specs.append(("A29", BASE + SPEC))
    return [row for row, spec in specs if f"{field}:" in spec]
