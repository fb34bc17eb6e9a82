"""``dagway deletion-costs``: tells Kubernetes which workers are idle. It connects to its API and to workers only."""

import threading

from services.kubernetes.cluster_api import ClusterApi, cluster_address
from services.kubernetes.deletion_costs import DeletionCosts
from services.kubernetes.metrics import DeletionCostCollector
from services.processes.admin import OptionalAdminServer
from shared.disk import Volume
from shared.garbage import freeze_loaded
from shared.metrics import ProcessCollector
from shared.settings.config import Config, environment

__all__ = ["run_deletion_costs_process"]


def run_deletion_costs_process(config: Config, version: str, stop: threading.Event) -> None:
    """Annotate the workers' pods until ``stop`` is set. Raises ``ConfigInvalid`` outside of a cluster."""
    address = cluster_address(environment())
    costs = DeletionCosts(
        lambda: ClusterApi(address, config.service_account_dir),
        config.worker_pods,
        every_s=config.deletion_costs_every_s,
    )
    freeze_loaded()
    with OptionalAdminServer(config, lambda: costs.trouble) as admin:
        admin.add(ProcessCollector("deletion-costs", version, None, Volume(config.data_dir)))
        admin.add(DeletionCostCollector(costs.counts))
        costs.run(stop)
