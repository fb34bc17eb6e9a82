"""A system that Prometheus watches: which alerts fire, and its runbooks."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.alerts.compose import Compose
from tests.harness.cluster import Cluster
from tests.harness.prometheus import Prometheus

__all__ = ["RUNBOOKS", "Watched", "cure_of"]

RUNBOOKS = Path(__file__).parents[2] / "docs/runbooks"


@dataclass
class Watched:
    """``folder`` is for files of the scenes."""

    cluster: Cluster
    leaf: Prometheus
    folder: Path
    compose: Compose = field(init=False)

    def __post_init__(self) -> None:
        self.compose = Compose(self.cluster, self.folder)

    def firing(self, alert: str) -> bool:
        """Whether an alert fires now."""
        return bool(self.leaf.ask(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))


def cure_of(alert: str) -> tuple[str, list[str]]:
    """Return the text of the section Cure of an alert's page, on one line, and its commands for Compose in order."""
    cure = (RUNBOOKS / f"{alert}.md").read_text().partition("## Cure")[2]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", cure, re.DOTALL) for line in block.splitlines()]
    return " ".join(cure.split()), [line for line in lines if line.startswith("docker ")]
