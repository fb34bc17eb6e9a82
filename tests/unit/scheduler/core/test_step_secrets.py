"""A task has only those secrets of the DAG that its step names."""

from shared.language.model import DagType, Secret
from tests.unit.scheduler.core.stage import Stage, make_dag, step

SECRETS = tuple(Secret(name=name, provider="env", key=name.lower()) for name in ("A", "B"))


def test_a_task_has_the_secrets_that_its_step_names() -> None:
    steps = (step("all"), step("one", secrets=("B",)), step("none", secrets=()))
    stage = Stage.begun(make_dag(*steps, type=DagType.GRAPH, secrets=SECRETS)).play()

    found = {name: [secret.name for secret in stage.task(name).secrets] for name in ("all", "one", "none")}
    assert found == {"all": ["A", "B"], "one": ["B"], "none": []}
