"""A system that Prometheus watches: which alerts fire, and its runbooks."""

import re
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.alerts.compose import Compose
from tests.harness.alertmanager import Alertmanager
from tests.harness.cluster import Cluster
from tests.harness.procs import DagwayProcess
from tests.harness.prometheus import Prometheus
from tests.harness.webhook_receiver import WebhookReceiver

__all__ = ["RUNBOOKS", "Watched", "check_of", "cure_of"]

T = TypeVar("T")
_OF_GLOBAL = frozenset({"DagwayLeafDown"})
"""The alerts that the global Prometheus raises."""
RUNBOOKS = Path(__file__).parents[2] / "docs/runbooks"


@dataclass
class Watched:
    """The system, its Prometheus and whoever gets the alerts. ``folder`` is for files of the scenes.

    ``top``: the global Prometheus; only ``make alerts`` has it.
    """

    cluster: Cluster
    leaf: Prometheus
    top: Prometheus | None
    alertmanager: Alertmanager
    receiver: WebhookReceiver
    folder: Path
    compose: Compose = field(init=False)
    _kept: ExitStack = field(init=False, default_factory=ExitStack)
    _first: dict[DagwayProcess, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.compose = Compose(self.cluster, self.leaf, self.folder)
        self._first = {process: dict(process.env) for process in self.cluster.processes}

    def keep(self, resource: AbstractContextManager[T]) -> T:
        """Enter a context, which ends before the next scene."""
        return self._kept.enter_context(resource)

    def restore(self) -> None:
        """Undo what a scene has changed, so that the next one begins with the system of the first one."""
        for process, env in self._first.items():
            if process.running and process.env != env:
                process.terminate()
            process.env = dict(env)
        for process in [one for one in self.cluster.processes if one not in self._first]:
            process.close()
        self.cluster.workers = [one for one in self.cluster.workers if one in self._first]
        self.close()
        if not self.leaf.running:
            self.leaf.start()
        self.cluster.start()

    def close(self) -> None:
        """End what scenes have kept."""
        self._kept.close()

    def firing(self, alert: str) -> bool:
        """Whether an alert fires now."""
        query = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
        if alert in _OF_GLOBAL:
            assert self.top is not None
            return bool(self.top.ask(query))
        return bool(self.leaf.ask(query))

    def notices(self, alert: str, status: str, *, receiver: str = "on-call") -> list[dict[str, Any]]:
        """Return what a receiver was told of an alert so far: that it is ``firing`` or ``resolved``."""
        told = [each for call in self.receiver.calls(f"/{receiver}") for each in call["alerts"]]
        return [each for each in told if (each["labels"]["alertname"], each["status"]) == (alert, status)]


def check_of(alert: str, about: str) -> str:
    """Return the command for Compose in the section Check of an alert's page that contains ``about``."""
    check = (RUNBOOKS / f"{alert}.md").read_text().partition("## Check")[2].partition("## Cure")[0]
    (found,) = [line for line in check.splitlines() if line.startswith("docker ") and about in line]
    return found


def cure_of(alert: str) -> tuple[str, list[str]]:
    """Return the text of the section Cure of an alert's page, on one line, and its commands for Compose in order."""
    cure = (RUNBOOKS / f"{alert}.md").read_text().partition("## Cure")[2]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", cure, re.DOTALL) for line in block.splitlines()]
    return " ".join(cure.split()), [line for line in lines if line.startswith("docker ")]
