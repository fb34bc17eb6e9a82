"""Snapshots of specs, and the local DAGs of a file, which are found however its documents are written."""

import pytest

from shared.language.load import load
from shared.language.snapshot import Snapshot, local_spec, make_snapshot, parse_snapshot


@pytest.mark.parametrize(
    "document",
    [
        "name: sub\nsteps: [echo]",
        "steps: [echo]\nname: 'sub'  # its name",
        '"name": sub\nsteps: [echo]',
        "  name: sub\n  steps: [echo]",
        "name: >-\n  sub\nsteps: [echo]",
        '{"name": "sub", "steps": ["echo"]}',
        "Name: sub\nsteps: [echo]",
    ],
)
def test_a_called_dag_is_found_in_its_callers_file(document: str) -> None:
    text = f"steps: [{{call: sub}}]\n---\n{document}\n---\n{{name: other, steps: [echo]}}\n"
    assert [dag.name for dag in load(text, file_name="main").documents] == ["main", "sub", "other"]

    found = local_spec(text, "sub")

    assert found is not None
    assert [dag.name for dag in load(found).documents] == ["sub", "other"]
    assert local_spec(text, "main") is None


def test_a_snapshot_keeps_its_base_configuration_when_it_is_frozen_again() -> None:
    frozen = make_snapshot("steps: [echo]", "env: [A=1]")

    again = make_snapshot(frozen, "env: [A=2]", handlers=False)

    assert parse_snapshot(again) == Snapshot("steps: [echo]", "env: [A=1]", handlers=False)


def test_without_a_base_configuration_a_spec_is_its_own_snapshot() -> None:
    assert make_snapshot("steps: [echo]") == "steps: [echo]"
    assert parse_snapshot("steps: [echo]") == Snapshot("steps: [echo]")
