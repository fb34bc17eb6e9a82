"""The Kubernetes manifests satisfy the rules, and the rules detect planted defects."""

import copy
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from shared.settings.config import load_config
from tests.deploy.manifests import ROOT, Object, containers, manifest_set, of_kind, pod_templates, set_names
from tests.deploy.rules import complaints

NAMES = set_names()


ASKED_FOR = {"everything-chart": ["fenced: a worker reaches more than the broker and names"]}
"""Complaints about what a set wants: the values give one pool more egress."""


@pytest.mark.parametrize("name", NAMES)
def test_manifests_hold_to_the_rules(name: str) -> None:
    assert complaints(manifest_set(name)) == ASKED_FOR.get(name, [])


def _first(objects: list[Object], kind: str, name: str) -> Any:
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)["spec"]


def _container(objects: list[Object], deployment: str) -> Any:
    return _first(objects, "Deployment", deployment)["template"]["spec"]["containers"][0]


def _set_env(container: Any, name: str, how: dict[str, Any] | None) -> None:
    """Replace the environment variable, or remove it."""
    container["env"] = [each for each in container["env"] if each["name"] != name]
    if how is not None:
        container["env"].append({"name": name, **how})


def _put(where: Callable[[list[Object]], Any], key: str, value: Any) -> Callable[[list[Object]], None]:
    def change(objects: list[Object]) -> None:
        where(objects)[key] = value

    return change


def _remove_variable(container: Any, name: str) -> None:
    container["env"] = [each for each in container["env"] if each["name"] != name]


DEFECTS: dict[str, tuple[str, Callable[[list[Object]], None]]] = {
    "wrong type": ("schema", _put(lambda them: _first(them, "Deployment", "dagway-worker"), "replicas", "two")),
    "unknown field": ("schema", _put(lambda them: _container(them, "dagway-api"), "imagePolicy", "Never")),
    "removed version": (
        "schema",
        _put(lambda them: next(of_kind(them, "Ingress")), "apiVersion", "extensions/v1beta1"),
    ),
    "root": (
        "may be root",
        _put(lambda them: _first(them, "Deployment", "dagway-api")["template"]["spec"], "securityContext", {}),
    ),
    "writable": (
        "can write",
        _put(lambda them: _container(them, "dagway-api")["securityContext"], "readOnlyRootFilesystem", False),
    ),
    "escalation": (
        "may gain privileges",
        _put(lambda them: _container(them, "dagway-worker")["securityContext"], "allowPrivilegeEscalation", True),
    ),
    "a right too many": (
        "has capabilities",
        _put(lambda them: _container(them, "dagway-worker")["securityContext"]["capabilities"], "add", ["SYS_PTRACE"]),
    ),
    "steps as root": (
        "container worker may be root",
        lambda them: _remove_variable(_container(them, "dagway-worker"), "DAGWAY_STEP_USER"),
    ),
    "worker as root": (
        "container worker may be root",
        lambda them: _remove_variable(_container(them, "dagway-worker"), "DAGWAY_WORKER_USER"),
    ),
    "unlimited": (
        "no request or limit",
        _put(lambda them: _container(them, "dagway-api")["resources"], "limits", {"cpu": "1"}),
    ),
    "over limit": (
        "asks for more memory",
        _put(lambda them: _container(them, "dagway-api")["resources"]["requests"], "memory", "2Gi"),
    ),
    "greedy steps": (
        "may take all memory",
        lambda them: _remove_variable(_container(them, "dagway-worker"), "DAGWAY_STEP_MAX_MEMORY"),
    ),
    "greedier steps": (
        "may take all memory",
        lambda them: _set_env(_container(them, "dagway-worker"), "DAGWAY_STEP_MAX_MEMORY", {"value": "2g"}),
    ),
    "forking steps": (
        "may take all processes",
        lambda them: _remove_variable(_container(them, "dagway-worker"), "DAGWAY_STEP_MAX_PROCESSES"),
    ),
    "no probe": ("no liveness probe", lambda them: _container(them, "dagway-scheduler").pop("livenessProbe")),
    "probe's port": (
        "asks a port",
        _put(lambda them: _container(them, "dagway-worker")["readinessProbe"]["httpGet"], "port", "http"),
    ),
    "liveness asks for readiness": (
        "must ask /healthz",
        _put(lambda them: _container(them, "dagway-api")["livenessProbe"]["httpGet"], "path", "/readyz"),
    ),
    "latest": ("names no version", _put(lambda them: _container(them, "dagway-api"), "image", "dagway:latest")),
    "selector": (
        "does not select its own",
        _put(
            lambda them: _first(them, "Deployment", "dagway-api")["selector"]["matchLabels"],
            "app.kubernetes.io/component",
            "x",
        ),
    ),
    "service port": (
        "leads to no port",
        _put(lambda them: _first(them, "Service", "dagway-api")["ports"][0], "targetPort", "web"),
    ),
    "budget": (
        "protects nothing",
        _put(lambda them: _first(them, "PodDisruptionBudget", "dagway-worker")["selector"], "matchLabels", {"a": "b"}),
    ),
    "scaler": (
        "scales nothing",
        _put(lambda them: _first(them, "HorizontalPodAutoscaler", "dagway-api")["scaleTargetRef"], "name", "gateway"),
    ),
    "worker's way out": (
        "a worker reaches more",
        lambda them: _first(them, "NetworkPolicy", "dagway-worker")["egress"].append({"ports": [{"port": 5432}]}),
    ),
    "no volume": (
        "mounts no volume",
        lambda them: _first(them, "Deployment", "dagway-worker")["template"]["spec"]["volumes"].pop(),
    ),
    "no config map": ("no config map", lambda them: them.remove(next(of_kind(them, "ConfigMap")))),
    "misspelt setting": (
        "DAGWAY_SLOTS is not a setting",
        lambda them: _container(them, "dagway-worker")["env"].append({"name": "DAGWAY_SLOTS", "value": "5"}),
    ),
    "worker's database": (
        "a worker has the database's address",
        lambda them: _container(them, "dagway-worker")["env"].append({"name": "DAGWAY_DATABASE_URL", "value": "x"}),
    ),
    "another's secret": (
        "not its own",
        _put(
            lambda them: _container(them, "dagway-worker")["env"][-1]["valueFrom"]["secretKeyRef"], "name", "dagway-api"
        ),
    ),
    "no budget": (
        "may lose all replicas",
        lambda them: them.remove(
            next(each for each in of_kind(them, "PodDisruptionBudget") if "scheduler" in each["metadata"]["name"])
        ),
    ),
    "two owners of a number": (
        "that an autoscaler owns",
        _put(lambda them: _first(them, "Deployment", "dagway-api"), "replicas", 3),
    ),
    "workers scaled twice": (
        "are scaled twice",
        _put(
            lambda them: _first(them, "HorizontalPodAutoscaler", "dagway-api")["scaleTargetRef"],
            "name",
            "dagway-worker",
        ),
    ),
    "all on one node": (
        "on one node or in one zone",
        lambda them: _first(them, "Deployment", "dagway-worker")["template"]["spec"]["topologySpreadConstraints"].pop(),
    ),
    "away from others": (
        "pods that are not its own",
        _put(
            lambda them: _first(them, "Deployment", "dagway-api")["template"]["spec"]["topologySpreadConstraints"][0][
                "labelSelector"
            ],
            "matchLabels",
            {"a": "b"},
        ),
    ),
    "no farewell": (
        "ends while requests are on their way",
        lambda them: _container(them, "dagway-api").pop("lifecycle"),
    ),
    "held up": (
        "lets pods that are not ready hold up a drain",
        lambda them: _first(them, "PodDisruptionBudget", "dagway-api").pop("unhealthyPodEvictionPolicy"),
    ),
    "impatient": (
        "is killed before",
        _put(
            lambda them: _first(them, "Deployment", "dagway-worker")["template"]["spec"],
            "terminationGracePeriodSeconds",
            30,
        ),
    ),
    "a gateway cut off": (
        "api is killed before",
        _put(
            lambda them: _first(them, "Deployment", "dagway-api")["template"]["spec"],
            "terminationGracePeriodSeconds",
            30,
        ),
    ),
    "a volume of unknown size": (
        "for 0 bytes",
        lambda them: _remove_variable(_container(them, "dagway-worker"), "DAGWAY_DATA_SIZE"),
    ),
    "a volume thought larger": (
        "for 21474836480 bytes",
        lambda them: _set_env(_container(them, "dagway-worker"), "DAGWAY_DATA_SIZE", {"value": "20Gi"}),
    ),
    "volumes larger than the pod": (
        "may be evicted while each of its volumes is within its size",
        _put(lambda them: _container(them, "dagway-worker")["resources"]["limits"], "ephemeral-storage", "10Gi"),
    ),
    "a volume for files of runs only": (
        "may fill its volume",
        lambda them: _container(them, "dagway-worker")["env"].append(
            {"name": "DAGWAY_RUN_FILES_MIB", "value": "10240"}
        ),
    ),
    "no TLS": ("without TLS", lambda them: next(of_kind(them, "Ingress"))["spec"].pop("tls")),
    "any size": (
        "a size or a time unbounded",
        lambda them: next(of_kind(them, "Ingress"))["metadata"]["annotations"].pop(
            "nginx.ingress.kubernetes.io/proxy-body-size"
        ),
    ),
    "held back": (
        "streams of events",
        _put(
            lambda them: next(of_kind(them, "Ingress"))["metadata"]["annotations"],
            "nginx.ingress.kubernetes.io/proxy-buffering",
            "on",
        ),
    ),
    "an account with a token": (
        "hands out a token",
        lambda them: next(of_kind(them, "ServiceAccount")).pop("automountServiceAccountToken"),
    ),
    "a worker with a token": (
        "a pod has a token of the cluster",
        lambda them: _first(them, "Deployment", "dagway-worker")["template"]["spec"].update(
            automountServiceAccountToken=True
        ),
    ),
    "no login": (
        "demands no login",
        lambda them: _set_env(_container(them, "dagway-api"), "DAGWAY_AUTH_MODE", {"value": "none"}),
    ),
    "login forgotten": (
        "without a login",
        lambda them: _set_env(_container(them, "dagway-api"), "DAGWAY_AUTH_MODE", None),
    ),
    "default password": (
        "no secret for DAGWAY_AUTH_ADMIN_PASSWORD",
        lambda them: _set_env(_container(them, "dagway-api"), "DAGWAY_AUTH_ADMIN_PASSWORD", {"value": "admin"}),
    ),
    "written secret": (
        "is written down",
        lambda them: _container(them, "dagway-api")["env"].append({"name": "DAGWAY_DATABASE_URL", "value": "x"}),
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_rules_catch_a_planted_defect(defect: str) -> None:
    said, plant = DEFECTS[defect]
    objects = copy.deepcopy(manifest_set("base-sources"))

    plant(objects)

    assert [each for each in complaints(objects) if said in each], complaints(objects)


@pytest.mark.parametrize("name", ["base-sources", "dev-sources", "prod-sources"])
def test_each_run_has_a_user_of_its_own_and_the_worker_another(name: str) -> None:
    env = {each["name"]: each.get("value") for each in _container(manifest_set(name), "dagway-worker")["env"]}
    given = {key: env[key] for key in ("DAGWAY_STEP_USER", "DAGWAY_WORKER_USER")}

    config = load_config({}, given)

    assert config.step_user is not None
    assert config.worker_user is not None
    assert config.step_user.count >= 1000
    assert config.worker_user[0] not in config.step_user.uids


def test_the_script_makes_every_secret_that_the_dev_overlay_refers_to() -> None:
    argv = [str(ROOT / "deploy" / "make-secrets"), "kubernetes"]
    made = list(yaml.safe_load_all(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))

    there = {(each["metadata"]["name"], key) for each in made for key in each["stringData"]}
    refs = [
        variable["valueFrom"]["secretKeyRef"]
        for template in pod_templates(manifest_set("dev-sources"))
        for container in containers(template)
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    assert {(ref["name"], ref["key"]) for ref in refs} == there
    worker = next(each["stringData"] for each in made if each["metadata"]["name"] == "dagway-worker")
    assert list(worker) == ["amqp-url", "task-public-keys", "report-keys", "worker-seal-keys", "secret-keys"]


def test_passwords_differ_from_each_other_and_from_those_made_before() -> None:
    argv = [str(ROOT / "deploy" / "make-secrets"), "compose"]
    texts = [subprocess.run(argv, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    values = [
        line.split("=", 1)[1] for text in texts for line in text.splitlines() if "=" in line and "LOGIN=" not in line
    ]
    assert len(values) == len(set(values)) == 32
    passwords = [value for value in values if "=" not in value]
    assert len(passwords) == 20
    assert all(len(value) == 48 for value in passwords)


def test_production_has_several_of_each() -> None:
    if (
        "prod-rendered" not in NAMES
    ):  # without kustomize, patches are not applied: read the overlay's replica counts from its source
        text = (ROOT / "deploy/k8s/overlays/prod/kustomization.yaml").read_text()
        assert [each["count"] for each in yaml.safe_load(text)["replicas"]] == [3, 6]
        return

    prod = manifest_set("prod-rendered")
    assert _first(prod, "Deployment", "dagway-scheduler")["replicas"] >= 2
    assert _first(prod, "Deployment", "dagway-worker")["replicas"] >= 2
    assert _first(prod, "HorizontalPodAutoscaler", "dagway-api")["minReplicas"] >= 2
    assert "StatefulSet" not in {each["kind"] for each in prod}


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-rendered")])
def test_a_changed_setting_rolls_the_pods(name: str) -> None:
    """The name of a config map contains a hash of its content, and the pods refer to the name."""
    (config,) = [
        each for each in of_kind(manifest_set(name), "ConfigMap") if each["metadata"]["name"].startswith("dagway-c")
    ]
    used = {
        source["configMapRef"]["name"]
        for template in pod_templates(manifest_set(name))
        for container in containers(template)
        for source in container.get("envFrom", [])
    }

    assert re.fullmatch(r"dagway-config-[a-z0-9]{10}", config["metadata"]["name"])
    assert used == {config["metadata"]["name"]}


def test_the_program_that_a_pod_runs_before_it_stops_is_in_its_image() -> None:
    tools = re.search(r'TOOLS = """(.*?)"""', (ROOT / "deploy/image/rootfs.py").read_text(), re.DOTALL)
    asked = {
        container["lifecycle"]["preStop"]["exec"]["command"][0]
        for template in pod_templates(manifest_set("base-sources"))
        for container in containers(template)
        if "lifecycle" in container
    }

    assert tools is not None
    assert asked <= set(tools[1].split())


@pytest.mark.parametrize("folder", ["base", "overlays/prod"])
def test_the_head_of_a_kustomization_names_every_key_of_a_secret(folder: str) -> None:
    head = (ROOT / "deploy/k8s" / folder / "kustomization.yaml").read_text().partition("apiVersion:")[0]
    files = [ROOT / "deploy/k8s/base" / f"{name}.yaml" for name in ("migrate", "api", "scheduler", "worker")]
    asked = {
        reference[part]
        for file in files
        for found in re.findall(r"secretKeyRef: (\{[^}]*\})", file.read_text())
        for reference in [yaml.safe_load(found)]
        for part in ("name", "key")
    }

    assert len(asked) > 10
    assert {each for each in asked if each not in head} == set()
