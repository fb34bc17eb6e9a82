"""A base configuration under a document: which of the two counts, or both."""

import pytest

from shared.spec.load import load
from shared.spec.model import Dag


def under(base: str, child: str) -> Dag:
    loaded = load(child, file_name="kid.yaml", base=base)
    assert loaded.errors == []
    assert loaded.dag is not None
    return loaded.dag


@pytest.mark.parametrize(
    ("base", "child", "attribute", "expected"),
    [
        ("env: [A=1, B=2]", "env: [B=3]", "env", (("A", "1"), ("B", "2"), ("B", "3"))),
        ("env: {A: 1}", "env: {B: 2}", "env", (("A", "1"), ("B", "2"))),
        # An empty list adds nothing, and takes nothing away.
        ("env: [A=1]", "env: []", "env", (("A", "1"),)),
        ("tags: a", "tags: []", "tags", ("a",)),
        ("tags: [a]", "tags: b", "tags", ("a", "b")),
        ("dotenv: [a]", "dotenv: []", "dotenv", (".env", "a")),
        ("dotenv: []", "name: kid", "dotenv", ()),
        ("name: base", "queue: q", "name", "kid"),
        ("histRetentionDays: 77", "histRetentionDays: 0", "hist_retention_days", 77),
        ("skipIfSuccessful: true", "skipIfSuccessful: false", "skip_if_successful", True),
        ("description: d", "description: ''", "description", "d"),
        ("preconditions: a", "preconditions: []", "preconditions", "a"),
        ("type: graph", "steps: []", "type", "graph"),
    ],
)
def test_which_counts(base: str, child: str, attribute: str, expected: object) -> None:
    found = getattr(under(base, child), attribute)

    assert (found[0].condition if attribute == "preconditions" else found) == expected


def test_parameters_of_both_count() -> None:
    dag = under("params: A=1 B=2", "params: []")

    assert [(param.name, param.value) for param in dag.params] == [("A", "1"), ("B", "2")]
