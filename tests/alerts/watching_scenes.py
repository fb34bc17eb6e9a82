"""Scenes in which Prometheus does not see all that it should."""

from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.eventually import eventually

__all__ = ["WATCHING"]


def _stop_the_metrics_of_the_broker(watched: Watched) -> None:
    watched.cluster.rabbit.eval("ok = application:stop(rabbitmq_prometheus), ok.")


def _start_the_metrics_of_the_broker(watched: Watched) -> None:
    watched.cluster.rabbit.eval("ok = application:start(rabbitmq_prometheus), ok.")


def _lose_a_scheduler(watched: Watched) -> None:
    """One of two that have run for a while."""
    eventually(lambda: bool(watched.leaf.ask('dagway:up:min15m{service="scheduler"} == 2')), timeout_s=120)
    watched.cluster.schedulers[0].kill9()


WATCHING = {
    "DagwayBrokerUnwatched": Scene(
        _stop_the_metrics_of_the_broker, _start_the_metrics_of_the_broker, "enable the plugin `rabbitmq_prometheus`"
    ),
    "DagwayReplicaMissing": Scene(_lose_a_scheduler),
}
