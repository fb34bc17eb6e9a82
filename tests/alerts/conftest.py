"""A running system, a Prometheus that scrapes it, and an Alertmanager that sends its alerts to a receiver of the tests.

The shipped rules and the shipped routes, in which a minute takes a second.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.alerts.watched import Watched
from tests.harness.alertmanager import Alertmanager
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually, free_port
from tests.harness.needs import need
from tests.harness.procs import OWN_PROGRAM
from tests.harness.prometheus import Prometheus
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.webhook_receiver import WebhookReceiver

ALL = os.environ.get("DAGWAY_TEST_ALERTS") == "all"
_FASTER = 60

Targets = dict[str, list[tuple[str, dict[str, str]]]]


@pytest.fixture(scope="package")
def shared_watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Watched, RabbitServer, PostgresServer]]:
    """A gateway, two schedulers and a worker, and what watches them.

    To play all scenes, Prometheus also scrapes the broker, and a global Prometheus federates it.
    """
    for server in ("rabbitmq", "postgres", "prometheus", "alertmanager"):
        need(server)
    folder = tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        metrics: Targets = {}
        if ALL:
            port = free_port()
            listener = f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {port}"
            rabbit = stack.enter_context(RabbitServer(conf=listener, plugins=["rabbitmq_prometheus"]))
            metrics = {job: [(f"127.0.0.1:{port}", {})] for job in ("rabbitmq", "rabbitmq-queues")}
        else:
            rabbit = request.getfixturevalue("_rabbit")
        rabbit, postgres = running(rabbit, request.getfixturevalue("_postgres"))
        # A forked worker has the metrics of all services, with the value 0: the least judged age would always be 0.
        program = OWN_PROGRAM if ALL else None
        cluster = Cluster(folder / "system", rabbit, postgres, schedulers=2, lease_s=2, program=program)
        for process in cluster.schedulers:
            process.env["DAGWAY_VERIFY_EVERY"] = "1m"
        for gateway in cluster.gateways:
            gateway.env |= {"DAGWAY_METRICS_PORT": str(free_port()), "DAGWAY_TRUSTED_PROXIES": "1"}
        metrics["dagway"] = [
            (f"127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}", {"service": process.args[0]})
            for process in cluster.processes
        ]
        receiver = stack.enter_context(WebhookReceiver())
        urls = {name: receiver.url(f"/{name}") for name in ("on-call", "watchdog")}
        alertmanager = stack.enter_context(Alertmanager(urls, faster=_FASTER))
        stack.enter_context(cluster)
        leaf = Prometheus(
            folder / "leaf", "leaf", metrics, site="here", faster=_FASTER, alertmanager=alertmanager.address
        )
        stack.enter_context(leaf)
        top = None
        if ALL:
            leaves: Targets = {"federate": [(f"127.0.0.1:{leaf.port}", {})]}
            top = stack.enter_context(
                Prometheus(folder / "global", "global", leaves, faster=_FASTER, alertmanager=alertmanager.address)
            )
        watched = Watched(cluster, leaf, top, alertmanager, receiver, folder)
        stack.callback(watched.close)
        yield watched, rabbit, postgres


@pytest.fixture
def watched(shared_watched: tuple[Watched, RabbitServer, PostgresServer]) -> Watched:
    """The shared system, with all processes running and scraped: what was counted before the first scrape is unseen."""
    system, rabbit, postgres = shared_watched
    running(rabbit, postgres)
    system.restore()
    eventually(lambda: set(system.leaf.ask('up{job="dagway"}').values()) == {1.0})
    return system


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each alert took to fire, to reach whoever is on call, and to end."""
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "alert"
    ]
    if not ALL or not rows:
        return
    terminalreporter.write_sep("-", f"{len(rows)} times, in seconds; a minute of a rule takes one")
    for row in (("alert", "fired after", "sent after", "ended after its cure"), *sorted(rows)):
        terminalreporter.write_line("{:<30} {:>12} {:>12} {:>21}".format(*row))
