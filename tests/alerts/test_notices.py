"""What the shipped Alertmanager configuration sends, to whom, and in which groups."""

from typing import Any

from tests.alerts.watched import Watched
from tests.harness.eventually import eventually


def _alert(name: str, site: str, severity: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, "site": site, "severity": severity, **labels}}


def _sent(watched: Watched, site: str) -> list[tuple[dict[str, str], set[str]]]:
    """Return the label ``service`` of the alerts in each call about a site, with the labels that its group has."""
    calls = [call for call in watched.receiver.calls("/on-call") if call["groupLabels"].get("site") == site]
    return [(call["groupLabels"], {each["labels"].get("service", "") for each in call["alerts"]}) for call in calls]


def test_alerts_of_one_name_and_site_are_one_notice(watched: Watched) -> None:
    watched.alertmanager.post(
        _alert("DagwayServiceDown", "grouped", "warning", service="api"),
        _alert("DagwayServiceDown", "grouped", "warning", service="worker"),
        _alert("DagwayOutboxOld", "grouped", "warning"),
    )
    eventually(lambda: len(_sent(watched, "grouped")) == 2)

    sent = {group["alertname"]: services for group, services in _sent(watched, "grouped")}
    assert sent == {"DagwayServiceDown": {"api", "worker"}, "DagwayOutboxOld": {""}}


def test_without_the_broker_only_critical_alerts_of_its_site_are_sent(watched: Watched) -> None:
    watched.alertmanager.post(_alert("DagwayBrokerDown", "away", "critical"))
    eventually(lambda: len(_sent(watched, "away")) == 1)
    watched.alertmanager.post(
        _alert("DagwayQueueWaitLong", "away", "warning"),
        _alert("DagwayNoWorkers", "away", "critical"),
        _alert("DagwayQueueWaitLong", "elsewhere", "warning"),
    )
    eventually(lambda: len(_sent(watched, "away")) == 2 and len(_sent(watched, "elsewhere")) == 1)

    assert [group["alertname"] for group, _ in _sent(watched, "away")] == ["DagwayBrokerDown", "DagwayNoWorkers"]
    assert "DagwayQueueWaitLong" in watched.alertmanager.inhibited()


def test_the_dead_mans_switch_is_called_again_and_again_and_nobody_else_hears_of_it(watched: Watched) -> None:
    def calls() -> int:
        return len(watched.notices("DagwayWatchdog", "firing", receiver="watchdog"))

    first = calls()
    eventually(lambda: calls() >= first + 3)
    assert watched.notices("DagwayWatchdog", "firing") == []
