"""The shipped monitoring: configurations, rules, runbooks and dashboards."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from scripts.metrics_doc import SUCCESS_RATE, USUAL_SUCCESS_RATE, catalogue, series_names
from services.api.routes import OPERATIONS
from services.api.routes.probes import PROBES
from services.cli import cli
from shared.settings.options import OPTIONS
from shared.transport.base import (
    AUDIT,
    COMMANDS,
    DEAD_LETTERS,
    EVENT_SHARDS,
    EVENTS,
    HEARTBEATS,
    LOGS,
    Durability,
    task_queue,
)
from tests.deploy.manifests import manifest_set, of_kind
from tests.harness.needs import need

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
OPERATIONS_PAGES = sorted((ROOT / "docs/operations").glob("*.md"))
_ENVIRONMENT = {"DAGWAY_SITE": "x", "DAGWAY_DOCS": "https://docs.example.com"}
_BOUNDED = {
    "status", "state", "outcome", "code", "broker_queue", "queue", "queue_kind", "reason",
    "service", "le", "kind", "version", "check", "worker_pool",
}  # fmt: skip
"""Labels whose values come from fixed lists in the code, and the worker pools, of which a bounded number is named."""
_FOREIGN = {
    "up",
    "ALERTS",
    "process_start_time_seconds",
    "rabbitmq_detailed_queue_messages",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
}


def rules(name: str) -> list[dict[str, Any]]:
    # Libyaml reads these in a tenth of the time, and every test process reads them: it collects this module.
    groups = yaml.load((PROMETHEUS / name).read_text(), Loader=yaml.CSafeLoader)["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [*rules("alerts.rules.yml"), *rules("global.rules.yml")]
RECORDED = {rule["record"] for rule in rules("recording.rules.yml")}


def promtool(*args: object) -> None:
    need("prometheus")
    argv = ["promtool", *map(str, args)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | _ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr


def known_names() -> set[str]:
    return {name for found in catalogue().values() for name in series_names(found)} | RECORDED | _FOREIGN


def names_in(expression: str) -> set[str]:
    """Return the names of the metrics in a query, without labels in braces and grouping lists."""
    bare = re.sub(r"\boffset \w+", " ", expression)
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]", " ", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])", bare)
    return {word for word in words if not re.fullmatch(r"and|or|unless|by|on|bool|vector|x", word)}


def panels(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for value in node.values():
            yield from panels(value)
    elif isinstance(node, list):
        for value in node:
            yield from panels(value)


def plain(expression: str) -> str:
    """Replace Grafana's variables by values, so that Prometheus can parse the query."""
    timed = re.sub(r"\$__(rate_)?interval|\$__range", "5m", expression)
    return re.sub(r"\$\{?\w+\}?", "x", timed)


@pytest.mark.parametrize("name", ["leaf.yml", "global.yml"])
def test_prometheus_accepts_its_configuration(name: str) -> None:
    promtool("check", "config", PROMETHEUS / name)


def test_alertmanager_accepts_its_configuration_and_every_alert_reaches_a_receiver() -> None:
    need("alertmanager")
    file = ROOT / "deploy/alertmanager/alertmanager.yml"
    subprocess.run(["amtool", "check-config", file], check=True, capture_output=True)

    def receiver(alert: str, severity: str) -> str:
        argv = [
            "amtool",
            "config",
            "routes",
            "test",
            f"--config.file={file}",
            f"alertname={alert}",
            f"severity={severity}",
        ]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    assert {receiver(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS[:2]} == {"on-call"}
    (watchdog,) = rules("watchdog.rules.yml")
    assert (watchdog["expr"], receiver(watchdog["alert"], "none")) == ("vector(1)", "watchdog")


def test_the_dead_mans_switch_is_called_every_minute() -> None:
    (route,) = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())["route"]["routes"]

    look_s, repeat_s = (int(route[name].removesuffix("s")) for name in ("group_interval", "repeat_interval"))
    assert look_s < repeat_s, "else Alertmanager warns at each start"
    assert 60 - look_s < repeat_s < 60, "Alertmanager looks once in each group_interval whether this time has passed"


@pytest.mark.parametrize("name", ["leaf.yml", "global.yml"])
def test_prometheus_sends_its_alerts_to_alertmanager(name: str) -> None:
    (found,) = yaml.safe_load((PROMETHEUS / name).read_text())["alerting"]["alertmanagers"]

    assert [(each["names"], each["port"]) for each in found["dns_sd_configs"]] == [(["alertmanager"], 9093)]


def test_the_rules_do_what_their_tests_say() -> None:
    promtool("test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))


def test_every_alert_is_tried_firing_and_quiet() -> None:
    tried = {test["name"] for test in yaml.safe_load((PROMETHEUS / "tests/alerts_test.yml").read_text())["tests"]}

    assert tried == {f"{rule['alert']} {what}" for rule in ALERTS for what in ("fires", "stays quiet")}


def test_rules_ask_for_metrics_that_exist() -> None:
    asked = {name for rule in [*rules("recording.rules.yml"), *ALERTS] for name in names_in(rule["expr"])}

    assert asked - known_names() == set()


def test_the_success_rate_counts_failed_runs_and_the_usual_query_does_not(tmp_path: Path) -> None:
    """Two gateways read the same counts: in the first hour of 8 runs 6 succeed, in the second all fail."""
    counts = {"succeeded": "0+6x60 360x60", "success": "0+6x60 360x60", "failed": "0+2x60 120+4x60", "running": "5x120"}
    counts["error"] = counts["failed"]
    series = [
        {"series": f'dagu_dag_runs_total{{instance="{gateway}",status="{status}"}}', "values": values}
        for gateway in ("a", "b")
        for status, values in counts.items()
    ]
    usual = [f'{{instance="{gateway}",status="success"}}' for gateway in ("a", "b")]
    only_nan_differs_from_itself = f"count({USUAL_SUCCESS_RATE} != {USUAL_SUCCESS_RATE})"
    expected = [
        (SUCCESS_RATE, "1h", ["{}"], 0.75),
        (SUCCESS_RATE, "2h", ["{}"], 0),
        (USUAL_SUCCESS_RATE, "1h", usual, 1),
        (only_nan_differs_from_itself, "2h", ["{}"], 2),
    ]
    checks = [
        {"expr": query, "eval_time": at, "exp_samples": [{"labels": each, "value": value} for each in labels]}
        for query, at, labels, value in expected
    ]
    file = tmp_path / "success_rate.yml"
    file.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]}))

    promtool("test", "rules", file)


def test_what_leaves_the_installation_names_no_dag_no_worker_and_no_process() -> None:
    match = yaml.safe_load((PROMETHEUS / "global.yml").read_text())["scrape_configs"][0]["params"]["match[]"]

    assert match == ['{__name__=~"dagway:.+"}', 'ALERTS{alertname=~"Dagway.+",alertstate="firing"}']
    for rule in rules("recording.rules.yml"):
        grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        kept = {label.strip() for group in grouped for label in group.split(",")}
        assert kept <= _BOUNDED, rule["record"]
        assert re.match(r"(sum|max|min|count)\b", rule["expr"]), rule["record"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_it_is_and_has_a_page(rule: dict[str, Any]) -> None:
    page = ROOT / f"docs/runbooks/{rule['alert']}.md"

    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.docs }}}}/runbooks/{rule['alert']}/"
    assert page.read_text().startswith(f"# {rule['alert']}\n")


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    assert {page.stem for page in RUNBOOKS} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("page", [*RUNBOOKS, *OPERATIONS_PAGES], ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL) for line in block.splitlines()
    ]

    assert commands or page in OPERATIONS_PAGES
    for command in commands:
        # Skip lines of environment files.
        if not re.match(r"[A-Z_]+=", command):
            check_command(re.sub(r"^\(umask \d+; (.*)\)$", r"\1", command))
    for link in re.findall(r"\]\((?!https://)([^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


_COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
_SHIPPED = {
    f"{found['kind']}/{found['metadata']['name']}".lower()
    for file in (ROOT / "deploy/k8s").rglob("*.yaml")
    for found in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)
    if found["kind"] not in {"Kustomization", "Component"}
}
"""What the manifests make, such as ``deployment/dagway-api``. A worker pool with a volume is made by the chart only."""
_CHOSEN_BY_READERS = {"statefulset/dagway-worker-pool", "node/node"}
_PATHS = [
    re.compile(prefix + re.sub(r"\{\w+\}", "[^/]+", operation.path))
    for prefix, operations in (("/api/v2", OPERATIONS), ("", PROBES))
    for operation in operations
]
_KUBECTL = {
    "get",
    "logs",
    "describe",
    "rollout",
    "scale",
    "apply",
    "exec",
    "wait",
    "create",
    "delete",
    "port-forward",
    "drain",
    "set",
    "patch",
    "debug",
}
_VERBS = {
    "ps",
    "logs",
    "run",
    "restart",
    "up",
    "exec",
    "stop",
    "down",
    "config",
    "start",
    "build",
    "cp",
    "kill",
    "pull",
}


def check_command(command: str) -> None:
    """Fail if a command names a program, service, workload or API path that does not exist."""
    words = command.split()
    match words[0]:
        case "docker":
            assert words[1] == "compose", command
            rest = [word for word in words[2:] if not word.startswith("-")]
            assert rest[0] in _VERBS, command
            services = set(_COMPOSE)
            if rest[0] in {"exec", "run", "restart"}:
                assert rest[1] in services or rest[2] in services, command
        case "kubectl":
            assert _KUBECTL & set(words), command
            for named in re.findall(r" ((?:deployment|statefulset|job|service|scaledobject|node)/[\w-]+)", command):
                assert named.lower() in _SHIPPED | _CHOSEN_BY_READERS, command
            for setting in re.findall(r" (DAGWAY_\w+)", command):
                assert setting in {option.env for option in OPTIONS}, command
            for folder in re.findall(r"-[kf] (deploy\S+)", command):
                assert (ROOT / folder).exists(), command
        case "curl":
            path = re.search(r"http://127\.0\.0\.1:8080([^\s?]*)", command)
            assert path is not None, command
            assert any(one.fullmatch(path[1]) for one in _PATHS), command
        case "dagway":
            assert cli.get_command(click.Context(cli), words[1]), command
        case "echo":
            assert re.search(rf"\$\{{{words[1].partition('=')[0]}:", (ROOT / "docker-compose.yml").read_text()), command
        case "sudo":
            assert words[1:3] in (["chronyc", "-a"], ["docker", "image"]), command
        case "chmod" | "mv" | "rm" | "sed" | "umask" | "export" | "grep":
            pass
        case other:
            assert (ROOT / other).exists(), command


def test_there_are_the_four_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["dagway-broker", "dagway-dags", "dagway-overview", "dagway-workers"]
    for path in DASHBOARDS:
        assert json.loads(path.read_text())["uid"] == path.stem


def test_every_query_of_a_panel_is_valid(tmp_path: Path) -> None:
    queries = [plain(query) for path in DASHBOARDS for query in panels(json.loads(path.read_text()))]
    made = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}))

    assert len(queries) > 30
    promtool("check", "rules", file)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_show_metrics_that_exist(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    asked = {name for query in panels(dashboard) for name in names_in(plain(query))}
    asked |= {variable["query"].split("(")[1].split(",")[0] for variable in dashboard["templating"]["list"]}

    assert asked - known_names() == set()
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"dagway"}


def test_a_broken_query_of_a_panel_is_detected(tmp_path: Path) -> None:
    file = tmp_path / "panels.yml"
    file.write_text(
        yaml.safe_dump({"groups": [{"name": "p", "rules": [{"record": "a:b", "expr": "sum(rate(x[5m])"}]}]})
    )

    with pytest.raises(AssertionError):
        promtool("check", "rules", file)


def test_keda_asks_for_work_that_is_measured() -> None:
    folder = ROOT / "deploy/k8s/components/keda"
    scaled = yaml.safe_load((folder / "scaled-object.yaml").read_text())
    trigger = scaled["spec"]["triggers"][0]

    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert set(scaled["spec"]) == {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback", "advanced", "triggers"
    }  # fmt: skip
    assert f"deployment/{scaled['spec']['scaleTargetRef']['name']}" in _SHIPPED
    assert set(trigger["metadata"]) == {"serverAddress", "query", "ignoreNullValues", "threshold"}
    assert names_in(trigger["metadata"]["query"]) == {"dagway_open_attempts"} <= known_names()
    # As in KEDA's definition of the kind: metadata values are texts, all others are numbers.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert float(trigger["metadata"]["threshold"]) > 0
    spec = scaled["spec"]
    assert isinstance(spec["pollingInterval"], int)
    assert 1 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    assert set(spec["fallback"]) == {"failureThreshold", "replicas", "behavior"}
    assert set(spec["advanced"]) == {"horizontalPodAutoscalerConfig"}
    scale_down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert set(scale_down) == {"stabilizationWindowSeconds", "policies"}
    assert all(set(policy) == {"type", "value", "periodSeconds"} for policy in scale_down["policies"])


def test_the_broker_cluster_loses_nothing_with_a_node() -> None:
    definitions = json.loads((ROOT / "deploy/rabbitmq/cluster-definitions.json").read_text())
    policy = definitions["policies"][0]

    for route in (COMMANDS, EVENTS, *EVENT_SHARDS, LOGS):
        assert route.durability is Durability.SAFE
        assert re.fullmatch(policy["pattern"], route.name)
    assert policy["definition"] == {"target-group-size": 3}


def test_prometheus_asks_every_installation_for_the_broker_under_a_name_that_is_there() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((PROMETHEUS / "leaf.yml").read_text())["scrape_configs"]}
    names = {name for job in ("rabbitmq", "rabbitmq-queues") for name in jobs[job]["dns_sd_configs"][0]["names"]}

    assert names <= set(_COMPOSE)
    need("kubectl")
    for overlay in ("dev", "watched"):
        services = of_kind(manifest_set(f"{overlay}-rendered"), "Service")
        assert names <= {each["metadata"]["name"] for each in services}


def test_prometheus_keeps_the_series_of_every_queue_that_all_workers_share() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((PROMETHEUS / "leaf.yml").read_text())["scrape_configs"]}
    (kept,) = jobs["rabbitmq-queues"]["metric_relabel_configs"]
    shared = [COMMANDS, EVENTS, *EVENT_SHARDS, LOGS, AUDIT, HEARTBEATS, DEAD_LETTERS, task_queue({})]

    assert [queue.name for queue in shared if not re.fullmatch(kept["regex"], queue.name)] == []
    assert not re.fullmatch(kept["regex"], "dagway.worker.default-w1")
