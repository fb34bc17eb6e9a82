"""GitHub Actions, run by the program ``act``, which needs a container engine.

``command: owner/action@ref`` is the action, ``params`` are its inputs. The executor writes a workflow with one step to
a temporary directory, which is always removed.
Source: docs/executors.md#details-of-each-type.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.executors.container.engine_cleanup import DEFAULT_ENGINE, cleanup_argv, remove_named
from services.worker.executors.results import process_result
from services.worker.executors.step_values import evaluate
from services.worker.inputs.environment import host_variables
from services.worker.process.outcome import Result
from shared.errors import InvalidInput
from shared.ids import new_token
from shared.language.steps.command_line import split_command
from shared.language.steps.executor_config import GHA_ACTION
from shared.language.steps.requirements import REQUIREMENTS

__all__ = ["GhaExecutor"]

_RUNNER = "node:24-bookworm"
_LABEL = "ubuntu-latest"


class GhaExecutor:
    """Runs one action."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run the action. Raises ``InvalidInput`` if ``act`` is not installed on the worker."""
        act = shutil.which("act", path=job.environment.process.get("PATH"))
        if act is None:
            raise InvalidInput(f"gha steps need {REQUIREMENTS['gha']}")
        action = job.step.commands[0].text.strip() if job.step.commands else ""
        if not GHA_ACTION.match(action):
            raise InvalidInput(f"invalid action {action!r}: use owner/action@ref")
        config: dict[str, Any] = evaluate(job, job.step.config)
        job.supervisor.make_folder(job.working_dir)
        host = host_variables().get("DOCKER_HOST", "")
        env = {**({"DOCKER_HOST": host} if host else {}), **job.environment.process}
        # act names its containers, volumes and networks after the workflow, cut to 30 characters. By these names they
        # are found if act is killed.
        name = f"dagway-{new_token()[:16]}"
        leftovers = {"url": env.get("DOCKER_HOST") or DEFAULT_ENGINE, "prefix": f"act-{name}"}
        with tempfile.TemporaryDirectory(prefix=".dagway-gha-", dir=job.working_dir) as folder:
            workflow = Path(folder, "workflow.yml")
            with workflow.open("w", encoding="utf-8") as file:
                json.dump(_workflow(name, action, _inputs(job)), file)
                job.supervisor.share(file.fileno(), 0o640)
            job.supervisor.share_folder(Path(folder))
            with job.supervisor.cleanup(files=[str(workflow), folder], argv=cleanup_argv(leftovers)):
                ended = job.supervisor.run(
                    [act, *_options(config, env), "--workflows", str(workflow)],
                    env=env,
                    cwd=str(job.working_dir),
                    stdout=io.stdout,
                    stderr=io.stderr,
                )
                if ended is None or ended.code != 0:
                    with suppress(OSError, ValueError):
                        remove_named(leftovers["url"], leftovers["prefix"])
        return process_result(job, io, ended)


def _inputs(job: Job) -> dict[str, str]:
    pairs = job.step.param_pairs
    if pairs is None:
        words = split_command(str(evaluate(job, job.step.params)))
        pairs = tuple((name, value) for name, _, value in (word.partition("=") for word in words))
    return {name: str(evaluate(job, value)) for name, value in pairs}


def _workflow(name: str, action: str, inputs: dict[str, str]) -> dict[str, Any]:
    """Return a workflow with one step. It is written as JSON, which is also valid YAML."""
    step = {"uses": action, **({"with": inputs} if inputs else {})}
    return {"name": name, "on": "push", "jobs": {"step": {"runs-on": _LABEL, "steps": [step]}}}


def _options(config: dict[str, Any], env: Mapping[str, str]) -> list[str]:
    # --pull=false: do not pull an image that the engine already has.
    words = ["push", "--pull=false", "--platform", f"{_LABEL}={config.get('runner') or _RUNNER}"]
    for name, option in (
        ("network", "--network"),
        ("githubInstance", "--github-instance"),
        ("dockerSocket", "--container-daemon-socket"),
        ("artifacts", "--artifact-server-path"),
        ("containerOptions", "--container-options"),
    ):
        if config.get(name):
            words += [option, str(config[name])]
    if config.get("autoRemove", True) is not False:
        words.append("--rm")
    for name, option in (("reuseContainers", "--reuse"), ("forceRebuild", "--rebuild"), ("privileged", "--privileged")):
        if config.get(name) is True:
            words.append(option)
    capabilities = config.get("capabilities") or {}
    for kind in ("add", "drop"):
        for one in capabilities.get(kind) or ():
            words += [f"--container-cap-{kind}", str(one)]
    if env.get("GITHUB_TOKEN"):
        # Only the name, not the value: every user of the machine can read the arguments of a process. Only if the
        # variable is set: otherwise act would ask for the value on the terminal.
        words += ["--secret", "GITHUB_TOKEN"]
    return words
