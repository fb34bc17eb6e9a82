"""A system under Prometheus and Alertmanager: which alerts fire, and which notices the on-call receiver gets."""

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.alerts.compose import Compose
from tests.harness.alertmanager import Alertmanager
from tests.harness.cluster import Cluster
from tests.harness.prometheus import Prometheus
from tests.harness.webhook_receiver import WebhookReceiver

__all__ = ["Watched"]

T = TypeVar("T")
_OF_GLOBAL = frozenset({"DagwayLeafDown"})
"""The alerts that the global Prometheus raises."""


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

    def __post_init__(self) -> None:
        self.compose = Compose(self.cluster, self.leaf, self.folder)

    def keep(self, resource: AbstractContextManager[T]) -> T:
        """Enter a context, which ends before the next scene."""
        return self._kept.enter_context(resource)

    def restore(self) -> None:
        """Undo what a scene has changed, so that the next one begins with the system of the first one."""
        self.compose.restore()
        self.close()
        if not self.leaf.running:
            self.leaf.start()

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
