"""A worker that goes on along a chain runs the very task that a scheduler would have sent (ADR 63)."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.messages import Retry
from services.worker.attempt.chains import next_task
from shared.contracts.events import AttemptFinished, NextStart, Outcome
from shared.contracts.tasks import Task
from shared.language.model import Dag, Handler, Output
from shared.status import AttemptState, RunStatus
from tests.unit.scheduler.core.invented_dags import dags
from tests.unit.scheduler.core.stage import PREPARED, Stage, make_dag, step

_OUTCOMES: tuple[Outcome, ...] = ("succeeded", "succeeded", "succeeded", "failed", "skipped")
_MOST_ATTEMPTS = 60
_OTHERWISE = {"token", "dispatched_at", "incarnation", "chain", "refs"}
"""What differs between the two tasks."""


def with_ids(dag: Dag) -> Dag:
    """Return the dag with an id and an output for each step. Each step refers to all of them."""
    text = " ".join(f"${{{each.name}_id.stdout}}" for each in dag.steps)
    steps = [
        each.model_copy(update={"id": f"{each.name}_id", "script": text, "output": Output(name="OUT")})
        for each in dag.steps
    ]
    return dag.model_copy(update={"steps": tuple(steps)})


def facts(task: Task, stage: Stage) -> dict[str, Any]:
    """Return what the attempt of a task can see."""
    plan = stage.run.plan
    named = plan.ids.keys() if task.kind == "handler" else plan.refers_to(task.node)
    refs = {name: task.refs[name] for name in sorted(named)}
    return {**task.model_dump(exclude=_OTHERWISE), "outputs": dict(task.outputs), "refs": refs}


def sent_instead(stage: Stage, ended: AttemptFinished, node: int) -> Task:
    """Return the task that a scheduler sends for ``node`` if the worker does not go on."""
    other = Stage(stage.run)
    other.now = stage.now
    other.tell(ended)
    (task,) = [each.task for each in other.sent if each.task.node == node]
    return task


def test_the_first_step_does_not_see_what_a_retry_has_kept_for_the_init_handler() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), handlers=[Handler.INIT], placement="spread"))
    stage.make("onInit")
    stage.make("a", "failed")
    stage.make("b", outputs={"OUT": "of b"})
    stage.retry()
    stage.start("onInit")
    task, ended = stage.task("onInit"), stage.ending("onInit")
    following = next_task(task, ended, held_s=0, now=stage.now)

    assert task.outputs == (("OUT", "of b"),)
    assert following is not None
    assert following.outputs == sent_instead(stage, ended, following.node).outputs == ()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), dag=dags(least=1), prepare=st.booleans())
def test_a_worker_goes_on_with_the_task_that_a_scheduler_would_send(
    data: st.DataObject, dag: Dag, prepare: bool
) -> None:
    stage = Stage.begun(with_ids(dag), prepare=prepare)
    here: dict[str, Task] = {}
    for _ in range(_MOST_ATTEMPTS):
        if not stage.run.status.active and data.draw(st.booleans(), label="retry"):
            names = ["", *(each.name for each in dag.steps)]
            stage.tell(Retry("ann", data.draw(st.sampled_from(names), label="which")))
        if stage.run.status is not RunStatus.RUNNING:
            break
        if not stage.open():
            stage.wait(60)
            continue
        name = data.draw(st.sampled_from(stage.open()), label="ends")
        node, token = stage.node(name), stage.token(name)
        here |= {each.task.token: each.task for each in stage.sent}
        if node.attempt is not None and node.attempt.state is AttemptState.DISPATCHED:
            stage.start(name)
        outcome = "succeeded" if name == "prepare" else data.draw(st.sampled_from(_OUTCOMES), label="outcome")
        outputs = PREPARED if name == "prepare" else {"OUT": f"of {name}", name: "x"}
        ended = stage.ending(name, outcome, stdout=f"/logs/{name}.out", outputs=outputs)
        following = next_task(here[token], ended, held_s=0, now=stage.now)
        if following is not None:
            assert facts(following, stage) == facts(sent_instead(stage, ended, following.node), stage)
            if data.draw(st.booleans(), label="goes on"):
                here[following.token] = following
                stdout = f"/logs/{following.step.name}.out"
                start = NextStart(token=following.token, at=stage.now, stdout=stdout)
                ended = ended.model_copy(update={"next_start": start})
        stage.tell(ended)


def test_no_version_reads_the_chains_of_another() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    written = stage.sent[-1].task.model_dump(mode="json")
    (following,) = written["chain"]

    # Earlier workers have their chain in ``following``, and do not know all that a step of this one needs.
    assert "following" not in written
    assert Task.model_validate({**written, "chain": (), "following": [following]}).chain == ()
