"""What a scheduler makes of parameters that only a worker can open."""

import json

import pytest

from services.scheduler.core.plan import PREPARE, Plan
from services.scheduler.deciding.creation import new_run
from shared.language.expansion.sealed_text import sealed_text
from shared.language.model import Param
from tests.unit.scheduler.core.stage import T0, Stage, make_dag, step

SEALED = sealed_text("k1", b"anything")
DAG = make_dag(step("s"), params=(Param(name="A", value="none"), Param(name="B", value="echo")))


@pytest.mark.parametrize("given", [SEALED, json.dumps({"A": SEALED}), json.dumps({"A": {"deep": SEALED}})])
def test_a_worker_evaluates_sealed_params(given: str) -> None:
    run = new_run(Plan(DAG), run_key="k", dag_name="d", dag_run_id="r", given=given, queue=None, queued=False, now=T0)

    assert [node.kind for node in run.nodes] == ["step", PREPARE]
    assert (run.params, run.params_json) == ((), None)


def test_params_without_sealed_values_need_no_worker() -> None:
    run = new_run(Plan(DAG), run_key="k", dag_name="d", dag_run_id="r", given="A=x", queue=None, queued=False, now=T0)

    assert [node.kind for node in run.nodes] == ["step"]
    assert run.params == (("A", "x"), ("B", "echo"))


@pytest.mark.parametrize(("given", "outside"), [(SEALED, None), (json.dumps({"A": SEALED}), ("A",)), ("A=x", ("A",))])
def test_only_params_that_the_author_surely_wrote_are_trusted(given: str, outside: tuple[str, ...] | None) -> None:
    task = Stage.begun(DAG, given=given).task("s")

    assert task.params_given
    assert task.params_outside == outside
