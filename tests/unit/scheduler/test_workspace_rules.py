"""The rules of workspaces that a scheduler keeps in memory never become older ones."""

from types import SimpleNamespace
from typing import Any

from services.scheduler.deciding.limits.workspace_rules import WorkspaceRules


def finding(quota: int, meanwhile: Any = lambda: None) -> Any:
    """A transaction that finds a quota; ``meanwhile`` happens before its read ends."""

    def rules() -> tuple[dict[str, frozenset[str]], dict[str, int]]:
        meanwhile()
        return {f"pool-{quota}": frozenset({"acme"})}, {"acme": quota}

    return SimpleNamespace(workspaces=SimpleNamespace(rules=rules))


def test_a_read_that_began_earlier_and_ends_later_does_not_replace_newer_rules() -> None:
    rules = WorkspaceRules()

    rules.read(finding(1, meanwhile=lambda: rules.read(finding(2))))

    assert rules.log_quotas(finding(3)) == {"acme": 2}
    assert set(rules.reserved(finding(3))) == {"pool-2"}
    rules.read(finding(4))
    assert rules.log_quotas(finding(5)) == {"acme": 4}
