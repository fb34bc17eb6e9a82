"""The rules for all manifests: functions that take objects and return complaints.

The schema checks single fields. The other rules check what belongs together (ports, selectors, names), and
what this project requires (no container runs as root, a worker has no database).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import kubernetes_validate

from services.api.settings import settings_from
from shared.config import load_config
from shared.errors import ConfigInvalid
from tests.deploy.manifests import Object, containers, of_kind, pod_templates

__all__ = ["RULES", "complaints"]

KUBERNETES = "1.32"
_BROKER_AND_NAMES = {53, 5671, 5672}
_LOGIN_SECRETS = {"builtin": {"TOKEN_SECRET", "ADMIN_PASSWORD"}, "oidc": {"OIDC_CLIENT_SECRET"}}
_UNITS: dict[str, Decimal | int] = {
    "": 1,
    "m": Decimal("0.001"),
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}


def complaints(objects: list[Object]) -> list[str]:
    """Return all violations of all rules."""
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(objects)]


def _name(thing: Object) -> str:
    return f"{thing['kind']}/{thing['metadata']['name']}"


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    wanted: dict[str, str] = (
        selector.get("matchLabels", {}) if {"matchLabels", "matchExpressions"} & set(selector) else selector
    )
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


def _selected(objects: list[Object], selector: Object) -> list[Object]:
    return [each for each in pod_templates(objects) if _selects(selector, each["metadata"]["labels"])]


def _port_names(template: Object) -> set[str | int]:
    ports = [port for container in containers(template) for port in container.get("ports", [])]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def _ours(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield pod template and container of each Dagway service."""
    for template in pod_templates(objects):
        if template["metadata"]["labels"].get("app.kubernetes.io/name") == "dagway":
            yield from ((template, container) for container in containers(template))


def schema(objects: list[Object]) -> Iterator[str]:
    """Every kind and field exists in this version of Kubernetes, and every value has the right type."""
    for each in objects:
        if (fault := _schema_fault(json.dumps(each))) is not None:
            yield f"{_name(each)}: {fault}"


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


_TO_CHANGE_USERS = ["SETUID", "SETGID", "KILL"]


def locked_down(objects: list[Object]) -> Iterator[str]:
    """Every pod meets the "restricted" pod security standard, and has a read-only root file system.

    Workers may start as root, to give each run a user of its own, if they have no other right of root.
    """
    for template in pod_templates(objects):
        pod = template["spec"]
        wide = pod.get("securityContext", {})
        if pod.get("automountServiceAccountToken") is not False:
            yield "a pod has a token of the cluster"
        if pod.get("enableServiceLinks") is not False:
            yield "a pod is told of every service by environment variables"
        if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield "a pod shares a namespace of its host"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield "a pod mounts a path of its host"
        if wide.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield "a pod has no seccomp profile"
        for container in containers(template):
            own = {**wide, **container.get("securityContext", {})}
            name = container["name"]
            separates = _separates_users(container)
            if (own.get("runAsNonRoot") is not True or not own.get("runAsUser")) and not separates:
                yield f"container {name} may be root"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"container {name} can write to its image"
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"container {name} may gain privileges"
            rights = own.get("capabilities", {})
            if rights.get("drop") != ["ALL"] or (rights.get("add") or []) != (_TO_CHANGE_USERS if separates else []):
                yield f"container {name} has capabilities"


def _separates_users(container: Object) -> bool:
    variables = {each["name"]: each.get("value", "") for each in container.get("env", [])}
    users = [variables.get(name, "") for name in ("DAGWAY_STEP_USER", "DAGWAY_WORKER_USER")]
    return container["name"] == "worker" and all(users) and "0" not in users


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
        for volume in template["spec"].get("volumes", []):
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                yield f"volume {volume['name']} may grow until the node is full"


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
                    yield f"{_name(workload)} has no {kind} probe"
                    continue
                asked = probe.get("httpGet") or probe.get("tcpSocket") or {}
                if "port" in asked and asked["port"] not in _port_names(template):
                    yield f"{_name(workload)}: the {kind} probe asks a port that it has not: {asked['port']}"
                ours = template["metadata"]["labels"].get("app.kubernetes.io/name") == "dagway"
                if ours and workload["kind"] == "Deployment" and asked.get("path") != path:
                    yield f"{_name(workload)}: the {kind} probe must ask {path}"


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
    names = {_name(each) for each in objects}
    for each in objects:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Deployment" | "StatefulSet":
                if not _selects(spec["selector"], spec["template"]["metadata"]["labels"]):
                    yield f"{_name(each)} does not select its own pods"
                account = spec["template"]["spec"].get("serviceAccountName")
                if account and f"ServiceAccount/{account}" not in names:
                    yield f"{_name(each)}: no service account {account}"
            case "Service":
                for port in spec["ports"]:
                    if not any(port["targetPort"] in _port_names(pod) for pod in _selected(objects, spec["selector"])):
                        yield f"{_name(each)} leads to no port {port['targetPort']}"
            case "PodDisruptionBudget":
                if not _selected(objects, spec["selector"]):
                    yield f"{_name(each)} protects nothing"
            case "HorizontalPodAutoscaler":
                target = spec["scaleTargetRef"]
                if f"{target['kind']}/{target['name']}" not in names:
                    yield f"{_name(each)} scales nothing"
                if spec["minReplicas"] > spec["maxReplicas"]:
                    yield f"{_name(each)}: minReplicas above maxReplicas"
            case "Ingress":
                for path in (path for rule in spec["rules"] for path in rule["http"]["paths"]):
                    service = path["backend"]["service"]
                    found = [
                        item for item in of_kind(objects, "Service") if item["metadata"]["name"] == service["name"]
                    ]
                    if not any(
                        port["name"] == service["port"]["name"] for item in found for port in item["spec"]["ports"]
                    ):
                        yield f"{_name(each)} leads to no service"
            case "NetworkPolicy":
                pods = _selected(objects, spec["podSelector"])
                if not pods:
                    yield f"{_name(each)} selects nothing"
                for port in (port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]):
                    if not all(port in _port_names(pod) for pod in pods):
                        yield f"{_name(each)} opens a port that is not there: {port}"


def fenced(objects: list[Object]) -> Iterator[str]:
    """Network policies for both directions select every pod. A worker may connect to DNS and the broker only."""
    policies = list(of_kind(objects, "NetworkPolicy"))
    for template in pod_templates(objects):
        labels = template["metadata"]["labels"]
        mine = [policy["spec"] for policy in policies if _selects(policy["spec"]["podSelector"], labels)]
        if not any(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in mine):
            yield f"no network policy for {labels}"
        is_worker = labels.get("app.kubernetes.io/component") == "worker"
        if is_worker and _ports_out(objects, template) - _BROKER_AND_NAMES:
            yield "a worker reaches more than the broker and names"


def references(objects: list[Object]) -> Iterator[str]:
    """The config maps and volumes that pods use exist. A script with its own test creates the secrets."""
    maps = {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}
    for template in pod_templates(objects):
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        used = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
        for container in containers(template):
            used |= {
                source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source
            }
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"container {container['name']} mounts no volume {mount['name']}"
        yield from (f"no config map {name}" for name in used - maps)


def settings(objects: list[Object]) -> Iterator[str]:
    """Dagway's services accept their environment, and serve metrics on the port in the manifest."""
    for template, container in _ours(objects):
        environ = environment(objects, container)
        try:
            config = load_config({}, environ)
        except ConfigInvalid as error:
            yield f"container {container['name']}: {error}"
            continue
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if ports and (config.metrics_port != ports["metrics"] or config.host != "0.0.0.0"):
            yield f"container {container['name']} does not serve its metrics where it says"
        if "http" in ports and config.port != ports["http"]:
            yield f"container {container['name']} does not listen where it says"
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == "worker" and config.database_url:
            yield "a worker has the database's address"


def environment(objects: list[Object], container: Object) -> dict[str, str]:
    """Return the container's environment variables. The value of a secret is replaced by one of its form."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        for each in of_kind(objects, "ConfigMap"):
            if each["metadata"]["name"] == source.get("configMapRef", {}).get("name"):
                found |= each["data"]
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        secret = source.get("secretKeyRef", {})
        found[variable["name"]] = variable.get("value") or _secret_value(secret) or "some-pod-0"
    return found


def signed_in(objects: list[Object]) -> Iterator[str]:
    """The gateway demands a login, of users or of a provider, and what the login depends on comes from a Secret."""
    for template, container in _ours(objects):
        if template["metadata"]["labels"]["app.kubernetes.io/component"] != "api":
            continue
        try:
            settings = settings_from(load_config({}, environment(objects, container)))
        except ConfigInvalid as error:
            yield f"the gateway does not start: {error}"
            continue
        secret = [each["name"] for each in container.get("env", []) if "secretKeyRef" in each.get("valueFrom", {})]
        needed = _LOGIN_SECRETS.get(settings.auth_mode)
        if needed is None:
            yield "the gateway demands no login"
        elif missing := {f"DAGWAY_AUTH_{each}" for each in needed} - set(secret):
            yield f"the gateway has no secret for {', '.join(sorted(missing))}"
        if settings.auth_mode == "oidc" and 443 not in _ports_out(objects, template):
            yield "the gateway does not reach its login provider"


def _ports_out(objects: list[Object], template: Object) -> set[int | str]:
    """Return the ports that network policies let a pod connect to; with ``all`` if a rule names none."""
    policies = [each["spec"] for each in of_kind(objects, "NetworkPolicy")]
    mine = [each for each in policies if _selects(each["podSelector"], template["metadata"]["labels"])]
    egress = [rule for policy in mine for rule in policy.get("egress", [])]
    return {port["port"] for rule in egress for port in rule.get("ports", [{"port": "all"}])}


def _secret_value(secret: Mapping[str, str]) -> str:
    if not secret:
        return ""
    if secret["key"].endswith("-keys"):
        return f"{'default/1' if secret['key'] == 'report-keys' else '1'}={'0' * 64}"
    return f"{secret['key']} of the secret {secret['name']}"


def secrets(objects: list[Object]) -> Iterator[str]:
    """No manifest contains a secret's value. Each service has its own secret; a worker's has no database URL."""
    yield from (f"{_name(each)} is written down" for each in of_kind(objects, "Secret"))
    for template, container in _ours(objects):
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        refs: list[Any] = [each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", [])]
        if {ref["name"] for ref in refs if ref} - {f"dagway-{component}"}:
            yield f"{component} reads a secret that is not its own"
        if any("secretRef" in source for source in container.get("envFrom", [])):
            yield f"{component} reads a whole secret"
        for each in container.get("env", []):
            if re.search(r"(DATABASE|AMQP)_URL|PASSWORD|TOKEN|SECRET|KEYS", each["name"]) and "value" in each:
                yield f"{component}: {each['name']} is written down"
        if component == "worker" and re.search("database|postgres", str(template), re.IGNORECASE):
            yield "a worker's manifest speaks of a database"


def protected(objects: list[Object]) -> Iterator[str]:
    """A workload with several replicas loses at most one of them to node drains, and has at most one autoscaler."""
    scalers = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler")]
    budgets = [each["spec"] for each in of_kind(objects, "PodDisruptionBudget")]
    for each in of_kind(objects, "Deployment"):
        name, labels = each["metadata"]["name"], each["spec"]["template"]["metadata"]["labels"]
        several = each["spec"].get("replicas", 1) not in {0, 1} or name in scalers
        mine = [budget for budget in budgets if _selects(budget["selector"], labels)]
        if several and [budget.get("maxUnavailable") for budget in mine] != [1]:
            yield f"{_name(each)} may lose all replicas at once"
        if name in scalers and "replicas" in each["spec"]:
            yield f"{_name(each)} sets the number of replicas that an autoscaler owns"
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
            yield f"{_name(each)} may be on one node or in one zone"
        if not all(_selects(one["labelSelector"], labels) for one in constraints):
            yield f"{_name(each)} keeps away from pods that are not its own"


def graceful(objects: list[Object]) -> Iterator[str]:
    """A stopping server waits until it gets no more requests, and a stopping worker until its steps had time to end."""
    served = [each["spec"]["selector"] for each in of_kind(objects, "Service") if _is_asked(each)]
    for template, container in _ours(objects):
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        if component == "migrate":
            continue
        grace_s = template["spec"].get("terminationGracePeriodSeconds", 0)
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        if any(_selects(selector, template["metadata"]["labels"]) for selector in served) and before[:1] != ["sleep"]:
            yield f"{component} ends while requests are on their way to it"
        if grace_s < 30 + (15 if component == "worker" else 0):
            yield f"{component} is killed before it has ended its work"


def _is_asked(service: Object) -> bool:
    return any(port["targetPort"] == "http" for port in service["spec"]["ports"])


def let_in(objects: list[Object]) -> Iterator[str]:
    """The ingress requires TLS, limits the size of requests, and lets event streams pass."""
    for each in of_kind(objects, "Ingress"):
        hosts = {host for one in each["spec"].get("tls", []) for host in one["hosts"]}
        if {rule["host"] for rule in each["spec"]["rules"]} - hosts:
            yield f"{_name(each)} lets passwords in without TLS"
        told = {key.rpartition("/")[2]: value for key, value in each["metadata"].get("annotations", {}).items()}
        if not {"proxy-body-size", "proxy-connect-timeout", "proxy-read-timeout", "proxy-send-timeout"} <= set(told):
            yield f"{_name(each)} leaves a size or a time unbounded"
        if told.get("proxy-buffering") != "off" or int(told.get("proxy-read-timeout", 0)) < 60:
            yield f"{_name(each)} holds back or cuts off streams of events"


def accounts(objects: list[Object]) -> Iterator[str]:
    """Service accounts have no rights in the cluster, and pods get no tokens for them."""
    for each in of_kind(objects, "ServiceAccount"):
        if each.get("automountServiceAccountToken") is not False:
            yield f"{_name(each)} hands out a token of the cluster"
    for each in of_kind(objects, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{_name(each)} gives rights in the cluster"


RULES: tuple[Callable[[list[Object]], Iterator[str]], ...] = (
    schema,
    locked_down,
    bounded,
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
