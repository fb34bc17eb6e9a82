"""Every example is valid, documented, and has an expected outcome for the end-to-end tests."""

from pathlib import Path

import pytest
import yaml

from shared.language.load import load
from tests.deploy.manifests import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
_EXPECTED = yaml.safe_load((ROOT / "tests/e2e/workflows/expected.yaml").read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_without_a_warning(path: Path) -> None:
    loaded = load(path.read_text(), file_name=path.stem)

    assert [str(issue) for issue in loaded.issues] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_shows(path: Path) -> None:
    text = path.read_text()

    assert text.startswith("# ")
    assert "\ndescription: " in text
    assert len(text.splitlines()) <= 80


def test_every_example_has_an_expected_outcome() -> None:
    declared = {path.stem for path in EXAMPLES if "\n# expect: " in path.read_text()}

    assert set(_EXPECTED) | declared == {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("name", sorted(_EXPECTED))
def test_expectations_name_steps_and_outputs_that_exist(name: str) -> None:
    (dag,) = load((ROOT / "examples" / f"{name}.yaml").read_text(), file_name=name).documents
    steps = [*dag.steps, *dag.handlers.values()]

    for case in _EXPECTED[name]:
        assert {*case.get("steps", {}), *case.get("retries", {})} <= {step.name for step in dag.steps}
        assert set(case.get("outputs", {})) <= {step.output.name for step in steps if step.output}
