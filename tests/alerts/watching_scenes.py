"""Scenes in which Prometheus does not see all that it should."""

from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.eventually import eventually

__all__ = ["WATCHING"]


def _stop_the_metrics_of_the_broker(watched: Watched) -> None:
    watched.cluster.rabbit.eval("ok = application:stop(rabbitmq_prometheus), ok.")


def _lose_replicas(watched: Watched) -> None:
    """A scheduler of two and the only worker, after all have run for a while: each raises the alert."""
    eventually(lambda: watched.leaf.ask("sum(dagway:up:min15m) == 4") != {}, timeout_s=120)
    for process in (watched.cluster.schedulers[0], watched.cluster.workers[0]):
        process.kill9()
    alerts = 'count by (service) (ALERTS{alertname="DagwayReplicaMissing",alertstate="firing"})'
    missing = {(("service", "scheduler"),), (("service", "worker"),)}
    eventually(lambda: watched.leaf.ask(alerts).keys() == missing, timeout_s=120)


WATCHING = {
    "DagwayBrokerUnwatched": Scene(_stop_the_metrics_of_the_broker, says=("Enable the plugin",)),
    "DagwayReplicaMissing": Scene(_lose_replicas),
}
