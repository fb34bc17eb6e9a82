"""Alerts of a compose system, from Prometheus to a webhook and back, and federation to a second Prometheus."""

import re
import time
from collections.abc import Mapping
from functools import partial

from tests.alerts.pages import cures_of
from tests.deploy.live_system import LONG_S, DisturbedSystem, say
from tests.harness.eventually import eventually

__all__ = ["STOPPED", "federate", "raise_and_clear_alerts"]

_ALERT = "DagwayNoWorkers"
STOPPED = (
    {"scheduler": ("DagwayNoScheduler", "Otherwise restart them")},
    {
        "rabbitmq": ("DagwayBrokerDown", "restart the broker"),
        "postgres": ("DagwayDatabaseDown", "Restore the database"),
    },
)
"""Services that are stopped together. Each with its alert, and a piece of the text above the commands on its page."""
_BY_STATUS = "SELECT status, count(*) FROM dag_runs GROUP BY status"
_GROUP_INTERVAL_S = 300
"""After a call about a group of alerts, Alertmanager makes the next one about it this much later (alertmanager.yml)."""


def raise_and_clear_alerts(system: DisturbedSystem) -> None:
    """Stop all workers while a run waits, until a webhook hears of it; start them, until it hears of the end.

    Meanwhile stop the schedulers, then the broker and the database, and carry out what the runbooks say.
    """
    system.sh("docker compose stop worker")
    began_s = time.monotonic()
    system.begin("quick", "waits-for-a-worker")
    eventually(partial(_is_in_alertmanager, system), timeout_s=2 * LONG_S, every_s=1, slowest_s=2)
    held_s = time.monotonic() - began_s
    eventually(partial(_is_heard, system, _ALERT, "firing"), timeout_s=LONG_S, every_s=1, slowest_s=2)
    heard_s = time.monotonic() - began_s
    say(
        f"alerts: without workers {_ALERT} reached Alertmanager {held_s:.0f} s after the start of a run, "
        f"and the webhook {heard_s - held_s:.0f} s later"
    )
    back_s = time.monotonic()
    system.sh("docker compose start worker")
    system.wait_for_end("quick", "waits-for-a-worker")
    say(f"alerts: workers started again: the run succeeded {time.monotonic() - back_s:.1f} s later")
    eventually(partial(_has_cleared, system, _ALERT), timeout_s=LONG_S, every_s=1, slowest_s=2)
    say(f"alerts: {_ALERT} had cleared in Prometheus after {time.monotonic() - back_s:.0f} s")
    # While Alertmanager waits for the end of its interval.
    federate(system)
    for stopped in STOPPED:
        _stop_and_follow_the_runbook(system, stopped)
    heard = partial(_is_heard, system, _ALERT, "resolved")
    eventually(heard, timeout_s=LONG_S + _GROUP_INTERVAL_S, every_s=2, slowest_s=5)
    say(f"alerts: the webhook has heard of the end of {_ALERT}")
    calls = len(system.calls("/watchdog"))
    eventually(lambda: len(system.calls("/watchdog")) >= calls + 2, timeout_s=LONG_S, every_s=2, slowest_s=5)
    say(f"alerts: the dead man's switch was called {len(system.calls('/watchdog'))} times so far")


def _stop_and_follow_the_runbook(system: DisturbedSystem, stopped: Mapping[str, tuple[str, str]]) -> None:
    """Stop services until the webhook hears of their alerts. Carry out the pages' commands until these have ended."""
    alerts = {alert: _times_heard(system, alert, "firing") for alert, _ in stopped.values()}
    system.sh(f"docker compose stop {' '.join(stopped)}")
    began_s = time.monotonic()
    for alert, before in alerts.items():
        eventually(partial(_is_heard, system, alert, "firing", before), timeout_s=2 * LONG_S, every_s=1, slowest_s=2)
    say(f"alerts: {' and '.join(alerts)} reached the webhook {time.monotonic() - began_s:.0f} s after the stop")
    began_s = time.monotonic()
    for alert, says in stopped.values():
        for cure in cures_of(alert, says):
            system.sh("\n".join(cure.for_compose))
    system.wait_until_healthy()
    healthy_s = time.monotonic() - began_s
    for alert in alerts:
        eventually(partial(_has_cleared, system, alert), timeout_s=LONG_S, every_s=1, slowest_s=2)
    say(
        f"alerts: after the commands of the runbooks all was healthy after {healthy_s:.0f} s, "
        f"and the alerts had cleared in Prometheus after {time.monotonic() - began_s:.0f} s"
    )
    run = f"after-{'-'.join(stopped)}"
    system.begin("quick", run)
    system.wait_for_end("quick", run)


def _has_cleared(system: DisturbedSystem, alert: str) -> bool:
    return not system.series(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')


def _is_in_alertmanager(system: DisturbedSystem) -> bool:
    ask = "docker compose exec -T alertmanager wget --quiet --output-document=- http://127.0.0.1:9093/api/v2/alerts"
    return re.search(rf'"alertname": *"{_ALERT}"', system.answer(ask)) is not None


def _times_heard(system: DisturbedSystem, alert: str, status: str) -> int:
    told = [each for call in system.calls("/on-call") for each in call["alerts"]]
    return sum(each["labels"]["alertname"] == alert and each["status"] == status for each in told)


def _is_heard(system: DisturbedSystem, alert: str, status: str, before: int = 0) -> bool:
    return _times_heard(system, alert, status) > before


def federate(system: DisturbedSystem) -> None:
    """Check that the global Prometheus has as many runs in each status as the database."""
    began_s = time.monotonic()
    in_database = {status: int(runs) for status, runs in system.rows(_BY_STATUS)}

    def equal() -> None:
        found = system.series('dagway:dag_runs:total{site="live"}', server="global")
        federated = {labels["status"]: int(runs) for labels, runs in found if runs}
        assert federated == in_database, (federated, in_database)

    eventually(equal, timeout_s=LONG_S, every_s=1, slowest_s=2)
    runs = ", ".join(f"{count} {status}" for status, count in sorted(in_database.items()))
    took_s = time.monotonic() - began_s
    say(f"federation: after {took_s:.0f} s the global Prometheus had the runs of the database: {runs}")
