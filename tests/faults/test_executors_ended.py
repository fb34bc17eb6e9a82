"""Whatever ends a step in the middle, of whatever kind it is, nothing of it is left: looked at, not believed.

All kinds at once in one worker, so that their waits are one wait. Sub-dags and approvals have nothing on a
worker of their own; ``test_calls_ended`` is about them.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.contracts.follow_ups import FOLLOW_UP
from shared.language.model import Step
from tests.faults.scenes import IN_CONTAINERS, SCENES, Stage, package
from tests.harness.doomed import DoomedWorker
from tests.harness.engines import DockerEngine, Engine, PodmanEngine
from tests.harness.eventually import eventually
from tests.harness.needs import need

TIMEOUT_S = 25.0
"""Long enough for all scenes to reach the middle of their work on a busy machine."""
OUTCOMES = {"stop": "aborted", "timeout": "timed_out"}


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    kind: type[Engine] = request.param
    need(kind.program)
    with tempfile.TemporaryDirectory(prefix="dwd") as folder, kind(Path(folder)) as made:
        yield made


@pytest.fixture
def stage(engine: Engine, tmp_path: Path) -> Iterator[Stage]:
    need("sshd")
    (tmp_path / "tmp").mkdir()
    package(tmp_path / "packages")
    yield Stage(tmp_path, engine)
    engine.clear()


def worker_on(stage: Stage) -> DoomedWorker:
    env = {"TMPDIR": f"{stage.folder}/tmp", "PYTHONPATH": f"{stage.folder}/packages", "DOCKER_HOST": stage.engine.url}
    return DoomedWorker(stage.folder / "worker", {**os.environ, **env})


FAULTS: list[tuple[type[Engine], str]] = [
    *((DockerEngine, fault) for fault in ("stop", "timeout", "kill")),
    # What a container's step does at its timeout is what it does when it is stopped.
    *((PodmanEngine, fault) for fault in ("stop", "kill")),
]


@pytest.mark.parametrize(
    ("engine", "fault"), FAULTS, indirect=["engine"], ids=[f"{engine.program}-{fault}" for engine, fault in FAULTS]
)
def test_a_step_that_is_ended_in_the_middle_leaves_nothing_behind(stage: Stage, fault: str) -> None:
    names = SCENES if isinstance(stage.engine, DockerEngine) else IN_CONTAINERS
    with ExitStack() as stack:
        scenes = {name: stack.enter_context(SCENES[name](stage, name)) for name in names}
        for name in names:
            stage.run_dir(name)
        files = stage.files()
        worker = stack.enter_context(worker_on(stage))
        sockets = worker.sockets()

        for name, scene in scenes.items():
            timeout_s = TIMEOUT_S if fault == "timeout" else 0
            worker.give(stage.task(name, scene.step, timeout_s=timeout_s, **scene.facts))
        for scene in scenes.values():
            eventually(scene.middle)

        if fault == "kill":
            worker.kill()
        else:
            for name in scenes if fault == "stop" else ():
                worker.stop(name)
            assert {name: worker.outcome(name) for name in scenes} == dict.fromkeys(scenes, OUTCOMES[fault])
            for name, scene in scenes.items():
                if scene.follow_up is not None and scene.alone is not None:
                    eventually(scene.alone)
                    options = {FOLLOW_UP: scene.follow_up.model_dump(mode="json")}
                    follow_up = stage.task(name, Step(name="follow-up"), kind=FOLLOW_UP, options=options)
                    worker.give(follow_up.model_copy(update={"token": "follow-up", "number": 99}))
                    assert worker.outcome("follow-up") == "succeeded"
            eventually(lambda: worker.sockets() <= sockets)

        for scene in scenes.values():
            eventually(scene.clean)
        eventually(lambda: worker.processes() == [])
        eventually(lambda: stage.files() == files)
