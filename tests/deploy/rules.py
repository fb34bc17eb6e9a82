"""The rules for all manifests: functions that take objects and return complaints.

The schema checks single fields. The other rules check what belongs together (ports, selectors, names), and
what this project requires (no container runs as root, a worker has no database).
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache

import kubernetes_validate

from shared.settings.command_defaults import run_files_mib
from shared.settings.config import load_config
from tests.deploy.manifests import (
    WORKLOADS,
    Object,
    containers,
    name_of,
    of_kind,
    ours,
    pod_templates,
    ports_out,
    selects,
)
from tests.deploy.security_rules import (
    CALLS_THE_CLUSTER,
    accounts,
    environment,
    locked_down,
    secrets,
    settings,
    signed_in,
)

__all__ = ["RULES", "complaints"]

KUBERNETES = "1.32"
_BROKER_AND_NAMES = {53, 5671, 5672}
_CLUSTER_WORKERS_AND_NAMES = {53, 443, 6443, 9000}
_ABOUT_ROOM = {"DAGWAY_DATA_SIZE", "DAGWAY_RUN_FILES_MIB"}
_UNITS: dict[str, Decimal | int] = {
    "": 1,
    "m": Decimal("0.001"),
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}


def complaints(objects: list[Object]) -> list[str]:
    """Return all violations of all rules."""
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(objects)]


def _selected(objects: list[Object], selector: Object) -> list[Object]:
    return [each for each in pod_templates(objects) if selects(selector, each["metadata"]["labels"])]


def _port_names(template: Object) -> set[str | int]:
    ports = [port for container in containers(template) for port in container.get("ports", [])]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def schema(objects: list[Object]) -> Iterator[str]:
    """Every kind and field exists in this version of Kubernetes, and every value has the right type."""
    for each in objects:
        if (fault := _schema_fault(json.dumps(each))) is not None:
            yield f"{name_of(each)}: {fault}"


@cache
def _schema_fault(text: str) -> str | None:
    """Return the schema's complaint about one object, given as JSON; ``None`` if it has none.

    Cached: a planted defect changes one object of a set, so the others are checked again and again.
    """
    try:
        kubernetes_validate.validate(json.loads(text), KUBERNETES, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return None


def bounded(objects: list[Object]) -> Iterator[str]:
    """Every container has requests and limits of CPU and memory. No request is above its limit."""
    for container in (each for template in pod_templates(objects) for each in containers(template)):
        resources = container.get("resources", {})
        for what in {"cpu", "memory", *resources.get("limits", {}), *resources.get("requests", {})}:
            asked, limit = (resources.get(key, {}).get(what) for key in ("requests", "limits"))
            if asked is None or limit is None:
                yield f"container {container['name']} has no request or limit of {what}"
            elif _quantity(asked) > _quantity(limit):
                yield f"container {container['name']} asks for more {what} than it may have"
    for template in pod_templates(objects):
        volumes = template["spec"].get("volumes", [])
        folders = {each["name"]: each["emptyDir"] or {} for each in volumes if "emptyDir" in each}
        for name in (name for name, each in folders.items() if not each.get("sizeLimit")):
            yield f"volume {name} may grow until the node is full"
        sizes = [each.get("sizeLimit", "0") for each in folders.values() if each.get("medium") != "Memory"]
        limits = [each.get("resources", {}).get("limits", {}).get("ephemeral-storage") for each in containers(template)]
        if all(limits) and sum(map(_quantity, sizes)) > sum(map(_quantity, limits)):
            yield f"{containers(template)[0]['name']} may be evicted while each of its volumes is within its size"


def measured(objects: list[Object]) -> Iterator[str]:
    """A worker knows the limit of its volume: its file system is the node's."""
    for template, container in ours(objects):
        for volume in template["spec"].get("volumes", []):
            limit = volume.get("emptyDir", {}).get("sizeLimit")
            if volume["name"] != "data" or limit is None:
                continue
            told = environment(objects, container)
            config = load_config({}, {name: told[name] for name in _ABOUT_ROOM & told.keys()})
            if config.data_size != _quantity(limit):
                yield f"container {container['name']} takes its volume of {limit} for {config.data_size} bytes"
            if not 0 < run_files_mib(config, "worker") << 20 <= config.data_size * 0.8:
                yield f"container {container['name']}: files of runs may fill its volume"


def rationed(objects: list[Object]) -> Iterator[str]:
    """No process of a step may take all memory of its worker, and no run all processes: all steps would die of that.

    Processes are counted for each user, so only where runs have users of their own. Workers with devices have no limit
    on memory: what their drivers map may count.
    """
    for template, container in ours(objects):
        if template["metadata"]["labels"]["app.kubernetes.io/component"] != "worker":
            continue
        limits = container.get("resources", {}).get("limits", {})
        given = {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
        config = load_config({}, {name: value for name, value in given.items() if name.startswith("DAGWAY_STEP_")})
        if config.step_user is not None and not config.step_max_processes:
            yield "a run may take all processes of its worker"
        if any("/" in name for name in limits):
            continue
        most = config.step_max_memory
        if not most or most >= _quantity(limits.get("memory", "0")):
            yield "a step may take all memory of its worker"


def _quantity(text: str) -> Decimal:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    assert match, f"{text!r} is no quantity"
    return Decimal(match[1]) * _UNITS[match[2]]


def probed(objects: list[Object]) -> Iterator[str]:
    """Every server has three probes on existing ports.

    Dagway's liveness probes do not depend on the database; its readiness probes check all dependencies.
    """
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        template = workload["spec"]["template"]
        for container in template["spec"]["containers"]:
            for kind, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
                probe = container.get(f"{kind}Probe")
                if probe is None:
                    yield f"{name_of(workload)} has no {kind} probe"
                    continue
                asked = probe.get("httpGet") or probe.get("tcpSocket") or {}
                if "port" in asked and asked["port"] not in _port_names(template):
                    yield f"{name_of(workload)}: the {kind} probe asks a port that it has not: {asked['port']}"
                ours = template["metadata"]["labels"].get("app.kubernetes.io/name") == "dagway"
                if ours and workload["kind"] == "Deployment" and asked.get("path") != path:
                    yield f"{name_of(workload)}: the {kind} probe must ask {path}"


def images(objects: list[Object]) -> Iterator[str]:
    """Every image has a version, and is not pulled if the node has it."""
    for container in (each for template in pod_templates(objects) for each in containers(template)):
        _, _, tag = container["image"].rpartition("/")[2].partition(":")
        if not tag or tag == "latest":
            yield f"container {container['name']}: {container['image']} names no version"
        if container.get("imagePullPolicy") != "IfNotPresent":
            yield f"container {container['name']} is pulled anew each time"


def selectors(objects: list[Object]) -> Iterator[str]:
    """Every selector selects at least one pod, and the names that refer to workloads exist."""
    names = {name_of(each) for each in objects}
    for each in objects:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Deployment" | "StatefulSet":
                if not selects(spec["selector"], spec["template"]["metadata"]["labels"]):
                    yield f"{name_of(each)} does not select its own pods"
                account = spec["template"]["spec"].get("serviceAccountName")
                if account and f"ServiceAccount/{account}" not in names:
                    yield f"{name_of(each)}: no service account {account}"
            case "Service" if spec.get("type") != "ExternalName":
                for port in spec["ports"]:
                    if not any(port["targetPort"] in _port_names(pod) for pod in _selected(objects, spec["selector"])):
                        yield f"{name_of(each)} leads to no port {port['targetPort']}"
            case "PodDisruptionBudget":
                if not _selected(objects, spec["selector"]):
                    yield f"{name_of(each)} protects nothing"
                if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                    yield f"{name_of(each)} lets pods that are not ready hold up a drain"
            case "HorizontalPodAutoscaler":
                target = spec["scaleTargetRef"]
                if f"{target['kind']}/{target['name']}" not in names:
                    yield f"{name_of(each)} scales nothing"
                if spec["minReplicas"] > spec["maxReplicas"]:
                    yield f"{name_of(each)}: minReplicas above maxReplicas"
            case "Ingress":
                for path in (path for rule in spec["rules"] for path in rule["http"]["paths"]):
                    service = path["backend"]["service"]
                    found = [
                        item for item in of_kind(objects, "Service") if item["metadata"]["name"] == service["name"]
                    ]
                    if not any(
                        port["name"] == service["port"]["name"] for item in found for port in item["spec"]["ports"]
                    ):
                        yield f"{name_of(each)} leads to no service"
            case "NetworkPolicy":
                pods = _selected(objects, spec["podSelector"])
                if not pods:
                    yield f"{name_of(each)} selects nothing"
                for port in (port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]):
                    if not all(port in _port_names(pod) for pod in pods):
                        yield f"{name_of(each)} opens a port that is not there: {port}"


def fenced(objects: list[Object]) -> Iterator[str]:
    """Network policies for both directions select every pod. A worker may connect to DNS and the broker only."""
    policies = list(of_kind(objects, "NetworkPolicy"))
    for template in pod_templates(objects):
        labels = template["metadata"]["labels"]
        mine = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], labels)]
        if not any(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in mine):
            yield f"no network policy for {labels}"
        component = labels.get("app.kubernetes.io/component")
        if component == "worker" and ports_out(objects, template) - _BROKER_AND_NAMES:
            yield "a worker reaches more than the broker and names"
        if component == CALLS_THE_CLUSTER and ports_out(objects, template) - _CLUSTER_WORKERS_AND_NAMES:
            yield "what calls the cluster's API reaches more than that, workers and names"


def references(objects: list[Object]) -> Iterator[str]:
    """The config maps and volumes that pods use exist. A script with its own test creates the secrets."""
    maps = {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}
    for workload in of_kind(objects, *WORKLOADS):
        template = workload["spec"]["template"]
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        claimed = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        used = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
        for container in containers(template):
            used |= {
                source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source
            }
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes.keys() | claimed:
                    yield f"container {container['name']} mounts no volume {mount['name']}"
        yield from (f"no config map {name}" for name in used - maps)


def protected(objects: list[Object]) -> Iterator[str]:
    """A workload with several replicas loses at most one of them to node drains, and has at most one autoscaler."""
    scalers = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler")]
    budgets = [each["spec"] for each in of_kind(objects, "PodDisruptionBudget")]
    for each in of_kind(objects, "Deployment"):
        name, labels = each["metadata"]["name"], each["spec"]["template"]["metadata"]["labels"]
        several = each["spec"].get("replicas", 1) not in {0, 1} or name in scalers
        mine = [budget for budget in budgets if selects(budget["selector"], labels)]
        if several and [budget.get("maxUnavailable") for budget in mine] != [1]:
            yield f"{name_of(each)} may lose all replicas at once"
        if name in scalers and "replicas" in each["spec"]:
            yield f"{name_of(each)} sets the number of replicas that an autoscaler owns"
        if name in scalers and name == "dagway-worker":
            yield "workers are scaled twice: by CPU and by KEDA"


def spread(objects: list[Object]) -> Iterator[str]:
    """The replicas of a Dagway service prefer different nodes and zones."""
    for each in of_kind(objects, "Deployment"):
        template = each["spec"]["template"]
        labels = template["metadata"]["labels"]
        if labels.get("app.kubernetes.io/name") != "dagway":
            continue
        constraints = template["spec"].get("topologySpreadConstraints", [])
        if {one["topologyKey"] for one in constraints} != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
            yield f"{name_of(each)} may be on one node or in one zone"
        if not all(selects(one["labelSelector"], labels) for one in constraints):
            yield f"{name_of(each)} keeps away from pods that are not its own"


def graceful(objects: list[Object]) -> Iterator[str]:
    """A stopping server waits until it gets no more requests, and a stopping worker until its steps had time to end."""
    served = [each["spec"]["selector"] for each in of_kind(objects, "Service") if _is_asked(each)]
    for template, container in ours(objects):
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        if component == "migrate":
            continue
        grace_s = template["spec"].get("terminationGracePeriodSeconds", 0)
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        if any(selects(selector, template["metadata"]["labels"]) for selector in served) and before[:1] != ["sleep"]:
            yield f"{component} ends while requests are on their way to it"
        set_to = [one["value"] for one in container.get("env", ()) if one["name"] == "DAGWAY_DRAIN_S"]
        # A gateway sleeps for 5 s. Then a write may wait for 30 s or more, if DAGWAY_COMMAND_WAIT_S says so.
        drain_s = {"worker": int([*set_to, "25"][0]), "api": 40}.get(component, 10)
        if grace_s < drain_s + 20:
            yield f"{component} is killed before it has ended its work"


def _is_asked(service: Object) -> bool:
    return any(port["targetPort"] == "http" for port in service["spec"].get("ports", []))


def let_in(objects: list[Object]) -> Iterator[str]:
    """The ingress requires TLS, limits the size of requests, and lets event streams pass."""
    for each in of_kind(objects, "Ingress"):
        hosts = {host for one in each["spec"].get("tls", []) for host in one["hosts"]}
        if {rule["host"] for rule in each["spec"]["rules"]} - hosts:
            yield f"{name_of(each)} lets passwords in without TLS"
        told = {key.rpartition("/")[2]: value for key, value in each["metadata"].get("annotations", {}).items()}
        if not {"proxy-body-size", "proxy-connect-timeout", "proxy-read-timeout", "proxy-send-timeout"} <= set(told):
            yield f"{name_of(each)} leaves a size or a time unbounded"
        if told.get("proxy-buffering") != "off" or int(told.get("proxy-read-timeout", 0)) < 60:
            yield f"{name_of(each)} holds back or cuts off streams of events"


RULES: tuple[Callable[[list[Object]], Iterator[str]], ...] = (
    schema,
    locked_down,
    bounded,
    measured,
    rationed,
    probed,
    images,
    selectors,
    fenced,
    references,
    settings,
    signed_in,
    secrets,
    protected,
    spread,
    graceful,
    let_in,
    accounts,
)
