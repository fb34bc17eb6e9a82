"""The Helm chart: the same system as the kustomize base, values with a schema, and objects that all parts accept.

``test_manifests`` applies the rules for all manifests to the chart too.
"""

import copy
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.sbom import ROOT
from tests.deploy.chart import CHART, VALUE_SETS, Refused, lint, notes, render
from tests.deploy.kube_versions import custom_faults, faults
from tests.deploy.likeness import differences
from tests.deploy.manifests import Object, containers, custom_kinds, manifest_set, of_kind, pod_templates, ports_out

EVERYTHING = "everything-chart"


def _named(objects: list[Object], kind: str, name: str) -> Any:
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)


def test_the_chart_and_the_kustomize_base_make_the_same_system() -> None:
    assert differences(manifest_set("plain-chart"), manifest_set("base-sources")) == []


_API = "dagway-api"
DRIFTS: dict[str, tuple[str, Callable[[list[Object]], Any]]] = {
    "image": ("image", lambda them: _first_container(them, _API).update(image="dagway:0.0.9")),
    "port": ("ports", lambda them: _first_container(them, _API)["ports"].pop()),
    "probe": ("livenessProbe", lambda them: _first_container(them, _API)["livenessProbe"].update(periodSeconds=1)),
    "setting": ("settings", lambda them: _first_container(them, _API).update(envFrom=[])),
    "secret": ("secrets", lambda them: _first_container(them, _API)["env"].pop()),
    "rights": ("securityContext", lambda them: _first_container(them, _API)["securityContext"].pop("capabilities")),
    "grace": (
        "terminationGracePeriodSeconds",
        lambda them: _named(them, "Deployment", _API)["spec"]["template"]["spec"].update(
            terminationGracePeriodSeconds=5
        ),
    ),
    "network": ("NetworkPolicy/dagway-api", lambda them: _named(them, "NetworkPolicy", _API)["spec"]["egress"].pop()),
    "an object": ("ServiceAccount/dagway-api", lambda them: them.remove(_named(them, "ServiceAccount", _API))),
}


def _first_container(objects: list[Object], deployment: str) -> Any:
    return _named(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_comparison_sees_a_drift(drift: str) -> None:
    said, plant = DRIFTS[drift]
    objects = copy.deepcopy(manifest_set("base-sources"))

    plant(objects)

    assert [each for each in differences(manifest_set("plain-chart"), objects) if said in each]


@pytest.mark.parametrize("name", VALUE_SETS)
def test_helm_and_the_schemas_accept_a_value_set(name: str) -> None:
    assert lint(yaml.safe_load(VALUE_SETS[name].read_text())) == []
    assert list(custom_faults(custom_kinds(f"{name}-chart"))) == []


def test_a_fault_in_any_version_or_kind_is_found() -> None:
    broken = copy.deepcopy(_named(manifest_set("plain-chart"), "Deployment", "dagway-scheduler"))
    broken["spec"]["replica"] = 2
    scaled = copy.deepcopy(next(of_kind(custom_kinds(EVERYTHING), "ScaledObject")))
    scaled["spec"]["triggers"][0]["metadata"]["querry"] = "x"

    assert len(list(faults([broken]))) == 9
    assert len(list(custom_faults([scaled]))) == 1
    assert list(custom_faults([{**scaled, "apiVersion": "keda.sh/v1"}])) == [
        "ScaledObject/dagway-worker: no definition of keda.sh/v1/ScaledObject"
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workerPool": []}, "workerPool"),
        ({"workerPools": [{"replicas": 2}]}, "name"),
        ({"workerPools": [{"name": "Team A"}]}, "name"),
        ({"workerPools": [{"name": "a"}, {"name": "a"}]}, "two pools have the name"),
        ({"workerPools": [{"name": "a", "gpus": 1}]}, "gpus"),
        ({"deletionCosts": {"replicas": 2}}, "replicas"),
        ({"scheduler": {"replicas": "two"}}, "replicas"),
        ({"workerDefaults": {"dataSize": "10G"}}, "dataSize"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"settings": {"DAGWAY_DATABASE_URL": "postgresql://user:password@host/dagway"}}, "DAGWAY_DATABASE_URL"),
        ({"settings": {"DAGWAY_HOST": "127.0.0.1"}}, "DAGWAY_HOST"),
        ({"login": {"mode": "none"}}, "mode"),
        ({"login": {"mode": "oidc"}}, "issuer"),
        ({"externalSecrets": {"enabled": True}}, "name"),
        ({"httpRoute": {"enabled": True}}, "parentRefs"),
        ({"workerDefaults": {"stepMaxMemory": "2Gi"}}, "stepMaxMemory of .* is not below its memory limit"),
        ({"workerDefaults": {"stepMaxMemory": "512m"}}, "stepMaxMemory"),
        ({"workerDefaults": {"autoscaling": {"kind": "keda"}}}, "serverAddress of .* is missing"),
        ({"workerDefaults": {"dataSize": "50Gi"}}, "dataSize and tmpSize of .* ephemeral-storage, 12Gi"),
        ({"workerDefaults": {"persistence": {"enabled": True}, "tmpSize": "13Gi"}}, "tmpSize of .* ephemeral-storage"),
        ({"dags": {"gitSync": {"enabled": True}}}, "repo"),
        ({"dags": {"gitSync": {"repo": "https://token@git.example.com/flows.git"}}}, "repo"),
    ],
)
def test_helm_refuses_values_and_names_them(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        render(values)


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def names(part: Any, given: Any, at: str) -> None:
        allowed = part.get("properties")
        if part.get("$ref"):
            return names(schema["definitions"][part["$ref"].rpartition("/")[2]], given, at)
        if allowed is not None:
            assert set(given) == set(allowed) - {"global"}, at
            assert part["additionalProperties"] is False, at
            for name, value in given.items():
                names(allowed[name], value, f"{at}.{name}")
        return None

    names(schema, values, "values")
    pool = schema["properties"]["workerPools"]["items"]["properties"]
    assert set(pool) - {"name"} == set(schema["properties"]["workerDefaults"]["properties"])


def test_a_pool_has_the_workers_that_its_values_ask_for() -> None:
    objects = manifest_set(EVERYTHING)

    gpu = _named(objects, "Deployment", "dagway-worker-gpu")["spec"]["template"]["spec"]
    container = gpu["containers"][0]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert (gpu["priorityClassName"], gpu["runtimeClassName"]) == ("batch", "nvidia")
    assert (gpu["nodeSelector"], gpu["terminationGracePeriodSeconds"]) == ({"example.com/gpu": "a100"}, 3620)
    assert env["DAGWAY_WORKER_POOL"] == "gpu"
    assert env["DAGWAY_WORKER_LABELS"] == "gpu=true,region=eu"
    assert env["DAGWAY_WORKER_SLOTS"] == "4"
    # What the pool does not say is as in workerDefaults.
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "8Gi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": 2},
        "limits": {"cpu": "8", "memory": "16Gi", "ephemeral-storage": "12Gi", "nvidia.com/gpu": 2},
    }

    etl = _named(objects, "StatefulSet", "dagway-worker-etl")["spec"]
    (claim,) = etl["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]) == (
        "fast",
        {"requests": {"storage": "50Gi"}},
    )
    assert etl["serviceName"] in {each["metadata"]["name"] for each in of_kind(objects, "Service")}
    scaler = _named(objects, "HorizontalPodAutoscaler", "dagway-worker-etl")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "dagway-worker-etl"}
    egress = _named(objects, "NetworkPolicy", "dagway-worker-etl")["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "10.30.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]} in egress
    (scaled,) = of_kind(custom_kinds(EVERYTHING), "ScaledObject")
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (4, 40)


def test_one_scheduler_follows_the_repository_that_the_values_name() -> None:
    objects = manifest_set(EVERYTHING)
    pod = _named(objects, "StatefulSet", "dagway-scheduler-git")["spec"]["template"]
    (git_sync,), (scheduler,) = pod["spec"]["initContainers"], pod["spec"]["containers"]

    assert git_sync["image"] == "registry.example.com/mirror/git-sync:v4.5.0"
    assert git_sync["args"] == [
        "--repo=git@git.example.com:team/workflows.git",
        "--ref=production",
        "--root=/git",
        "--link=current",
        "--period=2m",
        "--max-failures=10",
        "--http-bind=:9001",
        "--ssh-key-file=/etc/git-secret/ssh-privatekey",
        "--ssh-known-hosts-file=/etc/git-secret/known_hosts",
    ]
    # The container beside it starts after the first checkout, and cannot change it.
    assert git_sync["restartPolicy"] == "Always"
    assert {"name": "DAGWAY_DAGS_DIR", "value": "/git/current/flows"} in scheduler["env"]
    assert {"name": "git", "mountPath": "/git", "readOnly": True} in scheduler["volumeMounts"]
    (service,) = [
        each for each in of_kind(objects, "Service") if each["metadata"]["name"] == "dagway-scheduler-metrics"
    ]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert ports_out(objects, pod) == {53, 5671, 6432, 22}
    ordinary = _named(objects, "Deployment", "dagway-scheduler")["spec"]["template"]
    assert ports_out(objects, ordinary) == {53, 5671, 6432}
    assert "DAGWAY_DAGS_DIR" not in {each["name"] for each in _first_container(objects, "dagway-scheduler")["env"]}


def test_a_public_repository_needs_no_secret() -> None:
    objects = render({"dags": {"gitSync": {"enabled": True, "repo": "https://git.example.com/flows", "ref": "v1"}}})
    pod = _named(objects, "StatefulSet", "dagway-scheduler-git")["spec"]["template"]["spec"]

    assert not [each for each in pod["initContainers"][0]["args"] if "secret" in each or "username" in each]
    assert not [each for each in pod["volumes"] if "secret" in each]


@pytest.mark.parametrize(
    ("pool", "given"),
    [
        ({}, "1536Mi"),
        ({"resources": {"limits": {"memory": "6Gi"}}}, "4608Mi"),
        ({"resources": {"limits": {"memory": "500M"}}}, "357Mi"),
        ({"resources": {"limits": {"memory": "1.5Gi"}}}, "1152Mi"),
        ({"resources": {"limits": {"memory": 4_294_967_296}}}, "3072Mi"),
        ({"stepMaxMemory": "1Gi"}, "1024Mi"),
        ({"stepMaxMemory": "none"}, None),
        ({"gpu": {"count": 1}}, None),
        ({"gpu": {"count": 1}, "stepMaxMemory": "256Mi"}, "256Mi"),
    ],
)
def test_a_step_gets_less_memory_than_its_pod(pool: dict[str, Any], given: str | None) -> None:
    worker = _first_container(render({"workerPools": [{"name": "default", **pool}]}), "dagway-worker")
    env = {each["name"]: each.get("value") for each in worker["env"]}

    assert env.get("DAGWAY_STEP_MAX_MEMORY") == given


def test_the_processes_of_a_run_are_those_of_the_settings_if_they_name_any() -> None:
    worker = _first_container(render({"settings": {"DAGWAY_STEP_MAX_PROCESSES": 9000}}), "dagway-worker")

    assert "DAGWAY_STEP_MAX_PROCESSES" not in {each["name"] for each in worker["env"]}, "it would override them"


def test_values_that_yaml_would_take_for_other_types_stay_texts() -> None:
    settings = {"DAGWAY_MAX_RUNS": 1_000_000, "DAGWAY_SMALL": 7, "DAGWAY_ON": True, "DAGWAY_HOST": "::"}
    values = {
        "settings": settings,
        "workerPools": [{"name": "default"}, {"name": "true"}],
        "ingress": {"enabled": True, "host": "*.example.com"},
    }
    objects = render(values)

    data = _named(objects, "ConfigMap", "dagway-config")["data"]
    assert [data[name] for name in settings] == ["1000000", "7", "true", "::"]
    pod = _named(objects, "Deployment", "dagway-worker-true")["spec"]["template"]
    assert pod["metadata"]["labels"]["dagway/pool"] == "true"
    assert {"name": "DAGWAY_WORKER_POOL", "value": "true"} in pod["spec"]["containers"][0]["env"]
    (ingress,) = of_kind(objects, "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == ingress["spec"]["tls"][0]["hosts"][0] == "*.example.com"


def test_pods_meet_the_restricted_standard_if_asked_to() -> None:
    for template in pod_templates(manifest_set("restricted-chart")):
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in containers(template):
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_external_secrets_make_every_secret_that_the_pods_read() -> None:
    made = {
        (each["spec"]["target"]["name"], item["secretKey"])
        for each in of_kind(custom_kinds(EVERYTHING), "ExternalSecret")
        for item in each["spec"]["data"]
    }
    read = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for template in pod_templates(manifest_set(EVERYTHING))
        for container in containers(template)
        for variable in container["env"]
        if "valueFrom" in variable
    }

    assert made == read


def test_every_pod_has_the_authorities_that_its_urls_name() -> None:
    for template in pod_templates(manifest_set(EVERYTHING)):
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == "deletion-costs":
            continue  # It has no URL of a server.
        (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "ca"]
        assert volume["secret"] == {"secretName": "servers-ca"}
        for container in containers(template):
            assert {"name": "ca", "mountPath": "/etc/dagway/ca", "readOnly": True} in container["volumeMounts"]


def test_the_migration_needs_no_object_that_is_made_after_it() -> None:
    """Helm creates hooks before all other objects, and so does Argo CD, which runs them as PreSync."""
    objects = [*manifest_set(EVERYTHING), *custom_kinds(EVERYTHING)]
    hooks = [each for each in objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    job = _named(hooks, "Job", "dagway-migrate")
    pod = job["spec"]["template"]["spec"]

    assert {each["metadata"]["annotations"]["helm.sh/hook"] for each in hooks} == {"pre-install,pre-upgrade"}
    assert {each["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for each in hooks} == {"before-hook-creation"}
    assert {(each["kind"], each["metadata"]["name"]) for each in hooks} == {
        ("Job", "dagway-migrate"),
        ("ServiceAccount", pod["serviceAccountName"]),
        ("NetworkPolicy", "dagway-migrate"),
        ("ExternalSecret", pod["containers"][0]["env"][-1]["valueFrom"]["secretKeyRef"]["name"]),
    }
    assert "envFrom" not in pod["containers"][0]
    first = [int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks if each["kind"] != "Job"]
    assert max(first) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    # Whatever disappears by itself is missing for Argo CD.
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_prometheus_gets_the_rules_and_finds_every_pod() -> None:
    objects = manifest_set(EVERYTHING)
    (rule,) = of_kind(custom_kinds(EVERYTHING), "PrometheusRule")
    files = [ROOT / "deploy/prometheus" / f"{name}.rules.yml" for name in ("recording", "alerts")]
    texts = [
        file.read_text().replace("{{ $externalLabels.docs }}", "https://docs.example.com/dagway") for file in files
    ]
    groups = copy.deepcopy(rule["spec"]["groups"])
    for each in (each for group in groups for each in group["rules"]):
        # The rules of an installation are about its own series: test_installations.
        each["expr"] = re.sub(r'\{site="dagway/dagway"\}|site="dagway/dagway",', "", each["expr"])
        each["labels"].pop("site")
        if not each["labels"]:
            del each["labels"]
    assert groups == [group for text in texts for group in yaml.safe_load(text)["groups"]]

    (monitor,) = of_kind(custom_kinds(EVERYTHING), "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = [each for each in of_kind(objects, "Service") if wanted <= each["metadata"]["labels"].items()]
    workloads = [each["metadata"]["name"] for each in of_kind(objects, "Deployment", "StatefulSet")]
    # The scheduler with the checkout is scraped with the others.
    workloads.remove("dagway-scheduler-git")
    assert sorted(each["metadata"]["name"] for each in scraped) == sorted(f"{name}-metrics" for name in workloads)
    # Rules and dashboards tell services apart by this label.
    assert {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in scraped} == {
        "api",
        "scheduler",
        "worker",
        "deletion-costs",
    }


def test_an_alert_can_be_left_out_and_the_others_stay() -> None:
    (rule,) = of_kind(
        render({"prometheusRule": {"enabled": True, "without": ["DagwayBrokerUnwatched"]}}), "PrometheusRule"
    )

    shipped = re.findall(r"alert: (\w+)", (ROOT / "deploy/prometheus/alerts.rules.yml").read_text())
    found = [each["alert"] for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    assert found == [alert for alert in shipped if alert != "DagwayBrokerUnwatched"]


def test_the_notes_say_which_alerts_need_something() -> None:
    room = "DagwayDatabaseDiskLow"
    with_rules = {"prometheusRule": {"enabled": True}}

    assert "DagwayBrokerUnwatched" in notes(with_rules)
    assert room in notes(with_rules)
    assert room not in notes({**with_rules, "settings": {"DAGWAY_DATABASE_ROOM_MIB": 200_000}})
    assert room not in notes({})


def test_the_dashboards_ask_the_data_source_that_the_values_name() -> None:
    maps = [each for each in of_kind(manifest_set(EVERYTHING), "ConfigMap") if "-dashboard" in each["metadata"]["name"]]

    assert len(maps) == 4
    for each in maps:
        (text,) = each["data"].values()
        assert '"uid": "prometheus"' in text
        assert '"uid": "dagway"' not in text
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_two_releases_in_one_namespace_share_no_pod() -> None:
    for each in of_kind(manifest_set("plain-chart"), "Service", "Deployment", "NetworkPolicy", "PodDisruptionBudget"):
        selector = each["spec"].get("selector") or each["spec"]["podSelector"]
        assert selector.get("matchLabels", selector)["app.kubernetes.io/instance"] == "dagway"


def test_the_chart_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_page_lists_every_secret_and_its_keys() -> None:
    page = (ROOT / "docs/operations/helm.md").read_text()
    listed = {
        (secret, key)
        for secret, keys in re.findall(r"^\| `(dagway-\w+)` \| (.*?) \|", page, re.MULTILINE)
        for key in re.findall(r"`([\w-]+)`", keys)
    }
    read = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for template in pod_templates(manifest_set("plain-chart"))
        for container in containers(template)
        for variable in container["env"]
        if "valueFrom" in variable
    }

    assert listed == read
