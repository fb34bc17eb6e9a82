"""One Prometheus can scrape several installations of the chart: the alerts and the scaling of each are about itself."""

import json
import re
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from scripts.sbom import ROOT
from tests.deploy.chart import render
from tests.deploy.manifests import of_kind
from tests.deploy.test_monitoring import promtool

OWN, OTHER = "dagway/dagway", "staging/dagway"
_FILE = ROOT / "deploy/prometheus/tests/alerts_test.yml"
TESTS: dict[str, dict[str, Any]] = {each["name"]: each for each in yaml.safe_load(_FILE.read_text())["tests"]}
ALERTS = (
    "DagwayNoScheduler",
    "DagwayNoGateway",
    "DagwayNoWorkers",
    "DagwayServiceDown",
    "DagwayReplicaMissing",
    "DagwayErrorRate",
    "DagwayRunsFailing",
    "DagwayFiresMissed",
)
"""Those whose rules join several series: such a rule can take the series of another installation for its own."""
STATES = ("fires", "stays quiet")


@cache
def _objects() -> list[dict[str, Any]]:
    scaling = {"kind": "keda", "keda": {"serverAddress": "http://prometheus.monitoring.svc:9090"}}
    watched = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    return render({**watched, "workerDefaults": {"autoscaling": scaling}})


def _series(test: str, site: str) -> list[dict[str, str]]:
    """Return the input of a test of the rules with a site, which series of RabbitMQ itself have not."""

    def placed(series: str) -> str:
        name, _, labels = series.partition("{")
        if name.startswith("rabbitmq_"):
            return series
        return f'{name}{{site="{site}",{labels or "}"}'

    def values(given: str | int) -> str:
        # YAML takes 0x40, which means forty zeros here, for a hexadecimal number.
        return given if isinstance(given, str) else hex(given)

    given = TESTS[test]["input_series"]
    return [{"series": placed(each["series"]), "values": values(each["values"])} for each in given]


def _beside(own: str, other: str) -> dict[str, Any]:
    """Return the test of the rules ``own``, while another installation is as in the test ``other``."""
    there = [each for each in _series(other, OTHER) if not each["series"].startswith("rabbitmq_")]
    return TESTS[own] | {"input_series": [*_series(own, OWN), *there]}


def test_an_alert_is_about_the_own_installation_alone(tmp_path: Path) -> None:
    """A healthy installation hides no fault of another, and a fault raises no alert of a healthy one."""
    (rule,) = of_kind(_objects(), "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    pairs = [(f"{alert} {one}", f"{alert} {two}") for alert in ALERTS for one, two in (STATES, STATES[::-1])]
    tests = [_beside(own, other) for own, other in pairs]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": tests}))

    promtool("test", "rules", file)


def test_every_series_and_alert_says_which_installation_it_is_about() -> None:
    (rule,), (monitor,) = of_kind(_objects(), "PrometheusRule"), of_kind(_objects(), "ServiceMonitor")

    rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert {each["labels"]["site"] for each in rules} == {OWN}
    asked = [
        (each["expr"], found.end())
        for each in rules
        for found in re.finditer(r"\b(?:dagway[_:][\w:]+|dagu_\w+|up(?=\{))", each["expr"])
    ]
    assert len(asked) > 90
    assert [(expr, end) for expr, end in asked if not expr[end:].startswith(f'{{site="{OWN}"')] == []
    (endpoint,) = monitor["spec"]["endpoints"]
    assert {"action": "replace", "targetLabel": "site", "replacement": OWN} in endpoint["relabelings"]


def test_a_pool_is_scaled_by_its_own_installation() -> None:
    (scaled,) = of_kind(_objects(), "ScaledObject")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]

    assert len(re.findall(r"dagway_open_attempts", query)) == query.count(f'{{site="{OWN}"') == 2


def test_each_dashboard_shows_its_own_installation() -> None:
    watched = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    maps = of_kind(render({**watched, "dashboards": {"enabled": True}}), "ConfigMap")
    texts = [text for each in maps for name, text in each["data"].items() if name.endswith(".json")]
    shipped = [json.loads(file.read_text()) for file in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))]
    series = 0

    assert len(texts) == len(shipped)
    for dashboard, original in zip(sorted(map(json.loads, texts), key=itemgetter("uid")), shipped, strict=True):
        # Grafana refuses a second dashboard with the same uid.
        assert dashboard["uid"].startswith(f"{original['uid']}-")
        assert dashboard["title"] == f"{original['title']} ({OWN})"
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        asked += [variable["query"] for variable in dashboard["templating"]["list"]]
        for query in asked:
            ends = [found.end() for found in re.finditer(r"\b(?:dagway[_:][\w:]+|dagu_\w+|ALERTS)", query)]
            series += len(ends)
            assert all(query[end:].startswith(f'{{site="{OWN}"') for end in ends), query
    assert series > 40


def test_the_start_of_a_pod_does_not_walk_through_all_files_of_its_volume() -> None:
    kept = {"persistence": {"enabled": True}}
    for pool in ({**kept, "separateUsers": True}, {**kept, "separateUsers": False}):
        (worker,) = of_kind(render({"workerDefaults": pool}), "StatefulSet")
        security = worker["spec"]["template"]["spec"]["securityContext"]
        assert (security["fsGroup"], security["fsGroupChangePolicy"]) == (10001, "OnRootMismatch")
