"""The local DAGs of a file are found however its documents are written."""

import pytest

from shared.language.load import load
from shared.language.snapshot import local_spec


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
