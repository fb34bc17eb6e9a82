"""Alerts of a compose system, from Prometheus to a webhook and back, and federation to a second Prometheus."""

import re
import time
from functools import partial
from typing import Any

from tests.deploy.live_system import LONG_S, DisturbedSystem, say
from tests.harness.eventually import eventually

__all__ = ["federate", "raise_and_clear_an_alert"]

_ALERT = "DagwayNoWorkers"
_BY_STATUS = "SELECT status, count(*) FROM dag_runs GROUP BY status"
_GROUP_INTERVAL_S = 300
"""After a call about a group of alerts, Alertmanager makes the next one about it this much later (alertmanager.yml)."""


def raise_and_clear_an_alert(system: DisturbedSystem) -> None:
    """Stop all workers while a run waits, until a webhook hears of it; start them, until it hears of the end."""
    system.sh("docker compose stop worker")
    began_s = time.monotonic()
    system.begin("quick", "waits-for-a-worker")
    eventually(partial(_is_in_alertmanager, system), timeout_s=2 * LONG_S, every_s=1, slowest_s=2)
    held_s = time.monotonic() - began_s
    eventually(partial(_is_heard, system, "firing"), timeout_s=LONG_S, every_s=1, slowest_s=2)
    heard_s = time.monotonic() - began_s
    say(
        f"alerts: without workers {_ALERT} reached Alertmanager {held_s:.0f} s after the start of a run, "
        f"and the webhook {heard_s - held_s:.0f} s later"
    )
    back_s = time.monotonic()
    system.sh("docker compose start worker")
    system.wait_for_end("quick", "waits-for-a-worker")
    say(f"alerts: workers started again: the run succeeded {time.monotonic() - back_s:.1f} s later")
    eventually(lambda: not _in_prometheus(system), timeout_s=LONG_S, every_s=1, slowest_s=2)
    say(f"alerts: {_ALERT} had cleared in Prometheus after {time.monotonic() - back_s:.0f} s")
    # While Alertmanager waits for the end of its interval.
    federate(system)
    eventually(partial(_is_heard, system, "resolved"), timeout_s=LONG_S + _GROUP_INTERVAL_S, every_s=2, slowest_s=5)
    say(
        f"alerts: the webhook heard of the end {time.monotonic() - back_s:.0f} s after the workers came back, "
        f"{time.monotonic() - began_s - heard_s:.0f} s after its first call"
    )
    calls = len(system.calls("/watchdog"))
    eventually(lambda: len(system.calls("/watchdog")) >= calls + 2, timeout_s=LONG_S, every_s=2, slowest_s=5)
    say(f"alerts: the dead man's switch was called {len(system.calls('/watchdog'))} times so far")


def _in_prometheus(system: DisturbedSystem) -> list[Any]:
    return list(system.series(f'ALERTS{{alertname="{_ALERT}",alertstate="firing"}}'))


def _is_in_alertmanager(system: DisturbedSystem) -> bool:
    ask = "docker compose exec -T alertmanager wget --quiet --output-document=- http://127.0.0.1:9093/api/v2/alerts"
    return re.search(rf'"alertname": *"{_ALERT}"', system.sh(ask)) is not None


def _is_heard(system: DisturbedSystem, status: str) -> bool:
    return any(
        alert["labels"]["alertname"] == _ALERT and alert["status"] == status
        for call in system.calls("/on-call")
        for alert in call["alerts"]
    )


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
