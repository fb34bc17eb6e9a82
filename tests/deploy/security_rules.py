"""The rules for all manifests about rights, logins and secrets; see ``rules``."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.api.settings import settings_from
from services.kubernetes.cluster_api import SUBRESOURCE
from shared.errors import ConfigInvalid
from shared.settings.config import load_config
from tests.deploy.manifests import ROOT, Object, containers, name_of, of_kind, ours, pod_templates, ports_out

__all__ = ["CALLS_THE_CLUSTER", "RIGHTS", "accounts", "environment", "locked_down", "secrets", "settings", "signed_in"]

_LOGIN_SECRETS = {"builtin": {"TOKEN_SECRET", "ADMIN_PASSWORD"}, "oidc": {"OIDC_CLIENT_SECRET"}}
CALLS_THE_CLUSTER = "deletion-costs"
"""The component that calls the cluster's API."""
RIGHTS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": [f"pods/{SUBRESOURCE}"], "verbs": ["patch"]},
]
"""All rights that it has in the cluster."""
_TO_CHANGE_USERS = ["SETUID", "SETGID", "KILL"]


def locked_down(objects: list[Object]) -> Iterator[str]:
    """Every pod meets the "restricted" pod security standard, and has a read-only root file system.

    Workers may start as root, to give each run a user of its own, if they have no other right of root.
    """
    for template in pod_templates(objects):
        pod = template["spec"]
        wide = pod.get("securityContext", {})
        calls = template["metadata"]["labels"].get("app.kubernetes.io/component") == CALLS_THE_CLUSTER
        if pod.get("automountServiceAccountToken") is not calls:
            yield "a pod calls the cluster's API without a token" if calls else "a pod has a token of the cluster"
        if pod.get("enableServiceLinks") is not False:
            yield "a pod has environment variables of every service"
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


def settings(objects: list[Object]) -> Iterator[str]:
    """Dagway's services accept their environment, and serve metrics on the port in the manifest."""
    for template, container in ours(objects):
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
    if "DAGWAY_DAGS_DIR" in found:
        found["DAGWAY_DAGS_DIR"] = str(ROOT / "examples")  # it must exist, and only the pod has it
    return found


def signed_in(objects: list[Object]) -> Iterator[str]:
    """The gateway demands a login, of users or of a provider, and what the login depends on comes from a Secret."""
    for template, container in ours(objects):
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
        if settings.auth_mode == "oidc" and 443 not in ports_out(objects, template):
            yield "the gateway does not reach its login provider"


def _secret_value(secret: Mapping[str, str]) -> str:
    if not secret:
        return ""
    if secret["key"].endswith("-keys"):
        return f"{'default/1' if secret['key'] == 'report-keys' else '1'}={'0' * 64}"
    return f"{secret['key']} of the secret {secret['name']}"


def secrets(objects: list[Object]) -> Iterator[str]:
    """No manifest contains a secret's value. Each service has its own secret; a worker's has no database URL."""
    yield from (f"{name_of(each)} is written down" for each in of_kind(objects, "Secret"))
    owners: dict[str, str] = {}
    for template, container in ours(objects):
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        refs: list[Any] = [each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", [])]
        read = {ref["name"] for ref in refs if ref}
        if len(read) > 1 or any(owners.setdefault(name, component) != component for name in read):
            yield f"{component} reads a secret that is not its own"
        if any("secretRef" in source for source in container.get("envFrom", [])):
            yield f"{component} reads a whole secret"
        for each in container.get("env", []):
            if re.search(r"(DATABASE|AMQP)_URL|PASSWORD|TOKEN|SECRET|KEYS", each["name"]) and "value" in each:
                yield f"{component}: {each['name']} is written down"
        if component == CALLS_THE_CLUSTER and read:
            yield f"{component} reads a secret"
        if component == "worker" and re.search("database|postgres", str(template), re.IGNORECASE):
            yield "a worker's manifest speaks of a database"


def accounts(objects: list[Object]) -> Iterator[str]:
    """No account hands out a token by itself, and only one has rights in the cluster: in its namespace, and two."""
    for each in of_kind(objects, "ServiceAccount"):
        if each.get("automountServiceAccountToken") is not False:
            yield f"{name_of(each)} hands out a token of the cluster"
    for each in of_kind(objects, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        if not _is_granted(each):
            yield f"{name_of(each)} gives rights in the cluster"


def _is_granted(thing: Object) -> bool:
    name = f"dagway-{CALLS_THE_CLUSTER}"
    if thing["kind"] == "Role":
        return bool(thing["metadata"]["name"] == name and thing["rules"] == RIGHTS)
    subjects = [(each["kind"], each["name"]) for each in thing.get("subjects", [])]
    role = (thing.get("roleRef", {}).get("kind"), thing.get("roleRef", {}).get("name"))
    return thing["kind"] == "RoleBinding" and subjects == [("ServiceAccount", name)] and role == ("Role", name)
