"""Loading in one line, for the tests of the workflow language."""

from shared.language.load import load
from shared.language.model import Dag, Step


def dag_of(text: str) -> Dag:
    loaded = load(text)
    assert loaded.errors == []
    assert loaded.dag is not None
    return loaded.dag


def step_of(text: str, above: str = "") -> Step:
    """Load a dag whose only step is the flow mapping or text ``text``."""
    return dag_of(f"{above}\nsteps:\n  - {text}\n").steps[0]


def errors_of(text: str) -> list[str]:
    return [str(issue) for issue in load(text).errors]


def edges(text: str) -> dict[str, tuple[str, ...]]:
    return {step.name: step.depends for step in dag_of(text).steps}
